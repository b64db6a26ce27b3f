"""`sam2v track`, from the arguments to the files."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn import drawn_clip
from models import nano_by_rule
from PIL import Image
from video.clips import write_sound, write_video

from sam2v import VideoPredictor
from sam2v.cli import track_job
from sam2v.cli.main import main
from sam2v.cli.track_record import Position, TrackRecord
from sam2v.files import sha256_of
from sam2v.masks import MaskletFrame
from sam2v.output.background import BackgroundWriter
from sam2v.output.base import MaskWriter
from sam2v.output.lock import FolderLock
from sam2v.output.writers import FORMATS
from sam2v.tracking.packed import PackedFile
from sam2v.video.sources import open_source

FRAMES, HEIGHT, WIDTH, FPS = 12, 48, 64, 12
PROMPTS = ["--point", "2:1:20,20", "--point", "2:1:60,40,0", "--box", "4:7:30,10,60,40"]

Track = Callable[..., int]


@pytest.fixture(scope="module")
def clip() -> np.ndarray:
    return drawn_clip(FRAMES, HEIGHT, WIDTH)


@pytest.fixture(scope="module")
def movie(clip: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_movie(tmp_path_factory.mktemp("movie") / "clip.mp4", clip)


@pytest.fixture(scope="module")
def pictures(clip: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of frames, shot_1.png to shot_12.png."""
    folder = tmp_path_factory.mktemp("pictures")
    for number, frame in enumerate(clip):
        Image.fromarray(frame).save(folder / f"shot_{number + 1}.png")
    return folder


@pytest.fixture
def track(nano: list[str], tmp_path: Path) -> Track:
    """Run `sam2v track` with the small network; results go to `tmp_path / out`."""

    def run(video: Path, *arguments: str, out: str = "out", model: list[str] = nano) -> int:
        return main(["track", str(video), "--out", str(tmp_path / out), *model, *arguments])

    return run


def write_movie(path: Path, frames: np.ndarray, options: dict[str, str] | None = None) -> Path:
    """An H.264 file with a key frame every fourth frame, its index in front when `options` ask for that."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "10", "g": "4"})
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def masks_in(folder: Path) -> dict[str, bytes]:
    """The content of all result files that must not depend on how often a run was interrupted."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith((".", "track."))]
    kept = [path for path in files if path.suffix in (".png", ".json") and ".sam2v" not in str(path)]
    return {str(path.relative_to(folder)): path.read_bytes() for path in kept}


def video_of(path: Path) -> tuple[int, tuple[int, int], float]:
    """(frames, (height, width), frames per second) of a video file, by decoding it."""
    av = pytest.importorskip("av")
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        rate = float(stream.average_rate or stream.guessed_rate)
        frames = list(container.decode(stream))
    return len(frames), (frames[0].height, frames[0].width), rate


