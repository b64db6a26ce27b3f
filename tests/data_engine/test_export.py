"""Exports: what the data sets' own readers make of them, and what SA-V's records say, key by key."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest
from data_engine.made import Squares, made_up, squares, work
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image
from sqlalchemy import select, update

from sam2v.cli.main import main
from sam2v.data.masklet_file import MaskletMasks, frames_at
from sam2v.data.readers import davis, sav
from sam2v.data.results import open_masks
from sam2v.data_engine.export import export_project
from sam2v.data_engine.export_plan import keep_splits, plan_export, split_of
from sam2v.data_engine.export_sav import frames_24
from sam2v.data_engine.project import Project, Settings
from sam2v.data_engine.queue import Queue
from sam2v.data_engine.schema import Masklet, Video
from sam2v.data_engine.work import Act, Work
from sam2v.output.encode import encode_all
from sam2v.video.sources import open_source

#: What the records of SA-V hold, in both files.
VIDEO_KEYS = {
    "video_id": str,
    "video_duration": float,
    "video_frame_count": float,
    "video_height": float,
    "video_width": float,
    "video_resolution": float,
    "video_split": str,
}
MASKLET_KEYS = {
    "masklet_id": int,
    "masklet_size_rel": float,
    "masklet_size_abs": float,
    "masklet_size_bucket": str,
    "masklet_visibility_changes": int,
    "masklet_frame_count": int,
    "masklet_edited_frame_count": int,
    "masklet_type": str,
}
OTHER_KEYS = {"masklet", "masklet_num", "masklet_stability_score", "video_environment", "masklet_first_appeared_frame"}
ALL_TRAIN, ALL_VAL = {"train": 1.0}, {"val": 1.0}


def verified(project: Project, number: int = 2) -> None:
    """Hand in the true squares of every task, and verify them."""
    queue, ann, ver = Queue(project), project.annotator("ann"), project.annotator("ver")
    for obj in range(1, number + 1):
        while (task := queue.take(ann, "annotate")) is not None:
            with open_source(task.path) as source:
                frames = frames_at(len(source), source.fps, project.settings.rate)
            truth = Squares(shift=int(task.video[-1]))
            masks = {f: truth.masks(f).get(task.number, np.zeros(truth.size, bool)) for f in frames}
            queue.submit(task, Work(MaskletMasks.of(masks, truth.size), [Act(0, "click", 1, 1), Act(0, "click", 1, 1)]))
        while (task := queue.take(ver, "verify")) is not None:
            queue.judge(task, True)
        assert obj


@pytest.fixture
def project(tmp_path: Path) -> Project:
    squares(tmp_path / "videos", 2)
    with Project.create(tmp_path / "p", [tmp_path / "videos"], Settings(3, 6.0, 2)) as made:
        verified(made)
        yield made


def test_sa_v_reads_it_back(project: Project, tmp_path: Path) -> None:
    done = export_project(project, tmp_path / "out", ["sav"], ALL_TRAIN)
    assert (done.videos, done.masklets, done.failed) == ({"train": 2}, {"train": 4}, {})
    records = sav(tmp_path / "out" / "sav", "train")
    assert records.names == ("squares0", "squares1")
    for number, record in enumerate(records):
        truth = Squares(shift=number)
        assert record.annotated == (0, 4, 8) and record.size == truth.size and len(record) == 9
        for index in record.annotated:
            found, wanted = record.masks(index), truth.masks(index)
            assert found.keys() == {obj - 1 for obj in wanted}
            assert all(np.array_equal(found[obj - 1], wanted[obj]) for obj in wanted)
        difference = record.frame(4).astype(int) - truth.source[4]
        assert np.abs(difference).mean() < 12  # H.264 of noise
    with av.open(str(tmp_path / "out" / "sav" / "sav_train" / "sav_000" / "squares0.mp4")) as film:
        assert film.streams.video[0].average_rate == 24 and film.streams.video[0].frames == 9


@pytest.mark.parametrize("kind", ["manual", "auto"])
def test_records_have_the_keys_of_sa_v(project: Project, tmp_path: Path, kind: str) -> None:
    if kind == "auto":
        project.database.write(lambda s: s.execute(update(Masklet).values(kind="auto")).rowcount)
    export_project(project, tmp_path / "out", ["sav"], ALL_TRAIN)
    folder = tmp_path / "out" / "sav" / "sav_train" / "sav_000"
    assert sorted(path.name for path in folder.glob("squares0*")) == ["squares0.mp4", f"squares0_{kind}.json"]
    record = json.loads((folder / f"squares0_{kind}.json").read_text())
    assert set(record) == {*VIDEO_KEYS, *MASKLET_KEYS, *OTHER_KEYS}
    assert all(type(record[key]) is kind_of for key, kind_of in VIDEO_KEYS.items())
    assert all([type(value) for value in record[key]] == [kind_of] * 2 for key, kind_of in MASKLET_KEYS.items())
    assert record["masklet_num"] == 2 and record["video_duration"] == 9 / 24 and record["video_frame_count"] == 9.0
    assert [len(row) for row in record["masklet"]] == [2, 2, 2]
    assert all(set(rle) == {"size", "counts"} and type(rle["counts"]) is str for rle in record["masklet"][0])
    assert record["masklet_type"] == [kind] * 2 and record["masklet_edited_frame_count"] == [1, 1]
    assert record["masklet_visibility_changes"] == [0, 1] and record["masklet_size_abs"] == [196.0, 392.0]
    first, stability = record["masklet_first_appeared_frame"], record["masklet_stability_score"]
    assert [type(value) for value in first] == [float if kind == "manual" else int] * 2
    assert stability == ([None, None] if kind == "manual" else [[1.0, 1.0]] * 3)


def test_validation_is_trees_of_pictures(project: Project, tmp_path: Path) -> None:
    export_project(project, tmp_path / "out", ["sav"], ALL_VAL)
    base = tmp_path / "out" / "sav" / "sav_val"
    assert (base / "sav_val.txt").read_text() == "squares0\nsquares1\n"
    assert len(list((base / "JPEGImages_24fps" / "squares0").iterdir())) == 9
    masks = sorted(str(path.relative_to(base)) for path in (base / "Annotations_6fps" / "squares0").rglob("*.png"))
    assert masks == [f"Annotations_6fps/squares0/{o:03d}/{f:05d}.png" for o in (0, 1) for f in (0, 4, 8)]
    records = sav(tmp_path / "out" / "sav", "val")
    assert np.array_equal(records["squares1"].masks(4)[0], Squares(shift=1).masks(4)[1])


def test_davis_coco_and_yolo(project: Project, tmp_path: Path) -> None:
    export_project(project, tmp_path / "out", ["davis", "coco", "yolo"], ALL_TRAIN)
    (record, _) = davis(tmp_path / "out" / "davis", 2017, split="train")
    assert len(record) == 3 and np.array_equal(record.masks(1)[1], Squares().masks(4)[1])
    place = tmp_path / "out" / "coco" / "train" / "squares0"
    with open_source(tmp_path / "videos" / "squares0") as source:
        masks = open_masks(place / "masks.json", source)
        assert masks.frames == (0, 4, 8) and np.array_equal(masks.masks(8)[1], Squares().masks(8)[1])
    coco = json.loads((place / "masks.json").read_text())
    assert all(Image.open(place / image["file_name"]).size == (64, 48) for image in coco["images"])
    labels = sorted(path.name for path in (tmp_path / "out" / "yolo" / "train" / "labels").iterdir())
    assert labels == [f"squares{number}-{index:05d}.txt" for number in (0, 1) for index in (0, 4, 8)]
    assert len(list((tmp_path / "out" / "yolo" / "train" / "images").iterdir())) == 6


def test_the_data_card_is_the_database(project: Project, tmp_path: Path) -> None:
    export_project(project, tmp_path / "out", ["davis"], ALL_TRAIN)
    facts = json.loads((tmp_path / "out" / "data_card.json").read_text())
    manual = facts["masklets"]["manual"]
    assert (manual["count"], manual["masks"], manual["sizes"]) == (4, 8, {"small": 4})
    assert manual["disappearing"] == 0 and facts["verdicts"] == {"verified": 4} and facts["states"] == {"verified": 4}
    assert facts["phases"]["3"]["edited_frames"] == 1 / 3 and facts["splits"] == {"train": 2}
    page = (tmp_path / "out" / "DATA_CARD.md").read_text()
    assert "| number | 4 | 0 |" in page and "| 33.3 | 2.00 |" in page


@pytest.mark.parametrize("frame", ["00004.png", "00005.png"], ids=["annotated", "between"])
def test_a_video_that_cannot_be_decoded_is_left_out(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str], frame: str
) -> None:
    path = tmp_path / "videos" / "squares0" / frame
    path.write_bytes(path.read_bytes()[:2000])  # its beginning tells its size
    argv = ["data-engine", "export", str(tmp_path / "p"), "--out", str(tmp_path / "out"), "--split", "train=1"]
    assert main([*argv, "--format", "sav,davis"]) == 0
    said = capsys.readouterr().out
    assert "train: 1 videos, 2 masklets" in said and "left out: squares0: " in said and frame in said
    assert sav(tmp_path / "out" / "sav", "train").names == ("squares1",)
    assert list(json.loads((tmp_path / "out" / "data_card.json").read_text())["unreadable"]) == ["squares0"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--format", "avi"], "unknown format 'avi'; accepted: sav, davis, coco, yolo"),
        (["--split", "train=0.5"], "add up to 1"),
        (["--split", "other=1"], "shares of train, val and test"),
        (["--split", "train"], "expected shares such as"),
        (["--split", "train=nan"], "add up to 1"),
        ([], "no masklet is verified yet"),
    ],
)
def test_what_cannot_be_exported(
    tmp_path: Path, flags: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    made_up(tmp_path, 1).close()
    assert main(["data-engine", "export", str(tmp_path / "project"), "--out", str(tmp_path / "out"), *flags]) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1 and not (tmp_path / "out").exists()


def test_a_rate_that_sa_v_has_not(tmp_path: Path) -> None:
    squares(tmp_path / "videos")
    with Project.create(tmp_path / "p", [tmp_path / "videos"], Settings(3, 3.0)) as project:
        verified(project, 1)
        with pytest.raises(ValueError, match="SA-V has 6 masks a second, this project 3"):
            export_project(project, tmp_path / "out", ["sav"], ALL_TRAIN)
        assert not (tmp_path / "out").exists() and splits_of(project) == {"squares0": None}
        assert export_project(project, tmp_path / "out", ["davis"], ALL_TRAIN).videos == {"train": 1}
        assert splits_of(project) == {"squares0": "train"}


@pytest.mark.parametrize(("fps", "length"), [(24.0, 49), (25.0, 50), (30.0, 61), (12.0, 20), (59.94, 100)])
def test_other_rates_are_brought_to_24_frames_a_second(fps: float, length: int) -> None:
    times = frames_24(length, fps)
    assert len(times) == round(length * 24 / fps) and set(times[::4]) <= set(frames_at(length, fps, 6.0))
    assert all(abs(index - number * fps / 24) < 1.0 for number, index in enumerate(times))


@given(st.integers(1, 400), st.sampled_from([1.0, 5.0, 7.0, 10.0, 15.0, 23.976, 50.0]) | st.floats(1, 120))
@example(2, 10.0)
def test_every_fourth_frame_is_annotated(length: int, fps: float) -> None:
    times = frames_24(length, fps)
    assert times and times == sorted(times) and times[-1] < length
    assert set(times[::4]) <= set(frames_at(length, fps, 6.0))


def test_a_film_of_odd_sides_is_not_copied(tmp_path: Path) -> None:
    """Its masks would be of another size than its frames: other readers want even sides."""
    truth, folder = Squares(size=(49, 65)), tmp_path / "videos"
    folder.mkdir()
    with av.open(str(folder / "squares0.mp4"), "w") as film:
        stream = film.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = 65, 49, "yuv444p"
        for picture in truth.source:
            film.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        film.mux(stream.encode())
    with Project.create(tmp_path / "p", [folder]) as project:
        task = Queue(project).take(project.annotator("ann"), "annotate")
        assert task is not None
        masks = MaskletMasks.of({index: truth.masks(index)[1] for index in (0, 4, 8)}, truth.size)
        Queue(project).submit(task, Work(masks))
        export_project(project, tmp_path / "out", ["sav"], ALL_TRAIN, "annotated")
    (record,) = sav(tmp_path / "out" / "sav", "train")
    assert record.size == record.masks(4)[0].shape == record.frame(4).shape[:2] == (50, 66)


def test_a_frame_that_was_edited_twice_counts_once(tmp_path: Path) -> None:
    squares(tmp_path / "videos", 1)
    with Project.create(tmp_path / "p", [tmp_path / "videos"]) as project:
        queue, ann, ver = Queue(project), project.annotator("ann"), project.annotator("ver")
        for frames in ((0, 4), (4, 8)):
            masks = MaskletMasks.of({index: Squares().masks(index)[1] for index in (0, 4, 8)}, Squares().size)
            task = queue.take(ann, "annotate")
            assert task is not None
            queue.submit(task, Work(masks, [Act(frame, "mask") for frame in frames]))
            task = queue.take(ver, "verify")
            assert task is not None
            planned = plan_export(project, ALL_TRAIN, "annotated").videos["train"]
            assert len(planned) == 1  # what somebody verifies at this moment still waits for it
            queue.judge(task, frames == (4, 8))
        (video,) = plan_export(project, ALL_TRAIN).videos["train"]
        assert video.masklets[0].edited == 3


def test_validation_of_sa_v_is_what_people_worked_on(project: Project, tmp_path: Path) -> None:
    """Automatic masklets are not in it, and are not counted."""
    automatic = update(Masklet).where(Masklet.id.in_((1, 2, 3))).values(kind="auto")
    project.database.write(lambda s: s.execute(automatic).rowcount)
    done = export_project(project, tmp_path / "out", ["sav"], ALL_VAL)
    facts = json.loads((tmp_path / "out" / "data_card.json").read_text())
    assert (done.videos, done.masklets) == ({"val": 1}, {"val": 1}) and facts["splits"] == {"val": 1}
    assert [facts["masklets"][kind]["count"] for kind in ("manual", "auto")] == [1, 0]
    assert len(list((tmp_path / "out" / "sav" / "sav_val" / "Annotations_6fps").glob("*/*"))) == 1
    more = export_project(project, tmp_path / "more", ["sav", "coco"], ALL_VAL)
    assert (more.videos, more.masklets) == ({"val": 2}, {"val": 4})


def test_a_film_of_24_frames_a_second_is_copied(tmp_path: Path) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    encode_all(iter(Squares().source), folder / "squares0.mp4", "mp4", (48, 64), 24)
    with Project.create(tmp_path / "p", [folder]) as project:
        verified(project, 1)
        export_project(project, tmp_path / "out", ["sav"], ALL_TRAIN)
    copied = tmp_path / "out" / "sav" / "sav_train" / "sav_000" / "squares0.mp4"
    assert copied.read_bytes() == (folder / "squares0.mp4").read_bytes()


def test_splits_stay(tmp_path: Path) -> None:
    """A video that was exported once stays in its split, whatever shares are asked for later."""
    with made_up(tmp_path, 40) as project:
        queue, ann = Queue(project), project.annotator("ann")
        while (task := queue.take(ann, "annotate")) is not None:
            queue.submit(task, work())
        half = {"train": 0.5, "val": 0.5}
        first = plan_export(project, half, "annotated").videos
        assert {name: [v.name for v in videos] for name, videos in first.items()} == {
            name: [f"v{n:05d}" for n in range(40) if split_of(f"v{n:05d}", half) == name] for name in half
        }
        assert first["train"] and first["val"]
        assert set(splits_of(project).values()) == {None}  # a plan is only a plan
        keep_splits(project, plan_export(project, half, "annotated"))
        assert plan_export(project, {"train": 1.0}, "annotated").videos == first


def test_an_export_that_fails_gives_no_splits(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("sam2v.data_engine.export.write_card", full)
        with pytest.raises(OSError, match="No space left"):
            export_project(project, tmp_path / "out", ["davis"], ALL_TRAIN)
    assert set(splits_of(project).values()) == {None} and not (tmp_path / "out").exists()


def test_two_exports_at_once_agree_about_splits(project: Project, tmp_path: Path) -> None:
    """The one that is later finds what the other one decided, and leaves nothing."""

    def meanwhile() -> None:
        keep_splits(project, plan_export(project, ALL_VAL))

    with pytest.raises(ValueError, match="another export gave videos their splits meanwhile"):
        export_project(project, tmp_path / "out", ["davis"], ALL_TRAIN, step=meanwhile)
    assert set(splits_of(project).values()) == {"val"} and not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["/{}/victim", "../victim", "a/../../../victim", "..", ".hidden", "", "a b", "a\n"])
def test_a_stranger_s_names_lead_nowhere(project: Project, tmp_path: Path, name: str) -> None:
    refused(project, tmp_path, "a video is called", name=name.format(tmp_path))


@pytest.mark.parametrize("split", ["../..", "/{}", "other", ""])
def test_a_stranger_s_splits_lead_nowhere(project: Project, tmp_path: Path, split: str) -> None:
    refused(project, tmp_path, "is in the split", split=split.format(tmp_path))


def refused(project: Project, tmp_path: Path, words: str, **values: object) -> None:
    """Have the database say something of a video, and see an export refused that would have written by it."""
    project.database.write(lambda s: s.execute(update(Video).where(Video.id == 2).values(**values)).rowcount)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match=words):
        export_project(project, tmp_path / "out", ["sav", "davis", "coco", "yolo"], ALL_TRAIN)
    assert sorted(tmp_path.rglob("*")) == before


def splits_of(project: Project) -> dict[str, str | None]:
    rows = project.database.read(lambda session: session.execute(select(Video.name, Video.split)).all())
    return dict(rows)
