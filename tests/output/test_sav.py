"""The SA-V record: what it says, and that the data set's own reader gives back what was written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from sam2v.data.readers.sav import sav
from sam2v.masks import MaskletFrame
from sam2v.output.writers import open_writer, remove_results
from sam2v.video.sources import ArraySource

SIZE = (40, 60)
FRAMES = 14
#: Keys of the records that SA-V's automatic masklets come in.
KEYS = {
    *("video_id", "video_duration", "video_frame_count", "video_height", "video_width", "video_resolution"),
    *("video_environment", "video_split", "masklet", "masklet_id", "masklet_size_rel", "masklet_size_abs"),
    *("masklet_size_bucket", "masklet_visibility_changes", "masklet_first_appeared_frame", "masklet_frame_count"),
    *("masklet_edited_frame_count", "masklet_type", "masklet_stability_score", "masklet_num"),
}


def result_of(index: int) -> MaskletFrame:
    """Object 3 drifts to the right and is away on frame 4; object 5 comes in on frame 6 and overlaps it."""
    ids = [3] if index < 6 else [3, 5]
    logits = torch.full((len(ids), 1, *SIZE), -6.0)
    if index != 4:
        logits[0, 0, 4:14, index : index + 10] = 6.0
        logits[0, 0, 4, index : index + 10] = 0.5  # neither stable nor away
    if index >= 6:
        logits[1, 0, 10:38, 2:50] = 6.0
    return MaskletFrame(index, ids, logits, torch.ones(len(ids)), torch.ones(len(ids)))


@pytest.fixture
def source(tmp_path: Path) -> ArraySource:
    """A video that has a name and a rate."""
    made = ArraySource(np.zeros((FRAMES, *SIZE, 3), np.uint8), fps=24.0)
    made.path = tmp_path / "sav_000042.mp4"
    return made


@pytest.fixture
def folder(tmp_path: Path, source: ArraySource) -> Path:
    """What the writer leaves, frames in no order."""
    with open_writer("sav", tmp_path / "out", source=source) as writer:
        for index in sorted(range(FRAMES), key=lambda index: (index % 3, index)):
            writer.write(result_of(index))
    return tmp_path / "out"


def test_the_reader_gives_back_what_was_written(folder: Path) -> None:
    (record,) = sav(folder, "train", masklets="auto", need_videos=False)
    assert record.name == "sav_000042"
    assert record.annotated == (0, 4, 8, 12)
    assert record.size == SIZE and len(record) == FRAMES
    assert record.first_frame == {0: 0, 1: 8}
    for frame in record.annotated:
        result = result_of(frame)
        expected = {
            i - 3 - (i == 5): mask for i, mask in zip(result.obj_ids, result.binary(), strict=True) if mask.any()
        }
        found = record.masks(frame)
        assert found.keys() == expected.keys()
        assert all(np.array_equal(found[i], expected[i]) for i in found)


def test_what_the_record_says(folder: Path) -> None:
    document = json.loads((folder / "sav_000042_auto.json").read_text())
    assert document.keys() == KEYS | {"sam2v_object_id"}
    assert document["sam2v_object_id"] == [3, 5]
    assert document["video_duration"] == FRAMES / 24 and document["video_resolution"] == 2400.0
    assert (document["masklet_id"], document["masklet_num"]) == ([0, 1], 2)
    assert document["masklet_size_abs"] == [100.0, 28 * 48]
    assert document["masklet_size_rel"] == [100 / 2400, 28 * 48 / 2400]
    assert document["masklet_size_bucket"] == ["small", "medium"]
    assert document["masklet_visibility_changes"] == [2, 0]
    assert document["masklet_first_appeared_frame"] == [0, 2]
    assert document["masklet_frame_count"] == [4, 4]
    assert document["masklet_type"] == ["auto", "auto"]
    assert document["masklet_stability_score"] == [[0.9, 1.0], [1.0, 1.0], [0.9, 1.0], [0.9, 1.0]]


def test_a_video_without_objects(tmp_path: Path) -> None:
    nothing = torch.zeros(0, 1, *SIZE)
    with open_writer("sav", tmp_path, size=SIZE) as writer:
        for index in range(5):
            writer.write(MaskletFrame(index, [], nothing, torch.zeros(0), torch.zeros(0)))
    (record,) = sav(tmp_path, "train", masklets="auto", need_videos=False)
    assert record.name == "video" and record.annotated == (0, 4) and record.masks(4) == {}


@pytest.mark.parametrize("name", ["../mine_auto.json", "/mine_auto.json", "notes.json", 7])
def test_a_record_by_another_name_stays(name: object, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for file in (tmp_path / "mine_auto.json", out / "notes.json"):
        file.write_text("mine")
    (out / ".sam2v-sav.jsonl").write_text(json.dumps({"frame_idx": 0, "record": name, "objects": []}) + "\n")
    remove_results("sav", out)
    assert (tmp_path / "mine_auto.json").read_text() == (out / "notes.json").read_text() == "mine"


def test_results_are_removed(folder: Path) -> None:
    remove_results("sav", folder)
    assert list(folder.iterdir()) == []
