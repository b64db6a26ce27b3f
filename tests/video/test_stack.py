"""Files of several pictures: stacks and animations, and one page of them."""

from __future__ import annotations

import io
import struct
import tracemalloc
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence, features
from video.clips import number_of, numbered_frame

from sam2v.video.frames import as_frame, image_size, read_image
from sam2v.video.sources import EndOfVideo, PictureFile, open_source

MOVING = ["stack.tif", "moving.webp", "moving.gif", "moving.png"]
MOVING += ["moving.avif"] if features.check("avif") else []


def save(path: Path, pictures: Sequence[np.ndarray | Image.Image], **options: object) -> Path:
    """All pictures in one file."""
    first, *others = [p if isinstance(p, Image.Image) else Image.fromarray(p) for p in pictures]
    first.save(path, save_all=True, append_images=others, **options)
    return path


def write_tiff(
    path: Path, pages: np.ndarray, order: str = ">", big: bool = False, text: str = "", kind: int = 0
) -> Path:
    """An uncompressed TIFF as microscopes and ImageJ write it: T x H x W of 8 or 16 bits, in either byte order."""
    count, height, width = pages.shape
    bits, data = pages.itemsize * 8, pages.astype(pages.dtype.newbyteorder(order)).tobytes()
    number, offset = ("Q", 16) if big else ("I", 8)
    mark = b"MM" if order == ">" else b"II"
    start = offset + len(data)
    header = mark + (struct.pack(order + "HHHQ", 43, 8, 0, start) if big else struct.pack(order + "HI", 42, start))
    out = io.BytesIO()
    out.write(header + data)
    description = text.encode() + b"\0"
    for page in range(count):
        tags = [
            *((254, 4, 1, kind if page else 0), (256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, bits)),
            *((259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, offset + page * height * width * pages.itemsize)),
            *((277, 3, 1, 1), (278, 4, 1, height), (279, 4, 1, height * width * pages.itemsize)),
        ]
        at = out.tell()
        entry, head = (20, 8) if big else (12, 2)
        behind = at + head + (len(tags) + bool(text)) * entry + (8 if big else 4)
        if text:
            tags.insert(6, (270, 2, len(description), behind))
            behind += len(description)
        out.write(struct.pack(order + ("Q" if big else "H"), len(tags)))
        for tag, type_, values, value in tags:
            size = 8 if big else 4
            field = (
                struct.pack(order + "H", value).ljust(size, b"\0") if type_ == 3 else struct.pack(order + number, value)
            )
            if type_ == 4 and big:
                field = struct.pack(order + "I", value).ljust(8, b"\0")
            out.write(struct.pack(order + "HH" + number, tag, type_, values) + field)
        out.write(struct.pack(order + number, behind if page + 1 < count else 0))
        out.write(description if text else b"")
    path.write_bytes(out.getvalue())
    return path


@pytest.mark.parametrize("is_renamed", [False, True])
@pytest.mark.parametrize("name", MOVING)
def test_all_pictures_are_frames(tmp_path: Path, name: str, is_renamed: bool) -> None:
    options = {"stack.tif": {}, "moving.webp": {"lossless": True, "duration": 40}}.get(name, {"duration": 40})
    path = save(tmp_path / name, [numbered_frame(number) for number in range(30)], **options)
    if is_renamed:
        path = path.rename(tmp_path / "no ending")
    with open_source(path, cache_bytes=10 * 32 * 64 * 3) as source:
        assert isinstance(source, PictureFile) and len(source) == source.known_length() == 30
        assert source.size == (32, 64) and source.fps == (25 if "moving" in name else None)
        assert [number_of(frame) for frame in source] == list(range(30))
        for index in [29, 0, 17, 16, 3, -1, *range(29, -1, -1)]:
            assert number_of(source[index]) == index % 30
        with pytest.raises(EndOfVideo, match="there is no frame 30, the file has 30 pictures"):
            source[30]
        assert source.frame_name(3) == "00003" and source.file_name(3) == "00003.png"


def test_a_pair_of_photographs(tmp_path: Path) -> None:
    for name in ("pair.mpo", "pair.jpg"):
        path = save(tmp_path / name, [numbered_frame(1), numbered_frame(2)], format="MPO", quality=95)
        assert [number_of(frame) for frame in open_source(path)] == [1, 2]


def test_going_back_in_an_animation_decodes_it_a_few_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "long.gif", [numbered_frame(number) for number in range(120)], duration=40)
    from PIL.GifImagePlugin import GifImageFile

    decoded, seek = [0], GifImageFile._seek
    monkeypatch.setattr(
        GifImageFile, "_seek", lambda self, *args: (decoded.__setitem__(0, decoded[0] + 1), seek(self, *args))[1]
    )
    with open_source(path) as source:
        decoded[0] = 0
        assert [number_of(source[index]) for index in range(119, -1, -1)] == list(range(119, -1, -1))
    assert decoded[0] < 4 * 120


