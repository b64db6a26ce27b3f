"""Masks and label maps as people and tools save them: what is the object, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from sam2v.masks.grey import is_mask, objects_in, one_object, void_pixels
from sam2v.masks.palette import davis_palette
from sam2v.masks.png import read_binary, read_label_map, read_objects

HEIGHT, WIDTH = 60, 90
RNG = np.random.default_rng(3)
PHOTO = np.asarray(
    Image.fromarray(RNG.integers(20, 235, (6, 9, 3)).astype(np.uint8)).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
)


def drawn_ids() -> np.ndarray:
    """Three objects of different shapes, none at the edges of JPEG's blocks."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    ids = np.zeros((HEIGHT, WIDTH), np.uint8)
    ids[11:29, 13:35] = 1
    ids[(rows - 40) ** 2 + (columns - 60) ** 2 < 150] = 2
    ids[5:20, 67:81] = 3
    return ids


IDS = drawn_ids()
MASK = IDS > 0
WHITE = MASK * np.uint8(255)


def grey(values: np.ndarray) -> Image.Image:
    return Image.fromarray(values)


def with_alpha(colours: np.ndarray | int, alpha: np.ndarray) -> Image.Image:
    rgb = np.broadcast_to(np.asarray(colours, np.uint8), (HEIGHT, WIDTH, 3))
    return Image.fromarray(np.dstack([rgb, alpha]).astype(np.uint8))


def palette(values: np.ndarray, colours: list[tuple[int, int, int]]) -> Image.Image:
    image = Image.fromarray(values.astype(np.uint8))
    image.putpalette([channel for colour in colours for channel in colour])
    return image


DAVIS = [tuple(colour) for colour in davis_palette().tolist()]

ONE_OBJECT: dict[str, Image.Image] = {
    "black and white": grey(WHITE),
    "1 bit": grey(MASK),
    "0 and 1": grey(MASK.astype(np.uint8)),
    "one grey": grey(MASK * np.uint8(128)),
    "16 bit white": grey(MASK * np.uint16(65535)),
    "16 bit number": grey(MASK * np.uint16(700)),
    "RGB": grey(np.dstack([WHITE] * 3)),
    "one colour": grey(MASK[..., None] * np.array([230, 40, 40], np.uint8)),
    "one colour of the palette": grey(davis_palette()[MASK * 2]),
    "palette, number 5": palette(MASK * 5, DAVIS),
    "palette with a transparent background": palette(~MASK, [(200, 10, 10), (1, 2, 3)]),
    "alpha of black": with_alpha(0, WHITE),
    "alpha of white": with_alpha(255, WHITE),
    "alpha of a mask": with_alpha(np.dstack([WHITE] * 3), WHITE),
    "alpha of a photograph": with_alpha(PHOTO, WHITE),
    "alpha of a brush at half strength": with_alpha((90, 200, 10), MASK * np.uint8(127)),
    "alpha of greys": Image.fromarray(np.dstack([PHOTO[..., 0], WHITE])),
    "opaque alpha": with_alpha(np.dstack([WHITE] * 3), np.full_like(WHITE, 255)),
    "opaque alpha of grey": Image.fromarray(np.dstack([WHITE, np.full_like(WHITE, 255)])),
}


@pytest.mark.parametrize("name", ONE_OBJECT)
def test_one_object(name: str, tmp_path: Path) -> None:
    options = {"transparency": 1} if name == "palette with a transparent background" else {}
    ONE_OBJECT[name].save(tmp_path / "a.png", **options)
    np.testing.assert_array_equal(read_binary(tmp_path / "a.png"), MASK)
    found = read_objects(tmp_path / "a.png")
    assert list(found) == [
        {"one grey": 128, "16 bit number": 700, "palette, number 5": 5, "one colour of the palette": 1}.get(name, 1)
    ]
    np.testing.assert_array_equal(next(iter(found.values())), MASK)


@pytest.mark.parametrize("quality", [40, 75, 95])
@pytest.mark.parametrize("again", ["jpg", "png", "colour jpg", "webp"])
def test_noise_of_compression_is_not_the_object(quality: int, again: str, tmp_path: Path) -> None:
    """Also where a JPEG was saved as PNG afterwards."""
    path = tmp_path / f"a.{again.split()[-1]}"
    image = grey(np.dstack([WHITE] * 3)) if again == "colour jpg" else grey(WHITE)
    image.save(path if again != "png" else tmp_path / "b.jpg", quality=quality)
    if again == "png":
        Image.open(tmp_path / "b.jpg").save(path)
    assert (np.asarray(Image.open(path)) > 0).sum() > 1.2 * MASK.sum()
    for found in (read_binary(path), read_objects(path)[1]):
        assert (found ^ MASK).sum() <= 0.01 * MASK.sum()


def test_soft_edges_are_split_at_half(tmp_path: Path) -> None:
    image = grey(WHITE).filter(ImageFilter.GaussianBlur(2))
    for name, saved in (("a.png", image), ("b.png", with_alpha(PHOTO, np.asarray(image)))):
        saved.save(tmp_path / name)
        np.testing.assert_array_equal(read_binary(tmp_path / name), np.asarray(image) > 127)
        assert list(read_objects(tmp_path / name)) == [1]
    wide = grey(np.asarray(image).astype(np.uint16) * 257)
    wide.save(tmp_path / "c.png")
    np.testing.assert_array_equal(read_binary(tmp_path / "c.png"), np.asarray(image) > 127)


