"""Textures and cut-outs from photographs: any folder of pictures (or videos), and region maps beside them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sam2v.data.synthetic.render import Sources
from sam2v.files import user_path
from sam2v.pillow import open_picture

_PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
_VIDEOS = (".mp4", ".mov", ".webm", ".avi", ".mkv")
_FILL = 0.82  # share of its atlas that a cut-out's longer side takes


def load_sources(
    photographs: str | Path, regions: str | Path | None = None, side: int = 256, limit: int = 600, seed: int = 0
) -> Sources:
    """Read pictures for `sam2v.data.synthetic.SyntheticClips`.

    Args:
        photographs: folder searched recursively for pictures and videos (eight frames are taken of each).
        regions: folder searched recursively for region maps: PNG files whose pixel values number the regions, named
            like the picture, or like the picture with `_` and anything behind it. PNG files with transparency are
            cut-outs by themselves. None: textures only.
        side: side in pixels at which textures and cut-outs are kept.
        limit: textures, and cut-outs, at most; drawn at random by `seed` if there are more.

    Raises:
        FileNotFoundError: no such folder, or no picture in it; or no region map fits any picture.
        ValueError: a region map of another size than its picture.
    """
    root = user_path(photographs)
    files = _files(root, (*_PICTURES, *_VIDEOS), "pictures or videos")
    rng = np.random.default_rng([seed, 7])
    order = rng.permutation(len(files)).tolist()
    textures: list[Tensor] = []
    for index in order:
        if len(textures) >= limit:
            break
        textures += [_square(picture, side) for picture in _pictures(files[index], 8)]
    cutouts = None if regions is None else load_cutouts(root, user_path(regions), side, limit, rng)
    return Sources(torch.stack(textures[:limit]), cutouts)


def load_cutouts(photographs: Path, regions: Path, side: int, limit: int, rng: np.random.Generator) -> Tensor:
    """K x 4 x side x side uint8 RGBA: regions, or two regions that touch, cut out of their pictures; and RGBA pictures.

    Regions that are tiny, that cover most of the picture or that run along much of its border are left out.
    Raises as `load_sources`.
    """
    pictures = {path.stem: path for path in _files(photographs, _PICTURES, "pictures")}
    maps = [
        path
        for path in _files(regions, (".png",), "region maps")
        if _stem(path, pictures) is not None or _has_alpha(path)
    ]
    if not maps:
        raise FileNotFoundError(
            f"no region map in {regions} is named like a picture in {photographs}, and no PNG there has transparency"
        )
    found: list[Tensor] = []
    for index in rng.permutation(len(maps)).tolist():
        if len(found) >= limit:
            break
        if _has_alpha(maps[index]):
            found.append(_fit(maps[index], side))
            continue
        stem = _stem(maps[index], pictures)
        assert stem is not None
        picture, labels = _read(pictures[stem]), _read_labels(maps[index])
        if picture.shape[:2] != labels.shape:
            raise ValueError(
                f"{maps[index]}: {labels.shape[:2]} pixels, but its picture {pictures[stem]} has {picture.shape[:2]}"
            )
        found += [cut(picture, mask, side) for mask in _choose_regions(labels, rng)]
    if not found:
        raise FileNotFoundError(
            f"no region in {regions} is of a usable size: 1 to 40 % of its picture, away from the border"
        )
    return torch.stack(found[:limit])


def cut(picture: np.ndarray, mask: np.ndarray, side: int) -> Tensor:
    """Cut a mask (H x W bool) out of a picture (H x W x 3 uint8): 4 x side x side uint8 RGBA, centred with a margin."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    middle = (rows[0] + rows[-1] + 1) / 2, (columns[0] + columns[-1] + 1) / 2
    half = max(rows[-1] + 1 - rows[0], columns[-1] + 1 - columns[0]) / 2 / _FILL
    rgba = np.concatenate([picture, mask[..., None].astype(np.uint8) * 255], axis=2)
    plane = torch.from_numpy(rgba).permute(2, 0, 1)[None].float()
    line = (torch.arange(side) + 0.5) / side * 2 - 1  # -1 to 1 over the atlas
    y = ((middle[0] + half * line) / mask.shape[0] * 2 - 1)[:, None].expand(side, side)
    x = ((middle[1] + half * line) / mask.shape[1] * 2 - 1)[None].expand(side, side)
    out = torch.nn.functional.grid_sample(
        plane, torch.stack([x, y], -1)[None], padding_mode="zeros", align_corners=False
    )[0]
    return out.round().to(torch.uint8)


