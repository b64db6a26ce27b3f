"""Export a network: its calls as files that run without it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from sam2v.backends.base import Backend
from sam2v.backends.stand_in import stand_in
from sam2v.export.calls import call_specs
from sam2v.export.check import Difference, compare
from sam2v.export.manifest import CONSTANTS, MANIFEST, WEIGHTS, file_record, manifest_of
from sam2v.export.modules import GRAPH_KINDS, PLAIN_KINDS
from sam2v.files import check_new, user_path, whole_folder
from sam2v.model.network import Sam2Network

Format = Literal["onnx", "torch"]

#: Largest difference from the network that passes, as a share of an output's largest value.
TOLERANCE = {None: 1e-3, "float16": 0.1, "int8": 1.0}


class Export(NamedTuple):
    """What came of an export.

    Attributes:
        folder: where it is.
        manifest: its manifest.
        differences: from the network, for each output of each call.
    """

    folder: Path
    manifest: dict[str, Any]
    differences: list[Difference]


def export_model(
    model: Sam2Network | Backend,
    out: str | os.PathLike[str],
    format: Format = "onnx",
    dtype: torch.dtype | str = torch.float32,
    progress: Callable[[str], None] | None = None,
) -> Export:
    """Export a network's calls, and compare them with the network.

    Args:
        model: from `sam2v.load_model`, in float32. Its `config.image_size` is what is exported.
        out: a new or an empty folder; it appears when everything is in it.
        format: `"onnx"`: graphs. `"torch"`: programs of `torch.export`.
        dtype: of image encoder and memory attention: `torch.float32`, or `torch.float16`, approximate.
        progress: told what is being done.

    Raises:
        ValueError: an unknown format or precision; a model that is for images only, or whose weights are rounded.
        FileExistsError: there is something in `out`.
        RuntimeError: what was exported answers otherwise than the network; nothing is left behind.
        ImportError: a package that the format needs is missing.
    """
    network = model.network if isinstance(model, Backend) else model
    network = network.cpu()
    out = user_path(out)
    check_new(out)
    step = progress or (lambda _: None)
    with whole_folder(out) as folder:
        from sam2v.export.onnx_format import graph_runner, write_graphs

        specs = call_specs(network.config, torch.float32)
        with torch.no_grad():
            made = stand_in(network, GRAPH_KINDS).eval()
            calls = write_graphs(folder, specs, made, step)
            step("check")
            plain = stand_in(network, PLAIN_KINDS).eval()
            differences = compare(specs, plain, graph_runner(folder))
        np.savez(
            folder / CONSTANTS,
            no_obj_ptr=network.no_obj_ptr.detach().numpy(),
            no_mem_embed=network.no_mem_embed.detach().numpy().ravel(),
        )
        others = {
            "opset": 18,
            "weights": file_record(folder / WEIGHTS),
            "constants": file_record(folder / CONSTANTS),
            "differences": {f"{d.call}.{d.output}": d.share for d in differences},
        }
        manifest = manifest_of(
            network.config, format, "float32", None, calls, others, ("torch", "onnx", "onnxscript", "onnxruntime")
        )
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return Export(out, manifest, differences)
