"""Writers: what they leave on disk, continuing after an interruption, and disks that fill up."""

import json
import resource
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image
from video.clips import number_of, numbered_frame

from sam2v.masks import MaskletFrame, decode_rle, read_binary, read_label_map
from sam2v.output.writers import FORMATS, MaskWriter, open_writer
from sam2v.video.sources import VideoFile

SIZE = (32, 64)
VIDEO = ("mp4", "webm", "gif")


def result_of(index: int, size: tuple[int, int] = SIZE, ids: tuple[int, ...] = (1, 7)) -> MaskletFrame:
    """Object n is a bar at the top that starts at column index % 20 and n; the last one is absent on odd frames."""
    masks = torch.full((len(ids), 1, *size), -4.0)
    for k in range(len(ids)):
        if not (index % 2 and k == len(ids) - 1 and k):
            masks[k, 0, 2 + 4 * k : 4 + 4 * k, index % 20 : index % 20 + 10] = 3.0
    scores = torch.linspace(0.5, 0.9, len(ids))
    return MaskletFrame(index, list(ids), masks, scores, scores * 2, numbered_frame(index, *size))


def write(writer: MaskWriter, indices: Iterable[int]) -> None:
    with writer:
        for index in indices:
            writer.write(result_of(index))


def opened(format: str, folder: Path, **options: object) -> MaskWriter:
    return open_writer(format, folder, **{"size": SIZE, "fps": 25.0} | options)  # type: ignore[arg-type]


def written(format: str, folder: Path) -> list[object]:
    """What a folder holds, in a form that can be compared."""
    if format in VIDEO:
        with VideoFile(folder / f"overlay.{format}") as source:
            return [number_of(frame) for frame in source]
    if format == "coco":
        return json.loads((folder / "masks.json").read_text())["annotations"]
    if format == "sav":  # a row stands for four frames
        rows = json.loads((folder / "video_auto.json").read_text())["masklet"]
        return [row for row in rows for _ in range(4)]
    if format == "cvat":
        tracks = ElementTree.parse(folder / "annotations.xml").getroot().iter("track")
        return by_frame(
            (shape, int(shape["frame"])) for track in tracks for shape in (dict(one.attrib) for one in track)
        )
    if format == "labelstudio":
        (task,) = json.loads((folder / "label_studio.json").read_text())
        keys = (
            key | {"enabled": True}
            for region in task["predictions"][0]["result"]
            for key in region["value"]["sequence"]
        )
        return by_frame((key, key["frame"] - 1) for key in keys)
    pattern = {"png": "*.png", "objects": "*/*.png", "npz": "*.npz", "yolo": "labels/*.txt"}[format]
    return [(str(path.relative_to(folder)), path.read_bytes()) for path in sorted(folder.glob(pattern))]


def by_frame(shapes: Iterable[tuple[dict[str, object], int]]) -> list[object]:
    """Shapes that are shown, frame by frame."""
    found: dict[int, list[object]] = {}
    for shape, frame in shapes:
        if shape.get("outside") != "1":
            found.setdefault(frame, []).append(shape)
    return [found[frame] for frame in sorted(found)]


