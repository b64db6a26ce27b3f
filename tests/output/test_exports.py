"""Formats of annotation tools and trainers, read by the libraries that read them."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from video.clips import write_video

from sam2v.masks import MaskletFrame
from sam2v.masks.outline import _nearest, filled, outlines, polygon_of
from sam2v.output.writers import open_writer
from sam2v.video.sources import ArraySource, open_source

SIZE, FRAMES = (60, 80), 6
CLASSES = {1: "fox & hound", 7: "bird"}


def masks_of(index: int) -> dict[int, np.ndarray]:
    """A ring with a second part, a disc that is absent on frames 2 and 3, and a pixel."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    away = (x - 25 - index) ** 2 + (y - 25) ** 2
    ring = ((away < 18**2) & (away > 8**2)) | ((abs(x - 65) < 5) & (abs(y - 50) < 6))
    disc = (x - 60) ** 2 + (y - 20 - index) ** 2 < 9**2
    return {1: ring, 7: disc & (index not in (2, 3)), 9: (x == 3 + index) & (y == 4)}


def write(format: str, folder: Path, order: tuple[int, ...] = (0, 1, 2, 3, 4, 5), **options: object) -> Path:
    with open_writer(format, folder, size=SIZE, fps=10, classes=CLASSES, **options) as writer:  # type: ignore[arg-type]
        for index in order:
            writer.write(result_of(index))
    return folder


def result_of(index: int) -> MaskletFrame:
    masks = masks_of(index)
    logits = torch.from_numpy(np.stack(list(masks.values())))[:, None] * 8.0 - 4
    return MaskletFrame(index, list(masks), logits, torch.ones(3), torch.ones(3), np.full((*SIZE, 3), 40, np.uint8))


def overlap(mask: np.ndarray, other: np.ndarray) -> float:
    return float((mask & other).sum() / (mask | other).sum())


