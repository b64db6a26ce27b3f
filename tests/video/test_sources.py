"""`open_source`: folders, arrays, lists and streams; what it refuses; frames of every kind."""

import gc
import os
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from video.clips import number_of, numbered_frame, write_video

from sam2v.video.base import FrameCache
from sam2v.video.frames import as_frame, natural_key
from sam2v.video.sequences import StreamSource
from sam2v.video.sources import EndOfVideo, FrameDropped, VideoFile, open_source


def frames(count: int) -> np.ndarray:
    return np.stack([numbered_frame(number) for number in range(count)])


def save_images(folder: Path, names: list[str]) -> Path:
    folder.mkdir()
    for number, name in enumerate(names):
        Image.fromarray(numbered_frame(number)).save(folder / name, **({"quality": 95} if name.endswith("jpg") else {}))
    return folder


def numbers(source: object) -> list[int]:
    return [number_of(frame) for frame in open_source(source)]


def test_folder_in_natural_order_whatever_the_names(tmp_path: Path) -> None:
    names = ["shot 1.png", "shot 2.jpg", "shot 10.PNG", "shot 010 b.webp", "shot 11.bmp", "take2.tiff"]
    folder = save_images(tmp_path / "any", names)
    (folder / "notes.txt").write_text("not a frame")
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "sub").mkdir()
    with open_source(folder) as source:
        assert [number_of(frame) for frame in source] == [0, 1, 2, 3, 4, 5]
        assert len(source) == 6 and source.size == (32, 64) and source.is_seekable and source.fps is None
        assert source.frame_names == ["shot 1", "shot 2", "shot 10", "shot 010 b", "shot 11", "take2"]
        assert number_of(source[-1]) == 5 and number_of(source[2]) == 2
        with pytest.raises(EndOfVideo):
            source[6]


def test_frame_names_stay_different(tmp_path: Path) -> None:
    assert open_source(save_images(tmp_path / "twins", ["a.jpg", "a.png"])).frame_names == ["a_jpg", "a_png"]


def test_folder_of_images_without_endings(tmp_path: Path) -> None:
    folder = save_images(tmp_path / "plain", ["1.png", "2.png"])
    for path in list(folder.iterdir()):
        path.rename(path.with_suffix(""))
    assert numbers(folder) == [0, 1]


def test_natural_key_is_a_total_order() -> None:
    names = ["a", "a1", "a01", "a2", "a10", "A3", "10", "9", "b", "1.5", "1.10", ""]
    ordered = sorted(names, key=natural_key)
    assert ordered.index("9") < ordered.index("10") and ordered.index("a2") < ordered.index("A3") < ordered.index("a10")
    backwards = list(reversed(ordered))
    assert sorted(backwards, key=natural_key) == ordered


def test_arrays_tensors_and_lists_give_the_same_frames(tmp_path: Path) -> None:
    array = frames(5)
    tensor = torch.from_numpy(array)
    paths = [str(path) for path in sorted(save_images(tmp_path / "p", [f"{k}.png" for k in range(5)]).iterdir())]
    kinds = [
        array,
        tensor,
        tensor.permute(0, 3, 1, 2),
        tensor.float() / 255,
        array.astype(np.uint16) * 256,
        array[..., 0],
        np.concatenate([array, array[..., :1]], axis=3),
        list(array),
        tuple(tensor),
        [Image.fromarray(frame) for frame in array],
        paths,
        iter(array),
        (frame for frame in array),
    ]
    for kind in kinds:
        source = open_source(kind)
        got = np.stack(list(source))
        np.testing.assert_array_equal(got, array)
        assert got.dtype == np.uint8 and len(source) == 5 and source.size == (32, 64)
        assert source.frame_names == ["00000", "00001", "00002", "00003", "00004"]


def test_one_image_is_a_video_of_one_frame(tmp_path: Path) -> None:
    assert numbers(save_images(tmp_path / "one", ["x.png"]) / "x.png") == [0]


def test_a_source_is_returned_as_it_is() -> None:
    source = open_source(frames(2))
    assert open_source(source) is source


def test_fps_is_taken_where_the_source_has_none(tmp_path: Path) -> None:
    assert open_source(frames(2), fps=12.0).fps == 12.0
    assert open_source(write_video(tmp_path / "own.mp4", 3), fps=12.0).fps == 25.0


