"""Sources in other hands: copied, pickled, and in forked processes."""

from __future__ import annotations

import copy
import gc
import io
import multiprocessing
import os
import pickle
import runpy
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from video.clips import BFRAMES, number_of, numbered_frame, write_video

from sam2v.video.decoder import Decoder
from sam2v.video.sources import FrameSource, VideoFile, open_source

TWINS = {"deepcopy": copy.deepcopy, "copy": copy.copy, "pickle": lambda source: pickle.loads(pickle.dumps(source))}


def every_kind(folder: Path) -> dict[str, object]:
    """Sources of ten numbered frames."""
    array = np.stack([numbered_frame(number) for number in range(10)])

    def images() -> list[Image.Image]:
        return [Image.fromarray(frame) for frame in array]

    (folder / "images").mkdir()
    for number, image in enumerate(images()):
        image.save(folder / "images" / f"{number}.png")
    for name in ("stack.tif", "moving.gif"):
        first, *others = images()
        first.save(folder / name, save_all=True, append_images=others)
    clip = write_video(folder / "clip.mp4", 10, options=BFRAMES)
    return {
        "video": clip,
        "counted": write_video(folder / "clip.avi", 10, options=BFRAMES),
        "upload": io.BytesIO(clip.read_bytes()),
        "open file": clip.open("rb"),
        "folder": folder / "images",
        "stack": folder / "stack.tif",
        "animation": folder / "moving.gif",
        "stack upload": io.BytesIO((folder / "stack.tif").read_bytes()),
        "array": array,
        "tensor": torch.from_numpy(array),
        "list": list(array),
        "images": images(),
        "paths": sorted((folder / "images").iterdir()),
    }


@pytest.mark.parametrize("how", list(TWINS))
def test_a_copy_has_the_same_frames_and_a_life_of_its_own(tmp_path: Path, how: str) -> None:
    for kind, given in every_kind(tmp_path).items():
        source = open_source(given)
        assert number_of(source[4]) == 4
        twin = TWINS[how](source)
        assert type(twin) is type(source) and twin is not source, kind
        assert (twin.size, twin.fps, twin.path) == (source.size, source.fps, source.path)
        assert twin.known_length() == source.known_length() == len(twin) == 10
        assert twin.file_name(3) == source.file_name(3)
        source.close()
        assert [number_of(twin[index]) for index in (7, 2, 9)] == [7, 2, 9], kind
        with pytest.raises(ValueError, match="closed"):
            source[3]
        twin.close()


def test_a_copy_opens_nothing_until_it_is_asked(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", 10)
    with VideoFile(path) as source:
        data = pickle.dumps(source)
    path.rename(tmp_path / "elsewhere.mp4")
    twin = pickle.loads(data)
    assert len(twin) == 10 and twin.size == (32, 64)
    with pytest.raises(FileNotFoundError, match=r"clip\.mp4"):
        twin[0]
    (tmp_path / "elsewhere.mp4").rename(path)
    assert number_of(twin[6]) == 6


def test_no_hook_is_left_for_processes_that_are_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "register_at_fork", lambda **hooks: pytest.fail(f"a hook: {hooks}"), raising=False)
    for module in [module for name, module in sys.modules.items() if name.startswith("sam2v.video.")]:
        runpy.run_path(str(module.__file__))


def test_copies_share_pixels() -> None:
    array = np.zeros((4, 8, 8, 3), np.uint8)
    assert np.shares_memory(copy.deepcopy(open_source(array))[2], array)


def test_an_open_file_of_unknown_kind_cannot_be_pickled(tmp_path: Path) -> None:
    class Upload:
        def __init__(self, file: io.BytesIO) -> None:
            self.read, self.seek, self.tell = file.read, file.seek, file.tell

    data = write_video(tmp_path / "clip.mp4", 10).read_bytes()
    source = open_source(Upload(io.BytesIO(data)))
    with pytest.raises(TypeError, match=r"the Upload given cannot be pickled: open the video by its path or as io\."):
        pickle.dumps(source)
    assert number_of(copy.deepcopy(source)[5]) == 5


def test_dropping_a_source_frees_it_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cycle would keep FFmpeg's threads until a garbage collection, which a forked process cannot end."""
    closed: list[bool] = []
    close = Decoder.close
    monkeypatch.setattr(Decoder, "close", lambda decoder: (closed.append(True), close(decoder))[1])
    path = write_video(tmp_path / "clip.mp4", 10)
    gc.collect()
    gc.disable()
    try:
        source = open_source(path)
        assert number_of(source[5]) == 5
        del source
        assert closed == [True]
        with VideoFile(path):
            pass
        left = [thing for thing in gc.get_objects() if type(thing).__name__ in ("InputContainer", "VideoFrame")]
        assert all(getattr(thing, "width", 64) <= 16 for thing in left), "but for a thumbnail"
    finally:
        gc.enable()


def leave(source: FrameSource) -> None:
    gc.collect()


def read(source: FrameSource) -> None:
    assert [number_of(source[index]) for index in (37, 3, 20)] == [37, 3, 20]


def drop(source: FrameSource) -> None:
    del source
    gc.collect()


def close(source: FrameSource) -> None:
    source.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("work", [leave, read, drop, close])
@pytest.mark.parametrize("name", ["clip.mp4", "clip.avi", "moving.gif"])
def test_forked_workers(tmp_path: Path, name: str, work: Callable[[FrameSource], None]) -> None:
    """They have none of FFmpeg's threads: freeing a decoder would wait for those for ever. They open the file anew."""
    path = tmp_path / name
    if name.endswith("gif"):
        images = [Image.fromarray(numbered_frame(number)) for number in range(40)]
        images[0].save(path, save_all=True, append_images=images[1:])
    else:
        write_video(path, 40, size=(128, 128), options=BFRAMES)
    holder = [open_source(path)]
    holder[0][5]

    def in_worker() -> None:
        work(holder.pop())
        gc.collect()

    worker = multiprocessing.get_context("fork").Process(target=in_worker)
    worker.start()
    worker.join(30)
    code = worker.exitcode
    worker.kill()
    assert code == 0
    assert [number_of(holder[0][index]) for index in (6, 39, 1)] == [6, 39, 1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_can_end(tmp_path: Path) -> None:
    """Also by Python's own way, which frees what is left."""
    source = open_source(write_video(tmp_path / "clip.mp4", 10, size=(128, 128)))
    source[3]
    child = os.fork()
    if child == 0:
        del source
        gc.collect()
        os._exit(0)
    for _ in range(300):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        time.sleep(0.1)
    else:
        os.kill(child, 9)
        os.waitpid(child, 0)
    assert done and status == 0
