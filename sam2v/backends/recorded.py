"""Functions of tensors that are recorded once for every shape of their arguments and then played again.

On CUDA a recording is a CUDA graph: hundreds of kernels are started by one word of the host. What a graph reads and
writes is always in the same place, so arguments are copied there and answers are copied away. Elsewhere the function is
called again, between the same places.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

#: A function of no arguments to (what runs it again, its answers, which are written again by that).
Recorder = Callable[[Callable[[], Any]], tuple[Callable[[], None], Any]]
#: Runs before a recording, in which constants are computed and libraries choose their ways.
_WARM = 2


class Recordings:
    """Calls functions by recordings, the least recently used of which are given up.

    Safe to use from several threads that share a CUDA stream, as threads do by default.

    Attributes:
        made: what was recorded, by name and by the shapes of the arguments: each signature once for every time.

    Args:
        device: where tensors are. most: recordings that are kept.
        plain: nothing is recorded on any device, functions are called again.
    """

    def __init__(self, device: torch.device, most: int = 64, plain: bool = False) -> None:
        self.made: list[tuple[Hashable, ...]] = []
        self._kept: OrderedDict[tuple[Hashable, ...], _Recording] = OrderedDict()
        self._record = call_again if plain else recorder_for(device)
        self._most, self._lock = most, threading.Lock()

    def run(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """`function(*arguments)`, any nested tuples and lists; the answer is the caller's own.

        Args:
            name: tells functions apart.
        """
        leaves, structure = tree_flatten(arguments)
        signature = (name, *map(_signature, leaves))
        with self._lock:
            known = self._kept.get(signature)
            if known is None:
                while len(self._kept) >= self._most:
                    self._kept.popitem(last=False)
                known = _Recording(self._record, function, leaves, structure)
                self._kept[signature] = known
                self.made.append(signature)
            self._kept.move_to_end(signature)
            return known.run([leaf for leaf in leaves if isinstance(leaf, Tensor)])


class _Recording:
    """A function with the places of its arguments' tensors."""

    def __init__(self, record: Recorder, function: Callable[..., Any], leaves: Sequence[Any], structure: Any) -> None:
        places = [leaf.clone() if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        self._places = [place for place in places if isinstance(place, Tensor)]
        arguments = tree_unflatten(places, structure)
        self._again, self._answers = record(lambda: function(*arguments))

    def run(self, tensors: Sequence[Tensor]) -> Any:
        for place, tensor in zip(self._places, tensors, strict=True):
            place.copy_(tensor)
        self._again()
        return tree_map(lambda x: x.clone() if isinstance(x, Tensor) else x, self._answers)


def _signature(leaf: Any) -> Hashable:
    """Shape and type of a tensor; anything else itself."""
    return (tuple(leaf.shape), leaf.dtype) if isinstance(leaf, Tensor) else leaf


def recorder_for(device: torch.device) -> Recorder:
    """CUDA graphs on CUDA; elsewhere functions are called again."""
    return CudaRecorder() if device.type == "cuda" else call_again


def call_again(call: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
    """A recording that is none: the function is called again, and its answers go where the first ones are."""
    answers = call()

    def again() -> None:
        for place, answer in zip(tree_flatten(answers)[0], tree_flatten(call())[0], strict=True):
            if isinstance(place, Tensor):
                place.copy_(answer)

    return again, answers


class CudaRecorder:
    """Records CUDA graphs that share their memory: they run one after the other, and each keeps its answers."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, call: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
        """See `Recorder`."""
        stream, current = torch.cuda.Stream(), torch.cuda.current_stream()
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            for _ in range(_WARM):
                call()
        current.wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # other threads may work on the device meanwhile
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            answers = call()
        return graph.replay, answers
