"""Label maps and binary masks in PNG files."""

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from sam2v.masks import bounds
from sam2v.masks.palette import davis_palette
from sam2v.masks.png import read_binary, read_label_map, read_objects, write_binary, write_label_map
from sam2v.video.frames import image_size, read_image

IDS = np.array([[0, 1, 2], [3, 21, 255]], np.uint8)


def test_palette_has_the_colours_of_davis():
    palette = davis_palette()
    assert palette.shape == (256, 3) and palette.dtype == np.uint8
    known = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 6: (0, 128, 128), 8: (64, 0, 0), 9: (191, 0, 0)}
    known |= {16: (0, 64, 0), 21: (128, 64, 128)}
    assert {key: tuple(palette[key].tolist()) for key in known} == known
    assert len(np.unique(palette, axis=0)) == 256


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(hnp.arrays(st.sampled_from([np.uint8, np.int64]), (3, 5), elements=st.integers(0, 255)))
def test_label_map_round_trip(tmp_path, ids):
    write_label_map(tmp_path / "a.png", ids)
    assert np.array_equal(read_label_map(tmp_path / "a.png"), ids)
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == "P"
        assert np.array_equal(np.array(image.convert("RGB")), davis_palette()[ids])


def test_ids_above_255_take_16_bits(tmp_path):
    ids = np.array([[0, 256], [65535, 3]])
    write_label_map(tmp_path / "a.png", ids)
    back = read_label_map(tmp_path / "a.png")
    assert back.dtype == np.uint16 and np.array_equal(back, ids)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_label_map_saved_again_in_colour(tmp_path, mode):
    write_label_map(tmp_path / "a.png", IDS)
    Image.open(tmp_path / "a.png").convert(mode).save(tmp_path / "b.png")
    assert np.array_equal(read_label_map(tmp_path / "b.png"), IDS)


def test_colours_off_by_one_and_greys(tmp_path):
    colours = davis_palette()[IDS].astype(int)
    Image.fromarray(np.where(colours == 191, 192, colours).astype(np.uint8)).save(tmp_path / "voc.png")
    assert np.array_equal(read_label_map(tmp_path / "voc.png"), IDS)
    grey = np.array([[0, 255]], np.uint8)
    Image.fromarray(np.repeat(grey[..., None], 3, 2)).save(tmp_path / "grey.png")
    assert np.array_equal(read_label_map(tmp_path / "grey.png"), grey)


def test_other_modes(tmp_path):
    Image.fromarray(IDS).save(tmp_path / "l.png")
    assert np.array_equal(read_label_map(tmp_path / "l.png"), IDS)
    Image.fromarray(IDS > 1).save(tmp_path / "bits.png")
    assert np.array_equal(read_label_map(tmp_path / "bits.png"), IDS > 1)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(hnp.arrays(st.sampled_from([bool, np.uint8]), (4, 3)))
def test_binary_round_trip(tmp_path, mask):
    write_binary(tmp_path / "x" / "a.png", mask)
    assert np.array_equal(read_binary(tmp_path / "x" / "a.png"), mask != 0)
    assert set(np.unique(Image.open(tmp_path / "x" / "a.png"))) <= {0, 255}


def test_binary_of_other_files(tmp_path):
    write_label_map(tmp_path / "p.png", IDS)
    assert np.array_equal(read_binary(tmp_path / "p.png"), IDS != 0)
    Image.fromarray(IDS).convert("RGBA").save(tmp_path / "rgba.png")
    assert np.array_equal(read_binary(tmp_path / "rgba.png"), IDS != 0)
    Image.fromarray(IDS).convert("LA").save(tmp_path / "la.png")
    assert np.array_equal(read_binary(tmp_path / "la.png"), IDS != 0)


def test_tensors(tmp_path):
    write_binary(tmp_path / "a.png", torch.tensor([[True, False]]))
    assert read_binary(tmp_path / "a.png").tolist() == [[True, False]]
    write_label_map(tmp_path / "a.png", torch.tensor([[4, 0]]))
    assert read_label_map(tmp_path / "a.png").tolist() == [[4, 0]]


@pytest.mark.parametrize("read", [read_label_map, read_binary])
def test_unreadable_files_are_named(tmp_path, read):
    with pytest.raises(FileNotFoundError, match=r"absent.png"):
        read(tmp_path / "absent.png")
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(OSError, match=r"text.png: not a readable picture"):
        read(tmp_path / "text.png")
    write_label_map(tmp_path / "cut.png", np.arange(10000).reshape(100, 100) % 251)
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:900])
    with pytest.raises(OSError, match=r"cut.png: not a readable picture"):
        read(tmp_path / "cut.png")


def test_photographs_are_no_label_maps(tmp_path):
    Image.fromarray(np.full((2, 2, 3), (10, 200, 30), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"a.png.*\[10, 200, 30\]"):
        read_label_map(tmp_path / "a.png")
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "b.png")
    with pytest.raises(ValueError, match=r"b.png.*colours"):
        read_label_map(tmp_path / "b.png")
    Image.fromarray(IDS.astype(np.float32)).save(tmp_path / "f.tiff")
    with pytest.raises(ValueError, match=r"f.tiff: holds fractions"):
        read_label_map(tmp_path / "f.tiff")


def test_bad_values_leave_no_file(tmp_path):
    path = tmp_path / "a.png"
    for labels, error in (
        (np.zeros((2, 2)), TypeError),
        (np.array([[-1]]), ValueError),
        (np.array([[65536]]), ValueError),
        (np.zeros((1, 2, 2), int), ValueError),
    ):
        with pytest.raises(error, match=r"a\.png"):
            write_label_map(path, labels)
    with pytest.raises(TypeError, match="logits"):
        write_binary(path, np.zeros((2, 2)))
    with pytest.raises(ValueError, match="H x W"):
        write_binary(path, np.zeros(4, bool))
    assert list(tmp_path.iterdir()) == []


def test_a_picture_of_too_many_objects(tmp_path, monkeypatch):
    """A few kilobytes of 16 bits could tell of 65535 masks."""
    path = tmp_path / "a.png"
    Image.fromarray(np.arange(128 * 128, dtype=np.uint16).reshape(128, 128)).save(path)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"a\.png: holds 16383 objects, of which 4096 are accepted"):
            read_objects(path)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    monkeypatch.setattr(bounds, "MOST_BYTES", 3 * 10 * 10)
    write_label_map(path, np.arange(100).reshape(10, 10) % 5)
    with pytest.raises(ValueError, match=r"a\.png: 4 masks of 10 x 10 pixels take more than"):
        read_objects(path)
    write_label_map(path, np.arange(100).reshape(10, 10) % 4)
    assert set(read_objects(path)) == {1, 2, 3}


@pytest.mark.parametrize("read", [read_label_map, read_binary, read_objects, read_image, image_size])
def test_damaged_exif(tmp_path, read):
    path = tmp_path / "a.png"
    Image.new("L", (8, 8)).save(path, exif=b"Exif\0\0II*\0")
    with pytest.raises((OSError, ValueError), match=r"a\.png: not"):
        read(path)
