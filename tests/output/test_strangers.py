"""A results folder that somebody else made deletes and overwrites nothing elsewhere."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from output.test_writers import SIZE, opened, result_of, write, written

from sam2v.files import inside
from sam2v.output.writers import FORMATS, open_writer, remove_results
from sam2v.video.sources import ArraySource

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


MASK = '"objects":[{"id":1,"rle":{"size":[32,64],"counts":[2048]},"stability":1.0}]'
#: What follows the frame's number on a line, by the format whose writer is opened on it.
DAMAGED = {
    "coco": [
        *(f'"name":"a","objects":{objects}' for objects in ("null", "[1]", "[{}]", '[{"area":1}]')),
        '"name":"a","objects":[{"id":[1],"area":1,"segmentation":{},"bbox":[]}]',
        '"name":"a","objects":[{"id":1,"area":"x","segmentation":{},"bbox":[]}]',
        '"name":[],"objects":[]',
        '"name":"a","height":"x","objects":[]',
    ],
    "sav": [
        *(f'"objects":{objects}' for objects in ("null", "[1]", "[{}]", '[{"id":1}]')),
        MASK.replace('"id":1', '"id":[1]'),
        MASK.replace("2048", "9"),
        MASK.replace("[32,64]", "[64,32]"),
        MASK.replace("1.0", "NaN"),
        MASK.replace("1.0", '"x"'),
    ],
    "cvat": [
        '"id":null',
        '"ids":[[1]]',
        '"ids":[1]',
        *(f'"id":1,"shape":{shape}' for shape in ("null", "{}", '{"points":1}', '{"points":"1,2\\"/>"}')),
    ],
    "labelstudio": [
        '"id":[1],"shape":{"box":[0,0,1,1]}',
        *(f'"id":1,"shape":{{"box":{box}}}' for box in ("null", "[1]", '["a",0,1,1]', "[Infinity,0,1,1]")),
    ],
}
NOTHING = {"coco": '"name":"a","objects":[]', "sav": '"objects":[]', "cvat": '"ids":[]', "labelstudio": '"ids":[]'}


def record_of(format: str, folder: Path, *lines: str) -> Path:
    """A record of some lines as a writer of the format would have left it."""
    path = folder / ("masks.jsonl" if format == "coco" else f".sam2v-{format}.jsonl")
    path.write_text("".join(f"{{{line}}}\n" for line in lines))
    return path


@pytest.mark.parametrize(("format", "line"), [(format, line) for format in DAMAGED for line in DAMAGED[format]])
def test_what_cannot_be_finished_is_refused_on_opening(format: str, line: str, tmp_path: Path) -> None:
    path = record_of(format, tmp_path, f'"frame_idx":0,{NOTHING[format]}', f'"frame_idx":1,{line}')
    before = path.read_bytes()
    with pytest.raises(ValueError, match=rf"{path.name}: line 2 (holds no masks|is no record of masks)"):
        opened(format, tmp_path, resume=True)
    assert path.read_bytes() == before


@pytest.mark.parametrize("format", NOTHING)
def test_frames_that_no_video_has_are_refused(format: str, tmp_path: Path) -> None:
    """Records are as long as the last frame: a line could fill the disk."""
    video = ArraySource(np.zeros((5, *SIZE, 3), np.uint8))
    path = record_of(format, tmp_path, f'"frame_idx":5,{NOTHING[format]}')
    with pytest.raises(ValueError, match=rf"{path.name}: line 1 is about frame 5 of a video of 5 frames"):
        opened(format, tmp_path, resume=True, source=video)
    opened(format, tmp_path, resume=True).close(finished=False)
    record_of(format, tmp_path, f'"frame_idx":{10**12},{NOTHING[format]}')
    with pytest.raises(ValueError, match="line 1 is about frame 1000000000000"):
        opened(format, tmp_path, resume=True)


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
