"""One run at a time writes into a folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sam2v.output.lock import FolderLock

HOLD = """
import sys, time
from pathlib import Path
from sam2v.output.lock import FolderLock
with FolderLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_run_is_refused_and_a_killed_one_blocks_nobody(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        before = {path: path.read_bytes() for path in tmp_path.iterdir()}
        with pytest.raises(OSError, match=r"in use by another run$"), FolderLock(tmp_path):
            pass
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
        other.kill()
    for _ in range(2):
        with FolderLock(tmp_path):
            pass
    assert not list(tmp_path.iterdir())


def test_two_in_one_process_and_one_after_the_other(tmp_path: Path) -> None:
    with FolderLock(tmp_path), FolderLock(tmp_path / "other"):
        with pytest.raises(OSError, match="in use"), FolderLock(tmp_path):
            pass
        (tmp_path / "other" / "result").touch()
    with FolderLock(tmp_path):
        assert [path.name for path in (tmp_path / "other").iterdir()] == ["result"]


def test_a_folder_that_stays_empty_is_not_left_behind(tmp_path: Path) -> None:
    with pytest.raises(KeyError), FolderLock(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b").is_dir()
        raise KeyError
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_link_leads_nowhere_else(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / ".sam2v.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError), FolderLock(folder):
        pass
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="fcntl")
def test_a_disk_without_locks_is_written_to_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno
    import fcntl

    def unknown(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unknown)
    with FolderLock(tmp_path), FolderLock(tmp_path):
        pass