class TestStream:
    def test_keeps_a_window_and_says_when_a_frame_is_gone(self) -> None:
        source = StreamSource(iter(frames(20)), window=4)
        assert not source.is_seekable and source.known_length() is None
        with pytest.raises(TypeError, match="unknown"):
            len(source)
        assert [number_of(source[k]) for k in (0, 6, 3, 5, 6)] == [0, 6, 3, 5, 6]
        with pytest.raises(FrameDropped, match=r"frame 2 is no longer kept: .* newest 4 frames, now 3 to 6"):
            source[2]
        assert number_of(source[19]) == 19
        with pytest.raises(EndOfVideo, match="after 20"):
            source[20]
        assert len(source) == 20 and number_of(source[-1]) == 19

    def test_takes_only_what_is_asked_for(self) -> None:
        taken: list[int] = []

        def camera() -> Iterator[np.ndarray]:
            for number in range(100):
                taken.append(number)
                yield numbered_frame(number)

        source = open_source(camera())
        source[3]
        assert taken == [0, 1, 2, 3]

    def test_copies_a_buffer_that_the_camera_reuses(self) -> None:
        buffer = numbered_frame(0).copy()

        def camera() -> Iterator[np.ndarray]:
            for number in range(5):
                buffer[:] = numbered_frame(number)
                yield buffer

        source = open_source(camera())
        source[4]
        assert [number_of(source[k]) for k in range(5)] == [0, 1, 2, 3, 4]

    def test_memory_does_not_grow(self) -> None:
        alive: list[weakref.ref[np.ndarray]] = []

        def camera() -> Iterator[np.ndarray]:
            for _ in range(50):
                frame = np.zeros((8, 8, 3), np.uint8)
                alive.append(weakref.ref(frame))
                yield frame

        source = StreamSource(camera(), window=3)
        source[49]
        gc.collect()
        assert len(source._recent) == 3 and sum(ref() is not None for ref in alive) <= 1

    def test_errors_and_closing_reach_the_generator(self) -> None:
        closed = threading.Event()

        def camera() -> Iterator[np.ndarray]:
            try:
                yield numbered_frame(0)
                yield numbered_frame(1)
                raise ConnectionError("the camera was unplugged")
            finally:
                closed.set()

        source = open_source(camera())
        with pytest.raises(ConnectionError, match="unplugged"):
            source[2]
        other = open_source(camera())
        closed.clear()
        other.close()
        assert closed.is_set()

    def test_sizes_must_agree(self) -> None:
        source = open_source(iter([np.zeros((4, 6, 3), np.uint8), np.zeros((4, 5, 3), np.uint8)]))
        with pytest.raises(ValueError, match="frame 00001 is 5 x 4 pixels, but the first is 6 x 4"):
            source[1]


@pytest.mark.parametrize("names", [["1.png", "2.png", "3.png"]])
def test_images_of_different_sizes(tmp_path: Path, names: list[str]) -> None:
    folder = save_images(tmp_path / "mixed", names)
    Image.new("RGB", (10, 20)).save(folder / "2.png")
    with pytest.raises(ValueError, match="frame 2 is 10 x 20 pixels, but the first is 64 x 32"):
        open_source(folder)
    source = open_source([folder / name for name in names])
    with pytest.raises(ValueError, match="same size"):
        source[1]
    assert number_of(source[2]) == 2


def test_what_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "a.jpg").write_text("no image at all")
    (tmp_path / "zero.png").write_bytes(b"")
    cut = save_images(tmp_path / "cut", ["1.png"]) / "1.png"
    cut.write_bytes(cut.read_bytes()[:-60])
    for source, error, message in [
        (tmp_path / "nowhere", FileNotFoundError, "no such file or folder"),
        (tmp_path / "empty", ValueError, "holds no images"),
        (texts, ValueError, "not an image"),
        (texts / "a.jpg", ValueError, "not an image"),
        (tmp_path / "zero.png", ValueError, "the file is empty"),
        (cut, ValueError, "cut short"),
        ([], ValueError, "no frames"),
        (iter([]), ValueError, "no frames"),
        (np.zeros((0, 4, 4, 3), np.uint8), ValueError, "no frames"),
        (np.zeros((4, 4, 3), np.uint8), ValueError, "T x H x W x 3"),
        (np.zeros((2, 5, 4, 7), np.uint8), ValueError, "H x W x 3"),
        (np.zeros((2, 4, 4, 3), np.int64), TypeError, "uint8"),
        (np.full((2, 4, 4, 3), 128.0), ValueError, r"\[0, 1\]"),
        ([3, 4], TypeError, "got int"),
        (None, TypeError, "cannot open a video from NoneType"),
        (0, TypeError, "cannot open a video from int"),
        (b"bytes", TypeError, "cannot open a video from bytes"),
        ({"a": 1}, TypeError, "cannot open a video from dict"),
    ]:
        with pytest.raises(error, match=message) as caught:
            open_source(source)
        assert "\n" not in str(caught.value)
        if isinstance(source, Path):
            assert str(source) in str(caught.value)


