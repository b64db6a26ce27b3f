"""What an exported folder says about itself."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import sam2v
from sam2v.config import ModelConfig
from sam2v.export.calls import CallSpec, Port

#: Name and version of the format; a reader refuses newer versions.
FORMAT, VERSION = "sam2v-export", 1
MANIFEST = "manifest.json"
WEIGHTS = "weights.bin"
CONSTANTS = "constants.npz"


def file_record(path: Path) -> dict[str, Any]:
    """Name, size and digest of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return {"file": path.name, "bytes": path.stat().st_size, "sha256": digest.hexdigest()}


def call_record(path: Path, spec: CallSpec) -> dict[str, Any]:
    """A call's file, and what goes in and comes out."""
    ports = {"inputs": [_port_record(p) for p in spec.inputs], "outputs": [_port_record(p) for p in spec.outputs]}
    return {**file_record(path), **ports}


def manifest_of(
    config: ModelConfig,
    kind: str,
    dtype: str,
    approximate: str | None,
    calls: Mapping[str, dict[str, Any]],
    others: Mapping[str, Any],
    versions: Sequence[str],
) -> dict[str, Any]:
    """The manifest as plain JSON.

    Args:
        config: the network's sizes.
        kind: `"onnx"` or `"torch"`.
        dtype: of features and memories.
        approximate: None where numbers are the network's; else `"float16"` or `"int8"`.
        calls: records by name.
        others: further entries.
        versions: names of the packages that took part, whose versions are noted.
    """
    from importlib.metadata import version

    return {
        "format": FORMAT,
        "version": VERSION,
        "kind": kind,
        "sam2v": sam2v.__version__,
        "made_with": {name: version(name) for name in versions},
        "model": config.name,
        "dtype": dtype,
        "approximate": approximate,
        "image_size": list(config.input_size),
        "config": asdict(config),
        **others,
        "graphs": dict(calls),
    }


def _port_record(port: Port) -> dict[str, Any]:
    return {"name": port.name, "dtype": str(port.dtype).removeprefix("torch."), "shape": list(port.shape)}
