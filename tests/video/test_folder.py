"""Folders of images: order, names, kinds, and masks that lie beside the frames."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from PIL import Image
from video.clips import number_of, numbered_frame

from sam2v.video.folder import names_of
from sam2v.video.frames import natural_key
from sam2v.video.sources import EndOfVideo, open_source


def save_images(folder: Path, names: list[str]) -> Path:
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        Image.fromarray(numbered_frame(number)).save(folder / name, **({"quality": 95} if name.endswith("jpg") else {}))
    return folder


def test_natural_order_whatever_the_names(tmp_path: Path) -> None:
    names = ["shot 1.png", "shot 2.PNG", "shot 10.png", "shot 010 b.Png", "shot 11.png", "take2.png"]
    folder = save_images(tmp_path / "any", names)
    (folder / "notes.txt").write_text("not a frame")
    for hidden in (".hidden.png", "._shot 1.png", ".DS_Store", "Thumbs.db"):
        (folder / hidden).write_bytes(b"")
    (folder / "sub").mkdir()
    with warnings.catch_warnings(), open_source(folder) as source:
        warnings.simplefilter("error")
        assert [number_of(frame) for frame in source] == [0, 1, 2, 3, 4, 5]
        assert len(source) == 6 and source.size == (32, 64) and source.is_seekable and source.fps is None
        assert source.frame_names == ["shot 1", "shot 2", "shot 10", "shot 010 b", "shot 11", "take2"]
        assert [source.file_name(index) for index in range(6)] == names and source.path == folder
        assert number_of(source[-1]) == 5 and number_of(source[2]) == 2
        with pytest.raises(EndOfVideo):
            source[6]


@pytest.mark.parametrize(
    "names",
    [["a.jpg", "b.JPG", "c.jpeg", "d.JPEG", "e.jpe", "f.jfif"], ["a.tif", "b.TIFF", "c.tiff"], ["a.bmp", "b.dib"]],
)
def test_spellings_of_one_kind(tmp_path: Path, names: list[str]) -> None:
    folder = tmp_path / "spelt"
    folder.mkdir()
    formats = {"j": "JPEG", "t": "TIFF", "b": "BMP", "d": "BMP"}
    for number, name in enumerate(names):
        kind = formats[Path(name).suffix[1].lower()]
        Image.fromarray(numbered_frame(number)).save(folder / name, kind)
    source = open_source(folder)
    assert [number_of(frame) for frame in source] == list(range(len(names)))
    assert [source.file_name(index) for index in range(len(names))] == names


def test_frame_names_stay_different(tmp_path: Path) -> None:
    source = open_source(save_images(tmp_path / "twins", ["a.jpg", "a.jpeg"]))
    assert source.frame_names == ["a_jpeg", "a_jpg"] and source.file_name(1) == "a.jpg"


def test_no_two_files_get_one_name() -> None:
    names = names_of([Path(name) for name in ("a.jpg", "a.jpeg", "b.c.jpg", "b_c.jpg")])
    assert names == ["a_jpg", "a_jpeg", "b.c_jpg", "b_c_jpg"]


@pytest.mark.parametrize("beside", ["{}.png", "{}_x.png", "{}.webp"])
def test_two_kinds_are_refused(tmp_path: Path, beside: str) -> None:
    frames = [f"f{number}.jpg" for number in range(3)]
    folder = save_images(tmp_path / "two", [*frames, *(beside.format(f"f{number}") for number in range(3))])
    kind = Path(beside).suffix
    with pytest.raises(ValueError, match=r"two: .* several kinds \(3 \.\w+, 3 \.\w+\), and only one") as caught:
        open_source(folder)
    assert ".jpg" in str(caught.value) and kind in str(caught.value)
    assert [number_of(frame) for frame in open_source([folder / name for name in frames])] == [0, 1, 2]


@pytest.mark.parametrize(
    "beside", ["{}_mask.png", "{}-Mask.jpg", "mask_{}.png", "{}.seg.png", "{} labels.jpg", "{}_gt.png"]
)
def test_masks_beside_frames_are_left_out_with_a_word(tmp_path: Path, beside: str) -> None:
    frames = [f"f{number}.jpg" for number in range(3)]
    masks = [beside.format(f"f{number}") for number in range(3)]
    folder = save_images(tmp_path / "both", [*frames, *masks])
    with pytest.warns(UserWarning, match="both: 3 images named as masks of others are left out") as said:
        source = open_source(folder)
    assert masks[0] in str(said[0].message) and said[0].filename == __file__
    assert [number_of(frame) for frame in source] == [0, 1, 2]
    assert [source.file_name(index) for index in range(3)] == frames


def test_only_masks_are_frames(tmp_path: Path) -> None:
    folder = save_images(tmp_path / "masks", ["f0_mask.png", "f1_mask.png", "mask.png"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(open_source(folder)) == 3


def test_images_without_endings(tmp_path: Path) -> None:
    folder = save_images(tmp_path / "plain", ["1.png", "2.png"])
    for path in list(folder.iterdir()):
        path.rename(path.with_suffix(""))
    assert [number_of(frame) for frame in open_source(folder)] == [0, 1]


def test_a_file_of_several_pictures_is_no_frame(tmp_path: Path) -> None:
    folder = save_images(tmp_path / "stacks", ["0.tif", "1.tif"])
    pages = [Image.fromarray(numbered_frame(number)) for number in range(3)]
    pages[0].save(folder / "1.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(ValueError, match=r"1\.tif: the file holds 3 pictures: name one by its page, 0 to 2"):
        open_source(folder)


def test_sizes_must_agree(tmp_path: Path) -> None:
    names = ["1.png", "2.png", "3.png"]
    folder = save_images(tmp_path / "mixed", names)
    Image.new("RGB", (10, 20)).save(folder / "2.png")
    with pytest.raises(ValueError, match="frame 2 is 10 x 20 pixels, but the first is 64 x 32"):
        open_source(folder)
    source = open_source([folder / name for name in names])
    with pytest.raises(ValueError, match="same size"):
        source[1]
    assert number_of(source[2]) == 2


def test_a_folder_changed_under_a_source_is_said(tmp_path: Path) -> None:
    folder = save_images(tmp_path / "live", ["1.png", "2.png"])
    source = open_source(folder)
    (folder / "2.png").unlink()
    with pytest.raises(OSError, match=r"2\.png"):
        source[1]


def test_natural_key_is_a_total_order() -> None:
    names = ["a", "a1", "a01", "a2", "a10", "A3", "10", "9", "b", "1.5", "1.10", ""]
    ordered = sorted(names, key=natural_key)
    assert ordered.index("9") < ordered.index("10") and ordered.index("a2") < ordered.index("A3") < ordered.index("a10")
    backwards = list(reversed(ordered))
    assert sorted(backwards, key=natural_key) == ordered


def test_names_with_digits_of_any_kind_can_be_ordered() -> None:
    names = ["a" + "9" * 5000, "10\u00b2.png", "\u00b2", "\u0663", "3.png", "10.png", "007", "a8"]
    ordered = sorted(names, key=natural_key)
    assert ordered.index("3.png") < ordered.index("007") < ordered.index("10.png")
    assert ordered.index("a8") < ordered.index(names[0])
