"""A call as torch traces it, sizes being symbols."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

from sam2v.export.calls import MEMORIES, ONE_OR_ROWS, PICTURES, POINTERS, POINTS, ROWS, CallSpec
from sam2v.export.used import only_used
from sam2v.model.network import Sam2Network

#: Sizes of the trace: none is 0 or 1, which torch takes for constants, and no two are the same.
_SIZES: Mapping[str, int] = {PICTURES: 2, ROWS: 3, MEMORIES: 4, POINTERS: 5, POINTS: 6}


def trace(spec: CallSpec, network: Sam2Network) -> torch.export.ExportedProgram:
    """A call as a program with only the weights that it uses.

    Args:
        spec: which call.
        network: a stand-in by `sam2v.export.modules.GRAPH_KINDS` or `PROGRAM_KINDS`.
    """
    symbols = {name: torch.export.Dim(name) for name in _SIZES}
    sides = [{i: _symbol(s) for i, s in enumerate(port.shape) if isinstance(s, str)} for port in spec.inputs]
    inputs = []
    for port in spec.inputs:
        shape = [_SIZES[_symbol(side)] if isinstance(side, str) else side for side in port.shape]
        inputs.append(torch.zeros(shape, dtype=port.dtype))
    shapes = tuple({i: symbols[name] for i, name in named.items()} for named in sides)
    call = only_used(spec.module(network), inputs)
    with quiet(), torch.no_grad():
        return torch.export.export(call, tuple(inputs), dynamic_shapes=shapes)


def _symbol(side: str) -> str:
    """The symbol that stands for a side: torch would not let one be "one, or as many as there are rows"."""
    return ROWS if side in ONE_OR_ROWS else side


@contextmanager
def quiet() -> Iterator[None]:
    """Without the exporters' warnings and notes, which are about things that hold here."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
