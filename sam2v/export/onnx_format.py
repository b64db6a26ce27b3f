"""Calls as ONNX graphs in a folder, their weights in one file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sam2v.export.calls import CallSpec
from sam2v.export.check import Runner
from sam2v.export.graphs import OPSET, build_graph
from sam2v.export.int8 import quantised
from sam2v.export.manifest import WEIGHTS, call_record, file_record, versions
from sam2v.export.weights import SharedWeights
from sam2v.model.network import Sam2Network

#: The graph that is quantised: the others are small, or lose the object.
_QUANTISED = "encode_image"


def write_graphs(
    folder: Path,
    specs: Sequence[CallSpec],
    network: Sam2Network,
    step: Callable[[str], None],
    frames: list[np.ndarray] | None = None,
) -> dict[str, Any]:
    """Write every call and the weights.

    Args:
        folder: where to.
        specs: the calls.
        network: a stand-in by `sam2v.export.modules.GRAPH_KINDS`.
        step: told what is being done.
        frames: None, or quantise the image encoder, by the activations of these frames if there are any.

    Returns:
        The manifest's entries.
    """
    import onnx

    with SharedWeights(folder, WEIGHTS) as weights:
        for spec in specs:
            step(spec.name)
            model = build_graph(spec, network)
            if frames is not None and spec.name == _QUANTISED:
                model = quantised(model, frames, network.config.input_size)
            weights.write(model, folder / f"{spec.name}.onnx")
    records = {}
    for spec in specs:
        path = folder / f"{spec.name}.onnx"
        onnx.checker.check_model(str(path), full_check=True)
        records[spec.name] = call_record(path, spec)
    made_with = versions("torch", "onnx", "onnxscript", "onnxruntime")
    return {"opset": OPSET, "made_with": made_with, "weights": file_record(folder / WEIGHTS), "graphs": records}


def graph_runner(folder: Path) -> Runner:
    """Runs the folder's graphs on the CPU by onnxruntime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors: what a graph could do faster is no concern of whoever exports it
    sessions: dict[str, Any] = {}

    def run(spec: CallSpec, inputs: Sequence[Tensor]) -> list[Tensor]:
        if spec.name not in sessions:
            path = str(folder / f"{spec.name}.onnx")
            sessions[spec.name] = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        named = {port.name: x.contiguous().numpy() for port, x in zip(spec.inputs, inputs, strict=True)}
        return [torch.from_numpy(x) for x in sessions[spec.name].run(None, named)]

    return run
