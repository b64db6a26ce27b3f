"""`sam2v track` of several videos: what each becomes, going on, and what is refused."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn import drawn_clip
from jobs.test_ray import cluster as cluster
from PIL import Image

from sam2v.cli.main import main
from sam2v.cli.track_job import TrackJob
from sam2v.jobs.threads import ThreadCrew
from sam2v.jobs.units import RESULT
from sam2v.output.lock import FolderLock
from sam2v.tracking.engine import Engine
from sam2v.tracking.rows import Step

POINT = ["--point", "0:1:20,20"]
QUICK = ["--format", "png,coco", "--quiet"]

Track = Callable[..., int]


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Folders of three frames each, a, b and c."""
    place = tmp_path_factory.mktemp("videos")
    for seed, name in enumerate("abc"):
        (place / name).mkdir()
        for number, frame in enumerate(drawn_clip(3, seed=seed)):
            Image.fromarray(frame).save(place / name / f"{number:05d}.png")
    return [str(place / name) for name in "abc"]


@pytest.fixture
def track(nano: list[str], tmp_path: Path) -> Track:
    """Run `sam2v track` with the small network; results go to `tmp_path / out`."""

    def run(sources: list[str], *arguments: str, out: str = "out", model: list[str] = nano) -> int:
        return main(["track", *sources, "--out", str(tmp_path / out), *QUICK, *model, *arguments])

    return run


def content(folder: Path) -> dict[str, bytes]:
    """All files of a folder but what many videos have besides."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != RESULT]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def rows(out: Path) -> dict[str, dict[str, object]]:
    return json.loads((out / "videos.json").read_text())["videos"]


def error_of(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on standard error."""
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("sam2v: error: ") and err.count("\n") == 1, err
    return err


def test_every_video_becomes_what_it_becomes_by_itself(
    track: Track, videos: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also with two processes, and what is done is not done again."""
    (tmp_path / "prompts").mkdir()
    for number, name in enumerate("ab"):
        entries = [{"frame": number, "object": 3, "box": [30 - number, 10, 60, 40]}]
        (tmp_path / "prompts" / f"{name}.json").write_text(json.dumps(entries))
    both = ["--prompts", str(tmp_path / "prompts"), *POINT]
    assert track(videos[:2], *both, "--workers", "2") == 0
    out = tmp_path / "out"
    assert capsys.readouterr() == (f"2 videos: png,coco in {out}/NAME\n", "")
    assert sorted(path.name for path in out.iterdir()) == ["a", "b", "videos.json"]
    for video, name in zip(videos, "ab", strict=False):
        assert track([video], "--prompts", str(tmp_path / "prompts" / f"{name}.json"), *POINT, out=f"one{name}") == 0
        assert content(out / name) == content(tmp_path / f"one{name}") and len(content(out / name)) >= 5
        facts = json.loads((out / name / RESULT).read_text())
        assert (facts["frames"], facts["objects"]) == (3, 2) and set(facts["files"]) == set(content(out / name))
    capsys.readouterr()
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    assert track(videos[:2], *both) == 0
    assert capsys.readouterr().out == f"0 videos (2 were done before): png,coco in {out}/NAME\n"
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.png")} == before


def test_one_that_fails_does_not_stop_the_others(
    track: Track, videos: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = Path(shutil.copytree(videos[0], tmp_path / "broken"))
    good = (broken / "00001.png").read_bytes()
    (broken / "00001.png").write_bytes(good[: len(good) // 2])
    sources = [str(broken), videos[1]]
    assert track(sources, *POINT) == 1
    out, err = capsys.readouterr()
    assert out.startswith("1 video: ") and err.startswith(f"sam2v: failed: {broken}: ") and "cut short" in err
    found = rows(tmp_path / "out")
    assert found["b"]["status"] == "done" and found["broken"]["status"] == "failed" and found["broken"]["attempts"] == 1
    assert "cut short" in str(found["broken"]["error"]) and not (tmp_path / "out" / "broken").exists()
    (broken / "00001.png").write_bytes(good)
    assert track(sources, *POINT) == 0
    assert capsys.readouterr().out.startswith("1 video (1 was done before): ")
    assert rows(tmp_path / "out")["broken"]["status"] == "done"


def same_masks(one: Path, other: Path) -> None:
    """The same files; masks that batches of other sizes may have rounded otherwise differ in few pixels."""
    assert content(one).keys() == content(other).keys()
    for file in sorted(one.glob("*.png")):
        here, there = (np.asarray(Image.open(folder / file.name)) for folder in (one, other))
        assert (here != there).mean() < 0.01


@pytest.mark.parametrize("workers", [[], ["--workers", "2"]])
def test_videos_at_once_become_what_each_becomes_by_itself(
    track: Track, videos: list[str], workers: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that cannot be read, and one that ends first, leave the others."""
    broken, short = (Path(shutil.copytree(videos[0], tmp_path / name)) for name in ("broken", "short"))
    (broken / "00002.png").write_bytes((broken / "00002.png").read_bytes()[:100])
    (short / "00002.png").unlink()
    sources = [str(broken), *videos[1:], str(short)]
    assert track(sources, *POINT, "--both", "--videos-at-once", "4", *workers) == 1
    out, err = capsys.readouterr()
    assert out.startswith("3 videos: ") and err.startswith(f"sam2v: failed: {broken}: ") and err.count("\n") == 1
    found = {name: row["status"] for name, row in rows(tmp_path / "out").items()}
    assert found == {"broken": "failed", "b": "done", "c": "done", "short": "done"}
    assert not (tmp_path / "out" / "broken").exists()
    assert not workers or not list((tmp_path / "out").glob(".*.tmp"))
    if not workers:
        assert track(sources[1:], *POINT, "--both", "--videos-at-once", "1", out="one") == 0
        for name in ("b", "c", "short"):
            same_masks(tmp_path / "one" / name, tmp_path / "out" / name)


def test_videos_at_once_share_batches(track: Track, videos: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, make = [], Engine.step_together

    def watched(engine: Engine, steps: Sequence[Step]) -> dict[int, Exception]:
        sizes.append(len(steps))
        return make(engine, steps)

    monkeypatch.setattr(Engine, "step_together", watched)
    meeting, begin = threading.Barrier(3), TrackJob._begin

    def together(job: TrackJob) -> Any:
        made = begin(job)
        meeting.wait()
        return made

    monkeypatch.setattr(TrackJob, "_begin", together)
    assert track(videos, *POINT, "--videos-at-once", "3") == 0
    assert sum(sizes) == 9 and max(sizes) > 1


def test_videos_at_once_are_interrupted(track: Track, videos: list[str], tmp_path: Path) -> None:
    """What is whole stays, nothing is half there, and no thread goes on."""
    real, done = TrackJob.run_whole, threading.Event()

    def waiting(job: TrackJob, folder: Path, fps: float | None = None) -> tuple[int, int]:
        if job.video.name != "a":
            done.wait(60)  # until a is whole
        return real(job, folder, fps)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrackJob, "run_whole", waiting)
        patch.setattr(ThreadCrew, "wait", interrupting(ThreadCrew.wait, done))
        assert track(videos, *POINT, "--videos-at-once", "3") == 130
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("sam2v-unit")]
    assert not list((tmp_path / "out").glob(".*.tmp"))
    assert track(videos, *POINT, "--videos-at-once", "3") == 0
    assert all(row["status"] == "done" for row in rows(tmp_path / "out").values())


