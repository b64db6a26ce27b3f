"""How many operations a tracked frame asks a device for, by the part of the frame that asks. No device is needed.

    python -m benchmarks.operations --model sam2.1_hiera_tiny --objects 1,4

The network is on torch's meta device, whose tensors have shapes and no values: a video predictor tracks as on a GPU
(what would read a value on the host fails), and every operation that torch dispatches is counted. Views and
allocations are none; an upload is one, a fused attention is one, a convolution with its bias is one. What an operator
does inside (a copy of a transposed input, say) is not seen: the number of kernels is a little higher. Frames that are
counted read a full memory bank, seven memories and sixteen pointers; their masks come to the host as packed bits.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.common import disc_centres, drawn_frames, table
from benchmarks.programs import DTYPES
from sam2v import VideoPredictor
from sam2v.backends.base import Backend
from sam2v.config import load_model_config
from sam2v.masks.result import MaskletFrame
from sam2v.model.build import build_model
from sam2v.model.network import Sam2Network

#: The parts of a frame in their order: the network's calls, what the tracker does around them, and the result.
PARTS = ("encode_image", "read_memory", "decode_prompts", "write_memory", "tracking", "result")
#: Frames until sixteen pointers are read.
WARM = 17
_SIZE = (360, 640)
#: Have no kernel, though their schemas do not say so.
_FREE = {
    "empty",
    "empty_like",
    "empty_strided",
    "new_empty",
    "new_empty_strided",
    "_unsafe_view",
    "detach",
    "lift_fresh",
}


class OperationCounter(TorchDispatchMode):
    """Counts the operations whose answers are on one kind of device, by the part that asks.

    Attributes:
        counts: operations by part, each by name. part: what they are counted for now; None: not at all.

    Args:
        device: the kind, "meta" or "cuda".
    """

    def __init__(self, device: str = "meta") -> None:
        super().__init__()
        self.device = device
        self.counts: dict[str, Counter[str]] = {}
        self.part: str | None = None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count one operation and do it."""
        out = func(*args, **(kwargs or {}))
        if not _is_free(func) and any(t.device.type == self.device for t in _tensors(out, args)):
            self.add(func.overloadpacket.__name__)
        return out

    def add(self, name: str) -> None:
        """Count an operation by name."""
        if self.part is not None:
            self.counts.setdefault(self.part, Counter())[name] += 1

    @contextmanager
    def within(self, part: str | None) -> Iterator[None]:
        """Count for a part, in which parts may lie that are counted for themselves."""
        before, self.part = self.part, part
        try:
            yield
        finally:
            self.part = before

    def total(self) -> int:
        """All operations."""
        return sum(counts.total() for counts in self.counts.values())


class _FusedAttention(TorchFunctionMode):
    """Makes attention the one operation that it is on a GPU; torch takes it apart on the meta device."""

    def __init__(self, counter: OperationCounter) -> None:
        super().__init__()
        self.counter = counter

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not F.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        q, _, v = args[:3]
        self.counter.add("scaled_dot_product_attention")
        with self.counter.within(None):  # rows of queries hold all heads, as GPU kernels write them
            return q.new_empty(q.shape[0], q.shape[2], q.shape[1], v.shape[3]).transpose(1, 2)


def count_frame(
    network: Sam2Network, objects: int, make: Callable[[Sam2Network], Any] | None = None, videos: int = 1
) -> OperationCounter:
    """Count the operations of one tracked frame, or of one frame of each of several videos, with full memory banks.

    Args:
        network: on the meta device. objects: how many are tracked.
        make: what predictors are given in the network's place, made of it; None: the network.
        videos: how many are tracked together.
    """
    predictor = VideoPredictor(make(network) if make else network)
    counter = OperationCounter(network.device.type)
    for name in PARTS[:4]:
        _count_within(counter, predictor.engine.backend, name)
    with ExitStack() as stack:
        stack.enter_context(counter)
        stack.enter_context(_FusedAttention(counter))
        states = [predictor.init_state(drawn_frames(WARM + 1, *_SIZE)) for _ in range(videos)]
        for state in states:
            for obj_id, place in enumerate(disc_centres(0.0, *_SIZE, objects)):
                predictor.add_points(state, 0, obj_id, [place])
        results = predictor.propagate_in_videos(states)
        for _ in range(WARM * videos):
            next(results)
        stack.enter_context(_results_within(counter))
        with counter.within("tracking"):
            for _ in range(videos):
                next(results)
    return counter


@contextmanager
def _results_within(counter: OperationCounter) -> Iterator[None]:
    """Count what brings masks to the host as the result's."""
    download = MaskletFrame.download

    def counted(self: MaskletFrame) -> None:
        with counter.within("result"):
            download(self)

    MaskletFrame.download = counted  # type: ignore[method-assign]
    try:
        yield
    finally:
        MaskletFrame.download = download  # type: ignore[method-assign]


class _AsItIs(Backend):
    """The network's own calls."""

    @property
    def calls(self) -> Sam2Network:
        """The network."""
        return self.network


def _count_within(counter: OperationCounter, backend: Any, name: str) -> None:
    """Count a call's operations as the call's, where any are counted."""
    call = getattr(backend, name)

    def counted(*args: Any) -> Any:
        with counter.within(None if counter.part is None else name):
            return call(*args)

    object.__setattr__(backend, name, counted)


def _is_free(func: Any) -> bool:
    """Whether an operator makes a view or room only."""
    returned = func._schema.returns
    view = bool(returned) and all(r.alias_info is not None and not r.alias_info.is_write for r in returned)
    return view or func.overloadpacket.__name__ in _FREE


def _tensors(*values: Any) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(*value)


def main() -> None:
    """Count for every number of objects and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="sam2.1_hiera_tiny")
    parser.add_argument("--objects", default="1,4", help="comma-separated numbers of objects")
    parser.add_argument("--videos", type=int, default=1, help="tracked together, with so many objects each")
    parser.add_argument("--dtype", default="bfloat16", choices=DTYPES)
    parser.add_argument("--plain", action="store_true", help="the network's own calls, without a backend's ways")
    parser.add_argument("--names", action="store_true", help="also which operations they are")
    args = parser.parse_args()
    network = build_model(load_model_config(args.model), "meta").to("meta")
    network.set_precision(getattr(torch, args.dtype))
    counts = [int(text) for text in args.objects.split(",")]
    make = _AsItIs if args.plain else None
    counters = [count_frame(network, count, make, args.videos) for count in counts]
    head = ["part", *[f"{count} object{'s' if count > 1 else ''}" for count in counts]]
    rows = [[part, *[str(c.counts.get(part, Counter()).total()) for c in counters]] for part in PARTS]
    print(table(head, [*rows, ["all", *[str(c.total()) for c in counters]]]))
    print(f"\n{args.model}, {args.dtype}, {'plain' if args.plain else 'as on a GPU'}; torch {torch.__version__}")
    if args.names:
        for part, names in counters[0].counts.items():
            print(f"\n{part}: " + ", ".join(f"{name} {count}" for name, count in names.most_common()))


if __name__ == "__main__":
    main()
