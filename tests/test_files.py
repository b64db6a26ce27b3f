"""Files and folders that are whole or not there, whoever else writes the same."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from sam2v.files import parse_json, read_json, whole_file, whole_folder


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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b"[1,", "not valid JSON"),
        (b"", "not valid JSON"),
        (b"1" * 10_000, "not valid JSON"),
        (b'"\xff"', "UTF-8|not valid JSON"),
    ],
)
def test_what_is_no_json_is_one_error_with_the_files_name(text: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(text)
    with pytest.raises(ValueError, match=rf"^{path}: .*({message})"):
        read_json(path)
    with pytest.raises(ValueError, match=r"^a line: .*(not valid|nested)"):
        parse_json(text, "a line")
    path.write_bytes(b'\xef\xbb\xbf{"a": "\xc3\xa9"}\n')
    assert read_json(path) == {"a": "é"}
