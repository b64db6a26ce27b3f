"""Memories on which the object was surely there are read more strongly (SAM2Long, arXiv 2410.16268, section 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sam2v.memory.halves import check_range
from sam2v.memory.policy import Read

#: Object score logit of what a person prompted.
PROMPTED = 10.0


@dataclass(frozen=True)
class KeyScaling:
    """Factors on the keys of what is read, on a ramp from the lowest object score to the highest; values stay.

    Attributes:
        low: factor of the memory with the lowest object score. high: of that with the highest.

    Raises:
        ValueError: outside [0.5, 2], or low above high.
    """

    low: float = 0.95
    high: float = 1.05

    def __post_init__(self) -> None:
        check_range("low", self.low, 0.5, 2.0)
        check_range("high", self.high, self.low, 2.0)

    def scaled(self, reads: Sequence[Read]) -> list[Read]:
        """The same reads with their factors; one alone stays as it is."""
        if len(reads) < 2:
            return list(reads)
        scores = [read.entry.facts.get("object_score", PROMPTED) for read in reads]
        factors = np.empty(len(reads))
        factors[np.argsort(scores, kind="stable")] = np.linspace(self.low, self.high, len(reads))
        return [read._replace(scale=float(factor)) for read, factor in zip(reads, factors, strict=True)]