@contextmanager
def small_disk(limit: int) -> Iterator[None]:
    """No file may grow beyond `limit` bytes: writing then fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_palette_png(tmp_path: Path) -> None:
    write(opened("png", tmp_path, frame_names=["a", "b", "c"]), range(3))
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["a.png", "b.png", "c.png"]
    for index, name in enumerate("abc"):
        np.testing.assert_array_equal(read_label_map(tmp_path / f"{name}.png"), result_of(index).label_map())


def test_one_png_per_object(tmp_path: Path) -> None:
    write(opened("objects", tmp_path), range(2))
    for index in range(2):
        for obj_id, mask in zip((1, 7), result_of(index).binary(), strict=True):
            path = tmp_path / f"{obj_id:03d}" / f"{index:05d}.png"
            np.testing.assert_array_equal(read_binary(path), mask)


def test_a_frame_written_again_loses_the_objects_that_are_gone(tmp_path: Path) -> None:
    with opened("objects", tmp_path) as writer:
        writer.write(result_of(0))
        writer.write(result_of(1))
    with opened("objects", tmp_path, resume=True) as writer:
        writer.write(result_of(0, ids=(1,)))
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.png"))
    assert found == ["001/00000.png", "001/00001.png", "007/00001.png"]


def test_pictures_to_draw_on_come_in_any_form() -> None:
    result, pixels = result_of(0), np.full((*SIZE, 3), 90, np.uint8)
    expected = result.overlay(pixels)
    for frame in (Image.fromarray(pixels), torch.from_numpy(pixels).permute(2, 0, 1)):
        np.testing.assert_array_equal(result.overlay(frame), expected)
        np.testing.assert_array_equal(result.with_frame(frame).overlay(), expected)


def test_impossible_settings_show_when_the_writer_opens(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="alpha must lie between 0 and 1, got 3"):
        opened("mp4", tmp_path, alpha=3.0)
    with pytest.raises(ValueError, match=r"fps at least 0\.001"):
        opened("mp4", tmp_path, fps=0.0004)
    with (
        opened("png", tmp_path, frame_names=["a"]) as writer,
        pytest.raises(ValueError, match="1 names, none for frame 3"),
    ):
        writer.write(result_of(3))


def test_npz(tmp_path: Path) -> None:
    write(opened("npz", tmp_path), [4])
    with np.load(tmp_path / "00004.npz") as data:
        np.testing.assert_array_equal(data["masks"], result_of(4).binary())
        assert data["obj_ids"].tolist() == [1, 7] and int(data["frame_idx"]) == 4
        np.testing.assert_allclose(data["iou"], [0.5, 0.9])
        np.testing.assert_allclose(data["object_score"], [1.0, 1.8])


def test_coco_opens_in_pycocotools(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    write(opened("coco", tmp_path), [3, 0, 1, 2])
    data = coco.COCO(str(tmp_path / "masks.json"))
    assert data.getImgIds() == [0, 1, 2, 3] and len(data.getAnnIds()) == 6  # object 7 is absent twice
    for annotation in data.loadAnns(data.getAnnIds()):
        result = result_of(annotation["image_id"])
        k = result.obj_ids.index(annotation["track_id"])
        mask = data.annToMask(annotation).astype(bool)
        np.testing.assert_array_equal(mask, result.binary()[k])
        np.testing.assert_array_equal(decode_rle(annotation["segmentation"]), mask)
        x, y, width, height = (int(value) for value in annotation["bbox"])
        assert mask[y : y + height, x : x + width].sum() == annotation["area"] == mask.sum()
        assert annotation["score"] == pytest.approx(float(result.iou[k]))
    lines = [json.loads(line) for line in (tmp_path / "masks.jsonl").read_text().splitlines()]
    assert [line["frame_idx"] for line in lines] == [3, 0, 1, 2]
    assert [item["id"] for item in lines[0]["objects"]] == [1, 7]


@pytest.mark.parametrize("format", VIDEO)
@pytest.mark.parametrize("size", [SIZE, (33, 65)])
def test_overlay_has_every_frame_in_its_place(format: str, size: tuple[int, int], tmp_path: Path) -> None:
    count = 73
    with open_writer(format, tmp_path, size=size, fps=30, labels=False, alpha=0.2) as writer:
        for index in range(count):
            writer.write(result_of(index, size))
    even = size if format == "gif" else (size[0] + size[0] % 2, size[1] + size[1] % 2)
    with VideoFile(tmp_path / f"overlay.{format}") as source:
        assert len(source) == count and source.size == even and source.fps == pytest.approx(30, rel=0.01)
        frames = list(source)
        assert [number_of(frame) for frame in frames] == list(range(count))
        expected = result_of(70, size).overlay(labels=False, alpha=0.2)
        difference = np.abs(frames[70][: size[0], : size[1]].astype(int) - expected)
        assert np.median(difference) < 12


def test_mp4_is_what_browsers_play(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    write(opened("mp4", tmp_path, fps=30000 / 1001), range(5))
    with av.open(str(tmp_path / "overlay.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert float(stream.average_rate) == pytest.approx(29.97, abs=0.01) and stream.frames == 5
    data = (tmp_path / "overlay.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize("format", VIDEO)
@pytest.mark.parametrize(
    "order",
    [
        list(range(90, 8, -1)),
        [*range(40, 70), *range(39, 19, -1)],
        [*range(30), *range(10, 40)],
    ],
    ids=["reverse", "both", "corrected"],
)
def test_overlay_is_in_the_order_of_time(format: str, order: list[int], tmp_path: Path) -> None:
    write(opened(format, tmp_path), order)
    assert written(format, tmp_path) == sorted(set(order))


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("stop", ["closed", "killed", "interrupted"])
def test_a_second_run_continues(format: str, stop: str, tmp_path: Path) -> None:
    """However the first one ended, the second run adds what is missing, as if there had been one run."""
    total, folder = 90, tmp_path / stop
    write(opened(format, tmp_path / "once"), range(total))
    first = opened(format, folder)
    for index in range(70):
        first.write(result_of(index))
    if stop != "killed":
        first.close(finished=stop == "closed")
    second = opened(format, folder, resume=True)
    assert second.done_frames() == set(range(70))
    write(second, range(70, total))
    assert written(format, folder) == written(format, tmp_path / "once")
    third = opened(format, folder, resume=True)
    assert third.done_frames() == set(range(total))
    third.close()
    assert written(format, folder) == written(format, tmp_path / "once")
    assert not [path.name for path in folder.iterdir() if path.suffix in (".nut", ".tmp")] or format == "gif"
    assert opened(format, folder).done_frames() == set()
    assert not [path.name for path in folder.iterdir() if path.suffix == ".nut"]


@pytest.mark.parametrize("format", VIDEO)
def test_an_interrupted_overlay_is_not_encoded_twice(
    format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames of several runs, each after the other, are copied."""
    for part in (range(20), range(20, 35), range(35, 41)):
        writer = opened(format, tmp_path, resume=True)
        for index in part:
            writer.write(result_of(index))
        with monkeypatch.context() as patch:
            if format != "gif":
                patch.setattr("sam2v.output.overlay.encode_all", None)
            writer.close(finished=False)
        assert written(format, tmp_path) == list(range(part.stop))