def error_of(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on standard error."""
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("sam2v: error: ") and err.count("\n") == 1, err
    return err


# -- exemplars ---------------------------------------------------------------------------------------------------------


def test_an_object_of_another_run_is_found(track: Track, movie: Path, tmp_path: Path) -> None:
    kept = tmp_path / "seven.safetensors"
    assert track(movie, *PROMPTS, "--save-exemplar", f"7:{kept}", "--format", "coco") == 0
    assert track(movie, "--exemplar", f"3:{kept}", "--format", "png", out="found") == 0
    assert len(list((tmp_path / "found").glob("*.png"))) == FRAMES, "from the first frame on"
    record = json.loads((tmp_path / "found" / "track.json").read_text())
    assert record["objects"] == [3] and record["job"]["exemplars"] == [[3, sha256_of(kept)]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--exemplar", "seven"], "'seven': expected --exemplar ID:FILE"),
        (["--exemplar", "1:none.safetensors"], "no exemplar file none.safetensors"),
        (["--exemplar", "1:VIDEO"], "not an exemplar|too large for an exemplar"),
        ([*PROMPTS, "--save-exemplar", "5:a.safetensors"], r"no object 5; known: \[1, 7\]"),
        ([*PROMPTS, "--save-exemplar", "1:none/a.safetensors"], "name a file in a folder that is there"),
        ([*PROMPTS, "--save-exemplar", "1:VIDEO"], "would replace an input"),
    ],
)
def test_wrong_exemplars(
    track: Track, movie: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    before = movie.read_bytes()
    assert track(movie, *(part.replace("VIDEO", str(movie)) for part in arguments)) == 2
    assert re.search(message, error_of(capsys)) and movie.read_bytes() == before


# -- results -----------------------------------------------------------------------------------------------------------


def test_every_format(track: Track, movie: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert track(movie, *PROMPTS, "--format", ",".join(FORMATS)) == 0
    out = tmp_path / "out"
    said, complaints = capsys.readouterr()
    assert said == f"{FRAMES - 2} frames, 2 objects: {', '.join(FORMATS)} in {out}\n"
    assert complaints == ""
    names = [f"{index:05d}" for index in range(2, FRAMES)]
    labels = {name: np.array(Image.open(out / f"{name}.png")) for name in names}
    assert sorted(path.stem for path in out.glob("*.png")) == names
    assert Image.open(out / "00002.png").mode == "P"
    assert all(label.shape == (HEIGHT, WIDTH) and set(np.unique(label)) <= {0, 1, 7} for label in labels.values())
    assert any((label == 1).any() for label in labels.values()) and any((label == 7).any() for label in labels.values())
    for name in names:
        single = {i: np.array(Image.open(out / f"{i:03d}" / f"{name}.png")) for i in (1, 7)}
        archive = np.load(out / f"{name}.npz")
        assert archive["obj_ids"].tolist() == [1, 7] and archive["masks"].shape == (2, HEIGHT, WIDTH)
        for row, obj_id in enumerate((1, 7)):
            assert np.array_equal(single[obj_id] > 0, archive["masks"][row])
            assert not (labels[name] == obj_id)[~archive["masks"][row]].any()
        assert np.array_equal(labels[name] > 0, archive["masks"].any(axis=0))
    for kind in ("mp4", "webm", "gif"):
        count, size, rate = video_of(out / f"overlay.{kind}")
        assert (count, size) == (FRAMES - 2, (HEIGHT, WIDTH)), kind
        assert rate == pytest.approx(FPS, rel=0.05), kind


def test_coco_opens_in_pycocotools(track: Track, movie: Path, tmp_path: Path) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    assert track(movie, *PROMPTS, "--format", "coco,npz") == 0
    data = coco.COCO(str(tmp_path / "out" / "masks.json"))
    assert sorted(data.imgs) == list(range(2, FRAMES))
    for index, image in data.imgs.items():
        assert (image["height"], image["width"], image["file_name"]) == (HEIGHT, WIDTH, f"{index:05d}.png")
        archive = np.load(tmp_path / "out" / f"{index:05d}.npz")
        masks = {a["track_id"]: data.annToMask(a) > 0 for a in data.imgToAnns[index]}
        for obj_id, mask in zip(archive["obj_ids"].tolist(), archive["masks"], strict=True):
            assert np.array_equal(masks.get(obj_id, np.zeros_like(mask)), mask)


def test_results_are_those_of_the_predictor(track: Track, pictures: Path, clip: np.ndarray, tmp_path: Path) -> None:
    assert track(pictures, *PROMPTS, "--format", "npz", "--both") == 0
    predictor = VideoPredictor(nano_by_rule())
    state = predictor.init_state(clip)
    predictor.add_points(state, 2, 1, [[20, 20], [60, 40]], [1, 0])
    predictor.add_box(state, 4, 7, [30, 10, 60, 40])
    results = list(predictor.propagate_in_video(state, direction="both"))
    assert [r.frame_idx for r in results] == [*range(2, FRAMES), 1, 0]
    for result in results:  # a folder's files are named after its pictures
        assert np.array_equal(np.load(tmp_path / "out" / f"shot_{result.frame_idx + 1}.npz")["masks"], result.binary())


@pytest.mark.parametrize(
    ("arguments", "frames"),
    [
        ([], range(2, 12)),
        (["--max-frames", "3"], range(2, 6)),
        (["--start", "5"], range(5, 12)),
        (["--reverse"], range(0, 3)),
        (["--start", "6", "--reverse", "--max-frames", "2"], range(4, 7)),
        (["--both"], range(0, 12)),
        (["--both", "--start", "6", "--max-frames", "1"], range(5, 8)),
    ],
)
def test_which_frames(track: Track, pictures: Path, tmp_path: Path, arguments: list[str], frames: range) -> None:
    assert track(pictures, *PROMPTS[:4], *arguments, "--format", "png") == 0
    assert {p.stem for p in (tmp_path / "out").glob("*.png")} == {f"shot_{index + 1}" for index in frames}


def test_prompts_from_a_file_are_those_of_the_flags(track: Track, pictures: Path, tmp_path: Path) -> None:
    Image.fromarray((drawn_clip(1)[0, ..., 0] > 128).astype(np.uint8) * 255).save(tmp_path / "mask.png")
    entries = [
        {"frame": 4, "object": 7, "box": [30, 10, 60, 40]},
        {"frame": 2, "object": 1, "points": [[20, 20], [60, 40]], "labels": [1, 0]},
        {"frame": 3, "object": 9, "mask": "mask.png"},
    ]
    (tmp_path / "prompts.json").write_text(json.dumps(entries))
    assert track(pictures, "--prompts", str(tmp_path / "prompts.json"), "--format", "objects", out="a") == 0
    mask = ["--mask", f"3:9:{tmp_path / 'mask.png'}"]
    assert track(pictures, *PROMPTS, *mask, "--format", "objects", out="b") == 0
    found = masks_in(tmp_path / "a")
    assert len(found) == 3 * (FRAMES - 2) and found == masks_in(tmp_path / "b")


def test_options_reach_the_tracker(track: Track, pictures: Path, tmp_path: Path) -> None:
    overlapping = ["--box", "2:1:5,5,60,45", "--box", "2:2:5,5,60,45", "--max-frames", "1", "--format", "npz"]
    assert track(pictures, *overlapping, out="a") == 0
    assert track(pictures, *overlapping, "--non-overlap", out="b") == 0
    masks = {name: np.load(tmp_path / name / "shot_4.npz")["masks"] for name in "ab"}
    assert masks["a"].all(axis=0).any() and not masks["b"].all(axis=0).any()
    movie = ["--point", "0:1:20,20", "--max-frames", "3", "--format", "mp4", "--fps", "5"]
    assert track(pictures, *movie, out="c") == 0
    assert video_of(tmp_path / "c" / "overlay.mp4") == (4, (HEIGHT, WIDTH), 5.0)


def test_a_real_clip(shared_dir: Path, track: Track, tmp_path: Path) -> None:
    formats = ["--max-frames", "2", "--format", ",".join(FORMATS)]
    assert track(shared_dir / "data" / "videos" / "01_dog.mp4", "--point", "0:1:640,360", *formats) == 0
    for kind in ("mp4", "webm", "gif"):
        probe = shutil.which("ffprobe")
        if probe is None:
            assert video_of(tmp_path / "out" / f"overlay.{kind}")[:2] == (3, (720, 1280))
            continue
        entries = "stream=width,height,nb_read_frames"
        command = [probe, "-v", "error", "-count_frames", "-show_entries", entries, "-of", "csv=p=0"]
        done = subprocess.run([*command, str(tmp_path / "out" / f"overlay.{kind}")], capture_output=True, text=True)
        assert done.stdout.strip().split(",")[:3] == ["1280", "720", "3"], kind


# -- interruptions -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(nano: list[str], movie: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """Results of runs that nothing interrupted, by direction."""
    found = {}
    for way in WAYS:
        out = tmp_path_factory.mktemp("whole")
        assert main(["track", str(movie), "--out", str(out), *nano, *way, *PROMPTS, *ALL]) == 0
        found[way[-1]] = masks_in(out)
    return found


ALL = ["--format", "png,objects,coco,mp4"]
WAYS = [["--start", "2"], ["--start", "8", "--reverse"], ["--start", "6", "--both"]]


def stop_writing(monkeypatch: pytest.MonkeyPatch, after: int, act: Callable[[], None]) -> None:
    """Do something in place of the write that follows the first `after` ones."""
    write, count = MaskWriter.write, [0]

    def counted(writer: MaskWriter, result: object) -> None:
        count[0] += 1
        if count[0] == after + 1:
            act()
        write(writer, result)  # type: ignore[arg-type]

    monkeypatch.setattr(MaskWriter, "write", counted)


def interrupt() -> None:
    raise KeyboardInterrupt


def interrupt_tracking(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Interrupt the run when it has tracked one frame more than the first `after` ones."""
    write, count = BackgroundWriter.write, [0]

    def counted(writer: BackgroundWriter, result: MaskletFrame) -> None:
        count[0] += 1
        if count[0] == after + 1:
            interrupt()
        write(writer, result)

    monkeypatch.setattr(BackgroundWriter, "write", counted)


@pytest.mark.parametrize("frames", [0, 2, 5])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way[-1])
def test_an_interrupted_run_goes_on(
    track: Track,
    movie: Path,
    tmp_path: Path,
    whole: dict[str, dict[str, bytes]],
    way: list[str],
    frames: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        interrupt_tracking(patch, frames)
        assert track(movie, *way, *PROMPTS, *ALL) == 130
    assert capsys.readouterr() == ("", "sam2v: interrupted\n")
    out = tmp_path / "out"
    written = {name: content for name, content in masks_in(out).items() if name.endswith(".png")}
    assert len(written) == 3 * frames  # one map, two objects
    assert all(content == whole[way[-1]][name] for name, content in written.items())
    steps = count_steps(track, movie, *way, *PROMPTS, *ALL)
    assert steps == len([name for name in whole[way[-1]] if "/" not in name and name.endswith(".png")]) - frames
    assert masks_in(out) == whole[way[-1]]
    assert video_of(out / "overlay.mp4")[0] == len(list(out.glob("*.png")))
    assert not list(out.glob("*.session"))


def count_steps(track: Track, *arguments: object) -> int:
    """Run, and count the frames that were tracked."""
    from sam2v.tracking.engine import Engine

    step, steps = Engine.step, []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Engine, "step", lambda *args, **kwargs: steps.append(step(*args, **kwargs)))
        assert track(*arguments) == 0
    return len(steps)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way[-1])
