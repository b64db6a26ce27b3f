"""Connected components of binary masks on any device, with nothing to compile, and the clean-up built on
them.

A mask is cut into horizontal runs; runs that touch in neighbouring rows are the edges of a small graph, and
the graph's components are found by hooking every root to the smallest root it touches and then shortening
the pointers. The number of rounds grows with the logarithm of the number of runs, and the work with the
number of pixels.
"""

import torch


def label_components(mask: torch.Tensor) -> torch.Tensor:
    """Label the 8-connected components of each mask.

    Args:
        mask: ... x H x W, bool (other dtypes: non-zero is foreground). Leading dimensions are independent
            masks.

    Returns:
        ... x H x W int64 on the same device: 0 is background, the components of each mask are numbered 1,
        2, ... in the raster order of their first pixel.

    Raises:
        ValueError: fewer than two dimensions.
    """
    flat = _as_batch(mask)
    start, length, root = _runs(flat)
    is_root = root == torch.arange(len(root), device=root.device)
    number = is_root.cumsum(0)  # roots come in raster order, mask after mask
    mask_of_run = start // max(flat[0].numel() if len(flat) else 1, 1)
    per_mask = torch.bincount(mask_of_run[is_root], minlength=len(flat))
    before = per_mask.cumsum(0) - per_mask  # components of the masks in front
    return _paint(flat, start, length, number[root] - before[mask_of_run]).reshape(mask.shape).to(mask.device)


def component_areas(mask: torch.Tensor) -> torch.Tensor:
    """Give every foreground pixel the area, in pixels, of its 8-connected component; background gets 0.

    Args:
        mask: ... x H x W, bool.

    Returns:
        ... x H x W int64 on the same device.
    """
    flat = _as_batch(mask)
    start, length, root = _runs(flat)
    return _paint(flat, start, length, _area_of_root(length, root)[root]).reshape(mask.shape).to(mask.device)


def fill_holes(logits: torch.Tensor, max_area: int, value: float = 0.1) -> torch.Tensor:
    """Turn small background components into object.

    Args:
        logits: N x 1 x h x w mask logits; > 0 is object.
        max_area: components of background (logit <= 0, 8-connected) of at most this many pixels are filled;
            0 or less leaves the logits as they are.
        value: the logit that filled pixels get.

    Returns:
        New logits, same shape and dtype (the same tensor when there is nothing to do).
    """
    return replace_small(logits, logits <= 0, max_area, value) if max_area > 0 else logits


def remove_specks(logits: torch.Tensor, max_area: int, value: float = -0.1) -> torch.Tensor:
    """Turn small object components into background: `fill_holes` with the roles exchanged.

    Args:
        logits: N x 1 x h x w mask logits; > 0 is object.
        max_area: components of object (logit > 0, 8-connected) of at most this many pixels are removed.
        value: the logit that removed pixels get.
    """
    return replace_small(logits, logits > 0, max_area, value) if max_area > 0 else logits


def replace_small(logits: torch.Tensor, mask: torch.Tensor, max_area: int, value: float) -> torch.Tensor:
    """Give the pixels of small components another logit.

    Args:
        logits: N x 1 x h x w.
        mask: N x 1 x h x w bool; its 8-connected components of at most `max_area` pixels are replaced by `value`.
    """
    if logits.device.type == "cpu":
        return _replace_runs(logits, mask, max_area, value)
    return torch.where(small_components(mask, max_area), value, logits)


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


def _replace_runs(logits: torch.Tensor, mask: torch.Tensor, max_area: int, value: float) -> torch.Tensor:
    start, length, root = _runs(_as_batch(mask))
    small = (_area_of_root(length, root) <= max_area)[root]
    changed = logits.flatten().clone()
    changed[_pixels(start[small], length[small]).to(logits.device)] = value
    return changed.reshape(logits.shape)


