"""A mapping from keys to entries that holds a bounded number of bytes in memory and the rest in a temporary file."""

from __future__ import annotations

import io
import tempfile
from collections import OrderedDict
from collections.abc import Hashable, Iterator, MutableMapping
from typing import IO

import torch

from sam2v.memory.entry import MemoryEntry


class EntryStore(MutableMapping[Hashable, MemoryEntry]):
    """Entries by key; the least recently used ones move to a temporary file beyond ``budget`` bytes.

    What comes back is bit for bit what went in, on the device it came from. The file is removed with the store.

    Args:
        budget: bytes kept in memory; None keeps everything in memory.
    """

    def __init__(self, budget: int | None = None) -> None:
        if budget is not None and budget < 0:
            raise ValueError(f"memory budget must not be negative, got {budget} bytes")
        self.budget = budget
        self._held: OrderedDict[Hashable, MemoryEntry] = OrderedDict()
        self._held_bytes = 0
        self._spilled: dict[Hashable, tuple[int, int, torch.device]] = {}  # key -> offset, length, device
        self._free: dict[int, list[int]] = {}  # length -> offsets of abandoned records
        self._file: IO[bytes] | None = None

    @property
    def held_bytes(self) -> int:
        """Bytes of the entries in memory."""
        return self._held_bytes

    @property
    def spilled_count(self) -> int:
        """Number of entries in the file."""
        return len(self._spilled)

    def __getitem__(self, key: Hashable) -> MemoryEntry:
        if key in self._held:
            self._held.move_to_end(key)
            return self._held[key]
        offset, length, device = self._spilled[key]
        assert self._file is not None
        self._file.seek(offset)
        return MemoryEntry.from_tensors(torch.load(io.BytesIO(self._file.read(length)), weights_only=True), device)

    def __setitem__(self, key: Hashable, entry: MemoryEntry) -> None:
        self._forget(key)
        self._held[key] = entry
        self._held_bytes += entry.nbytes()
        while self.budget is not None and self._held_bytes > self.budget and len(self._held) > 1:
            oldest, spilled = next(iter(self._held.items()))
            self._spill(oldest, spilled)

    def __delitem__(self, key: Hashable) -> None:
        if key not in self:
            raise KeyError(key)
        self._forget(key)

    def __contains__(self, key: object) -> bool:
        return key in self._held or key in self._spilled

    def __iter__(self) -> Iterator[Hashable]:
        yield from self._spilled
        yield from self._held

    def __len__(self) -> int:
        return len(self._held) + len(self._spilled)

    def _forget(self, key: Hashable) -> None:
        if key in self._held:
            self._held_bytes -= self._held.pop(key).nbytes()
        elif key in self._spilled:
            offset, length, _ = self._spilled.pop(key)
            self._free.setdefault(length, []).append(offset)

    def _spill(self, key: Hashable, entry: MemoryEntry) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="sam2v-history-")  # noqa: SIM115 - lives as long as the store
        buffer = io.BytesIO()
        torch.save({name: value.detach().cpu().clone() for name, value in entry.tensors().items()}, buffer)
        record = buffer.getvalue()
        # records of one shape have one length, so re-tracking reuses the room of what it replaces
        free = self._free.get(len(record))
        offset = free.pop() if free else self._file.seek(0, io.SEEK_END)
        self._file.seek(offset)
        self._file.write(record)
        self._forget(key)
        self._spilled[key] = (offset, len(record), entry.pointer.device)
