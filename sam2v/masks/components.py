"""Connected components of binary masks on any device, with nothing to compile, and the clean-up built on
them.

A mask is cut into horizontal runs; runs that touch in neighbouring rows are the edges of a small graph, and
the graph's components are found by hooking every root to the smallest root it touches and then shortening
the pointers. The number of rounds grows with the logarithm of the number of runs, and the work with the
number of pixels.
"""

from __future__ import annotations

import math

from sam2v.arrays import (
    Array,
    device_of,
    is_on_host,
    namespace,
    on_device,
    scatter_add,
    scatter_least,
    to_numpy,
)


def label_components(mask: Array) -> Array:
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
    xp = namespace(flat)
    start, length, root = _runs(flat)
    is_root = root == xp.arange(root.shape[0], device=device_of(root))
    number = xp.cumulative_sum(xp.astype(is_root, xp.int64))  # roots come in raster order, mask after mask
    mask_of_run = start // max(math.prod(flat.shape[1:]), 1)
    per_mask = scatter_add(flat.shape[0], mask_of_run, xp.astype(is_root, xp.int64))
    before = xp.cumulative_sum(per_mask) - per_mask  # components of the masks in front
    return _painted(mask, flat, start, length, number[root] - before[mask_of_run])


def component_areas(mask: Array) -> Array:
    """Give every foreground pixel the area, in pixels, of its 8-connected component; background gets 0.

    Args:
        mask: ... x H x W, bool.

    Returns:
        ... x H x W int64 on the same device.
    """
    flat = _as_batch(mask)
    start, length, root = _runs(flat)
    return _painted(mask, flat, start, length, _area_of_root(length, root)[root])


def fill_holes(logits: Array, max_area: int, value: float = 0.1) -> Array:
    """Turn small background components into object.

    Args:
        logits: N x 1 x h x w mask logits; > 0 is object.
        max_area: components of background (logit <= 0, 8-connected) of at most this many pixels are filled;
            0 or less leaves the logits as they are.
        value: the logit that filled pixels get.

    Returns:
        New logits, same shape and dtype (the same array when there is nothing to do).
    """
    return replace_small(logits, logits <= 0, max_area, value) if max_area > 0 else logits


def remove_specks(logits: Array, max_area: int, value: float = -0.1) -> Array:
    """Turn small object components into background: `fill_holes` with the roles exchanged.

    Args:
        logits: N x 1 x h x w mask logits; > 0 is object.
        max_area: components of object (logit > 0, 8-connected) of at most this many pixels are removed.
        value: the logit that removed pixels get.
    """
    return replace_small(logits, logits > 0, max_area, value) if max_area > 0 else logits


def replace_small(logits: Array, mask: Array, max_area: int, value: float) -> Array:
    """Give the pixels of small components another logit.

    Args:
        logits: N x 1 x h x w.
        mask: N x 1 x h x w bool; its 8-connected components of at most `max_area` pixels are replaced by `value`.
    """
    if is_on_host(logits):
        return _replace_runs(logits, mask, max_area, value)
    from sam2v.masks.small_components import small_components

    return logits.masked_fill(small_components(mask, max_area), value)


def _replace_runs(logits: Array, mask: Array, max_area: int, value: float) -> Array:
    xp = namespace(logits)
    start, length, root = _runs(_as_batch(mask))
    small = (_area_of_root(length, root) <= max_area)[root]
    changed = xp.asarray(xp.reshape(logits, (-1,)), copy=True)
    changed[on_device(_pixels(start[small], length[small]), device_of(logits))] = value
    return xp.reshape(changed, logits.shape)


def _as_batch(mask: Array) -> Array:
    """N x H x W booleans: NumPy's, which are three times as fast as tensors here, but for those of a device that can
    scatter and search integers."""
    try:
        shape = tuple(namespace(mask).asarray(mask).shape)
    except TypeError:
        raise ValueError(f"mask must be an array of shape ... x H x W, got {type(mask).__name__}") from None
    if len(shape) < 2:
        raise ValueError(f"mask must be an array of shape ... x H x W, got shape {shape}")
    if is_on_host(mask) or mask.device.type != "cuda":
        mask = to_numpy(mask)
    xp = namespace(mask)
    return xp.reshape(xp.astype(mask, xp.bool, copy=False), (math.prod(shape[:-2]), *shape[-2:]))


