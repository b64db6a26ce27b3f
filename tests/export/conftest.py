"""A small network, exported once in each format by the command line."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from typing import Any

import numpy as np
import pytest
import torch
from export.exported import OVERRIDES, Exported
from models import loud_nano

import sam2v
from sam2v.cli.main import main
from sam2v.model.network import Sam2Network


@pytest.fixture(scope="session")
def network() -> Sam2Network:
    return loud_nano(OVERRIDES)


@pytest.fixture(scope="session")
def arguments(network: Sam2Network, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Arguments that name the network."""
    path = sam2v.save_checkpoint(network, tmp_path_factory.mktemp("weights") / "small.safetensors")
    overrides = [text for override in OVERRIDES[1:] for text in ("--override", override)]
    return ["export", "--checkpoint", str(path), "--size", "96x160", *overrides]


@pytest.fixture(scope="session")
def export(
    network: Sam2Network, arguments: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Exported]:
    """Function of further arguments -> what was exported."""

    def run(*more: str) -> Exported:
        folder = tmp_path_factory.mktemp("export") / "out"
        with redirect_stdout(io.StringIO()) as said:
            assert main([*arguments, "--out", str(folder), "--quiet", *more]) == 0
        return Exported(folder, network, said.getvalue())

    return run


@pytest.fixture(scope="session")
def onnx_export(export: Callable[..., Exported]) -> Exported:
    """Graphs in float32."""
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    return export()


@pytest.fixture(scope="session")
def run_graph(onnx_export: Exported) -> Callable[..., list[torch.Tensor]]:
    """Function of a graph's name and inputs -> its outputs."""
    import onnxruntime

    sessions: dict[str, Any] = {}

    def run(name: str, **inputs: torch.Tensor) -> list[torch.Tensor]:
        if name not in sessions:
            path = str(onnx_export.folder / f"{name}.onnx")
            sessions[name] = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        arrays: Sequence[np.ndarray] = sessions[name].run(None, {key: x.numpy() for key, x in inputs.items()})
        return [torch.from_numpy(array) for array in arrays]

    return run
