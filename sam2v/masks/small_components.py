"""Small components of masks on a device whose queue never runs dry: torch alone, see `sam2v.masks.components`."""

from __future__ import annotations

import torch


def small_components(mask: torch.Tensor, max_area: int) -> torch.Tensor:
    """Pixels of the 8-connected components of at most `max_area` pixels, N x 1 x h x w bool.

    Every operation has a shape that is known beforehand and nothing is read on the host, so that a GPU's queue never
    runs dry. A component that small is filled by its largest pixel number within `max_area` steps; pieces of larger
    ones, which may not be, border on pixels with another number.
    """
    flat = mask.flatten(1)
    number = torch.arange(1, flat.shape[1] + 1, dtype=torch.float32, device=mask.device).view(1, 1, *mask.shape[-2:])
    nothing = torch.zeros((), device=mask.device)
    label = torch.where(mask, number, nothing)
    for _ in range(max_area):
        label = torch.where(mask, _largest_around(label), nothing)
    least = -_largest_around(torch.where(mask, -label, float("-inf")))
    border = mask & ((_largest_around(label) != label) | (least != label))
    index = label.flatten(1).long()
    zeros = torch.zeros(len(flat), flat.shape[1] + 1, dtype=torch.int32, device=mask.device)
    area = zeros.scatter_add(1, index, flat.int())
    open_ends = zeros.scatter_add(1, index, border.flatten(1).int())
    closed = (area <= max_area) & (open_ends == 0)
    return closed.gather(1, index).view_as(mask) & mask


def _largest_around(values: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.max_pool2d(values, 3, stride=1, padding=1)
