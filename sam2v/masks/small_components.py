"""Small components of masks on a device whose queue never runs dry: torch alone, see `sam2v.masks.components`."""

from __future__ import annotations

import torch


def small_components(mask: torch.Tensor, max_area: int) -> torch.Tensor:
    """Pixels of the 8-connected components of at most `max_area` pixels, N x 1 x h x w bool.

    Every operation has a shape that is known beforehand and nothing is read on the host, so that a GPU's queue never
    runs dry. A component that small is filled by its largest pixel number in fewer than `max_area` steps; pieces of
    larger ones, which may not be, border on pixels with another number.
    """
    flat = mask.flatten(1)
    number = torch.arange(1, flat.shape[1] + 1, dtype=torch.float32, device=mask.device).view(1, 1, *mask.shape[-2:])
    nothing = torch.zeros((), device=mask.device)
    label = torch.where(mask, number, nothing)
    for _ in range(max_area - 1):
        label = torch.where(mask, _largest_around(label), nothing)
    back = torch.where(mask, flat.shape[1] + 1 - label, nothing)  # numbers from the other end: the largest is the least
    border = mask & ((_largest_around(label) != label) | (_largest_around(back) != back))
    index = label.flatten(1).long()
    # a pixel at the border counts as more than all pixels: what has one is never small
    pixels = border.flatten(1) * (flat.shape[1] + max_area + 1) + 1
    area = torch.zeros(len(flat), flat.shape[1] + 1, dtype=pixels.dtype, device=mask.device)
    small = area.scatter_add_(1, index, pixels) <= max_area
    return small.gather(1, index).view_as(mask) & mask


def _largest_around(values: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.max_pool2d(values, 3, stride=1, padding=1)
