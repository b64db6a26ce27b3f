"""Numbers that strangers send or leave in files, and that are none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sam2v.app.mask_store import MaskStore, StoredMask

LINE = '{"frame_idx":0,"event":0,"masks":{"1":["",NUMBER,1.0,"track"]}}'


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "1" + "0" * 400, "null", '"x"'])
@pytest.mark.parametrize("place", ["iou", "score"])
def test_masks_whose_scores_are_none_are_refused(number: str, place: str, tmp_path: Path) -> None:
    line = LINE if place == "iou" else LINE.replace("NUMBER,1.0", "1.0,NUMBER")
    (tmp_path / "masks.jsonl").write_text(LINE.replace("NUMBER", "0.5") + "\n" + line.replace("NUMBER", number) + "\n")
    with pytest.raises(ValueError, match=r"masks\.jsonl: the line at byte \d+ is no record of masks"):
        MaskStore(tmp_path / "masks.jsonl", lambda event: True)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-1", "1e10", "1" + "0" * 400, "null", "true", '"1"'])
def test_seconds_that_nobody_worked_are_refused(number: str) -> None:
    pytest.importorskip("sqlalchemy")
    from sam2v.app.desk import seconds_of

    with pytest.raises(ValueError, match="seconds must be a number from 0 to"):
        seconds_of(json.loads(f'{{"seconds": {number}}}'))
    assert seconds_of({}) == 0 and seconds_of({"seconds": 2}) == 2.0


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
@pytest.mark.parametrize("place", ["iou", "score"])
def test_scores_of_a_network_that_overflows_are_not_written(wrong: float, place: str, tmp_path: Path) -> None:
    """Else the project could not be opened again."""
    store = MaskStore(tmp_path / "masks.jsonl", lambda event: True)
    fine = StoredMask("", 0.5, 1.0, "track")
    store.write(0, 0, {1: fine})
    with pytest.raises(ValueError, match="frame 3: the network's scores of object 2 are no numbers"):
        store.write(3, 1, {1: fine, 2: fine._replace(**{place: wrong})})
    store.close()
    assert MaskStore(tmp_path / "masks.jsonl", lambda event: True).frames(1) == [0]
