"""Journals: what survives an interruption, and files that are none, which stay as they are."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from output.test_writers import opened

from sam2v.output.journal import Journal
from sam2v.output.writers import remove_results

ENTRIES = [{"event": number, "do": "prompt", "text": "é" * number} for number in range(5)]
LINES = [json.dumps(entry, ensure_ascii=False).encode() + b"\n" for entry in ENTRIES]
#: Files that are no journals of events.
OTHERS = [
    b"notes\n",
    b"notes without an end",
    b"\x89PNG\r\n\x1a\n\0\0\0",
    b'{"info": 1}',
    b'{\n "event": 0\n}\n',
    b'{"event": true}\n',
    b'{"event": 0}\n\n',
    b"[" * 100_000 + b"\n",
    b"[" * 100_000,
]


def events(path: Path) -> list[dict[str, object]]:
    return [entry for _, entry in Journal(path, resume=True, key="event").entries()]


@given(st.integers(0, sum(map(len, LINES))), st.sampled_from([b"", b"\0" * 7]))
def test_an_interruption_costs_the_last_line_at_most(kept: int, zeros: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.jsonl"
        text = b"".join(LINES)[:kept]
        path.write_bytes(text + (zeros if not text or text.endswith(b"\n") else b""))
        whole = sum(sum(map(len, LINES[: n + 1])) - 1 <= kept for n in range(5))  # one may lack its end of line
        assert events(path) == ENTRIES[:whole]
        journal = Journal(path, resume=True, key="event")
        journal.append(ENTRIES[0])
        journal.close()
        assert events(path) == [*ENTRIES[:whole], ENTRIES[0]]


@pytest.mark.parametrize("number", range(1, 6))
@pytest.mark.parametrize("line", [b'{"event":1,,}\n', b'{"event":1\n', b"[]\n", b"\n", b"\xff\n", b"\0\0\n"])
def test_a_line_that_is_damaged_loses_no_other(number: int, line: bytes, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    text = b"".join([*LINES[: number - 1], line, *LINES[number:]])
    path.write_bytes(text)
    with pytest.raises(ValueError, match=rf"events\.jsonl: line {number}\b"):
        Journal(path, resume=True, key="event")
    assert path.read_bytes() == text


@pytest.mark.parametrize("text", OTHERS)
def test_a_file_of_another_kind_stays_as_it_is(text: bytes, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(text)
    with pytest.raises(ValueError, match=r"events\.jsonl: line \d"):
        Journal(path, resume=True, key="event")
    assert path.read_bytes() == text


@pytest.mark.parametrize("format", ["png", "sav", "cvat", "mp4"])
def test_results_with_a_damaged_record_stay(format: str, tmp_path: Path) -> None:
    path = tmp_path / f".sam2v-{format}.jsonl"
    text = '{"frame_idx":0,"files":[],"film":0}\n{"frame_idx":1,,}\n{"frame_idx":2}\n'
    path.write_text(text)
    for use in (lambda: remove_results(format, tmp_path), lambda: opened(format, tmp_path, resume=True)):
        with pytest.raises(ValueError, match="line 2: not valid JSON"):
            use()
        assert path.read_text() == text
