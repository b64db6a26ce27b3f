"""Distractors: memory of what an object looks like beside its look-alikes (DAM4SAM, arXiv 2411.17576, section 3)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from statistics import median

import numpy as np

from sam2v.masks.components import component_areas
from sam2v.memory.candidates import Candidates
from sam2v.memory.entry import MemoryEntry
from sam2v.memory.halves import check_range
from sam2v.memory.motion import box_of, box_overlap
from sam2v.memory.past import Past
from sam2v.memory.policy import Choice, Hypothesis, Memo, Moment, Read

#: The median area is that of so many frames with a mask, of the latest so many frames.
_AREAS, _AREA_FRAMES = 10, 300


@dataclass(frozen=True)
class PresentFrames:
    """Short-term half: the latest frame with a mask, then every `stride`-th one; frames without a mask are not read.

    Object pointers are those of the latest frames with a mask that are within the pointer limit.

    Attributes:
        stride: distance between memories, at least 1.

    Raises:
        ValueError: a stride below 1.
    """

    stride: int = 5

    looks = True

    def __post_init__(self) -> None:
        check_range("stride", self.stride, 1)

    def note(self, candidates: Candidates, choice: Choice) -> Mapping[str, float]:
        """The mask's area in pixels of the low resolution."""
        return {"area": float(candidates.masks[choice.row, choice.mask].sum())}

    def memories(self, past: Past, count: int) -> list[Read]:
        """See `ShortTerm`."""
        found = enumerate(islice(self._spaced(past), count))
        return [Read(frame_idx, entry, row) for row, (frame_idx, entry) in found][::-1]

    def pointers(self, past: Past) -> list[Read]:
        """See `ShortTerm`."""
        frames = ((past.moment.ago(distance), distance) for distance in range(1, past.moment.max_pointers))
        known = ((frame, past.get(frame), distance) for frame, distance in frames)
        return [Read(f, entry, distance) for f, entry, distance in known if entry is not None and _present(entry)]

    def _spaced(self, past: Past) -> Iterator[tuple[int, MemoryEntry]]:
        present = ((frame, entry) for frame, entry in past.nearest() if _present(entry))
        yield from islice(present, 1)
        yield from ((frame, entry) for frame, entry in present if frame % self.stride == 0)


@dataclass(frozen=True)
class DistractorAnchors:
    """Long-term half: frames on which a look-alike was in the picture and the model chose surely.

    A frame becomes an anchor if its predicted IoU is above `min_iou`; its area is like the median area of the last 10
    frames with a mask; more than `gap` frames have passed since the last anchor; and another candidate shows a
    distractor: the box around the chosen mask and the largest part of the candidate outside it overlaps the chosen
    mask's box by `max_overlap` at most. Boxes and areas are those of the low-resolution masks. Where there are more
    than `count`, the anchor farthest away goes. A prompt forgets them: it may say that they were wrong.

    Attributes:
        count: anchors per object, at least 1. min_iou: in [0, 1].
        area_change: how far the area may be from the median, as a share of it, in [0, 1].
        gap: frames, at least 0. max_overlap: IoU of boxes, in [0, 1].

    Raises:
        ValueError: out of range.
    """

    count: int = 3
    min_iou: float = 0.8
    area_change: float = 0.2
    gap: int = 5
    max_overlap: float = 0.7

    looks = True

    def __post_init__(self) -> None:
        check_range("count", self.count, 1)
        check_range("gap", self.gap, 0)
        for name in ("min_iou", "area_change", "max_overlap"):
            check_range(name, getattr(self, name), 0.0, 1.0)

    def start(self) -> Memo:
        """No anchors, and no areas."""
        return {"anchors": [], "areas": [], "latest": None}

    def anchors(self, hypothesis: Hypothesis, memo: Memo) -> list[int]:
        """See `LongTerm`."""
        return [frame for frame in memo.get("anchors", []) if frame in hypothesis.bank.anchors]

    def keeps(self, hypothesis: Hypothesis, memo: Memo, candidates: Candidates, choice: Choice, moment: Moment) -> bool:
        """See `LongTerm`."""
        frame, area = moment.frame_idx, int(candidates.masks[choice.row, choice.mask].sum())
        usual = [known for at, known in memo["areas"] if abs(frame - at) <= _AREA_FRAMES]
        good = (
            area > 0
            and candidates.iou[choice.row, choice.mask] > self.min_iou
            and (not usual or abs(area - median(usual)) <= self.area_change * median(usual))
            and (memo["latest"] is None or abs(frame - memo["latest"]) > self.gap)
            and self._sees_distractor(candidates.masks[choice.row], choice.mask)
        )
        if area > 0:
            memo["areas"] = [*memo["areas"], [frame, area]][-_AREAS:]
        if frame in memo["anchors"]:  # tracked again
            memo["anchors"].remove(frame)
        if good:
            memo["latest"] = frame
            nearest = sorted(memo["anchors"], key=lambda f: abs(f - frame))
            memo["anchors"] = [frame, *nearest][: self.count]
        for given_up in hypothesis.bank.anchors.keys() - set(memo["anchors"]):
            del hypothesis.bank.anchors[given_up]
        return good

    def _sees_distractor(self, masks: np.ndarray, chosen: int) -> bool:
        """Whether a candidate among M x h x w has a large part elsewhere."""
        mask, box = masks[chosen], box_of(masks[chosen])
        if box is None:
            return False
        others = [other & ~mask for number, other in enumerate(masks) if number != chosen]
        unions = (box_of(mask | _largest_part(other)) for other in others if other.any())
        return any(box_overlap(box, union) <= self.max_overlap for union in unions)


def _largest_part(mask: np.ndarray) -> np.ndarray:
    """The largest 8-connected component of a mask that is not empty; all of them where several are."""
    areas = component_areas(mask)
    return areas == areas.max()


def _present(entry: MemoryEntry) -> bool:
    return entry.facts.get("area", 1.0) >= 1
