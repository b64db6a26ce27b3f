"""`open_source`: folders, arrays, lists and streams; what it refuses; frames of every kind."""

import io
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from video.clips import number_of, numbered_frame, write_video

from sam2v.video.cache import FrameCache
from sam2v.video.frames import as_frame
from sam2v.video.sources import VideoFile, open_source


def frames(count: int) -> np.ndarray:
    return np.stack([numbered_frame(number) for number in range(count)])


def save_images(folder: Path, names: list[str]) -> Path:
    folder.mkdir()
    for number, name in enumerate(names):
        Image.fromarray(numbered_frame(number)).save(folder / name, **({"quality": 95} if name.endswith("jpg") else {}))
    return folder


def numbers(source: object) -> list[int]:
    return [number_of(frame) for frame in open_source(source)]


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
    for fps in (0, -3.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="fps must be a number above 0"):
            open_source(frames(2), fps=fps)
    assert open_source(frames(2), fps=0.0004).shown(1) == (2500, 5000)
    assert open_source(frames(2), fps=29.97).shown(1)[1] == Fraction(2, 1) / Fraction(2997, 100)


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


def test_big_endian_arrays() -> None:
    array = frames(2).astype(np.uint16) * 256
    np.testing.assert_array_equal(np.stack(list(open_source(array.astype(">u2")))), frames(2))
    np.testing.assert_array_equal(as_frame((frames(1)[0] / 255).astype(">f4")), frames(1)[0])


def test_file_names(tmp_path: Path) -> None:
    """The real name where a frame is a file; that of a picture made from it elsewhere."""
    folder = save_images(tmp_path / "p", ["a.PNG", "b.PNG"])
    assert [open_source(folder).file_name(index) for index in range(2)] == ["a.PNG", "b.PNG"]
    paths = open_source(sorted(folder.iterdir()))
    assert [paths.file_name(index) for index in range(2)] == ["a.PNG", "b.PNG"]
    assert open_source(frames(2)).file_name(1) == "00001.png"
    assert open_source(write_video(tmp_path / "clip.mp4", 3)).file_name(2) == "00002.png"


def test_open_image_files_are_frames(tmp_path: Path) -> None:
    files = [
        io.BytesIO(path.read_bytes()) for path in sorted(save_images(tmp_path / "f", ["a.png", "b.jpg"]).iterdir())
    ]
    assert numbers(files) == [0, 1] and number_of(as_frame(files[1])) == 1


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
