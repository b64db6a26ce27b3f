"""Light, shadow, blur and noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from sam2v.data.synthetic.scene import Effects

BLUR_RADIUS = 4  # pixels
SHADOW_STRIDE = 4  # shadows are soft: they are computed at a quarter of the size


def darken(canvas: Tensor, alpha: Tensor, shadow: Tensor) -> Tensor:
    """Throw soft shadows of layers on what lies below.

    Args:
        canvas: B x T x 3 x H x W.
        alpha: B x T x H x W coverage of the layer.
        shadow: B x 3 as (offset x, offset y) in half sides of the view, and strength (0: no shadow).
    """
    rows = (shadow[:, 2] > 0).nonzero().flatten()
    if len(rows) == 0:
        return canvas
    height, width = alpha.shape[-2:]
    small = functional.avg_pool2d(alpha[rows], SHADOW_STRIDE, ceil_mode=True)
    small = functional.avg_pool2d(small, 3, stride=1, padding=1)
    moved = [
        _shifted(part, round(dy * small.shape[-2] / 2), round(dx * small.shape[-1] / 2))
        for part, (dx, dy, _) in zip(small, shadow[rows].tolist(), strict=True)
    ]
    soft = functional.interpolate(torch.stack(moved), size=(height, width), mode="bilinear")
    canvas = canvas.clone()
    canvas[rows] *= 1 - (soft * shadow[rows, 2, None, None, None])[:, :, None]
    return canvas


def _shifted(plane: Tensor, down: int, right: int) -> Tensor:
    """... x H x W moved by whole cells; zeros move in."""
    height, width = plane.shape[-2:]
    down, right = max(-height, min(down, height)), max(-width, min(right, width))
    return functional.pad(plane, (right, -right, down, -down))


def apply_effects(canvas: Tensor, effects: Effects) -> Tensor:
    """Light, blur and noise; B x T x 3 x H x W in [0, 1] to uint8."""
    height, width = canvas.shape[-2:]
    canvas = canvas.clamp(1e-3, 1) ** effects.gamma[:, None, None, None, None]
    x = torch.linspace(-1, 1, width, device=canvas.device)
    y = torch.linspace(-1, 1, height, device=canvas.device)[:, None]
    sx, sy = (v[..., None, None] for v in effects.spot.unbind(-1))  # B T 1 1
    gain = (effects.light[..., None, None] * (1 + sx * x + sy * y))[:, :, None] * effects.cast[..., None, None]
    canvas = _blur(canvas * gain, effects.blur)
    tile = torch.randn(
        (3, height, width), generator=torch.Generator(canvas.device).manual_seed(0), device=canvas.device
    )
    shifts = effects.grain.flatten(0, 1).tolist()
    tiles = torch.stack([tile.roll((dy, dx), (-2, -1)) for dx, dy in shifts]).view_as(canvas)
    canvas = canvas + tiles * effects.noise[:, None, None, None, None]
    return canvas.clamp_(0, 1).mul_(255).round_().to(torch.uint8)


def _blur(canvas: Tensor, blur: Tensor) -> Tensor:
    """Separable Gaussian blur of the clips that have one; `blur` B x T x 2 standard deviations in pixels."""
    rows = (blur.amax((1, 2)) > 0.05).nonzero().flatten()
    if len(rows) == 0:
        return canvas
    taps = torch.arange(-BLUR_RADIUS, BLUR_RADIUS + 1, device=canvas.device)
    sigma = blur[rows].flatten(0, 1).clamp_min(0.05)  # K 2
    kernel = (-0.5 * (taps / sigma[..., None]).square()).softmax(-1)  # K 2 taps
    kernel = kernel.repeat_interleave(3, dim=0)[:, :, None]  # 3K 2 1 taps
    flat = canvas[rows].flatten(0, 2)[None]  # 1 3K H W
    flat = functional.pad(flat, (BLUR_RADIUS,) * 4, mode="replicate")
    flat = functional.conv2d(flat, kernel[:, 0, :, None, :], groups=flat.shape[1])
    flat = functional.conv2d(flat, kernel[:, 1, :, :, None], groups=flat.shape[1])
    canvas = canvas.clone()
    canvas[rows] = flat.view(len(rows), *canvas.shape[1:])
    return canvas