def _as_batch(mask: torch.Tensor) -> torch.Tensor:
    if not isinstance(mask, torch.Tensor) or mask.dim() < 2:
        got = f"shape {tuple(mask.shape)}" if isinstance(mask, torch.Tensor) else type(mask).__name__
        raise ValueError(f"mask must be a tensor of shape ... x H x W, got {got}")
    # scatter and search of integers are complete on these devices only; elsewhere the mask is labelled on
    # the CPU
    here = mask if mask.device.type in ("cpu", "cuda") else mask.cpu()
    return here.bool().reshape(mask.shape[:-2].numel(), *mask.shape[-2:])


def _runs(mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Cut N x H x W masks into R horizontal runs, in raster order, and join those that touch.

    Returns the flat index of each run's first pixel, its length, and its root: the smallest run of its
    component.
    """
    first, last = mask.clone(), mask.clone()
    first[..., 1:] &= ~mask[..., :-1]
    last[..., :-1] &= ~mask[..., 1:]
    start = _indices(first)
    length = _indices(last) - start + 1
    upper, lower = _touching(mask)
    run_of = [torch.searchsorted(start, pixel, right=True) - 1 for pixel in (upper, lower)]
    return start, length, _join(len(start), *run_of)


def _touching(mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Flat indices of pixel pairs in neighbouring rows that link two runs: one pair per side or lone
    corner.
    """
    width = mask.shape[-1]
    above, below = mask[:, :-1], mask[:, 1:]
    side = torch.zeros_like(mask)  # written at the upper pixel, so that indices are those of the whole batch
    side[:, :-1] = above & below
    side[..., 1:] &= ~side[..., :-1]  # of a stretch of common columns the first is enough
    falling, rising = torch.zeros_like(mask), torch.zeros_like(mask)
    # corners count only where no side does the same job: falling = upper pixel left, rising = upper pixel
    # right
    falling[:, :-1, :-1] = above[..., :-1] & below[..., 1:] & ~below[..., :-1] & ~above[..., 1:]
    rising[:, :-1, 1:] = above[..., 1:] & below[..., :-1] & ~below[..., 1:] & ~above[..., :-1]
    at_side, at_falling, at_rising = _indices(side), _indices(falling), _indices(rising)
    upper = torch.cat([at_side, at_falling, at_rising])
    lower = torch.cat([at_side + width, at_falling + width + 1, at_rising + width - 1])
    return upper, lower


def _join(num_nodes: int, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Components of a graph with edges (a[i], b[i]): for each node the smallest node it is connected to."""
    parent = torch.arange(num_nodes, device=a.device)
    while len(a):
        root_a, root_b = parent[a], parent[b]
        parent.scatter_reduce_(0, torch.maximum(root_a, root_b), torch.minimum(root_a, root_b), "amin")
        parent = _flatten(parent)
        still_open = parent[a] != parent[b]
        a, b = a[still_open], b[still_open]
    return parent


def _flatten(parent: torch.Tensor) -> torch.Tensor:
    """Let every node point straight at its root."""
    while True:
        grand = parent[parent]
        if torch.equal(grand, parent):
            return parent
        parent = grand


def _area_of_root(length: torch.Tensor, root: torch.Tensor) -> torch.Tensor:
    """Pixels of each component, at the position of its root run (0 at other runs)."""
    return torch.zeros_like(length).scatter_add_(0, root, length)


def _indices(mask: torch.Tensor) -> torch.Tensor:
    return mask.flatten().nonzero().squeeze(1)


def _pixels(start: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
    """Flat indices of all pixels of the given runs."""
    offset = length.cumsum(0) - length
    step = torch.arange(int(length.sum()), device=start.device)
    return step + (start - offset).repeat_interleave(length)


def _paint(mask: torch.Tensor, start: torch.Tensor, length: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """An N x H x W int64 image whose runs carry the given values."""
    image = torch.zeros(mask.numel(), dtype=torch.int64, device=mask.device)
    image[_pixels(start, length)] = value.repeat_interleave(length)
    return image.reshape(mask.shape)
