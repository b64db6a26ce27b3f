"""Hard cases: errors of a model on records, and how often each is drawn because of them."""

from __future__ import annotations

import json
from pathlib import Path

import data.made_trees as made
import numpy as np
import pytest
import torch
from training.small import small_recipe

import sam2v.data as sd
from sam2v.data.selection import repeated_names
from sam2v.training import mining
from sam2v.training.config import SourceConfig
from sam2v.training.data import open_source


def test_weights_follow_errors_within_limits() -> None:
    weights = mining.weights_of({"easy": 0.02, "usual": 0.3, "hard": 0.45, "worst": 1.0}, 0.5, 2.0)
    assert weights["easy"] == 0.5 and weights["worst"] == 2.0
    assert weights["hard"] == pytest.approx(1.5 * weights["usual"])
    assert mining.weights_of({}) == {}


def test_names_are_repeated_by_their_weight() -> None:
    names = repeated_names(["a", "b", "c"], {"a": 2.0, "b": 0.0}, shares=4)
    assert names == ["a"] * 8 + ["b"] + ["c"] * 4
    with pytest.raises(ValueError, match="the weight of b is -1"):
        repeated_names(["a", "b"], {"b": -1})
    with pytest.raises(ValueError, match="none of 1 weights is of one of 2 names"):
        repeated_names(["a", "b"], {"c": 2.0})


def test_a_source_draws_hard_records_more_often(tmp_path: Path) -> None:
    root = made.write_split(tmp_path / "mose", "train", list(range(8)))
    (tmp_path / "weights.json").write_text(json.dumps({"aa": 3.0}))
    source = SourceConfig(kind="mose", root=str(root), split="train", weights=str(tmp_path / "weights.json"))
    data = open_source(source, small_recipe(tmp_path).stages[0], 1, torch.device("cpu"))
    names = [record.name for record in data.records]  # type: ignore[union-attr]
    assert names.count("aa") == 24 and names.count("bb") == 8
    assert len({data.clip(k).name for k in range(24)}) > 1  # type: ignore[union-attr]


def test_videos_are_measured_by_jf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sam2v.predict
    from sam2v.evaluation.baselines import make_baseline

    monkeypatch.setattr(sam2v.predict, "VideoPredictor", lambda network: make_baseline("copy"))
    records = sd.davis(made.write_davis(tmp_path, ["one"], 2016), 2016)
    errors = mining.video_errors(None, records)  # type: ignore[arg-type]
    assert 0.2 < errors["one"] < 1
    assert mining.video_errors(None, records, ("mask", "mask")) == pytest.approx(errors)  # type: ignore[arg-type]


def test_videos_without_a_frame_to_score_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sam2v.predict
    from sam2v.evaluation.baselines import make_baseline

    monkeypatch.setattr(sam2v.predict, "VideoPredictor", lambda network: make_baseline("copy"))
    short = sd.davis(made.write_davis(tmp_path, ["one"], 2016, frames=2), 2016)
    assert mining.video_errors(None, short) == {}  # type: ignore[arg-type]


class _Clicked:
    """Answers clicks with a square around the last one."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, bool, bool]] = []

    def predict(self, points, labels, mask_input=None, multimask_output=True):
        from types import SimpleNamespace

        self.asked.append((len(points), mask_input is not None, multimask_output))
        x, y = points[-1].astype(int)
        masks = np.zeros((3 if multimask_output else 1, 16, 16), bool)
        masks[:, y - 2 : y + 2, x - 2 : x + 2] = True
        return SimpleNamespace(masks=masks, iou=np.arange(len(masks)), low_res_logits=np.zeros((len(masks), 4, 4)))


def test_photographs_are_measured_by_clicks() -> None:
    truth = np.zeros((16, 16), bool)
    truth[4:8, 4:8] = True
    assert mining.clicked_ious(_Clicked(), truth, 1)[0] > 0.35
    truth[4:8, 4:14] = True
    predictor = _Clicked()
    ious = mining.clicked_ious(predictor, truth, 3)
    assert predictor.asked == [(1, False, True), (2, True, False), (3, True, False)]
    assert len(ious) == 3 and all(0 < value < 1 for value in ious)
