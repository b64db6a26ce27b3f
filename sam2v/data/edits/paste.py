"""Objects of other videos and photographs in a clip: rivals, occluders, look-alikes, with exact masks."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sam2v.data.clips import Clip
from sam2v.data.edits.config import EditConfig
from sam2v.data.edits.sprites import CUT_OFF, Sprite, SpritePool, cut_sprite
from sam2v.data.edits.view import Layer, aspect_of, draw_layer, lattice_of, share_at_border
from sam2v.data.synthetic.motion import Motion, sample_body, sample_waves, world_to_atlas

_SIZES = (0.18, 0.8)  # half windows of pasted objects, in shorter half sides


def paste(clip: Clip, config: EditConfig, pool: SpritePool, rng: np.random.Generator) -> Clip:
    """Put up to `config.pasted` objects into a clip.

    Returns:
        The clip with their masks behind its own. Every mask holds what is visible: before and behind are known. The
        clip as it was, if they would hide all of its own objects on the first frame.
    """
    layers: list[tuple[bool, Layer]] = []
    for _ in range(int(rng.integers(1, config.pasted + 1))):
        sprite, size = _choose(clip, config, pool, rng)
        if sprite is not None:
            layers.append((bool(rng.uniform() < config.behind), _draw(sprite, size, clip, config, rng)))
    # those behind come first; of the others each new one hides what lies below
    layers.sort(key=lambda item: not item[0])
    frames, masks = clip.frames.float(), torch.cat([clip.masks, _empty(clip, len(layers))], dim=1)
    for number, (behind, layer) in enumerate(layers, clip.num_objects):
        _merge(frames, masks, number, layer, clip.masks if behind else None)
    if not bool(masks[0, : clip.num_objects].any()):
        return clip
    return Clip(frames.round_().clamp_(0, 255).to(torch.uint8), masks, clip.name)


def _empty(clip: Clip, count: int) -> Tensor:
    """T x count x H x W masks of nothing."""
    return torch.zeros(clip.num_frames, count, *clip.size, dtype=torch.bool)


def _choose(
    clip: Clip, config: EditConfig, pool: SpritePool, rng: np.random.Generator
) -> tuple[Sprite | None, float | None]:
    """An object and its size (None: any): one from the pool, or the clip's own at another time, perhaps mirrored."""
    number, shift = int(rng.integers(clip.num_objects)), int(rng.integers(clip.num_frames))
    if rng.uniform() >= config.again or share_at_border(clip.masks[0, number]) >= CUT_OFF:
        return pool.draw(rng, clip.num_frames), None
    order = torch.arange(clip.num_frames).roll(shift)
    if rng.uniform() < 0.5:
        order = order.flip(0)
    sprite = cut_sprite(clip.frames[order], clip.masks[order, number])
    return sprite, None if sprite is None else sprite.size * math.exp(rng.normal(0, 0.15))


def _draw(sprite: Sprite, size: float | None, clip: Clip, config: EditConfig, rng: np.random.Generator) -> Layer:
    """A sprite on its way through the clip's view."""
    frames, aspect = clip.num_frames, aspect_of(clip.size)
    sizes = _SIZES if size is None else (size, size)
    path, angle, scale = sample_body(
        rng, frames, config.motion, (float(aspect[0]), float(aspect[1])), sizes, config.leaving
    )
    extent = np.sqrt(scale.prod(axis=1))[:, None].repeat(2, 1)
    turn = angle - angle[0] + rng.normal(0, 0.15)
    poses = [torch.from_numpy(part).float()[None, None] for part in (path, turn, extent)]
    waves = torch.from_numpy(sample_waves(rng, 1, config.motion)).float()[None]
    motion = Motion(poses[0], poses[1], poses[2], waves, None)
    world = lattice_of(np.zeros((frames, 4)), clip.size)
    lattice = world_to_atlas(motion, world[None])[0, 0]
    pictures = _prepared(sprite, float(extent.max()) * min(clip.size), clip if size is None else None, rng)
    return draw_layer(pictures, lattice, clip.size)


def _prepared(sprite: Sprite, pixels: float, clip: Clip | None, rng: np.random.Generator) -> Tensor:
    """T x 4 x S x S float in [0, 1], colours times coverage, at about the size it will have, mirrored half the time.

    Its colours move towards those of `clip` in some draws.
    """
    side = int(min(sprite.frames.shape[-1], max(8, pixels)))
    rgba = sprite.frames.float() / 255
    colour, alpha = rgba[:, :3], rgba[:, 3:]
    if clip is not None:
        like = clip.frames[0].float().mean(dim=(1, 2)) / 255
        mean = (colour * alpha).sum(dim=(0, 2, 3)) / alpha.sum().clamp_min(1)
        share = rng.uniform(0, 0.7) if rng.uniform() < 0.5 else 0.0
        colour = (colour + share * (like - mean).view(3, 1, 1)).clamp(0, 1)
    if rng.uniform() < 0.5:
        colour, alpha = colour.flip(-1), alpha.flip(-1)
    inner = (F.avg_pool2d(alpha, 3, stride=1, padding=1) * 2 - 1).clamp(0, 1)  # the outline's own background goes
    out = torch.cat([colour * inner, inner], dim=1)
    return F.interpolate(out, (side, side), mode="bilinear", antialias=True) if side < out.shape[-1] else out


def _merge(frames: Tensor, masks: Tensor, number: int, layer: Layer, own: Tensor | None) -> None:
    """Draw a layer into frames T x 3 x H x W (0 to 255) and masks T x M x H x W, in place, as object `number`.

    Args:
        own: T x m x H x W masks of what it passes behind; None: it hides everything.
    """
    coverage, colour, solid = layer.picture[:, 3:], layer.picture[:, :3], layer.solid
    if own is not None:
        hidden = own[layer.window].any(dim=1, keepdim=True)
        front = 1 - F.avg_pool2d(hidden.float(), 3, stride=1, padding=1)
        coverage, colour, solid = coverage * front, colour * front, solid & ~hidden
        solid &= coverage > 0.5
    frames[layer.window] *= 1 - coverage
    frames[layer.window] += 255 * colour
    masks[layer.window] &= ~solid
    masks[:, number, layer.rows, layer.columns] = solid[:, 0]
