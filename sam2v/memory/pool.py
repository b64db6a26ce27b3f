"""Where results and memories are: so many bytes where they were made, so many on the host, the rest in a file."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import shutil
import tempfile
import threading
import weakref
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from sam2v.arrays import (
    Array,
    Device,
    device_of,
    is_on_host,
    on_device,
    on_host,
    owned,
    owned_rows,
    packed_bytes,
    unpacked,
)
from sam2v.files import user_path

#: Environment variable with the folder for results that memory has no room for.
FOLDER_VARIABLE = "SAM2V_SPILL_DIR"
#: Bytes that are kept on a device other than the CPU, and on the host.
DEVICE_BYTES, HOST_BYTES = 1 << 30, 256 << 20
#: What was used within so many steps is not moved, whatever the budget: sessions that take turns read it again.
_STEPS = 8
#: Bytes of the disk that are left free.
_MARGIN = 16 << 20


#: Shape, type and device of an array.
Layout = tuple[tuple[int, ...], Any, Device]


class Pool:
    """Keeps arrays for any number of sessions within a budget.

    The least recently used ones move from their device to the host, and from there to a temporary file; what is asked
    for comes back, bit for bit, to the device it came from. The file is made when it is first needed and removed with
    the pool. Safe to use from several threads.

    Args:
        device_bytes: bytes kept on devices other than the CPU, of all of them together; None: no limit.
        host_bytes: bytes kept on the host; None: no limit.
        folder: where the temporary file goes; None takes the environment variable `SAM2V_SPILL_DIR`, else the system's
            folder for temporary files. On many systems that is memory too (tmpfs): then name another one.

    Raises:
        ValueError: a negative number of bytes. FileNotFoundError: no such folder.
    """

    def __init__(
        self,
        device_bytes: int | None = DEVICE_BYTES,
        host_bytes: int | None = HOST_BYTES,
        folder: str | os.PathLike[str] | None = None,
    ) -> None:
        for name, budget in (("device_bytes", device_bytes), ("host_bytes", host_bytes)):
            if budget is not None and budget < 0:
                raise ValueError(f"{name} must not be negative, got {budget}")
        chosen = folder if folder is not None else os.environ.get(FOLDER_VARIABLE)
        self.folder = user_path(chosen or tempfile.gettempdir())
        if not self.folder.is_dir():
            raise FileNotFoundError(f"no folder {self.folder} to keep results in")
        self.budgets = {"device": device_bytes, "host": host_bytes}
        self._held = {"device": _Tier(), "host": _Tier()}
        self._file = _SpillFile(self.folder)
        self._lock = threading.RLock()
        self.step = 0

    @property
    def held_bytes(self) -> dict[str, int]:
        """Bytes in memory: on devices and on the host."""
        return {name: tier.bytes for name, tier in self._held.items()}

    @property
    def file_bytes(self) -> int:
        """Size of the temporary file."""
        return self._file.size

    def keep(self, *arrays: Array) -> Kept:
        """Take arrays in; what is a view of something larger is copied.

        Raises:
            OSError: there is no room for what has to go to the file; nothing was taken in and nothing lost.
        """
        kept = Kept(self, tuple(map(owned, arrays)))
        with self._lock:
            self._hold(kept)
            try:
                self._make_room()
            except OSError:
                self._drop(kept)
                raise
        return kept

    def advance(self) -> None:
        """Say that a step begins: what is used from now on is used later than what was used before."""
        self.step += 1

    def _get(self, kept: Kept) -> tuple[Array, ...]:
        with self._lock:
            kept.used = self.step
            if kept.place == kept.home:
                self._held[kept.place].items.move_to_end(id(kept))
            else:
                arrays = self._loaded(kept)
                self._drop(kept)
                kept.arrays, kept.place = arrays, kept.home
                self._hold(kept)
                with contextlib.suppress(OSError):  # a full disk hinders nobody from reading
                    self._make_room()
            assert kept.arrays is not None
            return kept.arrays

    def _hold(self, kept: Kept) -> None:
        """Count something that has just come to a place in memory."""
        tier = self._held[kept.place]
        tier.items[id(kept)] = weakref.ref(kept)
        tier.bytes += kept.nbytes

    def _drop(self, kept: Kept) -> None:
        """Forget something, wherever it is."""
        with self._lock:
            if kept.place == "file":
                self._file.free(kept.offset, kept.nbytes)
            elif self._held[kept.place].items.pop(id(kept), None) is not None:
                self._held[kept.place].bytes -= kept.nbytes

    def _loaded(self, kept: Kept) -> tuple[Array, ...]:
        arrays = kept.arrays if kept.arrays is not None else self._file.read(kept.offset, kept.layout)
        return tuple(on_device(array, device) for array, (_, _, device) in zip(arrays, kept.layout, strict=True))

    def _make_room(self) -> None:
        for place, further in (("device", "host"), ("host", "file")):
            tier, budget = self._held[place], self.budgets[place]
            while budget is not None and tier.bytes > budget and tier.items:
                oldest = next(iter(tier.items.values()))()
                if oldest is None or self.step - oldest.used < _STEPS:  # None: it is just being collected
                    break
                self._move(oldest, further)

    def _move(self, kept: Kept, place: str) -> None:
        """Move something from its place to the next one; when that fails it stays."""
        assert kept.arrays is not None
        offset = self._file.write(kept.arrays) if place == "file" else 0
        arrays = None if place == "file" else tuple(map(on_host, kept.arrays))
        self._drop(kept)
        kept.arrays, kept.place, kept.offset = arrays, place, offset
        if place != "file":
            self._hold(kept)


class Kept:
    """Arrays in a pool, for as long as somebody holds this.

    Attributes:
        place: where they are now: "device", "host" or "file". home: where they came from.
        layout: their shapes, types and devices. nbytes: their bytes.
    """

    def __init__(self, pool: Pool, arrays: tuple[Array, ...]) -> None:
        self.pool, self.offset, self.used = pool, 0, pool.step
        self.arrays: tuple[Array, ...] | None = arrays
        self.layout: list[Layout] = [(tuple(a.shape), a.dtype, device_of(a)) for a in arrays]
        self.nbytes = sum(array.nbytes for array in arrays)
        self.home = "host" if all(map(is_on_host, arrays)) else "device"
        self.place = self.home

    def get(self) -> tuple[Array, ...]:
        """The arrays, on the device they came from."""
        return self.pool._get(self)

    def __del__(self) -> None:
        self.pool._drop(self)


class _Tier:
    """What is in one place, least recently used first, and its bytes."""

    def __init__(self) -> None:
        self.items: OrderedDict[int, weakref.ref[Kept]] = OrderedDict()
        self.bytes = 0


class _SpillFile:
    """A temporary file of records; the room of abandoned ones is used again for others of the same length."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.size = folder, 0
        self._file: IO[bytes] | None = None
        self._free: dict[int, list[int]] = {}

    def write(self, arrays: tuple[Array, ...]) -> int:
        """Write a record and return where it is.

        Raises:
            OSError: no room; the file is as it was.
        """
        data = b"".join(map(packed_bytes, arrays))
        free = self._free.get(len(data))
        again = free.pop() if free else None  # taken now: records may be given back on the way, by the collector
        offset = self.size if again is None else again
        try:
            if again is None and shutil.disk_usage(self.folder).free < len(data) + _MARGIN:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="sam2v-", dir=self.folder)  # noqa: SIM115 - outlives this
            self._file.seek(offset)
            self._file.write(data)
            self._file.flush()
        except OSError as error:
            if again is not None:
                self.free(again, len(data))
            raise OSError(
                error.errno or 0,
                f"cannot keep more results: {error.strerror or error} in {self.folder}; make room there, name another "
                f"folder (Pool(folder=...) or {FOLDER_VARIABLE}), or open the video with history='window'",
            ) from error
        if again is None:
            self.size = offset + len(data)
        return offset

    def read(self, offset: int, layout: list[Layout]) -> tuple[Array, ...]:
        """The arrays of a record, on their devices."""
        assert self._file is not None
        self._file.seek(offset)
        found = []
        for shape, dtype, device in layout:
            raw = self._file.read(math.prod(shape) * dtype.itemsize)
            found.append(unpacked(raw, dtype, shape, device))
        return tuple(found)

    def free(self, offset: int, length: int) -> None:
        """Give a record's room back."""
        self._free.setdefault(length, []).append(offset)


def keep_rows(pools: Sequence[Pool], *arrays: Array) -> list[Kept]:
    """Take the rows of arrays in, N x ... each, by N pools: what is kept of each row lives and moves by itself.

    Raises:
        OSError: see `Pool.keep`.
    """
    rows = zip(*map(owned_rows, arrays), strict=True)
    return [pool.keep(*row) for pool, row in zip(pools, rows, strict=True)]