def test_a_killed_run_goes_on_from_its_last_save(
    track: Track,
    movie: Path,
    tmp_path: Path,
    whole: dict[str, dict[str, bytes]],
    way: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(track_job, "_SAVE_EVERY", 3)
    out, remains = tmp_path / "out", tmp_path / "remains"
    stop_writing(monkeypatch, 4 * 5 + 1, lambda: shutil.copytree(out, remains))
    assert track(movie, *way, *PROMPTS, *ALL) == 0
    monkeypatch.undo()
    left = count_steps(lambda *args: track(*args, out="remains"), movie, *way, *PROMPTS, *ALL)
    frames = len(list(out.glob("*.png")))
    assert left == frames - 3
    assert masks_in(remains) == masks_in(out) == whole[way[-1]]
    assert video_of(remains / "overlay.mp4")[0] == frames


def test_a_run_goes_on_only_with_the_masks_and_the_video_that_it_began_with(
    track: Track, movie: Path, clip: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = (clip[0, ..., 0] > 128).astype(np.uint8) * 255
    mask, arguments = tmp_path / "mask.png", ["--mask", f"0:9:{tmp_path / 'mask.png'}", "--format", "npz"]
    Image.fromarray(shown).save(mask)
    with pytest.MonkeyPatch.context() as patch:
        interrupt_tracking(patch, 6)
        assert track(movie, *arguments) == 130
    capsys.readouterr()
    Image.fromarray(255 - shown).save(mask)
    assert track(movie, *arguments) == 2 and "holds a run with other prompts: use --fresh" in error_of(capsys)
    Image.fromarray(shown).save(mask)
    before = movie.read_bytes()
    write_movie(movie, clip[::-1].copy())
    assert track(movie, *arguments) == 2 and "holds a run with other size: use --fresh" in error_of(capsys)
    movie.write_bytes(before)
    assert track(movie, *arguments) == 0
    assert len(list((tmp_path / "out").glob("*.npz"))) == FRAMES


def test_what_both_ways_save_does_not_grow_with_the_video(
    track: Track, clip: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = np.concatenate([clip] * 4)
    movie = write_movie(tmp_path / "long.mp4", frames)
    arguments = ["--point", "2:1:20,20", "--both", "--format", "npz"]
    with pytest.MonkeyPatch.context() as patch:
        interrupt_tracking(patch, 44)
        assert track(movie, *arguments) == 130
    (session,) = (tmp_path / "out").glob("track.*.session")
    kept = {frame for frame, _ in PackedFile(session, "session").record["tracks"][0]["history"]}
    assert kept == {*range(3, 18), *range(31, 47)}  # what the way back reads, and what the next frames read
    assert track(movie, *arguments) == 0
    predictor = VideoPredictor(nano_by_rule())
    state = predictor.init_state(movie)
    predictor.add_points(state, 2, 1, [[20, 20]])
    for result in predictor.propagate_in_video(state, direction="both"):
        written = np.load(tmp_path / "out" / f"{result.frame_idx:05d}.npz")["masks"]
        assert np.array_equal(written, result.binary()), result.frame_idx


def test_a_frame_that_could_not_be_written_is_not_passed_over(
    track: Track, movie: Path, tmp_path: Path, whole: dict[str, dict[str, bytes]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Frames behind it are written meanwhile, and nothing else goes wrong."""

    def fail() -> None:
        raise OSError("no more of that")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(track_job, "_SAVE_EVERY", 3)
        stop_writing(patch, 4 * 4 + 1, fail)
        assert track(movie, *WAYS[0], *PROMPTS, *ALL) == 2
    assert "no more of that" in error_of(capsys)
    assert json.loads((tmp_path / "out" / "track.json").read_text())["position"]["done"] == 3
    assert track(movie, *WAYS[0], *PROMPTS, *ALL) == 0
    assert masks_in(tmp_path / "out") == whole["2"]


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM")
def test_a_terminated_process_leaves_a_run_that_goes_on(
    track: Track, nano: list[str], clip: np.ndarray, tmp_path: Path
) -> None:
    movie, out = write_movie(tmp_path / "long.mp4", np.concatenate([clip] * 6)), tmp_path / "out"
    arguments = [*PROMPTS, "--format", "png"]
    command = [sys.executable, "-m", "sam2v.cli", "track", str(movie), "--out", str(out), *nano, *arguments]
    # sums depend on the number of threads, so both processes take the same
    threads = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=threads) as run:
        while len(list(out.glob("*.png"))) < 4 and run.poll() is None:
            time.sleep(0.01)
        run.send_signal(signal.SIGTERM)
        assert run.stderr is not None
        said = run.stderr.read()
    assert (run.returncode, said) == (130, "sam2v: interrupted\n")
    done = json.loads((out / "track.json").read_text())["position"]
    assert 4 <= done["done"] < 70 and not done["finished"] and (out / done["session"]).is_file()
    assert track(movie, *arguments) == 0
    assert track(movie, *arguments, out="whole") == 0
    assert len(masks_in(out)) == 70 and masks_in(out) == masks_in(tmp_path / "whole")


def test_an_interruption_while_files_are_finished_is_no_finished_run(
    track: Track, movie: Path, tmp_path: Path, whole: dict[str, dict[str, bytes]]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sam2v.output.coco.CocoWriter._finish", lambda writer, finished: interrupt())
        assert track(movie, *WAYS[0], *PROMPTS, *ALL) == 130
    assert not (tmp_path / "out" / "masks.json").exists()
    assert track(movie, *WAYS[0], *PROMPTS, *ALL) == 0
    assert masks_in(tmp_path / "out") == whole["2"]


def test_a_finished_run_stays_as_it_is(
    track: Track, movie: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*PROMPTS, "--max-frames", "1", "--format", "png"]
    assert track(movie, *arguments) == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    capsys.readouterr()
    assert track(movie, *arguments) == 2
    assert "holds this run, finished: use --fresh" in error_of(capsys)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before
    assert track(movie, *arguments, "--fresh") == 0


def test_another_job_does_not_go_on(
    track: Track,
    movie: Path,
    pictures: Path,
    other_nano: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        interrupt_tracking(patch, 3)
        assert track(movie, *PROMPTS, "--format", "png") == 130
    capsys.readouterr()
    others: list[tuple[list[object], str]] = [
        ([pictures, *PROMPTS, "--format", "png"], "other video"),
        ([movie, *PROMPTS[:4], "--format", "png"], "other prompts"),
        ([movie, *PROMPTS, "--format", "png,npz"], "other formats"),
        ([movie, *PROMPTS, "--format", "png", "--reverse"], "other direction"),
        ([movie, *PROMPTS, "--format", "png", "--max-frames", "4"], "other max_frames"),
        ([movie, *PROMPTS, "--format", "png", "--override", "model.image_size=128"], "other model: image_size"),
        ([movie, *PROMPTS, "--format", "png", "--fill-holes", "0"], "other options: use --fresh"),
        ([movie, *PROMPTS, "--format", "png", "--dtype", "bfloat16"], "other dtype, weights: use --fresh"),
    ]
    for arguments, words in others:
        assert track(*arguments) == 2
        assert words in error_of(capsys)
    assert track(movie, *PROMPTS, "--format", "png", model=other_nano) == 2
    assert "other weights: use --fresh or another --out" in error_of(capsys)
    assert len(list((tmp_path / "out").glob("track.*.session"))) == 1
    assert track(movie, *PROMPTS[:4], "--max-frames", "1", "--format", "png", "--fresh") == 0
    assert not list((tmp_path / "out").glob("track.*.session"))


def test_a_run_without_a_result_does_not_stand_in_the_way(
    track: Track, movie: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert track(movie, "--point", "0:0:20,20", "--format", "png") == 2
    assert "object ids 1 to 65535, got 0" in error_of(capsys) and not (tmp_path / "out").exists()
    with pytest.MonkeyPatch.context() as patch:
        interrupt_tracking(patch, 0)
        assert track(movie, *PROMPTS, "--format", "png") == 130
    assert track(movie, *PROMPTS[:4], "--format", "png") == 0


@pytest.mark.parametrize("exists", [True, False])
def test_a_folder_in_use_is_refused(
    track: Track, movie: Path, tmp_path: Path, exists: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    if exists:
        assert track(movie, *PROMPTS, "--max-frames", "1", "--format", "png") == 0
    with FolderLock(out):
        before = {path: path.read_bytes() for path in out.rglob("*")}
        capsys.readouterr()
        assert track(movie, *PROMPTS, "--format", "png", "--fresh") == 2
        assert error_of(capsys) == f"sam2v: error: {out}: in use by another run\n"
        assert {path: path.read_bytes() for path in out.rglob("*")} == before
    assert out.exists() == exists
    assert track(movie, *PROMPTS, "--max-frames", "1", "--format", "png", "--fresh") == 0


def test_a_fresh_run_leaves_nothing_of_the_earlier_one(track: Track, movie: Path, tmp_path: Path) -> None:
    assert track(movie, *PROMPTS, "--format", "png,objects,npz,coco,gif") == 0
    (tmp_path / "out" / "notes.txt").write_text("mine")
    assert track(movie, *PROMPTS[:4], "--format", "png", "--max-frames", "2", "--fresh") == 0
    left = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*"))
    assert left == [".sam2v-png.jsonl", "00002.png", "00003.png", "00004.png", "notes.txt", "track.json"]


def test_results_never_replace_what_they_are_made_from(
    track: Track, movie: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames, film = tmp_path / "frames", tmp_path / "film"
    shutil.copytree(pictures, frames)
    shutil.copytree(pictures, tmp_path / "results" / "007")
    film.mkdir()
    shutil.copy(movie, film / "overlay.mp4")
    Image.new("L", (WIDTH, HEIGHT), 255).save(film / "00003.png")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    refused = [
        (frames, "frames", PROMPTS, "between the frames"),
        (tmp_path / "results" / "007", "results", [*PROMPTS, "--format", "objects"], "between the frames"),
        (film / "overlay.mp4", "film", PROMPTS, "would replace .*overlay.mp4"),
        (movie, "film", ["--mask", f"3:1:{film / '00003.png'}"], "would replace .*00003.png"),
    ]
    for video, out, arguments, words in refused:
        assert track(video, *arguments, out=out) == 2
        assert re.search(words, error_of(capsys))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert track(film / "overlay.mp4", *PROMPTS, "--format", "png", "--max-frames", "1", out="film") == 0


def test_a_mask_among_results_is_kept_where_the_length_is_unknown(
    track: Track, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    movie = write_video(tmp_path / "long.webm", 80, codec="libvpx", size=(HEIGHT, WIDTH))
    assert open_source(movie).known_length() is None
    mask = tmp_path / "out" / "00003.png"
    mask.parent.mkdir()
    Image.new("L", (WIDTH, HEIGHT), 255).save(mask)
    before = mask.read_bytes()
    assert track(movie, "--mask", f"3:1:{mask}", "--format", "png", "--max-frames", "1") == 2
    assert "results would replace" in error_of(capsys) and mask.read_bytes() == before


@pytest.mark.parametrize("content", ["", "[]", '{"job": {}, "position": {"steps": 3}}'])
def test_a_damaged_record_is_refused(
    track: Track, movie: Path, tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "track.json").write_text(content)
    assert track(movie, *PROMPTS) == 2
    assert "not the record of a run; use --fresh" in error_of(capsys)


@pytest.mark.parametrize(
    "position",
    [
        {"session": "../other/track.100.session"},
        {"session": "{}/track.100.session"},
        {"session": "notes.session"},
        {"session": ""},
        {"session": None},
        {"frame_idx": -1},
        {"frame_idx": "3"},
        {"done": True},
        {"done": -1},
        {"reverse": 0},
        {"finished": "no"},
        {"finished": True},
    ],
)
def test_a_stranger_s_record_is_refused(tmp_path: Path, position: dict[str, object]) -> None:
    """What it names as the run's state is not read, and not removed; --fresh starts over whatever it says."""
    good = {"reverse": False, "frame_idx": 3, "done": 1, "finished": False, "session": "track.1.session"}
    for name in ("out", "other"):
        (tmp_path / name).mkdir()
    keep = [tmp_path / "other" / "track.100.session", tmp_path / "out" / "notes.session"]
    for path in keep:
        path.write_bytes(b"theirs")
    if isinstance(position.get("session"), str):
        position = {"session": str(position["session"]).format(tmp_path / "other")}
    record = TrackRecord(tmp_path / "out", {"formats": ["tiff", 3, "png"]})
    (tmp_path / "out" / "track.json").write_text(json.dumps({"job": record.job, "position": good}))
    assert record.earlier() == Position(**good)
    (tmp_path / "out" / "track.json").write_text(json.dumps({"job": record.job, "position": good | position}))
    with pytest.raises(ValueError, match=r"track\.json: not the record of a run; use --fresh"):
        record.earlier()
    record.forget()
    assert not (tmp_path / "out" / "track.json").exists() and all(path.exists() for path in keep)


@pytest.mark.parametrize("formats", ['["tiff", {}]', '"png"', "3", "null", "[" * 100_000])
def test_a_fresh_run_begins_whatever_the_record_says(
    track: Track, movie: Path, tmp_path: Path, formats: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "track.json").write_text('{"position": {}, "job": {"formats": ' + formats + "}}")
    arguments = [*PROMPTS[:4], "--max-frames", "1", "--format", "png"]
    assert track(movie, *arguments) == 2
    assert "not the record of a run; use --fresh" in error_of(capsys)
    assert track(movie, *arguments, "--fresh") == 0


def test_a_run_that_went_back_to_the_first_frame_goes_on(tmp_path: Path) -> None:
    """Killed after the last frame, before the last files are made: the frame that comes next is -1."""
    record = TrackRecord(tmp_path, {"formats": ["png"]})
    position = Position(reverse=True, frame_idx=-1, done=3)
    record.save(position, [1], Path.touch)
    assert position.session and record.earlier() == position


# -- a full disk -------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 400 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk(
    track: Track,
    movie: Path,
    small_disk: Path,
    whole: dict[str, dict[str, bytes]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(track_job, "_SAVE_EVERY", 3)
    out, filler = small_disk / "out", small_disk / "filler"
    arguments = [*WAYS[0], *PROMPTS, *ALL]

    def fill() -> None:
        with open(filler, "wb", buffering=0) as file, pytest.raises(OSError):
            while file.write(b"0" * 100):
                pass

    stop_writing(monkeypatch, 4 * 4, fill)
    assert track(movie, *arguments, out="disk/out") == 2
    assert error_of(capsys).endswith("No space left on device\n")
    written = {name: content for name, content in masks_in(out).items() if name.endswith(".png")}
    assert len(written) >= 12 and all(content == whole["2"][name] for name, content in written.items())
    filler.unlink()
    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
    assert track(movie, *arguments, out="disk/out") == 0
    assert masks_in(out) == whole["2"]
    assert video_of(out / "overlay.mp4")[0] == FRAMES - 2


@pytest.mark.parametrize("name", ["track.session", "track.json"])
def test_a_disk_that_is_full_when_the_state_is_saved(
    track: Track,
    movie: Path,
    tmp_path: Path,
    name: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import errno

    import sam2v.files

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    replace = os.replace
    fails = [False]

    def at_times(source: Path, target: Path) -> None:
        if fails[0] and Path(target).suffix == Path(name).suffix:
            full()
        replace(source, target)

    monkeypatch.setattr(track_job, "_SAVE_EVERY", 3)
    stop_writing(monkeypatch, 4, lambda: fails.__setitem__(0, True))
    monkeypatch.setattr(sam2v.files.os, "replace", at_times)
    assert track(movie, *PROMPTS, "--format", "npz") == 2
    line = error_of(capsys)
    assert "cannot write" in line and "No space left on device" in line and "out/track." in line.replace(os.sep, "/")
    fails[0] = False
    assert track(movie, *PROMPTS, "--format", "npz") == 0
    assert len(list((tmp_path / "out").glob("*.npz"))) == FRAMES - 2


# -- bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "nothing to track: give --point, --box, --mask, --prompts, --masks or --exemplar"),
        (["--point", "0:1:20"], "expected --point F:ID:X,Y[,LABEL]"),
        (["--point", "20,20"], "expected --point F:ID:X,Y[,LABEL]"),
        (["--point", "a:1:20,20"], "expected --point F:ID:X,Y[,LABEL]"),
        (["--point", "0:1:20,twenty"], "expected --point F:ID:X,Y[,LABEL]"),
        (["--point", "0:1:20,20,0.5"], "expected --point F:ID:X,Y[,LABEL]"),
        (["--point", "0:1:20,20,7"], "unknown label 7"),
        (["--point", "0:1:nan,20"], "found NaN or infinity"),
        (["--point", "0:1:64.5,20"], "point (64.5, 20) lies outside the frame of 64 x 48 pixels"),
        (["--point", "12:1:20,20"], "frame_idx 12 is outside the video of 12 frames (0 to 11)"),
        (["--point=-1:1:20,20"], "frame_idx -1 is outside the video"),
        (["--box", "0:1:20,20,10,30"], "x1 must exceed x0"),
        (["--box", "0:1:20,50,90,60"], "box (20, 50)-(90, 60) lies outside the frame of 64 x 48 pixels"),
        (["--box", "0:1:20,20,30"], "expected --box F:ID:X0,Y0,X1,Y1"),
        (["--box", "0:1:2,2,30,30", "--box", "0:1:2,2,30,31"], "frame 0, object 1: more than one box"),
        (["--mask", "0:1:nowhere.png"], "no mask file nowhere.png"),
        (["--prompts", "nowhere.json"], "no prompt file nowhere.json"),
        (["--point", "0:1:20,20", "--format", "png,avi"], "unknown output format 'avi'; accepted: png"),
        (["--point", "0:1:20,20", "--format", ""], "unknown output format ''"),
        (["--point", "0:1:20,20", "--start", "40"], "frame_idx 40 is outside the video"),
        (["--point", "0:1:20,20", "--max-frames", "-1"], "--max-frames must not be negative"),
        (["--point", "0:1:20,20", "--fps", "0"], "--fps must be a number from 0.001 on, got 0.0"),
        (["--point", "0:0:20,20"], "format png holds object ids 1 to 65535, got 0"),
        (["--point", "0:1:20,20", "--reverse", "--both"], "not allowed with argument"),
        (["--point", "0:1:20,20", "--fill-holes", "-3"], "fill_hole_area must not be negative"),
        (["--point", "0:1:20,20", "--checkpoint", "nowhere.pt"], "nowhere.pt"),
        (["--point", "0:1:20,20", "--model", "sam9"], "sam9"),
    ],
)
def test_bad_arguments(
    track: Track, movie: Path, tmp_path: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert track(movie, *arguments) == 2
    assert words in error_of(capsys)
    assert not list((tmp_path / "out").glob("*.png"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "not valid JSON"),
        ("{}", "expected a list of prompts"),
        ("[]", "nothing to track"),
        ("[3]", "prompt 0 must have frame and object"),
        ('[{"frame": 0, "object": 1, "point": [1, 2]}]', "prompt 0 must have frame and object"),
        ('[{"frame": "0", "object": 1, "points": [[1, 2]]}]', "prompt 0: frame must be an integer"),
        ('[{"frame": 0, "object": 1}]', "frame 0, object 1: no points, box or mask"),
        ('[{"frame": 0, "object": 1, "points": 7}]', "points must be a list of [x, y], got 7"),
        (
            '[{"frame": 0, "object": 1, "points": [[1, 2, 3]]}]',
            "prompt 0: points must be a list of [x, y], got [[1, 2, 3]]",
        ),
        ('[{"frame": 0, "object": 1, "points": [[1, 2]], "labels": [1, 1]}]', "one label per point is needed"),
        ('[{"frame": 0, "object": 1, "box": "all"}]', "box must be a list, got 'all'"),
        ('[{"frame": 0, "object": 1, "mask": 3}]', "mask must be a string, got 3"),
        ('[{"frame": 0, "object": 1, "mask": "no.png"}]', "no mask file"),
        ('[{"frame": 0, "object": 1, "box": [1,2,3,4]}, {"frame": 0, "object": 1, "box": [1,2,3,4]}]', "more than one"),
    ],
)
def test_bad_prompt_files(
    track: Track, movie: Path, tmp_path: Path, content: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "prompts.json").write_text(content)
    assert track(movie, "--prompts", str(tmp_path / "prompts.json")) == 2
    assert words in error_of(capsys)


def test_bad_videos(track: Track, clip: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("not a video\n" * 100)
    movie = write_movie(tmp_path / "whole.mp4", clip)
    (tmp_path / "headless.mp4").write_bytes(movie.read_bytes()[: movie.stat().st_size // 2])
    write_sound(tmp_path / "sound.mp4")
    for name in ("nothing", "mixed", "broken"):
        (tmp_path / name).mkdir()
    (tmp_path / "nothing" / "readme.txt").write_text("no pictures")
    for number, side in enumerate((32, 48)):
        Image.new("RGB", (64, side)).save(tmp_path / "mixed" / f"{number}.png")
    Image.new("RGB", (64, 48)).save(tmp_path / "broken" / "0.png")
    (tmp_path / "broken" / "1.png").write_text("not a picture")
    for name, words in {
        "missing.mp4": "missing.mp4: no such file or folder",
        "empty.mp4": "empty.mp4: the file is empty",
        "text.mp4": "text.mp4: not a video that can be read",
        "headless.mp4": "headless.mp4: not a video that can be read, or cut off",
        "sound.mp4": "sound.mp4: the file has no video stream (only sound?)",
        "nothing": "nothing: the folder holds no images",
        "mixed": "frame 1 is 64 x 48 pixels, but the first is 64 x 32",
        "broken": "1.png: not an image that can be read",
    }.items():
        assert track(tmp_path / name, "--point", "0:1:20,20") == 2
        assert words in error_of(capsys)
        assert not (tmp_path / "out").exists()


@pytest.mark.filterwarnings("default")
def test_half_a_video_is_tracked_as_far_as_it_goes(
    track: Track, clip: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    movie = write_movie(tmp_path / "whole.mp4", clip, {"movflags": "faststart"})
    half = tmp_path / "half.mp4"
    half.write_bytes(movie.read_bytes()[: int(movie.stat().st_size * 0.6)])
    arguments = ["--point", "0:1:20,20", "--format", "png,coco,mp4"]
    assert track(half, *arguments) == 0
    out, err = capsys.readouterr()
    count = len(list((tmp_path / "out").glob("*.png")))
    assert 3 <= count < FRAMES
    assert err == (
        f"sam2v: warning: {half}: the file announces {FRAMES} frames, but only {count} can be decoded; "
        "it may be cut short\n"
    )
    assert out.startswith(f"{count} frames, 1 object")
    assert track(movie, *arguments, out="whole") == 0
    complete = masks_in(tmp_path / "whole")
    pictures = {name: content for name, content in masks_in(tmp_path / "out").items() if name.endswith(".png")}
    assert all(complete[name] == content for name, content in list(pictures.items())[: count - 1])
    assert len(json.loads((tmp_path / "out" / "masks.json").read_text())["images"]) == count


def test_a_picture_that_is_damaged_in_the_middle(
    track: Track, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Everything before it is written, and the run goes on once it is mended."""
    folder = shutil.copytree(pictures, tmp_path / "pictures")
    good = (folder / "shot_8.png").read_bytes()
    (folder / "shot_8.png").write_bytes(good[: len(good) // 2])
    arguments = ["--point", "0:1:20,20", "--format", "png,coco"]
    assert track(folder, *arguments) == 2
    assert "shot_8.png: the image is cut short" in error_of(capsys)
    assert len(list((tmp_path / "out").glob("shot_*.png"))) == 7
    assert len(json.loads((tmp_path / "out" / "masks.json").read_text())["images"]) == 7
    (folder / "shot_8.png").write_bytes(good)
    assert count_steps(track, folder, *arguments) == FRAMES - 7
    assert track(pictures, *arguments, out="whole") == 0
    assert masks_in(tmp_path / "out") == masks_in(tmp_path / "whole")


def test_a_mask_of_another_size(track: Track, movie: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("L", (32, 24), 255).save(tmp_path / "mask.png")
    assert track(movie, "--mask", f"0:1:{tmp_path / 'mask.png'}") == 2
    assert "mask.png: the mask and the video have different sizes, 32 x 24 and 64 x 48" in error_of(capsys)


def test_progress(track: Track, movie: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A bar on a terminal; none elsewhere (the other tests) or with --quiet."""

    class Terminal:
        def __init__(self) -> None:
            self.text = ""

        def isatty(self) -> bool:
            return True

        def write(self, text: str) -> None:
            self.text += text

        def flush(self) -> None:
            pass

    for arguments, shown in (([], True), (["--quiet"], False)):
        with pytest.MonkeyPatch.context() as patch:
            terminal = Terminal()
            patch.setattr(sys, "stderr", terminal)
            assert track(movie, *PROMPTS, *arguments, "--format", "png", out=f"out{shown}") == 0
        assert ("10/10" in terminal.text and "memory=" in terminal.text and "objects=2" in terminal.text) == shown
        assert shown or terminal.text == ""
