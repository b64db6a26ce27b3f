"""ONNX graphs of a network's calls, by torch's exporter, tidied."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from sam2v.export.calls import MEMORIES, ONE_OR_ROWS, PICTURES, POINTERS, POINTS, ROWS, CallSpec
from sam2v.export.tidy import tidy
from sam2v.model.network import Sam2Network

#: The opset of every graph: the newest one of which all execution providers have all operators.
OPSET = 18
#: Sizes with which graphs are traced: none is 0 or 1, which torch takes for constants, and no two are the same.
EXAMPLE_SIZES: Mapping[str, int] = {PICTURES: 2, ROWS: 2, MEMORIES: 3, POINTERS: 4, POINTS: 5}


def example_inputs(spec: CallSpec, sizes: Mapping[str, int] = EXAMPLE_SIZES) -> tuple[torch.Tensor, ...]:
    """Zeros of a call's inputs, symbolic sizes being those given."""
    shapes = ([sizes[_symbol(side)] if isinstance(side, str) else side for side in port.shape] for port in spec.inputs)
    return tuple(torch.zeros(shape, dtype=port.dtype) for port, shape in zip(spec.inputs, shapes, strict=True))


def build_graph(spec: CallSpec, network: Sam2Network) -> Any:
    """One call as an `onnx_ir.Model`, weights in memory.

    Args:
        spec: which call.
        network: a stand-in by `sam2v.export.modules.GRAPH_KINDS`.
    """
    symbols = {name: torch.export.Dim(name) for name in EXAMPLE_SIZES}
    shapes = [{i: symbols[_symbol(s)] for i, s in enumerate(port.shape) if isinstance(s, str)} for port in spec.inputs]
    with quiet(), torch.no_grad():
        program = torch.export.export(spec.module(network), example_inputs(spec), dynamic_shapes=tuple(shapes))
        names = [[port.name for port in ports] for ports in (spec.inputs, spec.outputs)]
        made = torch.onnx.export(
            program, dynamo=True, opset_version=OPSET, input_names=names[0], output_names=names[1], verbose=False
        )
    assert made is not None
    tidy(made.model, spec)
    return made.model


def _symbol(side: str) -> str:
    """The symbol that stands for a side in the trace: torch would not let it be "1 or as many as"; the graph does."""
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