MAPS: dict[str, tuple[Image.Image, list[int]]] = {
    "grey": (grey(IDS), [1, 2, 3]),
    "grey, spread out to be seen": (grey(IDS * np.uint8(85)), [85, 170, 255]),
    "16 bit": (grey(IDS * np.uint16(300)), [300, 600, 900]),
    "palette": (palette(IDS, DAVIS), [1, 2, 3]),
    "palette of other colours": (palette(IDS * 2, [(0, 0, 0), *[(9 * k, 255 - k, k) for k in range(9)]]), [2, 4, 6]),
    "colours": (grey(davis_palette()[IDS]), [1, 2, 3]),
    "colours on a transparent background": (with_alpha(davis_palette()[IDS], WHITE), [1, 2, 3]),
    "greys on a transparent background": (with_alpha(np.dstack([IDS] * 3), WHITE), [1, 2, 3]),
}


@pytest.mark.parametrize("name", MAPS)
def test_label_maps(name: str, tmp_path: Path) -> None:
    image, ids = MAPS[name]
    image.save(tmp_path / "a.png")
    found = read_objects(tmp_path / "a.png")
    assert list(found) == ids
    for number, mask in enumerate(found.values(), 1):
        np.testing.assert_array_equal(mask, number == IDS)
    np.testing.assert_array_equal(read_binary(tmp_path / "a.png"), MASK)


def test_void_is_no_object(tmp_path: Path) -> None:
    labels = np.where(np.arange(WIDTH) > 85, 255, IDS)
    palette(labels, DAVIS).save(tmp_path / "a.png")
    grey(labels.astype(np.uint8)).save(tmp_path / "b.png")
    for name in ("a.png", "b.png"):
        assert list(read_objects(tmp_path / name)) == [1, 2, 3]
    grey(labels.astype(np.uint16) + np.uint16(300) * MASK).save(tmp_path / "c.png")
    assert 255 in read_objects(tmp_path / "c.png")  # 16 bits have no void


def test_a_turned_picture_is_read_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned right
    grey(np.rot90(WHITE)).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_binary(tmp_path / "a.png"), MASK)


def tiff_of_two(path: Path) -> None:
    grey(WHITE).save(path, save_all=True, append_images=[grey(WHITE)])


REFUSED: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "black": (lambda path: grey(WHITE * 0).save(path), "a.png", "the mask is empty"),
    "transparent": (lambda path: with_alpha(PHOTO, WHITE * 0).save(path), "a.png", "the mask is empty"),
    "nothing but void": (lambda path: palette(IDS * 0, DAVIS).save(path), "a.png", "the mask is empty"),
    "label map as JPEG": (lambda path: grey(IDS).save(path), "a.jpg", "cannot hold object numbers, save a PNG"),
    "photograph": (lambda path: Image.fromarray(PHOTO).save(path), "a.jpg", "% of its pixels are grey"),
    "grey photograph": (lambda path: Image.fromarray(PHOTO[..., 0]).save(path), "a.jpg", "% of its pixels are grey"),
    "colour picture": (lambda path: Image.fromarray(PHOTO).save(path), "a.png", "RGB picture .* is no label map"),
    "two masks": (
        lambda path: with_alpha(np.dstack([WHITE] * 3), np.roll(WHITE, 5, 1)).save(path),
        "a.png",
        "its greys and its transparency are two masks",
    ),
    "palette made from colours": (
        lambda path: palette(~MASK, [(255, 255, 255), (0, 0, 0)]).save(path),
        "a.png",
        "its palette paints index 0 .255, 255, 255. and index 1 black",
    ),
    "pages": (tiff_of_two, "a.tiff", "holds 2 pictures; a mask is one"),
    "fractions": (lambda path: grey(MASK.astype(np.float32)).save(path), "a.tiff", "holds fractions"),
    "empty file": (lambda path: path.touch(), "a.png", "not a readable picture .the file is empty"),
    "text": (lambda path: path.write_text("mask"), "a.png", "not a readable picture .unknown format"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, tmp_path: Path) -> None:
    save, file, message = REFUSED[name]
    save(tmp_path / file)
    with pytest.raises((ValueError, OSError), match=f"{file}: .*{message}"):
        read_objects(tmp_path / file)


def test_a_decompression_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grey(WHITE).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for read in (read_objects, read_binary, read_label_map):
        with pytest.raises(OSError, match=r"a\.png: not a readable picture .*bomb"):
            read(tmp_path / "a.png")


@given(st.sets(st.integers(1, 64), min_size=1, max_size=5), st.booleans())
def test_small_numbers_are_numbers_whatever_their_area(numbers: set[int], void: bool) -> None:
    values = np.zeros((8, 12), np.uint8)
    values[0, : len(numbers)] = sorted(numbers)
    values[1, 0] = 255 * void
    assert not is_mask(values)
    assert objects_in(values) == sorted(numbers)
    assert (void_pixels(values) is not None) == void
    np.testing.assert_array_equal(one_object(values), values != 0)


@given(st.integers(1, 254), st.integers(1, 254))
def test_one_value_is_one_object(value: int, other: int) -> None:
    values = np.zeros((9, 9), np.uint8)
    values[2:7, 2:7] = value
    np.testing.assert_array_equal(one_object(values), values != 0)
    assert objects_in(values) == [value]
