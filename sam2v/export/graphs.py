"""ONNX graphs of a network's calls, by torch's exporter, tidied."""

from __future__ import annotations

from typing import Any

import torch

from sam2v.export.calls import CallSpec
from sam2v.export.tidy import tidy
from sam2v.export.traced import quiet, trace
from sam2v.model.network import Sam2Network

#: The opset of every graph: a newer one has attention and rotary positions of its own, which not all providers take.
OPSET = 18


def build_graph(spec: CallSpec, network: Sam2Network) -> Any:
    """One call as an `onnx_ir.Model`, weights in memory.

    Args:
        spec: which call.
        network: a stand-in by `sam2v.export.modules.GRAPH_KINDS`.
    """
    program = trace(spec, network)
    names = [[port.name for port in ports] for ports in (spec.inputs, spec.outputs)]
    with quiet(), torch.no_grad():
        made = torch.onnx.export(
            program, dynamo=True, opset_version=OPSET, input_names=names[0], output_names=names[1], verbose=False
        )
    assert made is not None
    tidy(made.model, spec)
    return made.model
