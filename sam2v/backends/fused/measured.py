"""Ways of computing the same, of which the device says which is the fastest."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping

import torch
from torch import Tensor

#: What a call takes on a device, in any unit: infinity where it fails, None where nothing can be measured.
Timer = Callable[[Callable[[], Tensor], torch.device], "float | None"]
#: Calls that are timed together.
_RUNS = 3


def milliseconds(call: Callable[[], Tensor], device: torch.device) -> float | None:
    """What some calls in a row take on a CUDA device. Elsewhere, and while a CUDA graph is recorded, nothing is
    measured."""
    if device.type != "cuda" or not torch.cuda.is_available() or torch.cuda.is_current_stream_capturing():
        return None
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    try:
        call()  # libraries choose their kernels first
        start.record()
        for _ in range(_RUNS):
            call()
        end.record()
    except RuntimeError:  # no kernel for these shapes, or no room for what it needs
        return math.inf
    end.synchronize()
    return start.elapsed_time(end)


class Fastest:
    """The fastest of some ways of computing the same, found out when something of a kind is first computed.

    Attributes:
        chosen: the name of the way by kind.

    Args:
        ways: by name; the first one is taken where nothing can be measured. timer: measures.
    """

    def __init__(self, ways: Mapping[str, Callable[..., Tensor]], timer: Timer = milliseconds) -> None:
        self.chosen: dict[Hashable, str] = {}
        self._ways, self._timer = dict(ways), timer

    def run(self, kind: Hashable, device: torch.device, *arguments: object) -> Tensor:
        """Compute something.

        Args:
            kind: what is measured once. device: where. arguments: of every way.
        """
        name = self.chosen.get(kind) or self._choose(kind, device, arguments)
        return self._ways[name](*arguments)

    def _choose(self, kind: Hashable, device: torch.device, arguments: tuple[object, ...]) -> str:
        took: dict[str, float] = {}
        for name, way in self._ways.items():
            time = self._timer(lambda way=way: way(*arguments), device)  # type: ignore[misc]
            if time is None:
                return next(iter(self._ways))
            took[name] = time
        return self.chosen.setdefault(kind, min(took, key=took.__getitem__))