def test_image_files_of_every_kind(tmp_path: Path) -> None:
    grey = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5
    deep = grey.astype(np.uint16) * 256 + 3
    rgb = np.stack([grey, 255 - grey, grey // 2], axis=2)
    cases = {
        "L.png": (Image.fromarray(grey), np.repeat(grey[..., None], 3, 2)),
        "I16.png": (Image.fromarray(deep), np.repeat(grey[..., None], 3, 2)),
        "RGBA.png": (Image.fromarray(np.dstack([rgb, grey])), rgb),
        "LA.png": (Image.fromarray(np.dstack([grey, grey]), "LA"), np.repeat(grey[..., None], 3, 2)),
        "P.png": (Image.fromarray(rgb).quantize(48), None),
        "1.png": (Image.fromarray(grey > 100), np.repeat((grey > 100)[..., None] * np.uint8(255), 3, 2)),
        "I16.tiff": (Image.fromarray(deep), np.repeat(grey[..., None], 3, 2)),
        "F.tiff": (Image.fromarray((grey / 255).astype(np.float32)), np.repeat(grey[..., None], 3, 2)),
    }
    for name, (image, expected) in cases.items():
        image.save(tmp_path / name)
        frame = as_frame(tmp_path / name)
        assert frame.dtype == np.uint8 and frame.shape == (6, 8, 3) and frame.flags.c_contiguous, name
        if expected is not None:
            np.testing.assert_array_equal(frame, expected, err_msg=name)
            np.testing.assert_array_equal(as_frame(Image.open(tmp_path / name)), expected, err_msg=name)


def test_photographs_are_upright(tmp_path: Path) -> None:
    image = Image.fromarray(numbered_frame(5))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side
    image.save(tmp_path / "side.png", exif=exif)
    with open_source([tmp_path / "side.png"]) as source:
        assert source.size == (64, 32)
        np.testing.assert_array_equal(source[0], np.rot90(numbered_frame(5), -1))
    assert open_source(tmp_path).size == (64, 32)


def test_cache_is_bounded_in_bytes() -> None:
    cache = FrameCache(max_bytes=3 * 100)
    for index in range(10):
        cache.put(index, np.zeros(100, np.uint8))
        cache.get(0)
    assert cache.bytes == 300 and cache.get(0) is not None and cache.get(9) is not None and cache.get(5) is None
    cache.put(11, np.zeros(1000, np.uint8))
    assert cache.get(11) is not None and cache.bytes == 1000
    for index in range(1000):
        cache.put(index, np.zeros(1, np.uint8))
    assert cache.bytes <= 64 and cache.get(999) is not None


def test_a_folder_changed_under_a_source_is_said(tmp_path: Path) -> None:
    folder = save_images(tmp_path / "live", ["1.png", "2.png"])
    source = open_source(folder)
    os.remove(folder / "2.png")
    with pytest.raises(OSError, match=r"2\.png"):
        source[1]


def test_real_clips(shared_dir: Path) -> None:
    """Counts, sizes and rates as FFmpeg states them, and seeking equals reading onward."""
    av = pytest.importorskip("av")
    for name, count in [("01_dog", 289), ("03_blocks", 292), ("05_default_juggle", 247)]:
        path = shared_dir / "data" / "videos" / f"{name}.mp4"
        with av.open(str(path)) as container, VideoFile(path) as source:
            stream = container.streams.video[0]
            assert len(source) == stream.frames == count
            assert source.size == (stream.height, stream.width) and source.fps == float(stream.average_rate)
            expected = {}
            for index, frame in enumerate(container.decode(stream)):
                if index in (0, 3, 41, 60):
                    expected[index] = frame.to_ndarray(format="rgb24")
                if index == 60:
                    break
            for index in (60, 3, 0, 41):
                np.testing.assert_array_equal(source[index], expected[index])
