"""Calls as ONNX graphs in a folder, their weights in one file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sam2v.export.calls import CallSpec
from sam2v.export.check import Runner
from sam2v.export.graphs import build_graph
from sam2v.export.manifest import WEIGHTS, call_record
from sam2v.export.weights import SharedWeights
from sam2v.model.network import Sam2Network


def write_graphs(
    folder: Path, specs: Sequence[CallSpec], network: Sam2Network, step: Callable[[str], None]
) -> dict[str, dict[str, Any]]:
    """Write every call and the weights.

    Args:
        folder: where to.
        specs: the calls.
        network: a stand-in by `sam2v.export.modules.GRAPH_KINDS`.
        step: told what is being done.

    Returns:
        The manifest's records of the calls.
    """
    import onnx
    import onnx_ir

    with SharedWeights(folder, WEIGHTS) as weights:
        for spec in specs:
            step(spec.name)
            model = build_graph(spec, network)
            weights.take(model)
            onnx.save(onnx_ir.to_proto(model), folder / f"{spec.name}.onnx")
    for spec in specs:
        onnx.checker.check_model(str(folder / f"{spec.name}.onnx"), full_check=True)
    return {spec.name: call_record(folder / f"{spec.name}.onnx", spec) for spec in specs}


def graph_runner(folder: Path) -> Runner:
    """Runs the folder's graphs on the CPU by onnxruntime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    sessions: dict[str, Any] = {}

    def run(spec: CallSpec, inputs: Sequence[Tensor]) -> list[Tensor]:
        if spec.name not in sessions:
            path = str(folder / f"{spec.name}.onnx")
            sessions[spec.name] = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        named = {port.name: x.numpy() for port, x in zip(spec.inputs, inputs, strict=True)}
        return [torch.from_numpy(x) for x in sessions[spec.name].run(None, named)]

    return run
