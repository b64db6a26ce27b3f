"""Which objects count, and that tracking and scoring afterwards give one number."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from evaluation.drawn import SIZE, two_disks
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sam2v.cli.main import main
from sam2v.data.readers import davis, folder_pair
from sam2v.evaluation import CopyMask, Evaluation, evaluate_folders, evaluate_vos
from sam2v.evaluation.protocol import objects_of_first

FRAMES = 7


def numbered(frame: int, ids: tuple[int, int], shift: int = 0) -> np.ndarray:
    """The two disks under other numbers."""
    labels = np.array([0, *ids])[two_disks(frame, shift)]
    return labels.astype(np.uint16 if max(ids) >= 255 else np.uint8)


def write(folder: Path, arrays: list[np.ndarray], name: str = "clip") -> Path:
    (folder / name).mkdir(parents=True)
    for index, array in enumerate(arrays):
        Image.fromarray(array).save(folder / name / f"{index:05d}.png")
    return folder


def write_frames(root: Path, frames: int = FRAMES) -> None:
    (root / "images/clip").mkdir(parents=True)
    for t in range(frames):
        Image.fromarray(np.full((*SIZE, 3), 20 * t, np.uint8)).save(root / f"images/clip/{t:05d}.jpg")


def same(first: Evaluation, second: Evaluation) -> None:
    assert {n: s.objects for n, s in first.sequences.items()} == {n: s.objects for n, s in second.sequences.items()}


@pytest.mark.parametrize("protocol", ["davis", "all-frames", "youtube", "sav"])
@pytest.mark.parametrize("ids", [(1, 2), (5, 9), (1, 40), (300, 600), (254, 255), (255, 256), (65534, 65535)])
def test_only_numbers_that_occur_are_objects(ids: tuple[int, int], protocol: str, tmp_path: Path) -> None:
    gt = write(tmp_path / "gt", [numbered(t, ids) for t in range(FRAMES)])
    wrong = write(tmp_path / "wrong", [np.roll(numbered(t, ids), 20, 0) for t in range(FRAMES)])
    plain = write(tmp_path / "plain", [two_disks(t) for t in range(FRAMES)])
    found = evaluate_folders(wrong, gt, protocol=protocol, workers=0)
    assert list(found.sequences["clip"].objects) == [str(number) for number in ids]
    other = write(tmp_path / "other", [np.roll(two_disks(t), 20, 0) for t in range(FRAMES)])
    assert found.mean == evaluate_folders(other, plain, protocol=protocol, workers=0).mean
    assert found.mean["J"] < 0.1


def test_the_toolkit_counts_up_to_the_highest_number_of_the_first_annotation(tmp_path: Path) -> None:
    """What is absent from some annotations is right where nobody predicts it, also before it appears."""
    gt = [two_disks(t) for t in range(FRAMES)]
    late = [np.where((labels == 1) & (t < 3), 0, labels).astype(np.uint8) for t, labels in enumerate(gt)]
    gone = [np.where((labels == 2) & (t > 3), 0, labels).astype(np.uint8) for t, labels in enumerate(gt)]
    pred = [np.where(labels == 1, 0, labels).astype(np.uint8) for labels in gt]
    found = evaluate_folders(write(tmp_path / "p", pred), write(tmp_path / "late", late), workers=0)
    assert found.sequences["clip"].objects["1"].j == (1.0, 1.0, 0.0, 0.0, 0.0)
    assert found.sequences["clip"].objects["2"].j == (1.0,) * 5
    found = evaluate_folders(tmp_path / "p", write(tmp_path / "gone", gone), workers=0)
    assert found.sequences["clip"].objects["2"].j == (1.0, 1.0, 1.0, 0.0, 0.0)
    # an object that enters later with a number above them is none of the protocol's
    high = [np.where(labels == 1, 7 * (t > 2), labels).astype(np.uint8) for t, labels in enumerate(gt)]
    found = evaluate_folders(tmp_path / "p", write(tmp_path / "high", high), workers=0)
    assert list(found.sequences["clip"].objects) == ["2"]


@given(st.sets(st.integers(1, 12), min_size=1), st.lists(st.sets(st.integers(1, 15)), max_size=3))
def test_the_rule_for_the_first_annotation(first: set[int], later: list[set[int]]) -> None:
    objects = objects_of_first(first, iter(later))
    held = first.union(*later)
    assert objects == [number for number in range(1, max(first) + 1) if number in held]


def test_predicting_a_number_in_a_gap_is_an_error(tmp_path: Path) -> None:
    gt = write(tmp_path / "gt", [numbered(t, (5, 9)) for t in range(FRAMES)])
    pred = write(tmp_path / "pred", [numbered(t, (5, 7)) for t in range(FRAMES)])
    with pytest.raises(ValueError, match="holds label 7, but the first annotation has objects 5, 9 only"):
        evaluate_folders(pred, gt, workers=0)
    with pytest.raises(ValueError, match="holds label 7, which no annotation in"):
        evaluate_folders(pred, gt, protocol="sav", workers=0)


def test_255_is_void_in_8_bits_and_an_object_in_16(tmp_path: Path) -> None:
    wide = [numbered(t, (3, 255)) for t in range(FRAMES)]
    assert wide[0].dtype == np.uint16
    found = evaluate_folders(write(tmp_path / "a", wide), tmp_path / "a", workers=0)
    assert list(found.sequences["clip"].objects) == ["3", "255"]
    narrow = write(tmp_path / "b", [labels.astype(np.uint8) for labels in wide])
    other = write(tmp_path / "c", [np.where(labels == 255, 0, labels).astype(np.uint8) for labels in wide])
    assert list(evaluate_folders(other, narrow, workers=0).sequences["clip"].objects) == ["3"]


def test_without_an_object_there_is_nothing_to_score(tmp_path: Path) -> None:
    empty = write(tmp_path / "gt", [np.zeros(SIZE, np.uint8)] * FRAMES)
    for options in ({"protocol": "sav"}, {"protocol": "youtube"}, {"binary": True}):
        with pytest.raises(ValueError, match="gt/clip: no annotation shows an object"):
            evaluate_folders(empty, empty, workers=0, **options)
    for obj in ("001", "002"):
        write(
            tmp_path / "folders/clip",
            [np.uint8(255) * (two_disks(t) == 1) * (obj == "001") for t in range(FRAMES)],
            obj,
        )
    found = evaluate_folders(tmp_path / "folders", tmp_path / "folders", protocol="sav", workers=0)
    assert list(found.sequences["clip"].objects) == ["001"]


def late_at(start: int, ids: tuple[int, int]) -> list[np.ndarray]:
    """The second object enters at a frame."""
    return [np.where((numbered(t, ids) == ids[1]) & (t < start), 0, numbered(t, ids)) for t in range(FRAMES)]


CASES = {
    "gap": [numbered(t, (5, 9)) for t in range(FRAMES)],
    "16 bit": [numbered(t, (300, 600)) for t in range(FRAMES)],
    "255 in 16 bit": [numbered(t, (255, 256)) for t in range(FRAMES)],
    "late": late_at(3, (1, 2)),
    "late below": late_at(3, (4, 2)),
    "only on the last frame": late_at(FRAMES - 1, (1, 2)),
    "only on the first frame": [np.where((two_disks(t) == 1) & (t > 0), 0, two_disks(t)) for t in range(FRAMES)],
    "masks": [np.uint8(255) * (two_disks(t) > 0) for t in range(FRAMES)],
    "soft masks": [
        np.minimum(
            np.uint8(255) * (two_disks(t) > 0),
            np.uint8(200) * (two_disks(t) == 1) + np.uint8(255) * (two_disks(t) == 2),
        )
        for t in range(FRAMES)
    ],
    "masks from frame 2 on": [np.uint8(255) * (two_disks(t) > 0) * (t >= 2) for t in range(FRAMES)],
}


# what was tracked from a later frame on is no object of these protocols
REFUSED_AFTERWARDS = [("late", "davis"), ("late", "all-frames"), ("only on the last frame", "all-frames")]


@pytest.mark.parametrize("protocol", ["davis", "all-frames", "youtube", "sav"])
@pytest.mark.parametrize("name", CASES)
def test_tracking_and_scoring_give_one_number(name: str, protocol: str, tmp_path: Path) -> None:
    write_frames(tmp_path)
    write(tmp_path / "masks", [np.asarray(array) for array in CASES[name]])
    records = folder_pair(tmp_path)
    tracked = evaluate_vos(CopyMask(), records, protocol=protocol, out=tmp_path / "out")
    if (name, protocol) in REFUSED_AFTERWARDS:
        with pytest.raises(ValueError, match="objects that enter later: protocol youtube"):
            evaluate_folders(tmp_path / "out", tmp_path / "masks", protocol=protocol, workers=0)
        return
    same(tracked, evaluate_folders(tmp_path / "out", tmp_path / "masks", protocol=protocol, workers=0))


@pytest.mark.parametrize("protocol", ["davis", "all-frames", "youtube", "sav"])
def test_folders_of_objects_with_frames_of_their_own(protocol: str, tmp_path: Path) -> None:
    write_frames(tmp_path)
    frames = {"001": range(FRAMES), "002": range(1, 6), "007": range(FRAMES)}
    for name, own in frames.items():
        (tmp_path / "masks/clip" / name).mkdir(parents=True)
        for t in own:
            mask = np.uint8(255) * (two_disks(t) == int(name))  # 007 is never there
            Image.fromarray(mask).save(tmp_path / f"masks/clip/{name}/{t:05d}.png")
    tracked = evaluate_vos(CopyMask(), folder_pair(tmp_path), protocol=protocol, out=tmp_path / "out")
    if protocol in ("davis", "all-frames"):  # these refuse predictions where nothing is annotated
        for t in (0, 6):
            (tmp_path / f"out/clip/002/{t:05d}.png").unlink()
    (tmp_path / "out/clip/007").mkdir()
    for t in range(FRAMES):
        Image.new("L", SIZE[::-1]).save(tmp_path / f"out/clip/007/{t:05d}.png")
    assert list(tracked.sequences["clip"].objects) == ["001", "002"]
    same(tracked, evaluate_folders(tmp_path / "out", tmp_path / "masks", protocol=protocol, workers=0))


def test_a_number_that_enters_later_is_scored_though_nobody_prompted_it(tmp_path: Path) -> None:
    """DAVIS: objects are those of the first frame, and the toolkit counts a later one with a lower number."""
    arrays = late_at(3, (4, 2))
    write(tmp_path / "Annotations/480p", arrays)
    write_frames(tmp_path)
    (tmp_path / "JPEGImages/480p").mkdir(parents=True)
    (tmp_path / "images/clip").rename(tmp_path / "JPEGImages/480p/clip")
    tracked = evaluate_vos(CopyMask(), davis(tmp_path), out=tmp_path / "out")
    assert tracked.sequences["clip"].objects["2"].j == (1.0, 1.0, 0.0, 0.0, 0.0)
    same(tracked, evaluate_folders(tmp_path / "out", tmp_path, workers=0))


@pytest.mark.parametrize("case", ["gap", "16 bit", "masks", "late"])
def test_the_two_commands_agree_by_default(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_frames(tmp_path)
    write(tmp_path / "masks", [np.asarray(array) for array in CASES[case]])
    first, second = tmp_path / "vos.json", tmp_path / "score.json"
    options = ["--dataset", "folder", "--root", str(tmp_path), "--baseline", "copy", "--quiet"]
    assert main(["eval", "vos", *options, "--out", str(tmp_path / "out"), "--json", str(first)]) == 0
    score = ["eval", "score", str(tmp_path / "out"), str(tmp_path / "masks"), "--json", str(second), "--quiet"]
    if case == "late":
        assert main(score) == 2
        assert "protocol youtube" in capsys.readouterr().err
        score += ["--protocol", "youtube"]
    assert main(score) == 0
    assert json.loads(first.read_text()) == json.loads(second.read_text())


def test_a_thin_object_has_a_box_to_be_prompted_with(tmp_path: Path) -> None:
    """One pixel wide, one pixel high, one pixel, and up to the edge of the picture."""
    import sam2v

    model = sam2v.load_model("sam2v_nano", checkpoint=None, device="cpu", overrides=["model.image_size=64"])
    labels = np.zeros(SIZE, np.uint8)
    labels[5:30, 10], labels[40, 20:50], labels[2, 60], labels[30:, -1] = 1, 2, 3, 4
    write_frames(tmp_path)
    write(tmp_path / "masks", [labels] * FRAMES)
    found = evaluate_vos(sam2v.VideoPredictor(model), folder_pair(tmp_path), prompt="box", protocol="youtube")
    assert list(found.sequences["clip"].objects) == ["1", "2", "3", "4"]
