"""Files of masks that a stranger made: small ones take little memory, what is wrong is one error that names them."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import data.made_trees as made
import numpy as np
import pytest
from PIL import Image

import sam2v.data as sd
from sam2v.data.annotations import LabelMaps, ObjectFolders
from sam2v.data.results import open_masks
from sam2v.data.selection import repeated_names
from sam2v.masks import bounds
from sam2v.video.sources import FrameSource, open_source

SIZE = (20, 30)
LARGE = (2000, 2000)  # whose mask takes 4 MB


@pytest.fixture
def video() -> FrameSource:
    return open_source(np.zeros((5, *SIZE, 3), np.uint8))


@contextmanager
def little_memory(most: int = 2 << 20) -> Iterator[None]:
    """What happens takes no more than some bytes at once."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


def full(size: tuple[int, int] = LARGE) -> dict[str, Any]:
    return {"size": list(size), "counts": [0, size[0] * size[1]]}


def coco(folder: Path) -> Path:
    images = [{"id": 1, "file_name": "00000.png"}]
    annotations = [{"id": k, "image_id": 1, "segmentation": full()} for k in range(20)]
    (folder / "masks.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    return folder


def coco_polygons(folder: Path) -> Path:
    images = [{"id": 1, "file_name": "00000.png", "height": LARGE[0], "width": LARGE[1]}]
    annotations = [{"id": k, "image_id": 1, "segmentation": [[0, 0, 9, 9, 0, 9]]} for k in range(20)]
    (folder / "masks.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    return folder


def lines(folder: Path) -> Path:
    objects = [{"id": k, "segmentation": full()} for k in range(20)]
    (folder / "masks.jsonl").write_text(json.dumps({"frame_idx": 0, "objects": objects}) + "\n")
    return folder


def record(folder: Path) -> Path:
    document = {"masklet": [[full()] * 20], "masklet_id": list(range(20)), "video_frame_count": 1}
    size = {"video_height": LARGE[0], "video_width": LARGE[1]}
    (folder / "video_auto.json").write_text(json.dumps(document | size))
    return folder


@pytest.mark.parametrize("write", [coco, coco_polygons, lines, record])
def test_masks_of_another_size_are_not_decoded(
    write: Callable[[Path], Path], video: FrameSource, tmp_path: Path
) -> None:
    with little_memory(), pytest.raises(ValueError, match="masks and video have different sizes, 2000 x 2000 and 30 x"):
        open_masks(write(tmp_path), video)


def test_a_label_map_of_another_size_becomes_no_masks(video: FrameSource, tmp_path: Path) -> None:
    Image.fromarray(np.arange(1024 * 1024).reshape(1024, 1024).astype(np.uint8) % 60).save(tmp_path / "00000.png")
    with little_memory(32 << 20), pytest.raises(ValueError, match=r"00000\.png: masks and video have different sizes"):
        open_masks(tmp_path, video)


def test_masks_of_a_frame_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody knows the video's size, and where the file itself tells it."""
    monkeypatch.setattr(bounds, "MOST_BYTES", 3 * made.HEIGHT * made.WIDTH)
    root = tmp_path / "sav"
    made.write_sav_train(root)
    path = root / "sav_train/sav_000/sav_000007_manual.json"
    document = made.sav_document("manual")
    some = full((made.HEIGHT, made.WIDTH))
    document |= {"masklet_id": list(range(4)), "masklet": [[some] * 4 for _ in document["masklet"]]}
    path.write_text(json.dumps(document))
    video = sd.sav(root, "train", need_videos=False)[0]
    assert len(video.masks(0, [0, 1, 2])) == 3
    with pytest.raises(ValueError, match=r"manual\.json: masklet 0: 4 masks of 32 x 24 pixels take more than"):
        video.masks(0)
    labels = np.arange(made.HEIGHT * made.WIDTH, dtype=np.uint8).reshape(made.HEIGHT, made.WIDTH) % 5
    for number in range(1, 5):
        (tmp_path / str(number)).mkdir()
        Image.fromarray(np.where(labels == number, np.uint8(255), np.uint8(0))).save(tmp_path / str(number) / "0.png")
    Image.fromarray(labels).save(tmp_path / "0.png")
    folders = ObjectFolders(tmp_path, {number: str(number) for number in range(1, 5)}, {0: "0.png"})
    for known in (LabelMaps({0: tmp_path / "0.png"}), folders):
        assert set(known.masks(0, [1, 2, 4])) == {1, 2, 4}
        with pytest.raises(ValueError, match=r"0\.png: 4 masks of 32 x 24 pixels take more than"):
            known.masks(0)


def test_a_label_map_of_too_many_objects(tmp_path: Path) -> None:
    Image.fromarray(np.arange(128 * 128, dtype=np.uint16).reshape(128, 128)).save(tmp_path / "0.png")
    known = LabelMaps({0: tmp_path / "0.png"})
    with little_memory(8 << 20), pytest.raises(ValueError, match=r"0\.png: holds 16383 objects, of which 4096 are"):
        known.masks(0)
    assert set(known.masks(0, [3, 9])) == {3, 9}


SOUND: dict[str, Any] = {
    **{"masklet": [[None], [full(SIZE)]], "masklet_id": [0]},
    **{"video_frame_count": 8.0, "video_height": 20, "video_width": 30.0},
}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"masklet": 5}, "masklet and masklet_id must be lists"),
        ({"masklet": {"a": 1}}, "masklet and masklet_id must be lists"),
        ({"masklet_id": 5}, "masklet and masklet_id must be lists"),
        ({"masklet": [[None], []]}, "every row of masklet must be a list of 1 masks"),
        ({"masklet": [[None], None]}, "every row of masklet must be a list of 1 masks"),
        ({"video_frame_count": 10_000_000}, "video_frame_count must be a whole number from 1 to 100008, got 10000000"),
        ({"video_frame_count": 1e10}, "video_frame_count must be a whole number"),
        ({"video_frame_count": None}, "video_frame_count must be a whole number"),
        ({"video_frame_count": True}, "video_frame_count must be a whole number"),
        ({"video_frame_count": float("inf")}, "video_frame_count must be a whole number"),
        ({"video_frame_count": float("nan")}, "video_frame_count must be a whole number"),
        ({"video_frame_count": 10**400}, "video_frame_count must be a whole number"),
        ({"video_height": "20"}, "video_height must be a whole number from 1 to 65536, got '20'"),
        ({"video_width": 1.5}, "video_width must be a whole number"),
    ],
    ids=repr,
)
def test_masklets_of_a_stranger(change: dict[str, Any], words: str, video: FrameSource, tmp_path: Path) -> None:
    (tmp_path / "a_manual.json").write_text(json.dumps(SOUND))
    assert sd.sav(tmp_path, "train", need_videos=False)[0].annotated == (0, 4)
    assert set(open_masks(tmp_path / "a_manual.json", video).masks(4)) == {0}
    (tmp_path / "a_manual.json").write_text(json.dumps(SOUND | change))
    with little_memory(1 << 20), pytest.raises(ValueError, match=f"a_manual.json: {words}"):
        sd.sav(tmp_path, "train", need_videos=False)[0]
    with pytest.raises(ValueError, match=f"a_manual.json: {words}"):
        open_masks(tmp_path / "a_manual.json", video)


