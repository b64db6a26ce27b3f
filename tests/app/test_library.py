"""What is on offer, and which video a project is of."""

from __future__ import annotations

import json
import os
import shutil
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sam2v.app.library import Library


def frames(folder: Path, shade: int) -> Path:
    """A folder of frames of one shade, and of sizes that depend on it."""
    folder.mkdir(exist_ok=True)
    for number in range(3):
        picture = np.full((32, 48, 3), 90, np.uint8)
        picture[: shade % 30] = np.random.default_rng(number).integers(0, 255, (shade % 30, 48, 3))
        Image.fromarray(picture).save(folder / f"{number:03d}.png")
    return folder


def the_video(library: Library) -> str:
    (video,) = library.videos()
    library.open(video).close()
    return video.id


def test_a_project_opens_only_with_its_own_video(videos: Path, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    data = (videos / "meadow.mp4").read_bytes()
    path.write_bytes(data)
    library = Library(path)
    id = the_video(library)
    the_video(library)
    path.write_bytes(data + bytes(8))  # as many frames, of the same size
    with pytest.raises(ValueError, match=r"clip\.mp4: not the video that the project in"):
        the_video(library)
    record = library.out / id / "project.json"
    known = json.loads(record.read_text())
    del known["fingerprint"]
    record.write_text(json.dumps(known))  # as older ones are
    the_video(library)
    record.write_text("[]")
    with pytest.raises(ValueError, match="not the record of a project"):
        the_video(library)


def test_a_project_opens_only_with_its_own_frames(tmp_path: Path) -> None:
    library = Library(frames(tmp_path / "frames", 1))
    the_video(library)
    (tmp_path / "frames" / ".DS_Store").write_bytes(b"x")
    the_video(library)
    frames(tmp_path / "frames", 20)
    with pytest.raises(ValueError, match="not the video that the project in"):
        the_video(library)


def test_long_paths_are_on_offer_like_others(videos: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name in ("ä" * 120, "a" * 240, "b"):
        (root / name / ("c" * 100)).mkdir(parents=True)
        shutil.copy(videos / "meadow.mp4", root / name / ("c" * 100) / ("d" * 100 + ".mp4"))
    library = Library(root)
    found = library.videos()
    assert len({video.id for video in found}) == 3
    for video in found:
        library.open(video).close()
        assert library.video(video.id).has_project
    with library.upload("ü" * 300 + ".mp4") as path:
        path.parent.mkdir(parents=True)
        path.touch()


@pytest.mark.skipif(sys.platform != "linux", reason="names are texts there")
def test_names_that_are_no_text_are_on_offer_too(videos: Path, tmp_path: Path) -> None:
    shutil.copy(videos / "meadow.mp4", tmp_path / os.fsdecode(b"caf\xe9.mp4"))
    (video,) = Library(tmp_path).videos()
    assert json.dumps(video.name, ensure_ascii=False).encode() == b'"caf?.mp4"'
    Library(tmp_path).open(video).close()


def test_a_folder_that_may_not_be_read_is_passed_over(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "closed").mkdir()
    shutil.copy(videos / "meadow.mp4", tmp_path / "clip.mp4")
    scandir = os.scandir

    def refused(path: os.PathLike[str]) -> object:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    assert [video.name for video in Library(tmp_path).videos()] == ["clip.mp4"]


def test_uploads_of_one_name_get_a_file_each(tmp_path: Path) -> None:
    library = Library(tmp_path)
    with ExitStack() as stack:
        paths = [stack.enter_context(library.upload("clip.mp4")) for _ in range(3)]
        assert [path.name for path in paths] == ["clip.mp4", "clip-2.mp4", "clip-3.mp4"]
    with library.upload("clip.mp4") as path:  # nothing came of those
        assert path.name == "clip.mp4"


def test_every_upload_is_on_offer(videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What would not be listed any more is refused before it comes; those under way count."""
    monkeypatch.setattr("sam2v.app.library._MOST", 3)
    shutil.copy(videos / "meadow.mp4", tmp_path / "clip.mp4")
    library = Library(tmp_path / "clip.mp4", tmp_path / "out")
    with library.upload("a.mp4") as first, library.upload("b.mp4") as second:
        for path in (first, second):
            path.parent.mkdir(parents=True, exist_ok=True)
        with pytest.raises(ValueError, match="2 videos have been uploaded, which is the most"), library.upload("c.mp4"):
            pass
        for path in (first, second):
            path.touch()
    with pytest.raises(ValueError, match="which is the most"), library.upload("c.mp4"):
        pass
    offered = library.videos()
    assert [video.path.name for video in offered] == ["clip.mp4", "a.mp4", "b.mp4"]
    assert [library.uploaded(path) for path in (first, second)] == offered[1:]
    second.unlink()
    with library.upload("c.mp4") as path:
        assert path.name == "c.mp4"


def test_a_folder_that_cannot_be_read_hides_no_other(videos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def scanning(place: Any) -> Any:
        if Path(place).name == "below":
            raise OSError("the disk does not answer")
        return scandir(place)

    monkeypatch.setattr("sam2v.app.library.os.scandir", scanning)
    assert "meadow.mp4" in [video.name for video in Library(videos).videos()]


def test_what_is_neither_a_file_nor_a_folder_is_not_served() -> None:
    with pytest.raises(FileNotFoundError, match="/dev/null: no such file or folder"):
        Library(Path("/dev/null"))
