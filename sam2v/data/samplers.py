"""What a training sample is made of: which frames, which objects, which data set. All of it from a seed and a
number, so that a run that resumes draws what it would have drawn.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np


def draw_seed(*numbers: int) -> int:
    """A 63-bit seed from non-negative numbers, such as (seed, pass, index): equal in, equal out, else unrelated."""
    # their count goes in too: numpy takes (5,) and (5, 0) for the same
    return int(np.random.SeedSequence((len(numbers), *numbers)).generate_state(1, np.uint64)[0] >> 1)


@dataclass(frozen=True)
class FrameSampler:
    """Chooses frames of a video.

    Attributes:
        frames: number of frames T.
        strides: smallest and largest step between them, counted in annotated frames; uniform over those that fit.
        reverse: probability of the reversed order (paper, section on training: 0.5).

    A video with fewer annotated frames than T (at the smallest stride) is walked back and forth.
    Raises ValueError for T < 1 or strides that are no range of positive numbers.
    """

    frames: int = 8
    strides: tuple[int, int] = (1, 1)
    reverse: float = 0.5

    def __post_init__(self) -> None:
        if self.frames < 1 or not 1 <= self.strides[0] <= self.strides[1] or not 0 <= self.reverse <= 1:
            raise ValueError(f"frames >= 1, 1 <= strides[0] <= strides[1] and 0 <= reverse <= 1, got {self}")

    def __call__(self, annotated: Sequence[int], rng: np.random.Generator) -> list[int]:
        """T of the given frame indices, in the order in which the clip shows them. ValueError if there are none."""
        if not annotated:
            raise ValueError("no annotated frame to choose from")
        count, steps = len(annotated), self.frames - 1
        stride = self._stride(count, rng)
        start = int(rng.integers(max(count - steps * stride, 1)))
        places = [_bounce(start + step * stride, count) for step in range(self.frames)]
        if rng.random() < self.reverse:
            places.reverse()
        return [annotated[place] for place in places]

    def starting_at(self, place: int, annotated: Sequence[int], rng: np.random.Generator) -> list[int]:
        """T of the given frame indices, the one at `place` first; turned back where the video ends."""
        count = len(annotated)
        stride = self._stride(count, rng)
        if rng.random() < self.reverse:
            place = 2 * (count - 1) - place  # the way back of the walk to and fro
        return [annotated[_bounce(place + step * stride, count)] for step in range(self.frames)]

    def _stride(self, count: int, rng: np.random.Generator) -> int:
        steps = self.frames - 1
        largest = min(self.strides[1], (count - 1) // steps) if steps else self.strides[1]
        return int(rng.integers(self.strides[0], max(largest, self.strides[0]) + 1))


@dataclass(frozen=True)
class ObjectSampler:
    """Chooses up to `objects` of those with at least `min_area` visible pixels on a clip's first frame."""

    objects: int = 3
    min_area: int = 1

    def __post_init__(self) -> None:
        if self.objects < 1 or self.min_area < 1:
            raise ValueError(f"objects and min_area are at least 1, got {self}")

    def __call__(self, areas: Mapping[int, int], rng: np.random.Generator) -> list[int]:
        """Ids in random order, at most `objects`; none if no object is large enough."""
        eligible = sorted(obj for obj, area in areas.items() if area >= self.min_area)
        return [eligible[place] for place in rng.permutation(len(eligible))[: self.objects]]


class MixedBatches:
    """Batches over several data sets: every batch comes from one of them, drawn by weight, so its clips have
    one shape.

    A data set is gone through in a new random order on every pass. Which clips make step s depends on the
    arguments alone: `start` resumes at a step, and rank r of w sees the r-th of w equal slices of the batch
    that one process would see. Use it as `batch_sampler` of a DataLoader over `sam2v.data.ClipMix`.

    Args:
        lengths: number of clips in each data set.
        weights: how often each is drawn, relative to the others; None = equally often.
        batch_size: clips per step over all ranks; one number, or one per data set.
        steps: number of batches.
        seed: a whole number.
        rank: (r, w), this process and the number of processes.
        start: first step to yield.

    Raises ValueError for no data set, an empty one, bad weights, or a batch that the ranks cannot share
    equally.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        steps: int,
        batch_size: int | Sequence[int],
        weights: Sequence[float] | None = None,
        seed: int = 0,
        rank: tuple[int, int] = (0, 1),
        start: int = 0,
    ) -> None:
        self.lengths = list(lengths)
        self.weights = [1.0] * len(self.lengths) if weights is None else [float(weight) for weight in weights]
        many = isinstance(batch_size, Sequence)
        self.batch_sizes = list(batch_size) if isinstance(batch_size, Sequence) else [batch_size] * len(self.lengths)
        self.steps, self.seed, self.rank, self.start = steps, seed, rank, start
        if not self.lengths or min(self.lengths) < 1:
            raise ValueError(f"a mix needs at least one data set and none of them empty, got lengths {self.lengths}")
        if len(self.weights) != len(self.lengths) or min(self.weights) < 0 or sum(self.weights) <= 0:
            raise ValueError(f"one weight >= 0 per data set, one of them > 0: {len(self.lengths)} and {self.weights}")
        if many and len(self.batch_sizes) != len(self.lengths):
            raise ValueError(f"one batch size per data set: {len(self.lengths)} and {self.batch_sizes}")
        if any(size < 1 or size % rank[1] for size in self.batch_sizes) or not 0 <= rank[0] < rank[1]:
            raise ValueError(f"rank {rank[0]} of {rank[1]} cannot share batches of {self.batch_sizes} equally")
        if not 0 <= start <= steps:
            raise ValueError(f"start is between 0 and steps={steps}, got {start}")

    def __len__(self) -> int:
        """Number of batches that are left from `start` on."""
        return self.steps - self.start

    def __iter__(self) -> Iterator[list[tuple[int, int, int]]]:
        """Lists of (data set, pass, index) for `sam2v.data.ClipMix`."""
        sources = self._sources()
        uses = [int((sources[: self.start] == source).sum()) for source in range(len(self.lengths))]
        orders: dict[int, tuple[int, np.ndarray]] = {}  # per data set, the pass and its order
        rank, world = self.rank
        for source in sources[self.start :].tolist():
            size = self.batch_sizes[source]
            share = size // world
            begin = uses[source] * size + rank * share
            uses[source] += 1
            keys = []
            for place in range(begin, begin + share):
                number, offset = divmod(place, self.lengths[source])
                if orders.get(source, (-1,))[0] != number:
                    orders[source] = (number, self._order(source, number))
                keys.append((source, number, int(orders[source][1][offset])))
            yield keys

    def _sources(self) -> np.ndarray:
        """The data set of every step."""
        edges = (np.cumsum(self.weights) / sum(self.weights)).tolist()
        draws = np.random.default_rng([self.seed, 0]).random(self.steps)
        last = max(index for index, weight in enumerate(self.weights) if weight > 0)
        return np.array([min(bisect.bisect_right(edges, draw), last) for draw in draws.tolist()], np.int64)

    def _order(self, source: int, number: int) -> np.ndarray:
        return np.random.default_rng([self.seed, 1, source, number]).permutation(self.lengths[source])


def _bounce(place: int, count: int) -> int:
    """Position of the place-th step of a walk to and fro over `count` positions."""
    if count == 1:
        return 0
    place %= 2 * (count - 1)
    return min(place, 2 * (count - 1) - place)