def test_palettes_transparency_and_disposal(tmp_path: Path) -> None:
    """As Pillow composes them: what a picture leaves out is what was there before."""
    size, pictures = (40, 30), []
    for number in range(8):
        picture = Image.new("RGBA", size, (0, 0, 0, 0))
        picture.paste((40 * number % 256, 255 - 30 * number, 90, 255), (3 * number, 5, 3 * number + 10, 15))
        pictures.append(picture)
    for name, options in [
        *[(f"{way}.gif", {"disposal": way, "duration": 50}) for way in (0, 1, 2, 3)],
        *[
            (f"{way}{blend}.png", {"disposal": way, "blend": blend, "duration": 50})
            for way in (0, 1)
            for blend in (0, 1)
        ],
        ("clear.webp", {"lossless": True, "duration": 50}),
    ]:
        path = save(tmp_path / name, pictures, **options)
        with Image.open(path) as file:
            expected = [np.array(frame.convert("RGB")) for frame in ImageSequence.Iterator(file)]
        with open_source(path, cache_bytes=0) as source:
            assert len(source) == len(expected) == 8
            for index in (*range(8), 2, 7, 4, 0):
                np.testing.assert_array_equal(source[index], expected[index], err_msg=f"{name} {index}")
                square = source[index][10, 3 * index + 5].astype(int)
                assert np.abs(square - [40 * index % 256, 255 - 30 * index, 90]).max() < 12, (name, index)


def test_the_picture_for_programs_that_cannot_play_is_no_frame(tmp_path: Path) -> None:
    pictures = [numbered_frame(number) for number in (200, 1, 2, 3)]
    path = save(tmp_path / "fallback.png", pictures, default_image=True, duration=100)
    source = open_source(path)
    assert [number_of(frame) for frame in source] == [1, 2, 3] and source.fps == 10


