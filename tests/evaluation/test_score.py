"""Scoring folders: layouts, conventions, outputs, sharding and resuming."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from evaluation.conftest import WriteMasks
from evaluation.drawn import SIZE, disk, two_disks
from PIL import Image

from sam2v.cli.main import main
from sam2v.evaluation import Evaluation, Protocol, evaluate_folders, frame_scores, score
from sam2v.evaluation.miou import evaluate_images
from sam2v.evaluation.pictures import contact_sheet
from sam2v.evaluation.youtube import read_categories, read_seen, seen_unseen

Pair = tuple[Path, Path]


def test_every_object_is_scored_by_itself(pair: Pair) -> None:
    found = evaluate_folders(*pair, workers=0)
    assert {name: list(s.objects) for name, s in found.sequences.items()} == {"one": ["1"], "two": ["1", "2"]}
    scores = found.sequences["two"].objects["2"]
    assert scores.frames == tuple(f"{t:05d}" for t in range(1, 7))
    expected = [frame_scores(two_disks(t, shift=t // 2) == 2, two_disks(t) == 2) for t in range(1, 7)]
    assert list(zip(scores.j, scores.f, strict=True)) == expected
    objects = [s for _, _, s in found.objects()]
    assert found.mean["J"] == pytest.approx(np.mean([np.mean(s.j) for s in objects]))
    assert found.mean["J&F"] == pytest.approx((found.mean["J"] + found.mean["F"]) / 2)


def test_the_same_masks_give_one(pair: Pair) -> None:
    found = evaluate_folders(pair[1], pair[1], protocol="all-frames", workers=0)
    assert found.mean == {"J&F": 1.0, "J": 1.0, "F": 1.0}
    assert found.sequences["two"].objects["1"].j == (1.0,) * 8
    assert found.sequences["two"].objects["1"].j_statistics.decay == 0


def test_an_object_that_is_not_predicted_scores_zero(tmp_path: Path, write_masks: WriteMasks) -> None:
    gt = [two_disks(t) for t in range(4)]
    write_masks(tmp_path / "gt/a", gt)
    write_masks(tmp_path / "pred/a", [np.where(labels == 2, 0, labels).astype(np.uint8) for labels in gt])
    found = evaluate_folders(tmp_path / "pred", tmp_path / "gt", workers=0).sequences["a"].objects
    assert (found["1"].j, found["2"].j, found["2"].f) == ((1.0, 1.0), (0.0, 0.0), (0.0, 0.0))


def test_any_non_zero_pixel_is_the_object_of_a_binary_sequence(tmp_path: Path, write_masks: WriteMasks) -> None:
    write_masks(tmp_path / "gt/a", [np.uint8(255) * (two_disks(t) > 0) for t in range(4)])
    write_masks(tmp_path / "pred/a", [two_disks(t) for t in range(4)])
    assert evaluate_folders(tmp_path / "pred", tmp_path / "gt", workers=0).mean["J&F"] == 1.0


def test_a_0_255_prediction_of_the_only_labelled_object(tmp_path: Path, write_masks: WriteMasks) -> None:
    write_masks(tmp_path / "gt/a", [disk(20, 20, 9).astype(np.uint8) for _ in range(4)], palette=True)
    write_masks(tmp_path / "pred/a", [np.uint8(255) * disk(20, 20, 9) for _ in range(4)])
    assert evaluate_folders(tmp_path / "pred", tmp_path / "gt", workers=0).mean["J&F"] == 1.0


def test_void_pixels_count_for_nothing(tmp_path: Path, write_masks: WriteMasks) -> None:
    gt = [two_disks(t) for t in range(4)]
    pred = [labels.copy() for labels in gt]
    for labels, guess in zip(gt, pred, strict=True):
        labels[40:, :10] = 255
        guess[40:, :10] = 1
    write_masks(tmp_path / "gt/a", gt, palette=True)
    write_masks(tmp_path / "pred/a", pred)
    assert evaluate_folders(tmp_path / "pred", tmp_path / "gt", workers=0).mean["J&F"] == 1.0


def test_one_folder_per_object(tmp_path: Path, write_masks: WriteMasks) -> None:
    for folder, shift in (("gt", 0), ("pred", 2)):
        write_masks(tmp_path / folder / "a/000", [np.uint8(255) * disk(20 + shift, 20, 9) for _ in range(4)])
        write_masks(tmp_path / folder / "a/001", [disk(24, 22, 9).astype(np.uint8) for _ in range(4)])
    found = evaluate_folders(tmp_path / "pred", tmp_path / "gt", protocol="sav", workers=0).sequences["a"].objects
    assert found["001"].j == (1.0, 1.0)
    assert found["000"].j == (frame_scores(disk(22, 20, 9), disk(20, 20, 9))[0],) * 2


def test_objects_that_enter_later_are_scored_after_they_enter(tmp_path: Path, write_masks: WriteMasks) -> None:
    gt = [two_disks(t) for t in range(6)]
    gt[0][gt[0] == 2] = gt[1][gt[1] == 2] = 0
    write_masks(tmp_path / "gt/a", gt[::2])  # annotations on every other frame
    (tmp_path / "gt/a/00001.png").rename(tmp_path / "gt/a/00004.png.tmp")
    (tmp_path / "gt/a/00002.png").rename(tmp_path / "gt/a/00004.png")
    (tmp_path / "gt/a/00004.png.tmp").rename(tmp_path / "gt/a/00002.png")
    write_masks(tmp_path / "pred/a", [two_disks(t) for t in range(6)])
    found = evaluate_folders(tmp_path / "pred", tmp_path / "gt", protocol="youtube", workers=0)
    assert {obj: s.frames for obj, s in found.sequences["a"].objects.items()} == {
        "1": ("00002", "00004"),
        "2": ("00004",),
    }
    assert found.mean["J&F"] == 1.0


def test_sequences_can_be_chosen(pair: Pair, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("two\n")
    for chosen in ("two", ["two"], tmp_path / "list.txt"):
        assert list(evaluate_folders(*pair, sequences=chosen, workers=0).sequences) == ["two"]


def test_the_root_of_a_data_set_stands_for_its_annotations(pair: Pair, tmp_path: Path) -> None:
    (tmp_path / "root/Annotations").mkdir(parents=True)
    pair[1].rename(tmp_path / "root/Annotations/480p")
    assert len(evaluate_folders(pair[0], tmp_path / "root", workers=0).sequences) == 2


def test_two_processes_give_what_one_gives(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score, "CHUNK", 2)
    assert evaluate_folders(*pair, workers=2) == evaluate_folders(*pair, workers=0)


def read_csv(path: str) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def run_cli(pair: Pair, *options: str, launcher: tuple[str, ...] = ()) -> str:
    command = [
        sys.executable,
        *launcher,
        "-m",
        "sam2v.cli.main",
        "eval",
        "score",
        *map(str, pair),
        "--quiet",
        *options,
    ]
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_torchrun_ranks_give_what_one_process_gives(pair: Pair, tmp_path: Path) -> None:
    alone = run_cli(pair, "--json", str(tmp_path / "alone.json"), "--workers", "1")
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    together = run_cli(pair, "--json", str(tmp_path / "both.json"), launcher=launcher)
    assert together == alone
    assert (tmp_path / "both.json").read_bytes() == (tmp_path / "alone.json").read_bytes()


def test_scoring_does_not_load_torch() -> None:
    code = "import sys, sam2v.evaluation.score, sam2v.cli.eval; sys.exit('torch' in sys.modules)"
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root).returncode == 0


def test_an_interrupted_run_goes_on(pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    original = score.score_frame

    def counting(track: score.folders.Track, frame: str, bound_th: float) -> score.FrameScores:
        read.append(track.sequence)
        if track.sequence == "two" and len(read) < 10:
            raise KeyboardInterrupt
        return original(track, frame, bound_th)

    monkeypatch.setattr(score, "score_frame", counting)
    with pytest.raises(KeyboardInterrupt):
        evaluate_folders(*pair, workers=0, parts=tmp_path / "parts")
    read += ["interrupted"] * 10
    found = evaluate_folders(*pair, workers=0, parts=tmp_path / "parts")
    assert read.count("one") == 6  # once in all
    monkeypatch.undo()
    assert found == evaluate_folders(*pair, workers=0)

    touched = pair[0] / "one/00003.png"
    os.utime(touched, ns=(1, 1))
    (tmp_path / "parts/two.json").write_text("{broken")
    monkeypatch.setattr(score, "score_frame", counting)
    read[:] = ["again"] * 10
    assert evaluate_folders(*pair, workers=0, parts=tmp_path / "parts") == found
    assert (read.count("one"), read.count("two")) == (6, 6)
    evaluate_folders(*pair, workers=0, parts=tmp_path / "parts", protocol=Protocol(bound_th=3))
    assert (read.count("one"), read.count("two")) == (12, 12)


def test_what_the_command_line_writes(pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {name: str(tmp_path / "out" / name) for name in ("a.json", "a.csv", "f.csv", "p.png", "w.png")}
    options = [*("--json", files["a.json"]), *("--csv", files["a.csv"]), *("--frames-csv", files["f.csv"])]
    options += [*("--plot", files["p.png"]), *("--worst", files["w.png"]), "--quiet", *("--workers", "0")]
    assert main(["eval", "score", *map(str, pair), *options]) == 0
    found = evaluate_folders(*pair, workers=0)
    written = json.loads(Path(files["a.json"]).read_text())
    assert written == found.to_dict()
    assert set(written) == {"mean", "sequences"}
    assert set(written["mean"]) == {"J&F", "J", "F"}
    keys = [f"{kind}_{name}" for kind in "JF" for name in ("mean", "recall", "decay")]
    assert list(written["sequences"]["two"]["objects"]["2"]) == keys
    rows = read_csv(files["a.csv"])
    assert [row["sequence"] for row in rows] == ["one", "two", "two", "mean"]
    assert float(rows[-1]["J&F"]) == pytest.approx(found.mean["J&F"])
    assert len(read_csv(files["f.csv"])) == 18
    printed = capsys.readouterr().out
    assert f"{100 * found.mean['J&F']:.1f}" in printed.splitlines()[-1]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(files)
    assert all(Path(files[name]).read_bytes()[:4] == b"\x89PNG" for name in ("p.png", "w.png"))


def test_sheets_colour_what_is_scored(tmp_path: Path, write_masks: WriteMasks) -> None:
    labels = [disk(30, 24, 9).astype(np.uint8) for _ in range(4)]
    for one in labels:
        one[:, 50:] = 255  # void
    write_masks(tmp_path / "gt/a", labels, palette=True)
    write_masks(tmp_path / "pred/a", [np.uint8(255) * (one > 0) for one in labels])
    found = evaluate_folders(tmp_path / "pred", tmp_path / "gt", workers=0)
    assert found.mean["J"] == 1.0
    contact_sheet(found, tmp_path / "sheet.png", count=1)
    red, green, _ = np.moveaxis(np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB")).astype(int), 2, 0)
    assert (green > red + 40).any() and not (red > green + 40).any()


def test_seen_and_unseen(pair: Pair, tmp_path: Path) -> None:
    videos = {"one": {"objects": {"1": {"category": "cat"}}}}
    videos["two"] = {"objects": {"1": {"category": "yak"}, "2": {"category": "cat"}}}
    (tmp_path / "meta.json").write_text(json.dumps({"videos": videos}))
    (tmp_path / "seen.txt").write_text("cat\n")
    found: Evaluation = evaluate_folders(*pair, workers=0)
    split = seen_unseen(found, read_categories(tmp_path / "meta.json"), read_seen(tmp_path / "seen.txt"))
    yak = found.sequences["two"].objects["1"]
    assert (split["J_unseen"], split["F_unseen"]) == pytest.approx((np.mean(yak.j), np.mean(yak.f)))
    assert split["overall"] == pytest.approx(np.mean([v for k, v in split.items() if k != "overall"]))
    with pytest.raises(KeyError, match="object 1 of video 'two'"):
        seen_unseen(found, {("one", "1"): "cat"}, {"cat"})


def test_frames_are_in_the_order_of_their_numbers(tmp_path: Path, write_masks: WriteMasks) -> None:
    for name, shift in (("gt", 0), ("pred", 1)):
        folder = write_masks(tmp_path / name / "a", [two_disks(t, shift=shift) for t in range(12)])
        for t in range(12):
            (folder / f"{t:05d}.png").rename(folder / f"{t}.png")
    found = evaluate_folders(tmp_path / "pred", tmp_path / "gt", workers=0).sequences["a"]
    assert found.objects["1"].frames == tuple(map(str, range(1, 11)))  # neither the first nor the last
    assert list(found.by_frame()) == list(map(str, range(1, 11)))


def test_miou_of_a_0_255_prediction_of_the_only_object(tmp_path: Path, write_masks: WriteMasks) -> None:
    write_masks(tmp_path / "gt", [disk(20, 20, 9).astype(np.uint8)], palette=True)
    write_masks(tmp_path / "pred", [np.uint8(255) * disk(20, 20, 9)])
    assert evaluate_images(tmp_path / "pred", tmp_path / "gt").mean == 1.0


def test_miou_of_images(tmp_path: Path, write_masks: WriteMasks, capsys: pytest.CaptureFixture[str]) -> None:
    write_masks(tmp_path / "gt", [two_disks(0), np.uint8(255) * disk(20, 20, 9)])
    write_masks(tmp_path / "pred", [two_disks(0, shift=1), np.zeros(SIZE, np.uint8)])
    found = evaluate_images(tmp_path / "pred", tmp_path / "gt")
    one = frame_scores(two_disks(0, 1) == 1, two_disks(0) == 1)[0]
    assert found.images["00000"][1] == one
    assert found.mean == pytest.approx((one + found.images["00000"][2] + 0) / 3)
    assert main(["eval", "miou", str(tmp_path / "pred"), str(tmp_path / "gt")]) == 0
    assert f"mIoU {100 * found.mean:.2f}" in capsys.readouterr().out
