"""What may lie behind an object: holes in a picture filled from around them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def fill_holes(picture: Tensor, hole: Tensor) -> Tensor:
    """Fill a hole with smooth colours from its border (pull-push pyramid, Gortler et al. 1996).

    Args:
        picture: 3 x H x W float.
        hole: H x W bool, what is not to be looked at.

    Returns:
        3 x H x W, unchanged outside the hole; grey 0.5 if there is nothing but hole.
    """
    known = (~hole).to(picture.dtype)[None]
    if not bool(known.any()):
        return torch.full_like(picture, 0.5)
    return _pull_push(picture * known, known)[0]


def _pull_push(weighted: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Colours (already times weight) and weights of a level: colours everywhere, from the coarser levels."""
    height, width = weighted.shape[-2:]
    if min(height, width) <= 1 or bool((weight > 0.999).all()):
        return weighted / weight.clamp_min(1e-6), weight
    pad = (0, width % 2, 0, height % 2)
    small = F.avg_pool2d(F.pad(weighted, pad)[None], 2)[0] * 4
    mass = F.avg_pool2d(F.pad(weight, pad)[None], 2)[0] * 4
    full = mass.clamp_max(1)
    coarse, _ = _pull_push(small / mass.clamp_min(1e-6) * full, full)
    above = F.interpolate(coarse[None], scale_factor=2.0, mode="bilinear", align_corners=False)[0, :, :height, :width]
    return weighted + (1 - weight) * above, weight


def grow(mask: Tensor, pixels: int) -> Tensor:
    """... x H x W bool masks with their borders moved outwards by so many pixels (a square's reach)."""
    if pixels <= 0:
        return mask
    flat = mask.flatten(0, -3) if mask.ndim > 2 else mask[None]
    grown = F.max_pool2d(flat.float()[:, None], 2 * pixels + 1, stride=1, padding=pixels)[:, 0] > 0
    return grown.view(mask.shape)