@pytest.mark.parametrize(
    "change",
    [
        {"image": 5},
        {"image": {"height": None, "width": 32}},
        {"image": {"height": float("inf"), "width": 32}},
        {"annotations": 5},
        {"annotations": [5]},
        {"annotations": [{"id": float("inf"), "segmentation": full()}]},
        {"annotations": [{"id": "x", "segmentation": full()}]},
        {"annotations": [{"id": 1, "segmentation": full()}]},
        {"annotations": [{"id": 1, "segmentation": full(SIZE)}] * 2},
    ],
    ids=repr,
)
def test_segments_of_a_stranger(change: dict[str, Any], tmp_path: Path) -> None:
    Image.new("RGB", SIZE[::-1]).save(tmp_path / "a.jpg")
    sound = {"image": {"height": 20, "width": 30}, "annotations": [{"id": 1, "segmentation": full(SIZE)}]}
    (tmp_path / "a.json").write_text(json.dumps(sound))
    assert set(sd.sa1b(tmp_path)[0].masks()) == {1}
    (tmp_path / "a.json").write_text(json.dumps(sound | change))
    with little_memory(), pytest.raises(ValueError, match=r"a\.json: "):
        sd.sa1b(tmp_path)[0].masks()


@pytest.mark.parametrize("weight", [-1, 1001, 1e12, 10**400, float("inf"), float("nan"), "2", None, [1]], ids=str)
def test_weights_that_nothing_can_have(weight: Any) -> None:
    with pytest.raises(ValueError, match=r"the weight of a is .*: must be a number from 0 to 1000"):
        repeated_names(["a", "b"], {"a": weight})


def test_weights_repeat_names_within_a_bound() -> None:
    assert repeated_names(["a", "b", "c"], {"a": 0, "c": 1.5}, shares=2) == ["a", "b", "b", "c", "c", "c"]
    many = [str(k) for k in range(3000)]
    with pytest.raises(ValueError, match="the weights repeat 3000 names 24000000 times, more than"):
        repeated_names(many, dict.fromkeys(many, 1000.0))
