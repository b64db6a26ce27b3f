"""What was done in a project, as an append-only list; undoing and redoing are entries of it too."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from sam2v.output.journal import Journal

Event = dict[str, Any]

#: Entries that say how something is looked at or how far something got: undoing passes over them.
_ASIDE = frozenset({"view", "tracked", "effects"})


class EventLog:
    """The events of a project, each on disk when the call that makes it returns.

    An event is a dictionary with its number (`event`), the time (`at`), what was done (`do`) and what that takes.

    Args:
        path: the file; made on the first event.

    Raises:
        ValueError: the file is no list of events.
    """

    def __init__(self, path: Path) -> None:
        self._journal = Journal(path, resume=True, key="event")
        self._events: dict[int, Event] = {}
        self._done: list[int] = []
        self._undone: list[int] = []
        self._parked: dict[int, Event] = {}
        self.count = 0
        self.last_turn = -1  # number of the newest undo or redo
        for _, event in self._journal.entries():
            self._take(event)

    @property
    def live(self) -> list[Event]:
        """What holds, in order: everything that was not undone, or was redone."""
        return list(self._events.values())

    def holds(self, number: int) -> bool:
        """Whether an event is among the live ones."""
        return number in self._events

    @property
    def to_undo(self) -> Event | None:
        """What the next `undo` takes back."""
        return self._events[self._done[-1]] if self._done else None

    @property
    def to_redo(self) -> Event | None:
        """What the next `redo` brings back."""
        return self._parked[self._undone[-1]] if self._undone else None

    def append(self, do: str, **fields: Any) -> Event:
        """Record that something was done; what had been undone cannot be redone any more."""
        return self._write({"event": self.count, "at": round(time.time(), 3), "do": do, **fields})

    def undo(self) -> Event | None:
        """Take back the newest event; returns it, or None if there is none."""
        event = self.to_undo
        if event is not None:
            self.append("undo")
        return event

    def redo(self) -> Event | None:
        """Bring back what was undone last; returns it, or None if there is nothing."""
        event = self.to_redo
        if event is not None:
            self.append("redo")
        return event

    def close(self) -> None:
        """Close the file."""
        self._journal.close()

    def _write(self, event: Event) -> Event:
        self._journal.append(event)
        self._take(event)
        return event

    def _take(self, event: Event) -> None:
        self.count = event["event"] + 1
        do = event.get("do")
        if do in ("undo", "redo"):
            self.last_turn = event["event"]
        if do == "undo" and self._done:
            number = self._done.pop()
            self._undone.append(number)
            self._parked[number] = self._events.pop(number)
        elif do == "redo" and self._undone:
            number = self._undone.pop()
            self._done.append(number)
            self._events[number] = self._parked.pop(number)
            self._events = dict(sorted(self._events.items()))
        elif do not in ("undo", "redo"):
            self._events[event["event"]] = event
            if do not in _ASIDE:
                self._done.append(event["event"])
                self._undone.clear()
                self._parked.clear()
