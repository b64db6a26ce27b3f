"""Masks of a video read back: what sam2v writes, what other tools write, and what strangers write."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import sam2v
from sam2v.data.results import open_masks
from sam2v.masks import MaskletFrame, encode_rle, write_label_map
from sam2v.output.writers import Format
from sam2v.video.sources import FrameSource, open_source

SIZE, FRAMES = (20, 30), 5


def masks_of(index: int) -> dict[int, np.ndarray]:
    """A bar that moves, one that lies over it and is there from frame 2 on, and one with a large id."""
    masks = np.zeros((3, *SIZE), bool)
    masks[0, 2:9, index : index + 8] = True
    masks[1, 6:12, 4:9] = index >= 2
    masks[2, 15:18, 20:25] = True
    return dict(zip((1, 3, 300), masks, strict=True))


def result_of(index: int) -> MaskletFrame:
    masks = masks_of(index)
    logits = torch.from_numpy(np.stack(list(masks.values())))[:, None] * 8.0 - 4
    return MaskletFrame(index, list(masks), logits, torch.ones(3), torch.ones(3), np.zeros((*SIZE, 3), np.uint8))


def visible(index: int) -> dict[int, np.ndarray]:
    return {obj_id: mask for obj_id, mask in masks_of(index).items() if mask.any()}


def same(found: dict[int, np.ndarray], expected: dict[int, np.ndarray]) -> bool:
    return set(found) == set(expected) and all(np.array_equal(found[i], expected[i]) for i in expected)


@pytest.fixture
def video() -> FrameSource:
    return open_source(np.zeros((FRAMES, *SIZE, 3), np.uint8))


@pytest.mark.parametrize(
    ("formats", "taken"),
    [
        (["objects"], "objects"),
        (["npz"], "npz"),
        (["coco"], "coco"),
        (["png", "coco"], "coco"),
        (["png", "npz", "objects"], "objects"),
    ],
)
def test_what_sam2v_writes(formats: list[Format], taken: str, video: FrameSource, tmp_path: Path) -> None:
    for format in formats:
        with sam2v.open_writer(format, tmp_path, size=SIZE) as writer:
            for index in (2, 0, 1, 3, 4):
                writer.write(result_of(index))
    known = open_masks(tmp_path, video)
    assert known.format == taken and known.frames == tuple(range(FRAMES))
    assert all(same(known.masks(index), visible(index)) for index in range(FRAMES))
    assert known.masks(99) == {} and known.missing([1, 7]) == ({7}, {1, 3, 300}) and known.missing([]) == (set(), set())


def test_label_maps_and_single_files(video: FrameSource, tmp_path: Path) -> None:
    for format in ("png", "coco", "sav"):
        with sam2v.open_writer(format, tmp_path / format, size=SIZE) as writer:  # type: ignore[arg-type]
            for index in range(FRAMES):
                writer.write(result_of(index))
    maps = open_masks(tmp_path / "png", video)
    above = masks_of(3)[1]  # of equal logits the first
    assert maps.format == "png" and same(maps.masks(3), visible(3) | {3: masks_of(3)[3] & ~above})
    for name in ("masks.json", "masks.jsonl"):
        assert same(open_masks(tmp_path / "coco" / name, video).masks(4), visible(4))
    for path in (tmp_path / "sav" / "video_auto.json", tmp_path / "sav"):
        record = open_masks(path, video)
        assert record.format == "sav" and record.frames == (0, 4)
        assert same(record.masks(4), visible(4)) and same(record.masks(0), visible(0))


def test_a_record_whose_ids_are_none(video: FrameSource, tmp_path: Path) -> None:
    with sam2v.open_writer("sav", tmp_path, size=SIZE) as writer:
        writer.write(result_of(0))
    path = tmp_path / "video_auto.json"
    for ids in ([1, 1], [1], ["1", 2], 7):
        document = json.loads(path.read_text()) | {"sam2v_object_id": ids}
        path.write_text(json.dumps(document))
        with pytest.raises(ValueError, match="sam2v_object_id must be a list of"):
            open_masks(tmp_path, video)
    del document["sam2v_object_id"]
    path.write_text(json.dumps(document))
    assert set(open_masks(tmp_path, video).masks(0)) == {0, 2}  # as the data set numbers them
    (tmp_path / "other_auto.json").write_text("{}")
    with pytest.raises(ValueError, match="several SA-V records, name one: other_auto"):
        open_masks(tmp_path, video)


def test_names_go_before_numbers_and_every_file_has_a_frame(tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    for name in ("take2_10", "take2_11", "take2_12"):
        Image.new("RGB", SIZE[::-1]).save(tmp_path / "frames" / f"{name}.jpg")
    video = open_source(tmp_path / "frames")
    ones = np.ones(SIZE, np.uint8)

    def known(*names: str) -> tuple[int, ...]:
        folder = tmp_path / "-".join(names)
        for name in names:
            write_label_map(folder / f"{name}.png", ones)
        return open_masks(folder, video).frames

    assert known("take2_11") == (1,)
    assert known("mask_11", "mask_12") == (1, 2)  # the numbers of the frames' names
    assert known("mask_0", "mask_2") == (0, 2)  # their own
    for names, error in (
        (("take2_11", "mask_2"), "no frame of the video belongs to mask_2.png, though one does to take2_11.png"),
        (("take2_11", "thumbnail"), "no frame of the video belongs to thumbnail.png"),
        (("a11", "b11"), "a11.png and b11.png are both of frame 1"),
        (("a1", "a2", "a3"), "none of its masks belongs to a frame"),  # from 1, or of another video
        (("mask_10", "mask_1"), "none of its masks belongs to a frame"),
    ):
        with pytest.raises(ValueError, match=error):
            known(*names)


def test_an_object_that_is_there_twice(video: FrameSource, tmp_path: Path) -> None:
    for folder in ("1", "01"):
        write_label_map(tmp_path / "objects" / folder / "00000.png", np.full(SIZE, 255, np.uint8))
    with pytest.raises(ValueError, match="01 and 1 are both of object 1"):
        open_masks(tmp_path / "objects", video)
    (tmp_path / "npz").mkdir()
    np.savez(tmp_path / "npz" / "00000.npz", masks=np.ones((2, *SIZE), bool), obj_ids=np.array([1, 1]))
    with pytest.raises(ValueError, match=r"00000\.npz: an object's id stands twice in obj_ids, \[1, 1\]"):
        open_masks(tmp_path / "npz", video)
    item = {"id": 4, "segmentation": encode_rle(np.ones(SIZE, bool))}
    (tmp_path / "masks.jsonl").write_text(json.dumps({"frame_idx": 0, "objects": [item, item]}) + "\n")
    with pytest.raises(ValueError, match="object 4 stands there twice"):
        open_masks(tmp_path / "masks.jsonl", video)


def test_a_line_that_was_cut_off_and_a_correction(video: FrameSource, tmp_path: Path) -> None:
    with sam2v.open_writer("coco", tmp_path, size=SIZE) as writer:
        writer.write(result_of(0))
        writer.write(result_of(1))
        writer.write(MaskletFrame(0, [5], torch.ones(1, 1, *SIZE), torch.ones(1), torch.ones(1)))
    with open(tmp_path / "masks.jsonl", "a") as file:
        file.write('{"frame_idx": 2, "obj')
    known = open_masks(tmp_path, video)
    assert known.frames == (0, 1) and set(known.masks(0)) == {5}


def test_a_davis_folder_with_its_first_frame_and_other_names(tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    for name in ("bear_7", "bear_8"):
        Image.new("RGB", SIZE[::-1]).save(tmp_path / "frames" / f"{name}.jpg")
    labels = np.zeros(SIZE, np.uint8)
    labels[3:6, 3:9], labels[10:12, :5] = 1, 2
    write_label_map(tmp_path / "davis" / "bear_8.png", labels)
    write_label_map(tmp_path / "numbered" / "frame_000001.png", labels)
    video = open_source(tmp_path / "frames")
    for folder in ("davis", "numbered"):
        known = open_masks(tmp_path / folder, video)
        assert known.frames == (1,) and same(known.masks(1), {1: labels == 1, 2: labels == 2})
    write_label_map(tmp_path / "alien" / "cat.png", labels)
    with pytest.raises(ValueError, match="none of its masks belongs to a frame"):
        open_masks(tmp_path / "alien", video)


def coco(folder: Path, annotations: list[dict], images: list[dict] | None = None) -> Path:
    images = images or [
        {"id": 40 + n, "file_name": f"x/frame_{n:06d}.PNG", "height": 20, "width": 30} for n in range(2)
    ]
    path = folder / "instances.json"
    annotations = [{"category_id": 1, **annotation} for annotation in annotations]
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": []}))
    return path


def test_coco_of_other_tools(video: FrameSource, tmp_path: Path) -> None:
    mask = masks_of(2)
    square = [4, 4, 14, 4, 14, 10, 4, 10]
    path = coco(
        tmp_path,
        [
            {"id": 1, "image_id": 41, "segmentation": encode_rle(mask[1]), "track_id": 8},
            {
                "id": 2,
                "image_id": 41,
                "segmentation": encode_rle(mask[3], compressed=False),
                "attributes": {"track_id": 9},
            },
            {"id": 3, "image_id": 41, "segmentation": [square]},
            {"id": 4, "image_id": 40, "segmentation": []},
            {"id": 5, "image_id": 99, "segmentation": [square]},
        ],
    )
    known = open_masks(path, video)
    found = known.masks(1)
    assert known.frames == (0, 1) and known.masks(0) == {} and set(found) == {8, 9, 3}
    assert np.array_equal(found[8], mask[1]) and np.array_equal(found[9], mask[3])
    exact = np.zeros(SIZE, bool)
    exact[4:10, 4:14] = True
    np.testing.assert_array_equal(found[3], exact)
    theirs = pytest.importorskip("pycocotools.coco").COCO(str(path))
    item = {"image_id": 41, "segmentation": [square]}
    np.testing.assert_array_equal(theirs.annToMask(item).astype(bool), exact)


def test_coco_annotations_with_and_without_a_track_are_not_mixed_up(video: FrameSource, tmp_path: Path) -> None:
    mask = {obj_id: encode_rle(one) for obj_id, one in masks_of(1).items()}
    tracked = {"id": 1, "image_id": 41, "segmentation": mask[1], "track_id": 2}
    alone = {"id": 2, "image_id": 41, "segmentation": mask[300]}
    found = open_masks(coco(tmp_path, [tracked, alone]), video).masks(1)
    assert same(found, {2: masks_of(1)[1], 3: masks_of(1)[300]})
    found = open_masks(coco(tmp_path, [tracked, {**alone, "id": 7}]), video).masks(1)
    assert same(found, {2: masks_of(1)[1], 7: masks_of(1)[300]})
    with pytest.raises(ValueError, match="several annotations of an image have the same 'id'"):
        open_masks(coco(tmp_path, [alone, {**alone, "segmentation": mask[1]}]), video).masks(1)


def test_a_data_set_of_several_videos(tmp_path: Path) -> None:
    for folder in ("fox", "bird"):
        (tmp_path / folder).mkdir()
        Image.new("RGB", SIZE[::-1]).save(tmp_path / folder / "00000.jpg")
    square = [[4, 4, 14, 4, 14, 10, 4, 10]]
    names = {1: "fox/00000.jpg", 2: "bird/00000.jpg"}
    images = [{"id": n, "file_name": name, "height": 20 * n, "width": 30} for n, name in names.items()]
    annotations = [{"id": 10 * n, "image_id": n, "segmentation": square} for n in names]
    path = coco(tmp_path, annotations, images)
    fox = open_masks(path, open_source(tmp_path / "fox"))
    assert set(fox.masks(0)) == {10}
    with pytest.raises(ValueError, match="different sizes"):  # its own, not that of the first image
        open_masks(path, open_source(tmp_path / "bird"))
    with pytest.raises(ValueError, match=r"fox/00000\.jpg and bird/00000\.jpg are both frame 0 of the video"):
        open_masks(path, open_source(np.zeros((1, *SIZE, 3), np.uint8)))
    with pytest.raises(ValueError, match="several images have the same 'id'"):
        twice = [{"id": 1, "file_name": f"{n}.png", "height": 20, "width": 30} for n in range(2)]
        open_masks(coco(tmp_path, annotations, twice), open_source(np.zeros((2, *SIZE, 3), np.uint8)))


def test_masks_as_prompts(video: FrameSource, tmp_path: Path) -> None:
    with sam2v.open_writer("npz", tmp_path, size=SIZE) as writer:
        for index in range(FRAMES):
            writer.write(result_of(index))
    known = open_masks(tmp_path, video)
    first = known.prompts()
    assert {index: list(several) for index, several in first.items()} == {0: [1, 300], 2: [3]}
    assert np.array_equal(first[2][3].mask, masks_of(2)[3])
    assert {index: list(several) for index, several in known.prompts([3, 0]).items()} == {0: [1, 300], 3: [1, 3, 300]}
    with pytest.raises(ValueError, match="no mask on frame 9"):
        known.prompts([9])
    results = list(sam2v.track(np.zeros((FRAMES, *SIZE, 3), np.uint8), first))
    assert len(results) == FRAMES and results[0].obj_ids == [1, 300, 3]


def test_what_is_no_masks(video: FrameSource, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        open_masks(tmp_path / "nowhere", video)
    with pytest.raises(ValueError, match="holds no masks; accepted: a folder that sam2v track wrote"):
        open_masks(tmp_path, video)
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(ValueError, match="not a file of masks"):
        open_masks(tmp_path / "a.txt", video)
    (tmp_path / "b.json").write_text("{}")
    with pytest.raises(ValueError, match="neither a COCO data set nor a SA-V record"):
        open_masks(tmp_path / "b.json", video)
    write_label_map(tmp_path / "large" / "00000.png", np.ones((40, 60), np.uint8))
    with pytest.raises(ValueError, match="masks and video have different sizes, 60 x 40 and 30 x 20"):
        open_masks(tmp_path / "large", video)


@pytest.mark.parametrize(
    ("annotation", "error"),
    [
        ({"segmentation": {"size": [1 << 20, 1 << 20], "counts": [1 << 40]}}, "frame 1"),
        ({"segmentation": {"size": [20, 30], "counts": "~~"}}, "frame 1"),
        ({"segmentation": [[1, 2, 3]]}, "a polygon is a list"),
        ({"segmentation": [["a"] * 6]}, "frame 1"),
        ({"segmentation": [[0, 0, 9, 9, 0, 9]], "track_id": "x"}, "whole numbers, got 'track_id': 'x'"),
        ({"segmentation": [[0, 0, 9, 9, 0, 9]], "attributes": {"track_id": 1.5}}, "got 'track_id': 1.5"),
        ({"segmentation": [[0, 0, 9, 9, 0, 9]], "id": None}, "got 'id': None"),
    ],
)
def test_a_data_set_of_a_stranger(annotation: dict, error: str, video: FrameSource, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=error):
        open_masks(coco(tmp_path, [{"id": 1, "image_id": 41, **annotation}]), video).masks(1)


def test_images_that_are_too_large(video: FrameSource, tmp_path: Path) -> None:
    images = [{"id": 1, "file_name": "1.png", "height": 1 << 20, "width": 1 << 20}]
    with pytest.raises(ValueError, match="different sizes, 1048576 x 1048576 and 30 x 20"):
        open_masks(coco(tmp_path, [{"id": 1, "image_id": 1, "segmentation": [[0, 0, 9, 9, 0, 9]]}], images), video)


@pytest.mark.parametrize("name", ["masks.json", "masks.jsonl"])
def test_json_that_is_nested_too_deeply(name: str, video: FrameSource, tmp_path: Path) -> None:
    (tmp_path / name).write_text("[" * 100_000 + "\n")
    with pytest.raises(ValueError, match=name):
        open_masks(tmp_path / name, video)


LARGE = "1" + "0" * 400
IMAGE = '"id": 1, "file_name": "00000.png", "frame_idx": 0, "height": 20, "width": 30'


@pytest.mark.parametrize("number", ["Infinity", "NaN", "1e400", LARGE, "[1]", "{}"])
@pytest.mark.parametrize(
    "text",
    [
        '{"images": [{IMAGE}], "annotations": [{"id": 1, "image_id": 1, "segmentation": [[1, 1, 9, 1, 9, NUMBER]]}]}',
        '{"images": [{IMAGE}], "annotations": [{"id": NUMBER, "image_id": 1, "segmentation": [[1, 1, 9, 1, 9, 9]]}]}',
        '{"images": [{IMAGE, "height": NUMBER}], '
        '"annotations": [{"id": 1, "image_id": 1, "segmentation": [[1, 1, 9, 1, 9, 9]]}]}',
        '{"frame_idx": 0, "objects": [{"id": NUMBER, "segmentation": {"size": [20, 30], "counts": [600]}}]}',
        '{"frame_idx": 0, "objects": [{"id": 1, "segmentation": {"size": [NUMBER, 30], "counts": [600]}}]}',
        '{"frame_idx": NUMBER, "objects": []}',
    ],
)
def test_numbers_that_are_none(text: str, number: str, video: FrameSource, tmp_path: Path) -> None:
    path = tmp_path / ("masks.json" if "images" in text else "masks.jsonl")
    path.write_text(text.replace("IMAGE", IMAGE).replace("NUMBER", number) + "\n")
    try:
        known = open_masks(path, video)
        for index in known.frames:
            known.masks(index)
    except ValueError as error:
        assert path.name in str(error)
    else:
        assert number == LARGE  # as an id


def test_an_image_without_a_usable_id(video: FrameSource, tmp_path: Path) -> None:
    path = tmp_path / "masks.json"
    path.write_text('{"images": [{"id": [1], "file_name": "00000.png", "frame_idx": 0}], "annotations": []}')
    with pytest.raises(ValueError, match=r"masks\.json: .*unhashable"):
        known = open_masks(path, video)
        known.masks(0)
