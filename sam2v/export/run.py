"""Export a network: its calls as files that run without it."""

from __future__ import annotations

import copy
import json
import math
import os
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from sam2v.backends.base import Backend
from sam2v.backends.stand_in import stand_in
from sam2v.export.calls import call_specs
from sam2v.export.check import Difference, compare
from sam2v.export.manifest import CONSTANTS, MANIFEST, file_record, manifest_of
from sam2v.export.modules import GRAPH_KINDS, PLAIN_KINDS, PROGRAM_KINDS, convert
from sam2v.files import check_new, user_path, whole_folder
from sam2v.model.network import Sam2Network
from sam2v.video.frames import FrameLike, as_frame
from sam2v.weights.identify import weights_checksum

Format = Literal["onnx", "torch"]
FORMATS = ("onnx", "torch")
DTYPES = {"float32": torch.float32, "float16": torch.float16}
#: Steps that `export_model` tells of: the calls, and the check.
STEPS = 7

#: Largest difference from the network that passes, as a share of an output's largest value.
_TOLERANCE = {None: 1e-3, "float16": 0.1, "int8": 1.0}


class Export(NamedTuple):
    """What came of an export.

    Attributes:
        folder: where it is.
        manifest: what it says of itself.
        differences: from the network, for each output of each call.
    """

    folder: Path
    manifest: dict[str, Any]
    differences: list[Difference]


def export_model(
    model: Sam2Network | Backend,
    out: str | os.PathLike[str],
    format: Format = "onnx",
    dtype: str = "float32",
    int8: bool = False,
    calibrate: Iterable[FrameLike] = (),
    progress: Callable[[str], None] | None = None,
) -> Export:
    """Export a network's calls, and compare them with the network.

    Args:
        model: from `sam2v.load_model`, in float32. It is exported for its `config.image_size`.
        out: a new or an empty folder; it appears when everything is in it.
        format: `"onnx"`: graphs, with their weights in one file. `"torch"`: programs of `torch.export`.
        dtype: of features and memories, and what image encoder and memory attention compute in: `"float32"`, or
            `"float16"`, approximate.
        int8: quantise the weights of the image encoder's graph, approximate.
        calibrate: with `int8`, frames (whatever `sam2v.video.frames.as_frame` takes) by whose activations these are
            quantised too, once; without any they are while the graph runs.
        progress: told what is being done, `STEPS` times.

    Raises:
        ValueError, TypeError: an unknown format or precision, or what does not go together; a model that is for images
            only, or rounded already; something among `calibrate` that is no frame.
        FileExistsError: there is something in `out`.
        ImportError: a package that the format needs is missing.
        RuntimeError: what was exported answers otherwise than the network; nothing is left behind.
    """
    network = model.network if isinstance(model, Backend) else model
    check_options(format, dtype, int8)
    _check_network(network)
    out = user_path(out)
    check_new(out)
    frames = [as_frame(frame) for frame in calibrate]
    if frames and not int8:
        raise ValueError("calibrate goes with int8")
    network = network if network.device.type == "cpu" else copy.deepcopy(network).cpu()
    approximate = "int8" if int8 else "float16" if dtype == "float16" else None
    with whole_folder(out) as folder, torch.no_grad():
        write = _write_torch if format == "torch" else _write_onnx
        entries, differences = write(folder, network, dtype, frames if int8 else None, progress or _silent)
        _check(differences, _TOLERANCE[approximate])
        np.savez(
            folder / CONSTANTS,
            no_obj_ptr=network.no_obj_ptr.detach().numpy(),
            no_mem_embed=network.no_mem_embed.detach().numpy().ravel(),
        )
        about = {"model": network.config.name, "checksum": weights_checksum(network), "kind": format, "dtype": dtype}
        manifest = manifest_of(network.config, {**about, "approximate": approximate, **entries})
        manifest["constants"] = file_record(folder / CONSTANTS)
        manifest["differences"] = {f"{d.call}.{d.output}": d.share for d in differences}
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return Export(out, manifest, differences)


def check_options(format: str, dtype: str, int8: bool) -> None:
    """Raise ValueError for what cannot be exported, and ImportError for what is missing to do it."""
    if format not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, not {format!r}")
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, not {dtype!r}")
    if int8 and (format, dtype) != ("onnx", "float32"):
        raise ValueError("int8 goes with format onnx and dtype float32")
    if format == "onnx":
        missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
        if missing:
            raise ImportError(f"exporting to ONNX needs {', '.join(missing)}: pip install 'sam2v[export]'")


def _check_network(network: Sam2Network) -> None:
    if not isinstance(network, Sam2Network):
        raise TypeError(f"model must come from sam2v.load_model, got {type(network).__name__}")
    if network.image_only:
        raise ValueError("this model has no weights for tracking (image-only checkpoint), so it cannot be exported")
    if network.dtype != torch.float32:
        raise ValueError(f"this model computes in {network.dtype}: load it with dtype='float32', and name the export's")


def _write_onnx(
    folder: Path, network: Sam2Network, dtype: str, frames: list[np.ndarray] | None, step: Callable[[str], None]
) -> tuple[dict[str, Any], list[Difference]]:
    """Write graphs; the manifest's entries about them, and how far they are from the network."""
    from sam2v.export.onnx_format import graph_runner, write_graphs

    specs = call_specs(network.config, DTYPES[dtype])
    entries = write_graphs(folder, specs, _prepared(network, GRAPH_KINDS, dtype), step, frames)
    step("check")
    return entries, compare(specs, stand_in(network, PLAIN_KINDS).eval(), graph_runner(folder))


def _write_torch(
    folder: Path, network: Sam2Network, dtype: str, frames: list[np.ndarray] | None, step: Callable[[str], None]
) -> tuple[dict[str, Any], list[Difference]]:
    """The same as programs."""
    from sam2v.export.programs import for_programs, program_runner, write_programs

    specs = for_programs(call_specs(network.config, DTYPES[dtype]))
    entries = write_programs(folder, specs, _prepared(network, PROGRAM_KINDS, dtype), step)
    step("check")
    return entries, compare(specs, stand_in(network, PLAIN_KINDS).eval(), program_runner(folder))


def _prepared(network: Sam2Network, kinds: Any, dtype: str) -> Sam2Network:
    """What is traced."""
    if dtype != "float32":
        network = convert(copy.deepcopy(network), DTYPES[dtype])
    return stand_in(network, kinds).eval()


def _check(differences: Iterable[Difference], tolerance: float) -> None:
    worst = max(differences, key=lambda d: math.inf if math.isnan(d.share) else d.share)
    if not worst.share <= tolerance:
        raise RuntimeError(
            f"the exported {worst.call} answers otherwise than the network: {worst.output} differs by "
            f"{worst.share:.2g} of its largest value, {tolerance:g} being allowed; nothing was written"
        )


def _silent(_: str) -> None:
    """No progress."""
