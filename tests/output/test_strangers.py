"""A results folder that somebody else made deletes and overwrites nothing elsewhere."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from output.test_writers import SIZE, opened, result_of, write, written

from sam2v.files import inside
from sam2v.output.writers import FORMATS, open_writer, remove_results

ELSEWHERE = ["../victim", "a/../../victim", "/victim", "link/victim", "..", ".", "", "link/../../victim"]


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file beside the results, which a link in them leads to."""
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "link").symlink_to(tmp_path)
    (tmp_path / "victim").write_text("mine")
    return tmp_path / "victim"


@pytest.mark.parametrize("name", ELSEWHERE)
def test_names_that_lead_out_of_a_folder(name: str, victim: Path) -> None:
    name = str(victim) if name == "/victim" else name
    with pytest.raises(ValueError, match="leads out of the folder"):
        inside(victim.parent / "results", name)
    assert inside(victim.parent / "results", "a.png").name == "a.png"
    assert inside(victim.parent / "results", "001/a.png").parent.name == "001"


@pytest.mark.parametrize("format", ["png", "objects", "npz"])
@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_journal_deletes_nothing_elsewhere(format: str, name: str, victim: Path) -> None:
    name = str(victim) if name == "/victim" else name
    results = victim.parent / "results"
    (results / f".sam2v-{format}.jsonl").write_text(json.dumps({"frame_idx": 0, "files": ["a.png", name]}) + "\n")
    (results / "a.png").touch()
    with pytest.raises(ValueError, match="leads out of the folder"):
        remove_results(format, results)
    with pytest.raises(ValueError, match="leads out of the folder"):
        opened(format, results, resume=True).done_frames()
    assert victim.read_text() == "mine" and (results / "a.png").exists()


@pytest.mark.parametrize(
    "entry",
    [
        "[]",
        "3",
        '{"frame_idx":"0"}',
        '{"frame_idx":-1}',
        '{"frame_idx":0,"files":"a"}',
        '{"frame_idx":0,"film":"../victim"}',
    ],
)
@pytest.mark.parametrize("format", FORMATS)
def test_a_journal_of_something_else_is_refused(format: str, entry: str, victim: Path) -> None:
    results = victim.parent / "results"
    record = "masks.jsonl" if format == "coco" else f".sam2v-{format}.jsonl"
    (results / record).write_text(entry + "\n")
    with pytest.raises(ValueError, match=r"no record|record of frame|holds no masks"):
        opened(format, results, resume=True).done_frames()
    assert victim.read_text() == "mine"


@pytest.mark.parametrize("format", FORMATS)
def test_links_are_not_written_through(format: str, victim: Path) -> None:
    """Whatever file of the results is a link, what it leads to stays as it is."""
    results = victim.parent / "results"
    names = ["00000.png", "00000.npz", "masks.json", *(f"overlay.{kind}" for kind in ("mp4", "webm", "gif"))]
    names += [f".sam2v-{kind}.{number}.nut" for kind in ("mp4", "webm", "gif") for number in range(2)]
    for name in names:
        (results / name).symlink_to(victim)
    for resume in (True, False):
        write(opened(format, results, resume=resume), range(2))
    assert victim.read_text() == "mine"
    assert written(format, results)


@pytest.mark.parametrize("format", FORMATS)
def test_a_record_that_is_a_link_is_refused(format: str, victim: Path) -> None:
    results = victim.parent / "results"
    record = "masks.jsonl" if format == "coco" else f".sam2v-{format}.jsonl"
    (results / record).symlink_to(victim)
    for resume in (True, False):
        with pytest.raises(ValueError, match="a link is no record"):
            opened(format, results, resume=resume)
    assert victim.read_text() == "mine"


def test_objects_are_not_written_through_a_linked_folder(victim: Path) -> None:
    results = victim.parent / "results"
    (results / "001").symlink_to(victim.parent)
    (victim.parent / "00000.png").write_text("mine")
    with (
        open_writer("objects", results, size=SIZE) as writer,
        pytest.raises(ValueError, match="leads out of the folder"),
    ):
        writer.write(result_of(0))
    assert (victim.parent / "00000.png").read_text() == "mine"


def test_no_format_is_made_up(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "overlay.x").touch()
    with pytest.raises(ValueError, match="unknown output format"):
        remove_results("mp4/../../overlay.x", tmp_path / "out")
    assert (tmp_path / "overlay.x").exists()


KILLED = """
import os, sys
sys.path.insert(0, sys.argv[3])
from output.test_writers import opened, result_of
writer = opened(sys.argv[1], sys.argv[2])
for index in [*range(20, 50), *range(19, 9, -1)]:
    writer.write(result_of(index))
os._exit(9)
"""


@pytest.mark.parametrize("format", FORMATS)
def test_a_killed_process_loses_no_frame(format: str, tmp_path: Path) -> None:
    tests = str(Path(__file__).parents[1])
    done = subprocess.run([sys.executable, "-c", KILLED, format, str(tmp_path), tests], capture_output=True, text=True)
    assert done.returncode == 9, done.stderr
    writer = opened(format, tmp_path, resume=True)
    assert writer.done_frames() == set(range(10, 50))
    write(writer, range(10))
    write(opened(format, tmp_path / "once"), range(50))
    if format in ("mp4", "webm", "gif"):
        assert written(format, tmp_path) == list(range(50))
    else:
        assert written(format, tmp_path) == written(format, tmp_path / "once")
