"""Exports that are not exact, and say so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from export.exported import OVERRIDES, Exported
from models import loud_nano, pictures

from sam2v.backends.stand_in import stand_in
from sam2v.export.calls import call_specs
from sam2v.export.modules import GRAPH_KINDS, convert
from sam2v.model.network import Sam2Network

pytest.importorskip("onnxscript")
ort: Any = pytest.importorskip("onnxruntime")


def encoded(model: Any, folder: Path, images: torch.Tensor) -> list[torch.Tensor]:
    import onnx
    import onnx_ir

    onnx.save(onnx_ir.to_proto(model), folder / "graph.onnx")
    onnx.checker.check_model(str(folder / "graph.onnx"), full_check=True)
    session = ort.InferenceSession(str(folder / "graph.onnx"), providers=["CPUExecutionProvider"])
    return [torch.from_numpy(array) for array in session.run(None, {"images": images.numpy()})]


@pytest.fixture(scope="module")
def encoder(onnx_export: Exported) -> Any:
    """The image encoder's graph in float32."""
    import onnx
    import onnx_ir

    return onnx_ir.from_proto(onnx.load(onnx_export.folder / "encode_image.onnx"))


@pytest.mark.parametrize("frames", [0, 2])
def test_int8(network: Sam2Network, encoder: Any, tmp_path: Path, frames: int) -> None:
    from sam2v.export.int8 import quantised

    images = pictures(1, 2, 96, 160)
    seen = list(pictures(2, frames, 48, 80).numpy())
    model = quantised(encoder, seen, (96, 160))
    weights = [value.const_value for value in model.graph.initializers.values()]
    assert sum(w.nbytes for w in weights if w.dtype.name in ("INT8", "UINT8")) > sum(w.nbytes for w in weights) / 3
    assert not any(node.domain for node in model.graph) and dict(model.opset_imports) == {"": 18}
    expected = network.encode_image(images)
    for actual, wanted in zip(encoded(model, tmp_path, images.float()), expected):
        assert 0 < (actual - wanted.detach()).norm() / wanted.detach().norm() < 0.15


def test_float16(network: Sam2Network, tmp_path: Path) -> None:
    """Features come in float16; what memories and masks are made by stays in float32."""
    from sam2v.export.graphs import build_graph

    images = pictures(1, 1, 96, 160)
    half = convert(loud_nano(OVERRIDES), torch.float16)
    assert {part.no_obj_ptr.dtype for part in (half, network)} == {torch.float32}
    for part in (half.memory_encoder, half.sam_mask_decoder.transformer, half.sam_prompt_encoder):
        assert {p.dtype for p in part.parameters()} == {torch.float32}
    specs = {spec.name: spec for spec in call_specs(half.config, torch.float16)}
    with torch.no_grad():
        model = build_graph(specs["encode_image"], stand_in(half, GRAPH_KINDS).eval())
    kinds = {value.const_value.dtype.name for value in model.graph.initializers.values() if value.const_value.size > 99}
    assert kinds == {"FLOAT16"}
    for actual, wanted in zip(encoded(model, tmp_path, images.float()), network.encode_image(images)):
        assert actual.dtype == torch.float16
        assert (actual.float() - wanted.detach()).abs().max() < 0.02 * wanted.detach().abs().max()
