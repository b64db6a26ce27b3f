"""Objects cut out of real videos and photographs, to be pasted elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sam2v.data.dataset import read_clip
from sam2v.data.edits.view import share_at_border
from sam2v.data.records import ImageRecord, VideoRecord
from sam2v.data.samplers import FrameSampler

SIDE = 224  # pixels at which cut-outs are kept
_FILL = 0.9  # share of it that the object's longer side takes
_ATTEMPTS = 8
_SMALLEST, _LARGEST = 0.004, 0.5  # shares of a picture that an object may cover
CUT_OFF = 0.12  # of an object's outline that may lie on the picture's border

Record = VideoRecord | ImageRecord


@dataclass(frozen=True)
class Sprite:
    """A cut-out object over T frames, or a still one (T = 1).

    Attributes:
        frames: T x 4 x SIDE x SIDE uint8 RGBA, the object's largest extent centred; alpha is 0 where it is hidden.
        size: half of the window's side as a share of the shorter half side of the picture it comes from.
    """

    frames: Tensor
    size: float


def cut_sprite(frames: Tensor, masks: Tensor) -> Sprite | None:
    """Cut an object out of T frames; the window follows its middle and keeps one size.

    Args:
        frames: T x 3 x H x W uint8. masks: T x H x W bool.

    Returns:
        None where no frame shows it.
    """
    boxes = _boxes(masks)
    seen = boxes[:, 0] >= 0
    if not bool(seen.any()):
        return None
    # frames without the object take the window of the nearest one that shows it
    shown = seen.nonzero().flatten()
    nearest = shown[(torch.arange(len(masks))[:, None] - shown).abs().argmin(dim=1)]
    boxes = boxes[nearest]
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = float((boxes[:, 2:] - boxes[:, :2]).max()) / 2 / _FILL
    height, width = masks.shape[-2:]
    line = (torch.arange(SIDE) + 0.5) / SIDE * 2 - 1
    x = ((middle[:, :1] + half * line) / width * 2 - 1)[:, None].expand(-1, SIDE, -1)
    y = ((middle[:, 1:] + half * line) / height * 2 - 1)[:, :, None].expand(-1, -1, SIDE)
    rgba = torch.cat([frames.float(), masks[:, None].float() * 255], dim=1)
    cut = F.grid_sample(rgba, torch.stack([x, y], -1), align_corners=False)
    return Sprite(cut.round_().to(torch.uint8), half / (min(height, width) / 2))


def _boxes(masks: Tensor) -> Tensor:
    """T x 4 boxes (x0, y0, x1, y1) of T x H x W masks, ends exclusive; -1 where one is empty."""
    spans = []
    for line in (masks.any(dim=1), masks.any(dim=2)):  # columns, rows
        first = line.int().argmax(dim=1)
        last = line.shape[1] - line.flip(1).int().argmax(dim=1)
        spans.append((first, last))
    boxes = torch.stack([spans[0][0], spans[1][0], spans[0][1], spans[1][1]], dim=1).float()
    return boxes.masked_fill(~masks.flatten(1).any(dim=1)[:, None], -1)


class SpritePool:
    """Draws objects from data sets.

    Args:
        sources: records of each data set; every one is as likely, whatever its length.

    Raises ValueError for no source.
    """

    def __init__(self, sources: Sequence[Sequence[Record]]) -> None:
        if not sources or not all(len(source) for source in sources):
            raise ValueError("a pool of objects needs at least one data set, and none of them empty")
        self.sources = list(sources)

    def draw(self, rng: np.random.Generator, frames: int) -> Sprite | None:
        """An object over so many frames; None if several draws gave none of a usable size."""
        for _ in range(_ATTEMPTS):
            source = self.sources[int(rng.integers(len(self.sources)))]
            record = source[int(rng.integers(len(source)))]
            video = record.as_video() if isinstance(record, ImageRecord) else record
            count = 1 if len(video.annotated) == 1 else frames
            chosen = FrameSampler(count, (1, 3))(video.annotated, rng)
            usable = self._usable(video, chosen[0])
            if usable:
                clip = read_clip(video, chosen, [usable[int(rng.integers(len(usable)))]])
                return cut_sprite(clip.frames, clip.masks[:, 0])
        return None

    @staticmethod
    def _usable(video: VideoRecord, frame_idx: int) -> list[int]:
        """Objects of a sensible size that the picture's border does not cut off."""
        height, width = video.size
        areas = video.areas(frame_idx)
        sized = [obj for obj, area in areas.items() if _SMALLEST <= area / (height * width) <= _LARGEST]
        masks = video.masks(frame_idx, sized) if sized else {}
        return [obj for obj in sorted(masks) if share_at_border(torch.from_numpy(masks[obj])) < CUT_OFF]