def _runs(mask: Array) -> tuple[Array, Array, Array]:
    """Cut N x H x W masks into R horizontal runs, in raster order, and join those that touch.

    Returns the flat index of each run's first pixel, its length, and its root: the smallest run of its
    component.
    """
    xp = namespace(mask)
    first, last = xp.asarray(mask, copy=True), xp.asarray(mask, copy=True)
    first[..., 1:] &= ~mask[..., :-1]
    last[..., :-1] &= ~mask[..., 1:]
    start = _indices(first)
    length = _indices(last) - start + 1
    run_of = [xp.searchsorted(start, pixel, side="right") - 1 for pixel in _touching(mask)]
    return start, length, _join(start.shape[0], *run_of)


def _touching(mask: Array) -> tuple[Array, Array]:
    """Flat indices of pixel pairs in neighbouring rows that link two runs: one pair per side or lone
    corner.
    """
    xp, width = namespace(mask), mask.shape[-1]
    above, below = mask[:, :-1], mask[:, 1:]
    side = xp.zeros_like(mask)  # written at the upper pixel, so that indices are those of the whole batch
    side[:, :-1] = above & below
    # of a stretch of common columns the first is enough
    side[..., 1:] &= ~xp.asarray(side[..., :-1], copy=True)
    falling, rising = xp.zeros_like(mask), xp.zeros_like(mask)
    # corners count only where no side does the same job: falling = upper pixel left, rising = upper pixel
    # right
    falling[:, :-1, :-1] = above[..., :-1] & below[..., 1:] & ~below[..., :-1] & ~above[..., 1:]
    rising[:, :-1, 1:] = above[..., 1:] & below[..., :-1] & ~below[..., 1:] & ~above[..., :-1]
    at_side, at_falling, at_rising = _indices(side), _indices(falling), _indices(rising)
    upper = xp.concat([at_side, at_falling, at_rising])
    lower = xp.concat([at_side + width, at_falling + width + 1, at_rising + width - 1])
    return upper, lower


def _join(num_nodes: int, a: Array, b: Array) -> Array:
    """Components of a graph with edges (a[i], b[i]): for each node the smallest node it is connected to."""
    xp = namespace(a)
    parent = xp.arange(num_nodes, device=device_of(a))
    while a.shape[0]:
        root_a, root_b = parent[a], parent[b]
        parent = _flatten(scatter_least(parent, xp.maximum(root_a, root_b), xp.minimum(root_a, root_b)))
        still_open = parent[a] != parent[b]
        a, b = a[still_open], b[still_open]
    return parent


def _flatten(parent: Array) -> Array:
    """Let every node point straight at its root."""
    xp = namespace(parent)
    while True:
        grand = parent[parent]
        if xp.all(grand == parent):
            return parent
        parent = grand


def _area_of_root(length: Array, root: Array) -> Array:
    """Pixels of each component, at the position of its root run (0 at other runs)."""
    return scatter_add(length.shape[0], root, length)


def _indices(mask: Array) -> Array:
    xp = namespace(mask)
    return xp.nonzero(xp.reshape(mask, (-1,)))[0]


def _pixels(start: Array, length: Array) -> Array:
    """Flat indices of all pixels of the given runs."""
    xp = namespace(start)
    offset = xp.cumulative_sum(length) - length
    step = xp.arange(int(xp.sum(length)), device=device_of(start))
    return step + xp.repeat(start - offset, length)


def _painted(like: Array, mask: Array, start: Array, length: Array, value: Array) -> Array:
    """Runs of N x H x W masks with the given values, int64, in the shape and on the device of an array."""
    xp = namespace(mask)
    image = xp.zeros(math.prod(mask.shape), dtype=xp.int64, device=device_of(mask))
    image[_pixels(start, length)] = xp.repeat(value, length)
    return on_device(xp.reshape(image, like.shape), device_of(like))
