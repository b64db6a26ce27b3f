"""The interactive protocols, with predictors whose answers are known."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from evaluation.fakes import FRAMES, Forgetful, Oracle, State, write_davis, write_late

from sam2v.data.readers import davis, folder_pair
from sam2v.evaluation import frame_scores
from sam2v.evaluation.curves import plot_curves, write_curves_csv, write_curves_json
from sam2v.evaluation.interactive import InteractiveSettings, evaluate_interactive
from sam2v.jobs.run import Run


@pytest.mark.parametrize("mode", ["offline", "online"])
def test_an_oracle_scores_100_with_one_frame(tmp_path: Path, mode: str) -> None:
    records = davis(write_davis(tmp_path))
    found = evaluate_interactive(Oracle(records), records, InteractiveSettings(mode))  # type: ignore[arg-type]
    assert [row["frames"] for row in found.rows()] == list(range(1, 9))
    assert all(row["J&F"] == row["J"] == row["F"] == 1.0 for row in found.rows())
    assert all(curve.clicks == (1,) for curve in found.curves())


@pytest.mark.parametrize("mode", ["offline", "online"])
def test_more_frames_give_more(tmp_path: Path, mode: str) -> None:
    records = davis(write_davis(tmp_path))
    settings = InteractiveSettings(mode, frames=4)  # type: ignore[arg-type]
    rows = evaluate_interactive(Forgetful(records), records, settings).rows()
    values = [row["J&F"] for row in rows]
    assert values == sorted(values)
    assert values[0] < values[1] < values[2]


def test_offline_corrects_the_worst_frame(tmp_path: Path) -> None:
    records = davis(write_davis(tmp_path, 2016), year=2016)
    predictor = Forgetful(records)
    found = evaluate_interactive(predictor, records, InteractiveSettings("offline", frames=3))
    curve = found.sequences["disks"]["1"]
    assert curve.annotated[:2] == (0, FRAMES - 1)  # the error grows to the end
    starts = [call[1] for call in predictor.states[0].calls if call[0] == "propagate"]
    assert starts == [0, 0, 0]  # every pass covers the whole video

    record = records[0]
    state = State(record, {1: 0}, {1: {0}})
    truth = [record.masks(t)[1] for t in range(FRAMES)]
    j = [frame_scores(predictor.mask(state, t, 1), truth[t])[0] for t in range(FRAMES)]
    assert curve.steps[0][0] == pytest.approx(j)
    assert int(np.argmin(j)) == curve.annotated[1]


def test_online_pauses_at_the_first_bad_frame(tmp_path: Path) -> None:
    records = davis(write_davis(tmp_path, 2016), year=2016)
    predictor = Forgetful(records)
    found = evaluate_interactive(predictor, records, InteractiveSettings("online", threshold=0.6))
    curve = found.sequences["disks"]["1"]
    first = next(t for t, j in enumerate(curve.steps[0][0]) if j < 0.6)
    assert curve.annotated[:2] == (0, first)
    starts = [call[1] for call in predictor.states[0].calls if call[0] == "propagate"]
    assert starts == list(curve.annotated)  # never back
    assert min(curve.steps[-1][0]) >= 0.6
    never = evaluate_interactive(Forgetful(records), records, InteractiveSettings("online", threshold=0))
    assert never.sequences["disks"]["1"].annotated == (0,)
    assert never.rows()[7]["J"] == never.rows()[0]["J"]


def test_objects_are_annotated_from_where_they_enter(tmp_path: Path) -> None:
    records = folder_pair(write_late(tmp_path))
    found = evaluate_interactive(Oracle(records), records).sequences["late"]
    assert found["002"].annotated == (4,)
    assert [len(found[obj].steps[0][0]) for obj in ("001", "002")] == [4, 2]  # annotated frames 0 2 4 6 and 4 6


def test_clicks_are_spent_only_on_errors(tmp_path: Path) -> None:
    records = davis(write_davis(tmp_path, 2016), year=2016)

    class Stubborn(Oracle):
        def mask(self, state: State, frame_idx: int, obj_id: int) -> np.ndarray:
            return np.roll(super().mask(state, frame_idx, obj_id), 20, axis=1)

    found = evaluate_interactive(Stubborn(records), records, InteractiveSettings("offline", frames=2, clicks=5))
    curve = found.sequences["disks"]["1"]
    assert curve.clicks == (5, 5)
    assert found.rows()[1]["clicks"] == 10


def test_what_is_written(tmp_path: Path) -> None:
    records = davis(write_davis(tmp_path / "root"))
    run = Run(parts=tmp_path / "parts", key="a")
    results = [
        evaluate_interactive(Forgetful(records), records, InteractiveSettings(mode, frames=3), run=run)
        for mode in ("offline", "online")
    ]
    oracle = Oracle(records)
    resumed = evaluate_interactive(oracle, records, InteractiveSettings("online", frames=3), run=run)
    assert resumed == results[1]
    assert not oracle.states
    write_curves_json(results, tmp_path / "a.json")
    write_curves_csv(results, tmp_path / "a.csv")
    plot_curves(results, tmp_path / "a.png")
    written = json.loads((tmp_path / "a.json").read_text())
    assert written["offline"]["mean"] == results[0].rows()
    assert list(written["online"]["sequences"]["disks"]["objects"]) == ["1", "2"]
    with (tmp_path / "a.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["J&F"]) for row in rows] == [row["J&F"] for result in results for row in result.rows()]
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    assert len(results[0].table().splitlines()) == 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"mode": "live"}, "mode must be"), ({"frames": 0}, "frames must be"), ({"threshold": 2}, "threshold is an IoU")],
)
def test_bad_settings(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        InteractiveSettings(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["offline", "online"])
def test_the_video_predictor_fits(tmp_path: Path, mode: str) -> None:
    import sam2v

    records = folder_pair(write_late(tmp_path))
    model = sam2v.load_model("sam2v_nano", checkpoint=None, device="cpu", overrides=["model.image_size=64"])
    settings = InteractiveSettings(mode, frames=2, clicks=2)  # type: ignore[arg-type]
    found = evaluate_interactive(sam2v.VideoPredictor(model), records, settings)
    assert len(found.rows()) == 2
    assert found.sequences["late"]["001"].annotated[0] == 0
