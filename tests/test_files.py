"""Files and folders that are whole or not there, whoever else writes the same."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

from sam2v.files import whole_file, whole_folder


def test_two_threads_write_one_file(tmp_path: Path) -> None:
    met = Barrier(2, timeout=20)

    def write(text: str) -> None:
        with whole_file(tmp_path / "a.txt") as temporary:
            temporary.write_text(text)
            met.wait()  # both are open now
            assert temporary.read_text() == text

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, ("one" * 99, "two" * 99)))
    assert (tmp_path / "a.txt").read_text() in ("one" * 99, "two" * 99)
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_two_threads_write_one_folder(tmp_path: Path) -> None:
    met = Barrier(2, timeout=20)

    def write(text: str) -> bool:
        try:
            with whole_folder(tmp_path / "a") as temporary:
                (temporary / text).touch()
                met.wait()
                assert [path.name for path in temporary.iterdir()] == [text]
        except OSError:  # the other one was there first
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(write, ("one", "two"))) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a"] and len(list((tmp_path / "a").iterdir())) == 1
