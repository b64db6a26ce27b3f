"""Photographs as videos: objects that move before a filled-in background, under a moving camera."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sam2v.data.clips import Clip
from sam2v.data.edits.config import EditConfig
from sam2v.data.edits.fill import fill_holes, grow
from sam2v.data.edits.sprites import CUT_OFF
from sam2v.data.edits.view import (
    Layer,
    aspect_of,
    draw_camera,
    draw_layer,
    lattice_of,
    look_at,
    middle_of,
    share_at_border,
)
from sam2v.data.synthetic.motion import Motion, sample_body, sample_waves, world_to_atlas

_MOVING = 3  # objects that move by themselves at most
_SIDE = 432  # pixels of the longer side of what is seen, at most
_BORDER = 3  # pixels around an object that are filled in with it: its outline belongs to both


def animate(clip: Clip, config: EditConfig, rng: np.random.Generator) -> Clip:
    """Set a photograph in motion.

    Args:
        clip: T frames, all alike.
        config: speeds and probabilities.
        rng: draws everything.

    Returns:
        A clip of T frames in which every mask is exact: what is drawn later hides what was drawn before. The clip as
        it was, if its objects would not be visible on the first frame.
    """
    picture, masks, aspect = clip.frames[0].float() / 255, clip.masks[0], aspect_of(clip.size)
    seen = masks.flatten(1).any(dim=1).nonzero().flatten().tolist()
    target = middle_of(masks[seen[int(rng.integers(len(seen)))]], aspect) if seen else None
    camera = draw_camera(rng, clip.num_frames, aspect, config.zoom, config.motion, target)
    view = _view_of(clip.size)
    world = lattice_of(camera, view)
    moving = [obj for obj in rng.permutation(seen).tolist() if rng.uniform() < config.parallax][:_MOVING]
    ground = _without(picture, masks[moving].any(dim=0), rng) if moving else picture
    frames = look_at(ground[None], world / aspect, view, "reflection")
    still = masks & ~masks[moving].any(dim=0) if moving else masks
    owned = _seen(still, world / aspect, view)
    for obj in sorted(moving, key=lambda number: _lowest(masks[number])):  # what stands lower is nearer
        layer = _moved(picture, masks[obj], world, view, config, rng)
        frames[layer.window] *= 1 - layer.picture[:, 3:]
        frames[layer.window] += layer.picture[:, :3]
        owned[layer.window] &= ~layer.solid
        owned[:, obj, layer.rows, layer.columns] |= layer.solid[:, 0]
    if not bool(owned[0].any()):
        return clip
    return Clip(frames.mul_(255).round_().clamp_(0, 255).to(torch.uint8), owned, clip.name)


def _without(picture: Tensor, mask: Tensor, rng: np.random.Generator) -> Tensor:
    """The picture without an object: smooth colours from around it, with the fine detail of another place."""
    hole = grow(mask, _BORDER)
    shift = [int(rng.integers(side // 4, 3 * side // 4)) for side in mask.shape]
    detail = (picture - F.avg_pool2d(picture[None], 9, stride=1, padding=4)[0]).roll(shift, (1, 2))
    return (fill_holes(picture, hole) + detail * hole).clamp(0, 1)


def _view_of(size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of what is seen of a picture of this size: the same proportions, at most so large."""
    scale = min(1.0, _SIDE / max(size))
    return round(size[0] * scale), round(size[1] * scale)


def _seen(masks: Tensor, lattice: Tensor, size: tuple[int, int]) -> Tensor:
    """M x H x W masks through a lattice, T x M x height x width; empty ones cost nothing.

    Beyond its border the picture is shown mirrored: what is seen of an object there belongs to it too.
    """
    owned = torch.zeros(len(lattice), len(masks), *size, dtype=torch.bool)
    some = masks.flatten(1).any(dim=1).nonzero().flatten()
    if len(some):
        owned[:, some] = look_at(masks[some][None].float(), lattice, size, "reflection") > 0.5
    return owned


def _moved(
    picture: Tensor, mask: Tensor, world: Tensor, view: tuple[int, int], config: EditConfig, rng: np.random.Generator
) -> Layer:
    """An object with its own motion and deformation, as the camera sees it."""
    frames, aspect = len(world), aspect_of((mask.shape[0], mask.shape[1]))
    pivot = middle_of(mask, aspect)
    half = max(0.05, math.sqrt(float(mask.float().mean()) * float(aspect.prod())))
    cut_off = share_at_border(mask) >= CUT_OFF  # its straight edge would come into view
    motion = draw_motion(rng, frames, pivot, half, config.motion * (0.2 if cut_off else 1.0))
    lattice = world_to_atlas(motion, world[None])[0, 0] * half + torch.from_numpy(pivot).float()
    soft = F.avg_pool2d(mask[None, None].float(), 3, stride=1, padding=1)[0]
    soft = (soft * mask).clamp(0, 1)  # nothing of the background comes along
    top, bottom, left, right = _box(mask)
    rgba = torch.cat([picture * soft, soft])[None, :, top:bottom, left:right]
    middle = torch.tensor([(left + right) / mask.shape[1] - 1, (top + bottom) / mask.shape[0] - 1])
    share = torch.tensor([(right - left) / mask.shape[1], (bottom - top) / mask.shape[0]])
    return draw_layer(rgba, (lattice / aspect - middle) / share, view)


def draw_motion(rng: np.random.Generator, frames: int, pivot: np.ndarray, half: float, speed: float) -> Motion:
    """The motion of one object that starts at `pivot` with half extents `half`; batch 1, one layer, tensors."""
    centre, angle, scale = sample_body(rng, frames, speed, (3.0, 3.0), (1.0, 1.0), 0.0)
    growth = np.sqrt(scale.prod(axis=1))
    path = pivot + (centre - centre[0]) * rng.uniform(0.2, 1.2)
    waves = sample_waves(rng, 1, speed)
    extent = (half * growth / growth[0])[:, None].repeat(2, 1)
    poses = [torch.from_numpy(part).float()[None, None] for part in (path, angle - angle[0], extent)]
    return Motion(poses[0], poses[1], poses[2], torch.from_numpy(waves).float()[None], None)


def _box(mask: Tensor) -> tuple[int, int, int, int]:
    """First and one past the last row and column of a mask that is not empty, and a pixel around."""
    ends = []
    for line in (mask.any(dim=1), mask.any(dim=0)):
        found = line.nonzero().flatten()
        ends += [max(0, int(found[0]) - 1), min(len(line), int(found[-1]) + 2)]
    return ends[0], ends[1], ends[2], ends[3]


def _lowest(mask: Tensor) -> int:
    """The last row that a mask reaches."""
    return int(mask.any(dim=1).nonzero().max())
