"""The network's calls as graphs of fixed shapes, one for every number of rows in a few steps.

Rows are padded to the next bucket and cut off again. Memories and pointers are padded to full banks. There are two ways
of reading, which are calls of their own: while a bank fills, the attention bias hides padded slots; a full bank, which
most frames have, is read without a bias, since GPUs' fastest kernels know none. So tracking needs one graph for every
call and bucket; objects that were prompted on several frames read more, in further buckets, and rows of several
videos, each on a picture of its own, have buckets of their own. What is prompted runs as it is: prompts have too many
shapes, and a user clicks rarely.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from sam2v.backends import padded
from sam2v.backends.base import Backend
from sam2v.backends.recorded import Recordings
from sam2v.model.calls import Calls
from sam2v.model.network import Sam2Network
from sam2v.model.values import ImageFeatures, Prediction, Prompts, TokenGroup, Wanted

#: Numbers of rows (objects, or pictures to encode) that there are graphs for. More rows run one part after the other.
BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128)

#: Makes a function of a function, as `torch.compile` does.
Compiler = Callable[[Callable[..., Any]], Callable[..., Any]]

#: The calls that there are graphs of, and the network's own that they are.
CALLS = {
    "encode_image": "encode_image",
    "read_memory": "read_memory",
    "read_filling_memory": "read_memory",
    "decode_prompts": "decode_prompts",
    "write_memory": "write_memory",
}


def graph_network(
    network: Sam2Network, objects: Sequence[int] = (), compiler: Compiler | None = None, progress: bool = True
) -> GraphsBackend:
    """A network's calls as graphs; give the result to a predictor in the network's place.

    On CUDA these are CUDA graphs: a call is one word of the host. Elsewhere the same calls with the same padding are
    made operation by operation, and nothing is gained. The network itself stays as it is; after it was moved, converted
    or given other weights, everything is recorded anew.

    Args:
        network: on its device and in its precision.
        objects: numbers of objects to get ready for; others are recorded when they first come.
        compiler: compiles the network's calls for the same shapes, e.g. `functools.partial(torch.compile,
            dynamic=False, mode="reduce-overhead")`; they are then not recorded here, which that mode of torch does
            itself. None: they are made as `sam2v.backends` makes them on the device.
        progress: show a progress bar while getting ready.

    Raises:
        ValueError: a number of objects below 1.
    """
    if objects and min(objects) < 1:
        raise ValueError(f"objects={list(objects)}: must be numbers of at least 1")
    made = GraphsBackend(network, compiler)
    if objects:
        padded.warm_up(made, sorted({bucket_of(min(count, BUCKETS[-1])) for count in objects}), progress, "recording")
    return made


def bucket_of(rows: int) -> int:
    """The bucket that so many rows, at most the largest one's, are padded to."""
    return next(bucket for bucket in BUCKETS if bucket >= rows)


class GraphsBackend(Backend):
    """A network's calls as graphs.

    Args:
        network: whose calls. compiler: see `graph_network`.
    """

    def __init__(self, network: Sam2Network, compiler: Compiler | None = None) -> None:
        super().__init__(network)
        self._compiler = compiler
        self._graphs: tuple[Sam2Network, GraphCalls] | None = None

    @property
    def calls(self) -> GraphCalls:  # type: ignore[override]
        """The calls by graphs, which are of the network as it is now."""
        prepared = super().calls
        if self._graphs is None or self._graphs[0] is not prepared:
            self._graphs = prepared, GraphCalls(prepared, self.network, self._compiler)
        return self._graphs[1]

    def _rows_at_once(self, features: ImageFeatures, on_cpu: int | None = None) -> int:
        """As many as a bucket holds."""
        most = super()._rows_at_once(features, on_cpu)
        return max(bucket for bucket in BUCKETS if bucket <= most)


class GraphCalls(Calls):
    """The calls of at most so many rows as the largest bucket has.

    Attributes:
        recordings: what was recorded.

    Args:
        prepared: makes the calls. network: what is compiled, if anything is. compiler: see `graph_network`.
    """

    def __init__(self, prepared: Sam2Network, network: Sam2Network, compiler: Compiler | None) -> None:
        self.network = prepared
        self.recordings = Recordings(prepared.device, plain=compiler is not None)
        calls = network if compiler else prepared
        functions = {name: getattr(calls, call) for name, call in CALLS.items()}
        if compiler is not None:
            functions = {name: padded.of_many_shapes(compiler(call)) for name, call in functions.items()}
        self._functions = functions

    def encode_image(self, images: Tensor) -> ImageFeatures:
        """See `Calls`."""
        count = len(images)
        if not 0 < count <= BUCKETS[-1]:
            return self.network.encode_image(images)
        return padded.encode_padded(self._call("encode_image"), images, bucket_of(count))

    def without_memory(self, features: ImageFeatures) -> Tensor:
        """See `Calls`."""
        return self.network.without_memory(features)

    def read_memory(self, features: ImageFeatures, memory: Sequence[TokenGroup]) -> Tensor:
        """See `Calls`."""
        count = len(memory[0].tokens)
        if not padded.are_shown(features, count) or not count:
            return self.network.read_memory(features, memory)
        groups = _as_full_bank(memory, self.network)
        name = "read_memory" if all(group.bias is None for group in groups) else "read_filling_memory"
        return padded.read_padded(self._call(name), features, groups, count, bucket_of(count))

    def decode_prompts(
        self, features: ImageFeatures, conditioned: Tensor, prompts: Prompts, wanted: Wanted
    ) -> Prediction:
        """See `Calls`."""
        count = len(prompts.coords)
        if not (
            padded.is_tracking(prompts, wanted) and padded.are_shown(features, count) and len(conditioned) == count > 0
        ):
            return self.network.decode_prompts(features, conditioned, prompts, wanted)
        call = self._call("decode_prompts")
        return padded.decode_padded(call, features, conditioned, prompts, Wanted(True), bucket_of(count))

    def point_to_mask(self, features: ImageFeatures, mask: Tensor) -> tuple[Tensor, Tensor]:
        """See `Calls`."""
        return self.network.point_to_mask(features, mask)

    def write_memory(
        self, features: ImageFeatures, masks: Tensor, object_score: Tensor, binarize: bool | Tensor = False
    ) -> Tensor:
        """See `Calls`."""
        count = len(masks)
        if binarize is not False or not padded.are_shown(features, count) or not count:
            return self.network.write_memory(features, masks, object_score, binarize)
        return padded.write_padded(self._call("write_memory"), features, masks, object_score, bucket_of(count))

    def _call(self, name: str) -> Callable[..., Any]:
        return partial(self.recordings.run, name, self._functions[name])


def _as_full_bank(memory: Sequence[TokenGroup], network: Sam2Network) -> list[TokenGroup]:
    """Groups of as many slots as a full bank has. Either none of them has a bias, or all have."""
    config, first = network.config, memory[0].tokens
    groups = [padded.padded_slots(group, config.memory) for group in memory]
    if all(group.has_grid for group in groups):  # a policy that reads no pointers
        tokens = first.new_zeros(len(first), padded.POINTERS, config.hidden_dim // first.shape[3], first.shape[3])
        time = torch.zeros_like(tokens[:, :, 0, 0], dtype=torch.float32)
        groups.append(TokenGroup(tokens, time, False, torch.full_like(time, float("-inf"))))
    if all(group.bias is None for group in groups):
        return groups
    return [group if group.bias is not None else group._replace(bias=_nothing_hidden(group)) for group in groups]


def _nothing_hidden(group: TokenGroup) -> Tensor:
    """A bias N x T that changes nothing."""
    return torch.zeros_like(group.time, dtype=torch.float32)