@given(hnp.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_outlines_and_the_polygon_that_joins_them_enclose_the_mask(mask: np.ndarray) -> None:
    np.testing.assert_array_equal(filled(outlines(mask), mask.shape), mask)
    polygon = polygon_of(mask, tolerance=0)
    assert (polygon is None) == (not mask.any())
    if polygon is not None:
        np.testing.assert_array_equal(filled([polygon], mask.shape), mask)


@given(hnp.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_middles_of_pixels_are_those_of_the_mask(mask: np.ndarray) -> None:
    polygon = polygon_of(mask, tolerance=0, centres=True)
    if polygon is not None:
        x, y = polygon.astype(int).T
        rows, columns = np.nonzero(mask)
        assert mask[y, x].all()
        assert (x.min(), y.min(), x.max(), y.max()) == (columns.min(), rows.min(), columns.max(), rows.max())


def test_parts_are_joined_where_they_are_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    rings = rng.integers(0, 99, (2, 300, 2)).astype(float)
    apart = ((rings[0][:, None] - rings[1][None]) ** 2).sum(axis=2)
    for room in (1, 1000, 1 << 20):
        monkeypatch.setattr("sam2v.masks.outline._TOGETHER", room)
        assert _nearest(*rings) == np.unravel_index(apart.argmin(), apart.shape)


def test_polygons_that_leave_the_picture_are_cut() -> None:
    mask = filled([np.array([[-5.0, -5.0], [3.0, -5.0], [3.0, 200.0], [-5.0, 200.0]])], (4, 6))
    np.testing.assert_array_equal(mask, np.arange(6) < np.full((4, 1), 3))


def test_a_simplified_polygon_stays_near_and_has_few_corners() -> None:
    mask = masks_of(0)[7]
    exact, simple = polygon_of(mask, tolerance=0), polygon_of(mask, tolerance=1.0)
    assert exact is not None and simple is not None and len(simple) < len(exact) / 2
    assert overlap(filled([simple], SIZE), mask) > 0.93


def test_yolo_by_supervision(tmp_path: Path) -> None:
    supervision = pytest.importorskip("supervision")
    folder = write("yolo", tmp_path, (3, 0, 1, 2, 5, 4))
    data = supervision.DetectionDataset.from_yolo(
        str(folder / "images"), str(folder / "labels"), str(folder / "data.yaml"), force_masks=True
    )
    assert data.classes == ["fox & hound", "bird", "object"] and len(data) == FRAMES
    for path, picture, found in data:
        expected = {0: masks_of(int(Path(path).stem))[1], 1: masks_of(int(Path(path).stem))[7]}
        assert picture.shape == (*SIZE, 3)
        assert found.class_id.tolist() == [0, 1, 2] if expected[1].any() else [0, 2]
        for class_id, mask in zip(found.class_id, found.mask, strict=True):
            if class_id in expected:  # joined by a line of a pixel
                assert overlap(mask, expected[class_id]) > 0.9
            else:
                assert mask.sum() == 1 and mask[4, 3 + int(Path(path).stem)]


def test_yolo_corners_are_found_by_cutting_and_by_rounding(tmp_path: Path) -> None:
    size, box = (1080, 1919), (slice(313, 700), slice(1, 1300))
    logits = torch.full((1, 1, *size), -1.0)
    logits[0, 0][box] = 1.0
    with open_writer("yolo", tmp_path, size=size) as writer:
        writer.write(MaskletFrame(0, [1], logits, torch.ones(1), torch.ones(1), np.zeros((*size, 3), np.uint8)))
    shares = np.array((tmp_path / "labels" / "00000.txt").read_text().split()[1:], float).reshape(-1, 2)
    places = shares * size[::-1]
    for x, y in (places.astype(int).T, places.round().T):
        assert (x.min(), y.min(), x.max(), y.max()) == (1, 313, 1299, 699)


def test_yolo_wants_pictures(tmp_path: Path) -> None:
    with open_writer("yolo", tmp_path, size=SIZE) as writer, pytest.raises(ValueError, match="frame 0 has no picture"):
        writer.write(result_of(0).with_frame(None))


def test_cvat_by_its_documented_schema(tmp_path: Path) -> None:
    root = ElementTree.parse(write("cvat", tmp_path, (5, 0, 1, 2, 3, 4)) / "annotations.xml").getroot()
    assert root.tag == "annotations" and root.findtext("version") == "1.1"
    task = root.find("meta/task")
    assert task is not None and (task.findtext("size"), task.findtext("mode")) == ("6", "interpolation")
    assert [label.findtext("name") for label in task.iter("label")] == ["fox & hound", "bird", "object"]
    assert (task.findtext("original_size/width"), task.findtext("original_size/height")) == ("80", "60")
    tracks = {track.get("id"): track for track in root.iter("track")}
    assert {name: track.get("label") for name, track in tracks.items()} == {
        "1": "fox & hound",
        "7": "bird",
        "9": "object",
    }
    for name, track in tracks.items():
        shown = {}
        for shape in track:
            assert shape.tag == "polygon" and shape.get("keyframe") == "1" and shape.get("occluded") == "0"
            ring = np.array([pair.split(",") for pair in str(shape.get("points")).split(";")], float)
            if shape.get("outside") == "0":
                shown[int(str(shape.get("frame")))] = ring
        for index in range(FRAMES):
            mask = masks_of(index)[int(str(name))]
            assert (index in shown) == bool(mask.any())
            if index in shown:
                assert overlap(filled([shown[index]], SIZE), mask) > 0.93
    assert [(shape.get("frame"), shape.get("outside")) for shape in tracks["7"]] == [
        ("0", "0"),
        ("1", "0"),
        ("2", "1"),
        ("4", "0"),
        ("5", "0"),
    ]


def test_cvat_by_datumaro(tmp_path: Path) -> None:
    components = pytest.importorskip("datumaro.components.dataset", reason="pip install datumaro")
    data = components.Dataset.import_from(str(write("cvat", tmp_path)), "cvat")
    names = [label.name for label in data.categories()[next(iter(data.categories()))]]
    assert names == ["fox & hound", "bird", "object"]
    seen = {}
    for item in data:
        for shape in item.annotations:
            if not shape.attributes["outside"]:
                key = item.attributes["frame"], shape.attributes["track_id"]
                seen[key] = names[shape.label], np.array(shape.points).reshape(-1, 2)
    assert set(seen) == {(n, i) for n in range(FRAMES) for i, mask in masks_of(n).items() if mask.any()}
    for (index, obj_id), (label, ring) in seen.items():
        assert label == CLASSES.get(obj_id, "object")
        assert overlap(filled([ring], SIZE), masks_of(index)[obj_id]) > 0.9


def test_label_studio(tmp_path: Path) -> None:
    (task,) = json.loads((write("labelstudio", tmp_path) / "label_studio.json").read_text())
    assert task["data"] == {"video": "video.mp4"}
    regions = {region["meta"]["text"][0]: region for region in task["predictions"][0]["result"]}
    assert set(regions) == {"1", "7", "9"}
    for region in regions.values():
        assert (region["type"], region["from_name"], region["to_name"]) == ("videorectangle", "box", "video")
        assert region["value"]["framesCount"] == FRAMES and region["value"]["duration"] == 0.6
    assert regions["7"]["value"]["labels"] == ["bird"]
    sequence = regions["7"]["value"]["sequence"]
    assert [(key["frame"], key["enabled"]) for key in sequence] == [(1, True), (2, False), (5, True), (6, False)]
    rows, columns = np.nonzero(masks_of(4)[7])
    box = sequence[2]
    assert (box["x"], box["y"]) == (100 * columns.min() / 80, round(100 * rows.min() / 60, 4))
    assert box["width"] == 100 * (np.ptp(columns) + 1) / 80 and box["time"] == 0.4


def test_classes_are_coco_categories(tmp_path: Path) -> None:
    coco = pytest.importorskip("pycocotools.coco").COCO(str(write("coco", tmp_path) / "masks.json"))
    assert {category["name"] for category in coco.loadCats(coco.getCatIds())} == {"fox & hound", "bird", "object"}
    for item in coco.loadAnns(coco.getAnnIds()):
        assert coco.cats[item["category_id"]]["name"] == CLASSES.get(item["track_id"], "object")


def test_coco_by_supervision(tmp_path: Path) -> None:
    supervision = pytest.importorskip("supervision")
    from PIL import Image

    write("coco", tmp_path / "out")
    for index in range(FRAMES):
        Image.fromarray(result_of(index).frame).save(tmp_path / f"{index:05d}.png")
    data = supervision.DetectionDataset.from_coco(str(tmp_path), str(tmp_path / "out/masks.json"), force_masks=True)
    assert len(data) == FRAMES
    for path, _, found in data:
        masks = [mask for mask in masks_of(int(Path(path).stem)).values() if mask.any()]
        np.testing.assert_array_equal(found.mask, np.stack(masks))


@pytest.mark.parametrize("format", ["cvat", "labelstudio", "yolo"])
def test_interrupted_runs_go_on_and_corrections_count(format: str, tmp_path: Path) -> None:
    whole = write(format, tmp_path / "whole")
    with (
        pytest.raises(RuntimeError, match="stop"),
        open_writer(format, tmp_path / "a", size=SIZE, fps=10, classes=CLASSES) as writer,
    ):  # type: ignore[arg-type]
        for index in (1, 0, 2):
            writer.write(result_of(index))
        writer.write(MaskletFrame(3, [4], torch.ones(1, 1, *SIZE), torch.ones(1), torch.ones(1), result_of(0).frame))
        raise RuntimeError("stop")
    with open_writer(format, tmp_path / "a", size=SIZE, fps=10, classes=CLASSES, resume=True) as writer:  # type: ignore[arg-type]
        assert writer.done_frames() == {0, 1, 2, 3}
        for index in (5, 4, 3):
            writer.write(result_of(index))
    for path in whole.rglob("*"):
        if path.is_file() and not path.name.startswith("."):
            assert (tmp_path / "a" / path.relative_to(whole)).read_bytes() == path.read_bytes()
    type(writer).remove_results(tmp_path / "a", format)
    assert [path for path in (tmp_path / "a").rglob("*") if path.is_file()] == []


def test_a_part_of_a_video_and_another_rate_of_overlays(tmp_path: Path) -> None:
    video = ArraySource(np.zeros((10, *SIZE, 3), np.uint8), fps=20.0)
    for format in ("cvat", "labelstudio", "coco", "sav"):
        with open_writer(format, tmp_path, source=video, fps=5, classes=CLASSES) as writer:  # type: ignore[arg-type]
            for index in range(3):
                writer.write(result_of(index))
    root = ElementTree.parse(tmp_path / "annotations.xml").getroot()
    assert (root.findtext("meta/task/size"), root.findtext("meta/task/stop_frame")) == ("10", "9")
    for track in root.iter("track"):
        shapes = [(shape.get("frame"), shape.get("outside")) for shape in track]
        assert shapes[-1] == ("2" if track.get("id") == "7" else "3", "1"), "nothing is known of it from there on"
    (task,) = json.loads((tmp_path / "label_studio.json").read_text())
    for region in task["predictions"][0]["result"]:
        assert (region["value"]["framesCount"], region["value"]["duration"]) == (10, 0.5)
        assert [key["time"] for key in region["value"]["sequence"]][:2] == [0, 0.05]
    assert json.loads((tmp_path / "masks.json").read_text())["info"]["fps"] == 20
    assert json.loads((tmp_path / "video_auto.json").read_text())["video_duration"] == 3 / 20


def test_class_names_of_every_script_in_yaml(tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml")
    classes = {1: 'Füchse: "rot" # 1', 2: "狐", 3: "🦊", 4: "a'b\\c", 5: "yes", 6: "👩\u200d🚀"}
    for resume in (False, True):
        with open_writer("yolo", tmp_path, size=SIZE, classes=classes, resume=resume) as writer:
            writer.write(
                MaskletFrame(0, [1], *(torch.ones(1, 1, *SIZE), torch.ones(1), torch.ones(1)), result_of(0).frame)
            )
        names = yaml.safe_load((tmp_path / "data.yaml").read_text(encoding="utf-8"))["names"]
        assert names == dict(enumerate([*classes.values(), "object"]))
    before = (tmp_path / "data.yaml").read_bytes()
    with pytest.raises(ValueError, match="has other classes than these, dog, object"):
        open_writer("yolo", tmp_path, size=SIZE, classes={1: "dog"}, resume=True)
    assert (tmp_path / "data.yaml").read_bytes() == before
    with open_writer("yolo", tmp_path, size=SIZE, classes={1: "dog"}):
        assert "dog" in (tmp_path / "data.yaml").read_text()


def test_cvat_of_a_file_with_an_odd_name(tmp_path: Path) -> None:
    video = ArraySource(np.zeros((3, *SIZE, 3), np.uint8))
    for number, name in enumerate(("a\x01b", "a\udce9b", "a\uffffb", "a<&>🦊b")):
        video.path = tmp_path / f"{name}.mp4"
        with open_writer("cvat", tmp_path / str(number), source=video) as writer:
            writer.write(result_of(0))
        found = ElementTree.parse(tmp_path / str(number) / "annotations.xml").findtext("meta/task/name")
        assert found == (name if number == 3 else "a\ufffdb")


def test_a_part_of_a_video_of_unknown_length(tmp_path: Path) -> None:
    path = write_video(tmp_path / "long.webm", 80, codec="libvpx", size=(60, 80))
    with open_source(path) as video:
        for format in ("cvat", "labelstudio"):
            with open_writer(format, tmp_path, source=video, classes=CLASSES) as writer:  # type: ignore[arg-type]
                assert video.known_length() is None or format == "labelstudio"
                for index in range(2):
                    writer.write(result_of(index))
    root = ElementTree.parse(tmp_path / "annotations.xml").getroot()
    assert root.findtext("meta/task/size") == "80"
    for track in root.iter("track"):  # what is not known any more is not shown on all frames to come
        assert [(shape.get("frame"), shape.get("outside")) for shape in track][-1] == ("2", "1")
    result = json.loads((tmp_path / "label_studio.json").read_text())[0]["predictions"][0]["result"]
    assert {region["value"]["framesCount"] for region in result} == {80}
    with open_source(path) as video:
        writer = open_writer("cvat", tmp_path / "late", source=video)
        writer.write(result_of(0))
    writer.close()  # when the video is closed already
    assert ElementTree.parse(tmp_path / "late" / "annotations.xml").getroot().findtext("meta/task/size") == "1"


def test_the_video_file_and_wrong_classes(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "frames").mkdir()
    Image.new("RGB", SIZE[::-1]).save(tmp_path / "frames" / "a.png")
    with open_writer("labelstudio", tmp_path, source=open_source(tmp_path / "frames")) as writer:
        writer.write(result_of(0))
    assert json.loads((tmp_path / "label_studio.json").read_text())[0]["data"] == {"video": "frames"}
    for classes, error in (
        ({"1": "fox"}, TypeError),
        ({1: 3}, TypeError),
        ({1: " "}, ValueError),
        ({1: "a\nb"}, ValueError),
        ({1: "a\x85b"}, ValueError),
        ({1: "a\u2028b"}, ValueError),
        ({1: "a\udc80"}, ValueError),
        ({1: "a\uffff"}, ValueError),
    ):
        with pytest.raises(error, match="class"):
            open_writer("cvat", tmp_path, size=SIZE, classes=classes)  # type: ignore[arg-type]