def _has_alpha(path: Path) -> bool:
    with open_picture(path) as picture:
        return "A" in picture.getbands()


def _fit(path: Path, side: int) -> Tensor:
    """A picture with transparency as a cut-out: 4 x side x side uint8 RGBA, centred with a margin.

    Raises:
        ValueError: nothing of it is opaque.
    """
    from PIL import Image

    with open_picture(path) as opened:
        picture = opened.convert("RGBA")
    box = picture.getchannel("A").point(lambda value: 255 * (value > 127)).getbbox()
    if box is None:
        raise ValueError(f"{path}: nothing in this picture is opaque")
    picture = picture.crop(box)
    scale = _FILL * side / max(picture.size)
    width, height = (max(1, round(scale * length)) for length in picture.size)
    canvas = Image.new("RGBA", (side, side))
    canvas.paste(picture.resize((width, height)), ((side - width) // 2, (side - height) // 2))
    return torch.from_numpy(np.array(canvas)).permute(2, 0, 1).contiguous()


def _choose_regions(labels: np.ndarray, rng: np.random.Generator, count: int = 3) -> Iterator[np.ndarray]:
    names, areas = np.unique(labels, return_counts=True)
    border = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    usable = []
    for name, area in zip(names.tolist(), areas.tolist(), strict=True):
        if 0.01 <= area / labels.size <= 0.4 and (border == name).mean() < 0.12:
            usable.append(name)
    for name in rng.permutation(usable)[:count].tolist():
        mask = labels == name
        neighbours = [other for other in _touching(labels, mask) if other in usable]
        if neighbours and rng.uniform() < 0.5:
            mask = mask | (labels == neighbours[int(rng.integers(len(neighbours)))])
        yield mask


def _touching(labels: np.ndarray, mask: np.ndarray) -> list[int]:
    grown = mask.copy()
    grown[1:] |= mask[:-1]
    grown[:-1] |= mask[1:]
    grown[:, 1:] |= mask[:, :-1]
    grown[:, :-1] |= mask[:, 1:]
    return np.unique(labels[grown & ~mask]).tolist()


def _files(folder: Path, suffixes: tuple[str, ...], what: str) -> list[Path]:
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder}")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in suffixes and path.is_file())
    if not found:
        raise FileNotFoundError(f"no {what} in {folder} (looked for {', '.join(suffixes)})")
    return found


def _stem(path: Path, pictures: dict[str, Path]) -> str | None:
    """The picture that a region map belongs to."""
    stem = path.stem
    while stem not in pictures:
        if "_" not in stem:
            return None
        stem = stem.rpartition("_")[0]
    return stem


def _pictures(path: Path, frames: int) -> Iterator[np.ndarray]:
    if path.suffix.lower() in _PICTURES:
        yield _read(path)
        return
    from sam2v.video.sources import open_source

    with open_source(path) as video:
        for place in np.linspace(0, len(video) - 1, frames).round().astype(int).tolist():
            yield np.asarray(video[place])


def _read(path: Path) -> np.ndarray:
    with open_picture(path) as picture:
        return np.array(picture.convert("RGB"))


def _read_labels(path: Path) -> np.ndarray:
    with open_picture(path) as picture:
        labels = np.array(picture)
    return (
        labels if labels.ndim == 2 else labels[..., 0].astype(np.int64) * 65536 + labels[..., 1] * 256 + labels[..., 2]
    )


def _square(picture: np.ndarray, side: int) -> Tensor:
    """The middle square of a picture: 3 x side x side uint8."""
    height, width = picture.shape[:2]
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2
    plane = (
        torch.from_numpy(np.ascontiguousarray(picture[top : top + short, left : left + short]))
        .permute(2, 0, 1)[None]
        .float()
    )
    plane = torch.nn.functional.interpolate(plane, size=(side, side), mode="bilinear", antialias=True)
    return plane[0].round().clamp(0, 255).to(torch.uint8)
