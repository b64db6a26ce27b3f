"""Small data sets written by rule: squares that move by a pixel a frame, some of them appearing later."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from sam2v.masks.png import write_binary, write_label_map
from sam2v.masks.rle import encode_rle

HEIGHT, WIDTH = 24, 32
LATER = 4  # object 2 appears on this frame


def square(obj: int, frame: int) -> np.ndarray:
    """H x W bool: object 1 moves right along the top, object 2 down the right side from frame LATER on."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    if obj == 1:
        mask[2:8, 1 + frame : 7 + frame] = True
    elif frame >= LATER:
        mask[9 + frame : 14 + frame, 24:29] = True
    return mask


def labels(frame: int) -> np.ndarray:
    """H x W ids of both objects."""
    return square(1, frame) + 2 * square(2, frame)


def picture(frame: int) -> np.ndarray:
    """H x W x 3 uint8: object 1 red, object 2 green, the frame number in blue everywhere."""
    return np.stack([square(1, frame) * 255, square(2, frame) * 255, np.full((HEIGHT, WIDTH), 10 * frame)], 2).astype(
        np.uint8
    )


def write_frames(folder: Path, frames: range, digits: int = 5, suffix: str = ".png") -> None:
    folder.mkdir(parents=True)
    for frame in frames:
        Image.fromarray(picture(frame)).save(folder / f"{frame:0{digits}d}{suffix}")


def write_labels(folder: Path, frames: range | list[int], digits: int = 5) -> None:
    for frame in frames:
        write_label_map(folder / f"{frame:0{digits}d}.png", labels(frame))


def write_davis(root: Path, names: list[str], year: int, frames: int = 8) -> Path:
    (root / f"ImageSets/{year}").mkdir(parents=True)
    (root / f"ImageSets/{year}/val.txt").write_text("".join(f"{name}\n" for name in names))
    for name in names:
        write_frames(root / "JPEGImages/480p" / name, range(frames))
        for frame in range(frames):
            path = root / "Annotations/480p" / name / f"{frame:05d}.png"
            if year == 2016:
                write_binary(path, square(1, frame))
            else:
                ids = labels(frame)
                ids[-1, :3] = 255
                write_label_map(path, ids)
    return root


def write_split(root: Path, split: str, annotated: list[int], frames: int = 8, digits: int = 5) -> Path:
    """The layout of MOSE and LVOS."""
    for name in ("aa", "bb"):
        write_frames(root / split / "JPEGImages" / name, range(frames), digits)
        write_labels(root / split / "Annotations" / name, annotated, digits)
    return root


def write_youtube(root: Path) -> Path:
    """Video "v" of 10 frames, every second one sparse; object 2 introduced on frame 4."""
    objects = {
        "1": {"category": "cat", "frames": ["00000", "00002", "00004", "00006", "00008"]},
        "2": {"category": "ball", "frames": ["00004", "00006", "00008"]},
    }
    write_frames(root / "valid/JPEGImages/v", range(0, 10, 2))
    write_frames(root / "valid_all_frames/JPEGImages/v", range(10))
    write_labels(root / "valid/Annotations/v", [0, 4])
    (root / "valid/meta.json").write_text(json.dumps({"videos": {"v": {"objects": objects}}}))
    return root


def write_sav_val(root: Path, frames: int = 9) -> Path:
    base = root / "sav_val"
    write_frames(base / "JPEGImages_24fps/sav_7", range(frames))
    for frame in range(0, frames, 4):
        write_binary(base / f"Annotations_6fps/sav_7/000/{frame:05d}.png", square(1, frame))
        if frame >= LATER:
            write_binary(base / f"Annotations_6fps/sav_7/001/{frame:05d}.png", square(2, frame))
    (base / "sav_val.txt").write_text("sav_7\n")
    return root


def sav_document(kind: str, frames: int = 9) -> dict:
    """A SA-V training record: both squares, by hand or (the other way round) automatic."""
    order = (1, 2) if kind == "manual" else (2, 1)
    rows = [[encode_rle(square(obj, frame)) for obj in order] for frame in range(0, frames, 4)]
    areas = [[square(obj, frame).sum() for frame in range(0, frames, 4)] for obj in order]
    return {
        "video_id": "sav_000007",
        "video_frame_count": float(frames),
        "video_height": float(HEIGHT),
        "video_width": float(WIDTH),
        "masklet": rows,
        "masklet_id": [0, 1],
        "masklet_size_abs": [float(np.mean([area for area in column if area])) for column in areas],
        "masklet_num": 2,
    }


def write_sav_train(root: Path, folder: str = "sav_train/sav_000") -> Path:
    (root / folder).mkdir(parents=True)
    for kind in ("manual", "auto"):
        (root / folder / f"sav_000007_{kind}.json").write_text(json.dumps(sav_document(kind)))
    write_video(root / folder / "sav_000007.mp4", 9)
    return root


def write_video(path: Path, frames: int) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=24)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.bit_rate = 4_000_000
        for frame in range(frames):
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture(frame), format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def write_sa1b(root: Path) -> Path:
    for number in (1, 2):
        folder = root / "sa_000000"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(LATER + number)).save(folder / f"sa_{number}.jpg", quality=95)
        segments = [{"id": 500 + obj, "segmentation": encode_rle(square(obj, LATER + number))} for obj in (1, 2)]
        image = {"image_id": number, "height": HEIGHT, "width": WIDTH, "file_name": f"sa_{number}.jpg"}
        (folder / f"sa_{number}.json").write_text(json.dumps({"image": image, "annotations": segments}))
    return root