@pytest.mark.parametrize(("order", "big"), [("<", False), (">", False), ("<", True)])
def test_sixteen_bits_by_one_scale(tmp_path: Path, order: str, big: bool) -> None:
    """Every page is divided by 256, however bright it is by itself."""
    pages = np.stack([np.full((5, 7), 1000 * number, np.uint16) for number in range(1, 60, 9)])
    pages[:, 0, 0] = 60000
    source = open_source(write_tiff(tmp_path / "deep.tif", pages, order, big))
    assert len(source) == len(pages)
    for index in (6, 0, 3, 5, 1):
        np.testing.assert_array_equal(source[index], np.repeat((pages[index] >> 8).astype(np.uint8)[..., None], 3, 2))


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_deflate"])
def test_pages_of_every_kind(tmp_path: Path, compression: str | None) -> None:
    grey = np.stack([np.arange(48, dtype=np.uint8).reshape(6, 8) * 5 + k for k in range(3)])
    kinds = {
        "L": (grey, grey),
        "I16": (grey.astype(np.uint16) * 256 + 3, grey),
        "F": (grey.astype(np.float32) / 255, grey),
        "1": (grey > 100, (grey > 100) * np.uint8(255)),
        "RGB": (np.stack([grey, 255 - grey, grey // 2], 3), None),
    }
    for name, (pages, expected) in kinds.items():
        path = save(tmp_path / f"{name}.tif", list(pages), compression=compression)
        wanted = pages if expected is None else np.repeat(expected[..., None], 3, 3)
        np.testing.assert_array_equal(np.stack(list(open_source(path))), wanted, err_msg=name)
    palettes = [Image.fromarray(np.stack([g, 255 - g, g // 2], 2)).quantize(48) for g in grey]
    path = save(tmp_path / "P.tif", palettes, compression=compression)
    np.testing.assert_array_equal(np.stack(list(open_source(path))), [np.array(p.convert("RGB")) for p in palettes])


def test_values_without_a_scale_are_refused(tmp_path: Path) -> None:
    for name, pages, message in [
        ("floats", [np.zeros((4, 5), np.float32), np.full((4, 5), 300, np.float32)], r"page 1: .* \[0, 1\], got 300"),
        ("negative", [np.zeros((4, 5), np.int32), np.full((4, 5), -7, np.int32)], r"page 1: .* \[0, 65535\], got -7"),
        ("large", [np.zeros((4, 5), np.int32), np.full((4, 5), 70000, np.int32)], r"page 1: .*\[0, 65535\], got 70000"),
    ]:
        source = open_source(save(tmp_path / f"{name}.tif", pages))
        with pytest.raises(ValueError, match=rf"{name}\.tif, {message}"):
            source[1]


def test_a_stack_that_comes_out_black_is_said(tmp_path: Path) -> None:
    """Cameras of 12 bits fill a sixteenth of 16."""
    pages = np.full((3, 4, 5), 4000, np.uint16)
    with pytest.warns(UserWarning, match="16-bit values are divided by 256"):
        open_source(write_tiff(tmp_path / "dark.tif", pages))
    with pytest.warns(UserWarning, match="16-bit values are divided by 256"):
        open_source(pages[..., None])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        open_source(write_tiff(tmp_path / "bright.tif", pages * 16))
        open_source(pages[..., None] * 16)
        open_source(write_tiff(tmp_path / "black.tif", pages * 0))


def test_previews_are_no_frames(tmp_path: Path) -> None:
    pages = np.full((2, 4, 5), 200, np.uint8)
    path = write_tiff(tmp_path / "preview.tif", pages, kind=1)
    assert len(open_source(path)) == 1 and read_image(path).shape == (4, 5, 3)
    photograph = [np.full((32, 64, 3), 90, np.uint8), np.full((16, 32, 3), 40, np.uint8)]
    path = save(tmp_path / "phone.jpg", photograph, format="MPO")
    assert len(open_source(path)) == 1 and read_image(path).shape == (32, 64, 3)


def test_stacks_that_only_imagej_reads_are_refused(tmp_path: Path) -> None:
    one = np.zeros((1, 4, 5), np.uint8)
    path = write_tiff(tmp_path / "huge.tif", one, text="ImageJ=1.53t\nimages=500\nslices=500\n")
    for read in (open_source, read_image):
        with pytest.raises(ValueError, match="ImageJ stack of 500 pictures, of which other programs see 1"):
            read(path)
    several = write_tiff(tmp_path / "fine.tif", np.zeros((3, 4, 5), np.uint8), text="ImageJ=1.53t\nimages=3\n")
    assert len(open_source(several)) == 3


def test_pages_of_another_size(tmp_path: Path) -> None:
    path = save(tmp_path / "mixed.tif", [np.zeros((4, 5), np.uint8), np.zeros((6, 5), np.uint8)])
    source = open_source(path)
    with pytest.raises(ValueError, match="frame 00001 is 5 x 6 pixels, but the first is 5 x 4"):
        source[1]


@pytest.mark.parametrize("name", MOVING)
def test_reading_one_page(tmp_path: Path, name: str) -> None:
    options = {"lossless": True} if name == "moving.webp" else {}
    path = save(tmp_path / name, [numbered_frame(number) for number in range(4)], **options)
    for read in (read_image, as_frame, image_size):
        with pytest.raises(ValueError, match=r"the file holds 4 pictures: name one by its page, 0 to 3"):
            read(path)
    assert [number_of(read_image(path, page)) for page in (3, 0, 2)] == [3, 0, 2]
    assert number_of(read_image(io.BytesIO(path.read_bytes()), page=1)) == 1
    for page in (4, -1):
        with pytest.raises(ValueError, match=rf"there is no page {page}, the file has 4 \(0 to 3\)"):
            read_image(path, page)


def test_a_single_picture_has_page_0(tmp_path: Path) -> None:
    Image.fromarray(numbered_frame(5)).save(tmp_path / "a.png")
    assert number_of(read_image(tmp_path / "a.png", page=0)) == 5
    with pytest.raises(ValueError, match=r"there is no page 1, the file has 1"):
        read_image(tmp_path / "a.png", page=1)


def test_too_large_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000_000)
    Image.new("1", (2000, 2000)).save(tmp_path / "bomb.png")
    for read in (read_image, image_size, open_source):
        with pytest.raises(ValueError, match=r"bomb\.png: the image is too large, Pillow reads 2 million pixels"):
            read(tmp_path / "bomb.png")


def test_cut_short(tmp_path: Path) -> None:
    path = save(tmp_path / "cut.tif", [np.full((40, 50), number, np.uint8) for number in range(5)])
    last = path.read_bytes().rindex(bytes([4]) * 100)
    path.write_bytes(path.read_bytes()[: last + 50])
    with pytest.raises(ValueError, match=r"cut short|not an image"):
        list(open_source(path))


def test_memory_is_bounded(tmp_path: Path) -> None:
    pages = np.zeros((60, 512, 512), np.uint8)
    path = write_tiff(tmp_path / "long.tif", pages)
    tracemalloc.start()
    with open_source(path, cache_bytes=4 * 512 * 512 * 3) as source:
        for frame in source:
            assert frame.shape == (512, 512, 3)
        peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 * 512 * 512 * 3


def test_photographs_are_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side
    for name in ("a.png", "a.jpg", "a.webp", "a.tif"):
        Image.fromarray(numbered_frame(5)).save(tmp_path / name, exif=exif, quality=95)
        for source in (tmp_path / name, io.BytesIO((tmp_path / name).read_bytes())):
            assert image_size(source) == open_source(source).size == (64, 32), name
            assert number_of(np.rot90(read_image(source))) == 5, name
