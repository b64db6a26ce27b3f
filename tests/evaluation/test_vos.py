"""The semi-supervised protocol, with predictors whose answers are known, and the baselines."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import data.made_trees as made
import numpy as np
import pytest
import torch
from evaluation.drawn import two_disks
from evaluation.fakes import FRAMES, Forgetful, Oracle, write_davis, write_late
from PIL import Image

from sam2v.cli.main import main
from sam2v.data.readers import davis, folder_pair
from sam2v.evaluation import evaluate_folders, frame_scores
from sam2v.evaluation.baselines import CopyMask, WarpMask, make_baseline
from sam2v.evaluation.predictor import exclusive_masks
from sam2v.evaluation.prompting import Prompt
from sam2v.evaluation.vos import evaluate_vos, track
from sam2v.jobs.run import Run


@pytest.mark.parametrize("prompt", ["mask", "box", "clicks:3"])
def test_an_oracle_scores_100(tmp_path: Path, prompt: str) -> None:
    records = davis(write_davis(tmp_path))
    found = evaluate_vos(Oracle(records), records, prompt=prompt)
    assert found.mean == {"J&F": 1.0, "J": 1.0, "F": 1.0}
    assert list(found.sequences["disks"].objects) == ["1", "2"]


def test_the_written_predictions_score_what_was_reported(tmp_path: Path) -> None:
    for year in (2016, 2017):
        records = davis(write_davis(tmp_path / f"{year}", year), year=year)
        found = evaluate_vos(Forgetful(records), records, out=tmp_path / f"out{year}")
        again = evaluate_folders(tmp_path / f"out{year}", tmp_path / f"{year}", workers=0)
        assert again.sequences["disks"].objects == found.sequences["disks"].objects
        assert found.mean["J"] < 1
        written = np.asarray(Image.open(tmp_path / f"out{year}/disks/00000.png"))
        assert sorted(set(written.ravel())) == ([0, 255] if year == 2016 else [0, 1, 2])


def test_predictions_never_replace_annotations(tmp_path: Path) -> None:
    records = davis(write_davis(tmp_path))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.png")}
    with pytest.raises(ValueError, match="would replace the annotations of disks"):
        evaluate_vos(Oracle(records), records, out=tmp_path / "Annotations/480p")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.png")} == before


def test_objects_that_enter_later(tmp_path: Path) -> None:
    records = folder_pair(write_late(tmp_path))
    oracle = Oracle(records)
    found = evaluate_vos(oracle, records, protocol="youtube", out=tmp_path / "out")
    assert found.mean["J&F"] == 1.0
    assert found.sequences["late"].objects["002"].frames == ("00006",)
    assert [call[:3] for call in oracle.states[0].calls] == [
        ("mask", 0, 1),
        ("propagate", 0, 3),
        ("mask", 4, 2),
        ("propagate", 4, 3),
    ]
    assert len(list((tmp_path / "out/late/002").iterdir())) == FRAMES
    early = np.asarray(Image.open(tmp_path / "out/late/002/00002.png"))
    assert not early.any()
    overlap = [np.asarray(Image.open(tmp_path / f"out/late/00{obj}/00006.png")) > 0 for obj in (1, 2)]
    assert (overlap[0] & overlap[1]).any()
    again = evaluate_folders(tmp_path / "out", tmp_path / "masks", protocol="youtube", workers=0)
    assert again.sequences["late"].objects == found.sequences["late"].objects


def test_nothing_is_shown_before_the_first_object(tmp_path: Path) -> None:
    write_late(tmp_path)
    for file in (tmp_path / "masks/late/001").iterdir():
        file.unlink()
    (tmp_path / "masks/late/001").rmdir()
    record = folder_pair(tmp_path)[0]
    shown = dict(track(Oracle([record]), record, Prompt()))
    assert [bool(masks) for masks in shown.values()] == [t >= 4 for t in range(FRAMES)]


def test_clicks_follow_the_error(tmp_path: Path) -> None:
    records = davis(write_davis(tmp_path, 2016), year=2016)

    class Half(Oracle):
        def mask(self, state: object, frame_idx: int, obj_id: int) -> np.ndarray:
            return two_disks(frame_idx) == 1  # never the second disk

    half = Half(records)
    evaluate_vos(half, records, prompt="clicks:3")
    clicks = [call for call in half.states[0].calls if call[0] == "points"]
    assert [call[3] for call in clicks] == [[[16, 20]], [[44, 30]], [[44, 30]]]
    assert [call[4] for call in clicks] == [[1], [1], [1]]


def test_nobody_clicks_where_nothing_is_scored(tmp_path: Path) -> None:
    root = write_davis(tmp_path)
    for t, file in enumerate(sorted((root / "Annotations/480p/disks").iterdir())):
        labels = two_disks(t)
        Image.fromarray(np.where(labels == 2, np.uint8(255), labels)).save(file)  # void instead of the second object
    records = davis(root)

    class Both(Oracle):
        def mask(self, state: object, frame_idx: int, obj_id: int) -> np.ndarray:
            return two_disks(frame_idx) > 0

    both = Both(records)
    assert evaluate_vos(both, records, prompt="clicks:3").mean["J"] == 1.0
    assert [call[4] for call in both.states[0].calls if call[0] == "points"] == [[1]]


def test_boxes_are_tight(tmp_path: Path) -> None:
    records = davis(write_davis(tmp_path))
    oracle = Oracle(records)
    evaluate_vos(oracle, records, prompt="box")
    assert oracle.states[0].calls[1] == ("box", 0, 2, [37, 23, 52, 38])


def test_a_pixel_goes_to_the_highest_logit() -> None:
    logits = torch.tensor([[[3.0, -1.0, 2.0]], [[1.0, -2.0, 4.0]]])[:, None]
    assert {k: v.tolist() for k, v in exclusive_masks([7, 5], logits).items()} == {
        7: [[True, False, False]],
        5: [[False, False, True]],
    }


def test_copying_and_warping(tmp_path: Path) -> None:
    records = davis(write_davis(tmp_path, 2016), year=2016)
    copied = evaluate_vos(CopyMask(), records)
    expected = [frame_scores(two_disks(0) > 0, two_disks(t) > 0)[0] for t in range(1, FRAMES - 1)]
    assert copied.sequences["disks"].objects["1"].j == tuple(expected)
    pytest.importorskip("cv2")
    warped = evaluate_vos(WarpMask(), records)
    assert warped.mean["J"] > copied.mean["J"] + 0.1


def test_a_baseline_carries_on_where_it_stopped(tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    record = davis(write_davis(tmp_path, 2016), year=2016)[0]
    results = []
    for pauses in ([0], [0, 3], [0, 6, 3]):
        warp = WarpMask()
        state = warp.init_state(record.source)
        warp.add_mask(state, 0, 1, record.masks(0)[1])
        masks = {}
        for start in pauses:
            for frame_idx, _, found in warp.propagate_in_video(state, start_frame_idx=start):
                masks[frame_idx] = found
        results.append(masks)
    assert all(torch.equal(results[0][t], other[t]) for other in results[1:] for t in range(FRAMES))


def test_a_baseline_shows_nothing_before_anything_is_prompted() -> None:
    copy = CopyMask()
    state = copy.init_state(np.zeros((4, 8, 9, 3), np.uint8))
    with pytest.raises(ValueError, match="no object was prompted"):
        next(iter(copy.propagate_in_video(state)))
    copy.add_mask(state, 2, 5, np.ones((8, 9)))
    shown = [(obj_ids, tuple(masks.shape)) for _, obj_ids, masks in copy.propagate_in_video(state, start_frame_idx=1)]
    assert shown == [([], (0, 1, 8, 9)), ([5], (1, 1, 8, 9)), ([5], (1, 1, 8, 9))]


def test_baselines_take_masks_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_davis(tmp_path)
    options = ["--dataset", "davis2017", "--root", str(root), "--baseline", "copy", "--quiet"]
    assert main(["eval", "vos", *options, "--prompt", "box"]) == 2
    assert "needs the prompt 'mask'" in capsys.readouterr().err
    with pytest.raises(ValueError, match="no baseline named 'warp'"):
        make_baseline("warp")


def test_processes_and_resuming_change_nothing(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_davis(tmp_path / name)
    for name in ("JPEGImages", "Annotations"):
        (tmp_path / f"b/{name}/480p/disks").rename(tmp_path / f"a/{name}/480p/more")
    records = davis(tmp_path / "a")
    alone = evaluate_vos(CopyMask(), records)
    assert evaluate_vos(partial(make_baseline, "copy"), records, run=Run(workers=2)) == alone

    run = Run(parts=tmp_path / "parts", key="copy")
    oracle = Oracle(records)
    assert evaluate_vos(CopyMask(), records, run=run) == alone
    assert evaluate_vos(oracle, records, run=run) == alone  # nothing left to do
    assert not oracle.states
    assert evaluate_vos(oracle, records, run=Run(parts=tmp_path / "parts", key="oracle")).mean["J"] == 1
    assert len(oracle.states) == 2


def test_sheets_of_the_worst_frames_need_pictures_of_masks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made.write_sav_train(tmp_path / "sav")
    options = ["--dataset", "sav", "--split", "train", "--root", str(tmp_path / "sav"), "--baseline", "copy"]
    written = ["--out", str(tmp_path / "out"), "--worst", str(tmp_path / "w.png"), "--quiet"]
    assert main(["eval", "vos", *options, *written]) == 2
    assert "--worst draws annotations that are pictures" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_annotations_that_changed_are_scored_again(tmp_path: Path) -> None:
    records = davis(write_davis(tmp_path / "root"))
    run = Run(parts=tmp_path / "parts", key="copy")
    before = evaluate_vos(CopyMask(), records, run=run)
    file = tmp_path / "root/Annotations/480p/disks/00003.png"
    Image.fromarray(two_disks(3, shift=9)).save(file)
    after = evaluate_vos(CopyMask(), davis(tmp_path / "root"), run=run)
    assert after != before and after == evaluate_vos(CopyMask(), davis(tmp_path / "root"))


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_davis(tmp_path / "root")
    options = ["--dataset", "davis2017", "--root", str(root), "--baseline", "copy", "--quiet"]
    written = ["--json", str(tmp_path / "a.json"), "--out", str(tmp_path / "out"), "--worst", str(tmp_path / "w.png")]
    assert main(["eval", "vos", *options, *written]) == 0
    found = json.loads((tmp_path / "a.json").read_text())
    assert found == evaluate_folders(tmp_path / "out", root, workers=0).to_dict()
    assert f"{100 * found['mean']['J&F']:.1f}" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "out", "root", "w.png"]
    assert main(["eval", "vos", *options, "--worst", str(tmp_path / "w.png")]) == 2
    assert "needs --out" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["points", "clicks", "clicks:0", "clicks:x", "box:2", ""])
def test_bad_prompts(text: str) -> None:
    with pytest.raises(ValueError, match=r"mask, box or clicks:N|at least 1"):
        Prompt.parse(text)


def test_a_video_without_objects(tmp_path: Path) -> None:
    root = write_davis(tmp_path)
    for file in (root / "Annotations/480p/disks").iterdir():
        Image.new("L", (64, 48)).save(file)
    records = davis(root)
    with pytest.raises(ValueError, match="video disks has no object to track"):
        evaluate_vos(Oracle(records), records)


def test_the_video_predictor_fits(tmp_path: Path) -> None:
    import sam2v

    model = sam2v.load_model("sam2v_nano", checkpoint=None, device="cpu", overrides=["model.image_size=64"])
    predictor = sam2v.VideoPredictor(model)
    records = folder_pair(write_late(tmp_path))  # the second object enters in mid-video
    for prompt in ("mask", "clicks:2"):
        found = evaluate_vos(predictor, records, prompt=prompt, protocol="youtube", out=tmp_path / "out")
        assert all(0 <= value <= 1 for value in found.mean.values())
    assert len(list((tmp_path / "out/late").rglob("*.png"))) == 2 * FRAMES


def test_a_split_without_ground_truth_is_only_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_davis(tmp_path / "root")
    for t in range(1, FRAMES):
        (root / f"Annotations/480p/disks/{t:05d}.png").unlink()
    options = ["--dataset", "davis2017", "--root", str(root), "--baseline", "copy", "--quiet"]
    assert main(["eval", "vos", *options, "--out", str(tmp_path / "out")]) == 0
    assert "nothing to score; predictions are in" in capsys.readouterr().out
    assert len(list((tmp_path / "out/disks").iterdir())) == FRAMES