def interrupting(wait: Callable[[ThreadCrew], Any], event: threading.Event) -> Callable[[ThreadCrew], Any]:
    """Interrupt the second wait, and let the videos that are under way go on then."""
    waits: list[int] = []

    def waited(crew: ThreadCrew) -> Any:
        waits.append(1)
        if len(waits) == 2:
            event.set()
            raise KeyboardInterrupt
        return wait(crew)

    return waited


def test_an_interrupted_run_goes_on(
    track: Track, videos: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done, real = [], TrackJob.run_whole

    def counted(job: TrackJob, folder: Path, fps: float | None = None) -> tuple[int, int]:
        done.append(job.video.name)
        if len(done) == 2:
            raise KeyboardInterrupt
        return real(job, folder, fps)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrackJob, "run_whole", counted)
        assert track(videos, *POINT) == 130
        assert sorted(row["status"] for row in rows(tmp_path / "out").values()) == ["done", "waiting", "waiting"]
        assert [path.name for path in (tmp_path / "out").iterdir() if path.is_dir()] == done[:1]
        assert track(videos, *POINT) == 0
    assert sorted(done[2:]) == sorted(set("abc") - set(done[:1]))
    assert all(row["status"] == "done" for row in rows(tmp_path / "out").values())


def test_other_settings_need_fresh(
    track: Track, videos: list[str], other_nano: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, out = [videos[0]], tmp_path / "out"
    Image.fromarray(np.full((48, 64), 255, np.uint8)).save(tmp_path / "mask.png")
    mask = ["--mask", f"0:1:{tmp_path / 'mask.png'}", "--workers", "1"]
    assert track(one, *mask) == 0
    before = content(out / "a")
    capsys.readouterr()
    for arguments, what in ((["--both"], "direction"), (["--memory", "quality"], "memory"), (["--fps", "5"], "fps")):
        assert track(one, *mask, *arguments) == 2
        said = error_of(capsys)
        assert f"holds results of other {what}: use --fresh" in said
    assert track(one, *mask, model=other_nano) == 2
    assert "other weights" in error_of(capsys)
    Image.fromarray(np.repeat(np.uint8([0, 255]), 32)[None].repeat(48, 0)).save(tmp_path / "mask.png")
    assert track(one, *mask) == 2
    assert "other prompts" in error_of(capsys) and content(out / "a") == before
    (out / "a" / "notes.txt").write_text("mine")
    assert track(one, *mask, "--fresh") == 2
    assert "notes.txt is no result" in error_of(capsys) and (out / "a" / "00000.png").exists()
    (out / "a" / "notes.txt").unlink()
    assert track(one, *mask, "--fresh") == 0
    assert content(out / "a").keys() == before.keys() and content(out / "a") != before


def test_masks_of_every_video(track: Track, videos: list[str], tmp_path: Path) -> None:
    """A folder of label maps, or a file, under the video's name."""
    labels = np.zeros((48, 64), np.uint8)
    labels[10:30, 10:30] = 4
    (tmp_path / "masks" / "a").mkdir(parents=True)
    Image.fromarray(labels).save(tmp_path / "masks" / "a" / "00000.png")
    assert track([videos[1]], *POINT, out="alone") == 0
    shutil.copy(tmp_path / "alone" / "masks.json", tmp_path / "masks" / "b.json")
    assert track(videos[:2], "--masks", str(tmp_path / "masks")) == 0
    assert track([videos[0]], "--masks", str(tmp_path / "masks" / "a"), out="one") == 0
    found = {name: json.loads((tmp_path / "out" / name / "track.json").read_text())["objects"] for name in "ab"}
    assert found == {"a": [4], "b": [1]}
    assert (tmp_path / "out" / "a" / "00002.png").read_bytes() == (tmp_path / "one" / "00002.png").read_bytes()


@pytest.mark.slow
def test_a_cluster_gives_what_one_process_gives(
    cluster: str,
    track: Track,
    videos: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Paths may be relative: workers begin in the folder that the command began in."""
    monkeypatch.chdir(Path(videos[0]).parent)
    assert track(["a", "b"], *POINT, out="one") == 0
    monkeypatch.setattr("sam2v.cli.track_many.threads_of", lambda args: 1)
    assert track(["a", "b"], *POINT, "--ray", "--workers", "2", out="two") == 0
    one, two = (
        {name: data for name, data in content(tmp_path / out).items() if name != "videos.json"}
        for out in ("one", "two")
    )
    assert one == two and len(one) == 2 * 7


def refused(videos: list[str], tmp_path: Path) -> dict[str, tuple[list[str], list[str]]]:
    """What is said -> videos and arguments."""
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "a.json").write_text('[{"frame": 0, "object": 1, "box": [1, 1, 9, 9]}]')
    (tmp_path / "m").mkdir()
    for name in ("a.npz", "a.json"):
        (tmp_path / "m" / name).touch()
    shutil.copytree(videos[0], tmp_path / "x" / "a")
    (tmp_path / "out" / "c").mkdir(parents=True)
    (tmp_path / "out" / "c" / "mine.txt").touch()
    two, masks = videos[:2], str(tmp_path / "m")
    return {
        f"no b.json with prompts of {videos[1]}": (two, ["--prompts", str(tmp_path / "p")]),
        "both a.json and a.npz are masks of": (two, ["--masks", masks]),
        f"no b with masks of {videos[1]}": ([videos[1]], ["--workers", "1", "--masks", masks]),
        "of several videos, a folder with masks": (two, ["--masks", str(tmp_path / "p" / "a.json")]),
        "nothing to track": (two, []),
        "both results would go to a": ([videos[0], str(tmp_path / "x" / "a")], POINT),
        "none: no such file or folder": ([*two, str(tmp_path / "none")], POINT),
        "there is something else of that name": ([videos[0], videos[2]], POINT),
        "--save-exemplar is for one video": (two, [*POINT, "--save-exemplar", f"1:{tmp_path / 'e.safetensors'}"]),
        "--workers must be at least 0, got -1": (two, [*POINT, "--workers", "-1"]),
        "--workers must be at least 1, got 0": (two, [*POINT, "--workers", "0", "--ray"]),
        "--videos-at-once must be at least 1, got 0": (two, [*POINT, "--videos-at-once", "0"]),
        "--videos-at-once is for workers of this machine": (two, [*POINT, "--videos-at-once", "2", "--ray"]),
        "--gpus is for --ray": (two, [*POINT, "--gpus", "1"]),
        "format png holds object ids 1 to 65535, got 0": (two, ["--point", "0:0:20,20"]),
        "nowhere.pt": (two, [*POINT, "--checkpoint", "nowhere.pt"]),
        "expected --masks-frames": (two, ["--masks", masks, "--masks-frames", "a"]),
    }


def test_what_is_refused(track: Track, videos: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, (sources, arguments) in refused(videos, tmp_path).items():
        assert track(sources, *arguments) == 2, words
        assert words in error_of(capsys)
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["c"]
    with FolderLock(tmp_path / "out"):
        assert track(videos[:2], *POINT) == 2
        assert "out: in use by another run" in error_of(capsys)
    assert main(["track", *videos, "--out", videos[0], *POINT]) == 2
    assert "between the frames" in error_of(capsys) and not (Path(videos[0]) / "b").exists()
