"""Eight-bit integers in a graph, by onnxruntime's own tools."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sam2v.export.traced import quiet
from sam2v.video.fit import fit


def quantised(model: Any, frames: list[np.ndarray], size: tuple[int, int]) -> Any:
    """The image encoder's graph with its products' weights as integers, a scale for every channel.

    Args:
        model: an `onnx_ir.Model` with weights in memory.
        frames: H x W x 3 uint8, by whose activations these are quantised too ("static"); without any, activations are
            quantised while the graph runs ("dynamic").
        size: (height, width) of the graph's pictures.
    """
    import onnx
    import onnx_ir
    from onnxruntime import quantization as tools

    with tempfile.TemporaryDirectory(prefix="sam2v-int8-") as folder, quiet():
        plain, small = Path(folder) / "plain.onnx", Path(folder) / "int8.onnx"
        onnx.save(onnx_ir.to_proto(model), plain)
        # without wider sums some processors saturate products of 8 bits: weights take 7 of them
        shared = {"per_channel": True, "reduce_range": True, "op_types_to_quantize": ["MatMul"]}
        options = {"MatMulConstBOnly": True}
        if frames:
            tools.quantize_static(plain, small, _Frames(frames, size), extra_options=options, **shared)
        else:
            tools.quantize_dynamic(plain, small, extra_options=options, **shared)
        made = onnx.load(small)
    del made.opset_import[:]
    made.opset_import.extend([onnx.helper.make_opsetid("", model.opset_imports[""])])
    made.producer_name, made.producer_version = "sam2v", ""
    del made.graph.value_info[:], made.metadata_props[:]
    return onnx_ir.from_proto(made)


class _Frames:
    """Frames as onnxruntime's calibration reads them, one after the other.

    Args:
        frames: H x W x 3 uint8. size: (height, width) of the graph's pictures.
    """

    def __init__(self, frames: list[np.ndarray], size: tuple[int, int]) -> None:
        self._left: Iterator[np.ndarray] = iter(frames)
        self._size = size

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next frame as the graph's input, None behind the last one."""
        frame = next(self._left, None)
        return None if frame is None else {"images": fit(frame, self._size)[None].astype(np.float32)}
