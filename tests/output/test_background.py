"""Several writers in a thread of their own: order, errors, what waits."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest
from output.test_writers import SIZE, result_of, written

from sam2v.masks import MaskletFrame
from sam2v.output import background
from sam2v.output.background import BackgroundWriter
from sam2v.output.base import MaskWriter, Target
from sam2v.output.writers import FORMATS, open_writer, open_writers
from sam2v.video.sources import open_source


class Recorder(MaskWriter):
    """Keeps the numbers of frames, and fails on some of them; may be held up."""

    def __init__(self, fails: tuple[int, ...] = (), error: type[BaseException] = OSError) -> None:
        super().__init__(Target(Path("out"), SIZE, 25.0, str, str, False))
        self.path, self.fails, self.error = Path("out"), fails, error
        self.seen: list[int] = []
        self.threads: set[int] = set()
        self.go = threading.Event()
        self.go.set()
        self.finished: bool | None = None

    @staticmethod
    def remove_results(folder: Path, format: str) -> None: ...

    def done_frames(self) -> set[int]:
        return set(self.seen)

    def _write(self, result: MaskletFrame) -> None:
        self.go.wait()
        self.threads.add(threading.get_ident())
        if result.frame_idx in self.fails:
            raise self.error(f"frame {result.frame_idx}")
        self.seen.append(result.frame_idx)

    def _finish(self, finished: bool) -> None:
        self.finished = finished


def test_formats_written_together_are_those_written_alone(tmp_path: Path) -> None:
    order = [*range(6, 14), *range(5, -1, -1), 9]
    formats = [*FORMATS]
    with open_writers(",".join(formats), tmp_path / "together", size=SIZE, fps=25) as writer:
        for index in order:
            writer.write(result_of(index))
        writer.flush()
        assert writer.done_frames() == set(order)
    for format in formats:
        with open_writer(format, tmp_path / format, size=SIZE, fps=25) as single:
            for index in order:
                single.write(result_of(index))
        assert written(format, tmp_path / "together") == written(format, tmp_path / format)


def test_frames_keep_their_order_and_are_written_elsewhere() -> None:
    first, second = Recorder(), Recorder()
    with BackgroundWriter([first, second]) as writer:
        for index in range(50):
            writer.write(result_of(index))
    assert first.seen == second.seen == list(range(50))
    assert first.finished and first.threads == second.threads and first.threads != {threading.get_ident()}


def test_few_results_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "WAITING", 3)
    recorder = Recorder()
    recorder.go.clear()
    writer = BackgroundWriter([recorder])
    for index in range(3):
        writer.write(result_of(index))
    blocked = threading.Thread(target=writer.write, args=[result_of(3)])
    blocked.start()
    blocked.join(0.2)
    assert blocked.is_alive() and not recorder.seen
    recorder.go.set()
    blocked.join(5)
    writer.close()
    assert recorder.seen == [0, 1, 2, 3]


@pytest.mark.parametrize("when", ["write", "flush", "close", "done_frames"])
@pytest.mark.parametrize("error", [OSError, ValueError, KeyboardInterrupt])
def test_an_error_comes_with_the_next_call_and_loses_nothing(when: str, error: type[BaseException]) -> None:
    bad, good = Recorder((3,), error), Recorder()
    writer = BackgroundWriter([bad, good])
    with pytest.raises(error, match="frame 3"):
        for index in range(6):
            writer.write(result_of(index))
            if index == 3:
                for future in writer._pending:
                    future.exception()
                if when == "flush":
                    writer.flush()
                elif when == "close":
                    writer.close()
                elif when == "done_frames":
                    writer.done_frames()
    raised_at = 4 if when == "write" else 3
    writer.close()
    assert good.seen == list(range(raised_at + (when != "write")))
    assert bad.seen == [index for index in good.seen if index != 3]
    assert good.finished is not None and bad.finished is not None


def test_what_is_wrong_with_a_result_is_said_at_once(tmp_path: Path) -> None:
    with open_writers("png,mp4", tmp_path, size=SIZE) as writer:
        for wrong, words in (
            (result_of(0, (16, 64)), "but the video is 32 x 64"),
            (result_of(0).with_frame(None), "no picture to draw on"),
            (result_of(0, ids=(0, 1)), "object ids 1 to 65535, got 0"),
        ):
            with pytest.raises(ValueError, match=words):
                writer.write(wrong)
    assert not written("png", tmp_path)
    with pytest.raises(ValueError, match="closed"):
        writer.write(result_of(0))


def test_the_first_error_is_the_one_to_tell() -> None:
    recorder = Recorder((0,))
    with pytest.raises(KeyError, match="mine"), BackgroundWriter([recorder]) as writer:
        writer.write(result_of(0))
        raise KeyError("mine")
    assert recorder.finished is False


def test_a_source_says_what_a_writer_needs(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "clip").mkdir()
    for index in range(3):
        Image.fromarray(np.full((*SIZE, 3), 9, np.uint8)).save(tmp_path / "clip" / f"IMG_{index}.JPG")
    with open_writers(["png", "coco"], tmp_path / "out", source=open_source(tmp_path / "clip")) as writer:
        for index in range(3):
            writer.write(result_of(index))
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == [f"IMG_{index}.png" for index in range(3)]
    images = json.loads((tmp_path / "out" / "masks.json").read_text())["images"]
    assert [image["file_name"] for image in images] == [f"IMG_{index}.JPG" for index in range(3)]
    with pytest.raises(ValueError, match="needs the video's size, or the video as source"):
        open_writer("png", tmp_path)
