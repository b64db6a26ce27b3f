"""Attention over keys that come in parts, as blocks of matrix products that stay in the cache."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from sam2v.backends.cpu.products import linear

#: Queries per thread and keys of one block in float32 (in bfloat16 twice as many queries): the products reach their
#: full speed, and a block's logits stay in the cache.
_QUERIES, _KEYS = 1024, 512
#: Largest logits (as powers of two) of the first keys that go into exponentials as they are: half of what fits.
_SAFE = 64.0
#: Smaller logits are raised to this: nothing is lost, and products with subnormal numbers take many times as long.
_LEAST = -100.0


class RunningAttention:
    """Attention of one set of queries over keys that come in parts.

    Exponentials are powers of two, which cost a third of those of e on some processors. Logits go straight into them
    where that is safe: float32 and bfloat16 hold powers of two from -126 to 127, and few logits are that large. Where
    the first keys' are large, each query's largest of them is subtracted from all; `mean` tells if that was not enough.

    Args:
        q: Lq x C queries, float32 or bfloat16.
        value_channels: Cv.
    """

    def __init__(self, q: Tensor, value_channels: int) -> None:
        q = q * (q.shape[1] ** -0.5 * math.log2(math.e))
        rows = _QUERIES * torch.get_num_threads() * 4 // q.element_size()
        self._blocks = [_Block(part, value_channels) for part in q.split(rows)]

    def add(self, k: Tensor, v: Tensor, bias: Tensor | None = None) -> None:
        """Take in keys Lk x C and values Lk x Cv; bias 1 x Lk is added to the logits."""
        for block in self._blocks:
            block.expect(None)
            self._add(block, block.q, k, v, bias)

    def add_sharing(self, k: Tensor, v: Tensor, shared: Tensor, bias: Tensor | None = None) -> None:
        """Take in groups of keys that have something in common.

        Args:
            k: G x Lk x (C - E + D) keys. v: G x Lk x Cv values.
            shared: G x (D + 1) x E, of every group. The last E channels of the queries are multiplied by it; D of the
                products meet the last D channels of the group's keys, and the last one is added to all its logits.
            bias: G x Lk, added to the logits.
        """
        for block in self._blocks:
            for group, q in enumerate(block.project(shared)):
                self._add(block, q, k[group], v[group], None if bias is None else bias[group, None])

    def _add(self, block: _Block, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> None:
        if bias is not None:
            bias = bias * math.log2(math.e)
        for start in range(0, len(k), _KEYS):
            part = slice(start, start + _KEYS)
            block.add(q, k[part], v[part], None if bias is None else bias[:, part])

    def mean(self) -> Tensor | None:
        """The attended values so far, Lq x Cv float32; None where logits went out of range (or the input was not
        finite): they must be attended to in another way."""
        mean = torch.cat([block.sum / block.total for block in self._blocks])
        return mean if bool(mean.isfinite().all()) else None


class _Block:
    """Some queries (rows x C), and what they have gathered."""

    def __init__(self, q: Tensor, value_channels: int) -> None:
        self.q = q
        self.total, self.sum = torch.zeros(len(q), 1), torch.zeros(len(q), value_channels)
        self._term: Tensor | None = None  # the sums are relative to two to the power of it; None is zero
        self._top: Tensor | None = None  # what is subtracted from logits, known from the first ones
        self._first, self._reach_low = True, False
        self._own: Tensor | None = None

    def expect(self, term: Tensor | None) -> None:
        """From now on all logits have `term` (rows x 1, None for nothing) added: the sums are brought to its scale."""
        if term is None and self._term is None:
            return
        before, after = (torch.zeros(1) if x is None else x for x in (self._term, term))
        scale = (before - after).exp2_()
        self.total *= scale
        self.sum *= scale
        self._term = term

    def project(self, shared: Tensor) -> Iterator[Tensor]:
        """For groups of keys that share G x (D + 1) x E: queries rows x (C - E + D), in one place; what a group adds to
        its logits is expected."""
        (rows, channels), depth = self.q.shape, shared.shape[1] - 1
        own = channels - shared.shape[2]
        if self._own is None:  # the queries' own channels are written once, the others for every group
            self._own, self._last = self.q.new_empty(rows, own + depth), self.q[:, own:].contiguous()
            self._own[:, :own] = self.q[:, :own]
        terms = (self._last @ shared[:, depth].T).float()
        projected = linear(self._last, shared[:, :depth].flatten(0, 1))  # one product for all groups
        for part, term in zip(projected.split(depth, 1), terms.split(1, 1), strict=True):
            self._own[:, own:] = part
            self.expect(term)
            yield self._own

    def add(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> None:
        """Gather values v of keys k."""
        logits = linear(q, k)
        if bias is not None:
            logits += bias
        if self._first:
            self._look_at(logits)
        if self._top is not None:
            logits.sub_(self._top)
        if self._reach_low:
            logits.clamp_(min=_LEAST)
        weights = logits.exp2_()
        self.total += weights.sum(1, keepdim=True)
        self.sum += linear(weights, v.T)

    def _look_at(self, logits: Tensor) -> None:
        """Decide by the first logits how all are treated."""
        self._first = False
        top, least = logits.amax(1, keepdim=True), float(logits.amin())
        top.masked_fill_(top == float("-inf"), 0.0)  # all of them are hidden
        high = float(top.abs().amax())
        self._top = top if high > _SAFE else None
        self._reach_low = least - (high if self._top is not None else 0.0) < _LEAST