@pytest.mark.parametrize("format", VIDEO)
def test_a_picture_that_its_journal_does_not_know_is_left_out(
    format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program is killed, or the disk is full, after the picture and before the line about it."""
    writer = opened(format, tmp_path)
    for index in range(5):
        writer.write(result_of(index))

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr("sam2v.output.journal.Journal.append", full)
        writer.write(result_of(5))
    for index in range(5, 9):
        writer.write(result_of(index))
    writer.close()
    assert written(format, tmp_path) == list(range(9))


@pytest.mark.parametrize("format", FORMATS)
def test_closing_early_leaves_valid_output(format: str, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), opened(format, tmp_path) as writer:
        for index in range(7):
            writer.write(result_of(index))
        raise KeyboardInterrupt
    if format in VIDEO:
        assert written(format, tmp_path) == list(range(7))
    assert len(written(format, tmp_path)) >= 7
    assert opened(format, tmp_path, resume=True).done_frames() == set(range(7))


def test_a_torn_line_is_cut_off(tmp_path: Path) -> None:
    write(opened("coco", tmp_path), range(3))
    with open(tmp_path / "masks.jsonl", "a") as file:
        file.write('{"frame_idx":3,"na')
    writer = opened("coco", tmp_path, resume=True)
    assert writer.done_frames() == {0, 1, 2}
    write(writer, [3])
    assert {item["image_id"] for item in written("coco", tmp_path)} == {0, 1, 2, 3}


def test_missing_files_are_not_done(tmp_path: Path) -> None:
    write(opened("objects", tmp_path), range(3))
    (tmp_path / "007" / "00001.png").unlink()
    assert opened("objects", tmp_path, resume=True).done_frames() == {0, 2}


@pytest.mark.parametrize("format", FORMATS)
def test_full_disk(format: str, tmp_path: Path) -> None:
    """One line that names the file; what was written before stays, and a second run continues."""
    good = 66
    writer = opened(format, tmp_path)
    for index in range(good):
        writer.write(result_of(index))
    noise = np.random.default_rng(0).integers(0, 255, (*SIZE, 3), dtype=np.uint8)
    grain = torch.randn(2, 1, *SIZE, generator=torch.Generator().manual_seed(0))
    with pytest.raises(OSError, match=f"cannot write {tmp_path}") as caught, small_disk(300), writer:
        for index in range(good, good + 64):
            plain = result_of(index)
            writer.write(MaskletFrame(index, [1, 7], grain, plain.iou, plain.object_score, noise))
    assert "\n" not in str(caught.value)
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith((".part", ".tmp"))]
    again = opened(format, tmp_path, resume=True)
    assert set(range(good)) <= again.done_frames()
    write(again, [])
    assert len(written(format, tmp_path)) >= good


def test_bad_use_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="accepted: png, objects, coco"):
        opened("tiff", tmp_path)
    with pytest.raises(TypeError, match="alpha"):
        opened("png", tmp_path, alpha=0.5)
    with pytest.raises(TypeError, match="unknown option 'colour'"):
        opened("mp4", tmp_path, colour=1)
    with pytest.raises(ValueError, match="positive"):
        opened("png", tmp_path, size=(0, 5))
    writer = opened("mp4", tmp_path)
    with pytest.raises(ValueError, match="no picture"):
        writer.write(MaskletFrame(0, [], torch.zeros(0, 1, *SIZE), torch.zeros(0), torch.zeros(0)))
    with pytest.raises(ValueError, match="32 x 64"):
        writer.write(result_of(0, (16, 64)))
    writer.close()
    writer.close()
    with pytest.raises(ValueError, match="closed"):
        writer.write(result_of(0))
