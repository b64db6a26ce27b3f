"""Colours and textures of layers: mixtures of noise fields, or crops of photographs."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sam2v.data.synthetic.fields import FIELDS

MIX = 3  # fields mixed into a texture; one more divides it into two tones


@dataclass
class Looks:
    """Parameters of N textures; arrays when sampled, tensors when drawn.

    Attributes:
        base: N x 2 x 3, colours of the two tones, RGB in [0, 1].
        mix: N x 2 x 3 x MIX, colour that each field adds, per tone.
        chosen: N x (MIX + 1), fields; the last one divides the tones.
        corner: N x 2, where in the field the crop starts, as a share of what is left, (x, y).
        threshold, sharpness: N, of the division into tones.
        shade: N x 2, brightness gradient along x and y.
        rim: N, darkening towards the border.
        photo: N, index of a photograph, -1: none.
        photo_crop: N x 3, crop of the photograph: corner x and y as shares of what is left, side as a share of it all.
        photo_tint: N x 2 x 3, gain and offset of the photograph's colours.
    """

    base: Any
    mix: Any
    chosen: Any
    corner: Any
    threshold: Any
    sharpness: Any
    shade: Any
    rim: Any
    photo: Any
    photo_crop: Any
    photo_tint: Any

    def copy_row(self, source: int, target: int) -> None:
        """Give row `target` the look of row `source`."""
        for field in fields(self):
            getattr(self, field.name)[target] = getattr(self, field.name)[source]


def sample_colours(rng: np.random.Generator, count: int) -> np.ndarray:
    """Draw `count` RGB colours with the statistics of photographs: mostly grey and brown, blue against orange."""
    light = rng.normal(0.45, 0.2, (count, 1))
    vivid = np.where(rng.uniform(size=(count, 1)) < 0.2, 3.5, 1.0)
    warm = rng.normal(0.02, 0.08, (count, 1)) * vivid
    green = rng.normal(0.0, 0.035, (count, 1)) * vivid
    axes = warm * np.array([[0.8, 0.05, -0.85]]) + green * np.array([[-0.6, 1.0, -0.5]])
    return (light + axes).clip(0.02, 0.98)


def sample_looks(
    rng: np.random.Generator, count: int, photographs: int = 0, photo_share: float = 0.0, contrast: float = 1.0
) -> Looks:
    """Draw `count` looks; a share `photo_share` of them comes from photographs 0 to `photographs` - 1."""
    base = sample_colours(rng, 2 * count).reshape(count, 2, 3)
    near = rng.uniform(size=(count, 1)) < 0.5  # tones of one hue
    base[:, 1] = np.where(near, base[:, 0] * rng.uniform(0.5, 1.6, (count, 1)), base[:, 1]).clip(0.02, 0.98)
    strength = contrast * np.exp(rng.normal(math.log(0.055), 0.8, (count, 2, 1, MIX)))
    hue = 1 + 0.35 * rng.standard_normal((count, 2, 3, MIX))
    from_photo = rng.uniform(size=count) < (photo_share if photographs else 0.0)
    gain = np.exp(rng.normal(0, 0.2, (count, 1, 1)) + rng.normal(0, 0.05, (count, 1, 3)))
    tint = np.concatenate([gain, rng.normal(0, 0.06, (count, 1, 1)) + np.zeros((count, 1, 3))], axis=1)
    return Looks(
        base=base,
        mix=(strength * hue * rng.choice([-1.0, 1.0], (count, 2, 1, MIX))).clip(-0.3, 0.3),
        chosen=np.stack([rng.permutation(FIELDS)[: MIX + 1] for _ in range(max(1, count))])[:count],
        corner=rng.uniform(size=(count, 2)),
        threshold=rng.normal(0, 0.8, count),
        sharpness=np.exp(rng.uniform(0, 3.5, count)),
        shade=rng.normal(0, 0.13, (count, 2)),
        rim=rng.uniform(0, 0.6, count) * (rng.uniform(size=count) < 0.5),
        photo=np.where(from_photo, rng.integers(0, max(photographs, 1), count), -1),
        photo_crop=np.concatenate([rng.uniform(size=(count, 2)), rng.uniform(0.25, 0.9, (count, 1))], axis=1),
        photo_tint=tint,
    )


def draw_looks(looks: Looks, fields: Tensor, side: int, photographs: Tensor | None = None) -> Tensor:
    """Draw textures.

    Args:
        looks: B x N looks as tensors.
        fields: B x FIELDS x S x S, S >= `side`.
        side: side of the textures in pixels.
        photographs: K x 3 x P x P uint8, needed where a look names one.

    Returns:
        B x N x 3 x side x side RGB, unclamped.
    """
    batch, count = looks.photo.shape
    mixed = _crops(looks, fields, side)  # B N MIX+1 side side
    part = ((mixed[:, :, MIX] - looks.threshold[..., None, None]) * looks.sharpness[..., None, None]).sigmoid()
    flat = mixed[:, :, :MIX].flatten(3)  # B N MIX side*side
    tones = looks.mix.flatten(2, 3) @ flat + looks.base.flatten(2)[..., None]  # B N 6 side*side
    tones = tones.view(batch, count, 2, 3, side, side)
    colour = torch.lerp(tones[:, :, 0], tones[:, :, 1], part[:, :, None])
    if photographs is not None:
        _paste_photographs(colour, looks, photographs)
    line = torch.linspace(-1, 1, side, device=colour.device)
    shade = 1 + looks.shade[..., 0, None, None] * line + looks.shade[..., 1, None, None] * line[:, None]
    return colour * shade[:, :, None]


def _crops(looks: Looks, fields: Tensor, side: int) -> Tensor:
    spare = fields.shape[-1] - side
    corner = (looks.corner * spare).round().long().tolist()
    chosen = looks.chosen.tolist()
    rows = []
    for b, (names, corners) in enumerate(zip(chosen, corner, strict=True)):
        for name, (x, y) in zip(names, corners, strict=True):
            rows += [fields[b, k, y : y + side, x : x + side] for k in name]
    return torch.stack(rows).view(len(chosen), -1, MIX + 1, side, side)


def _paste_photographs(colour: Tensor, looks: Looks, photographs: Tensor) -> None:
    side, whole = colour.shape[-1], photographs.shape[-1]
    crops, photo = looks.photo_crop.tolist(), looks.photo.tolist()
    for b, row in enumerate(photo):
        for n, index in enumerate(row):
            if index < 0:
                continue
            sx, sy, share = crops[b][n]
            extent = max(16, min(whole, round(share * whole)))
            x, y = round(sx * (whole - extent)), round(sy * (whole - extent))
            crop = photographs[index, None, :, y : y + extent, x : x + extent].to(colour.dtype) / 255
            crop = functional.interpolate(crop, size=(side, side), mode="bilinear", antialias=extent > side)
            gain, offset = looks.photo_tint[b, n]
            colour[b, n] = crop[0] * gain[:, None, None] + offset[:, None, None]
