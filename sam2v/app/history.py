"""What the session knew before and after the newest events, so that going back and forth is exact and at once."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sam2v.app.segmenter import Segmenter, Tracks

#: Results that all remembered steps may refer to together, and how many steps there may be.
_MOST_RESULTS, _MOST_STEPS = 1_000_000, 100


@dataclass
class _Step:
    before: Tracks
    after: Tracks | None = None


class History:
    """The session's objects around each of the newest events.

    Args:
        segmenter: whose objects they are.
    """

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter
        self._steps: OrderedDict[int, _Step] = OrderedDict()

    def add(self, event: int, before: Tracks) -> None:
        """Remember what objects were before an event."""
        self._steps[event] = _Step(before)
        while len(self._steps) > _MOST_STEPS or sum(s.before.size for s in self._steps.values()) > _MOST_RESULTS:
            self._steps.popitem(last=False)
            if not self._steps:
                break

    def undo(self, event: int) -> bool:
        """Make the objects what they were before an event; False if that is not known any more."""
        step = self._steps.get(event)
        if step is None:
            return False
        step.after = self._segmenter.copies(step.before.copies)
        self._segmenter.restore(step.before)
        return True

    def redo(self, event: int) -> bool:
        """Make the objects what they were after an event that was undone; False if that is not known."""
        step = self._steps.get(event)
        if step is None or step.after is None:
            return False
        self._segmenter.restore(step.after)
        return True

    @contextlib.contextmanager
    def changing(self, obj_ids: Iterable[int]) -> Iterator[Tracks]:
        """Copies for `add` of objects that the block changes; when it raises, they are what they were."""
        before = self.copies(obj_ids)
        try:
            yield before
        except BaseException:
            self._segmenter.restore(before)
            raise

    def copies(self, obj_ids: Iterable[int]) -> Tracks:
        """Objects as they are now, for `add`."""
        return self._segmenter.copies(obj_ids)
