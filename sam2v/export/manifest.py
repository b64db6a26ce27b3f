"""What an exported folder says about itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import sam2v
from sam2v.config import ModelConfig
from sam2v.export.calls import CallSpec, Port
from sam2v.files import sha256_of

#: Name and version of the format; readers refuse newer versions.
FORMAT, VERSION = "sam2v-export", 1
#: Files: what the folder holds, the graphs' weights, what is needed beside the graphs.
MANIFEST, WEIGHTS, CONSTANTS = "manifest.json", "weights.bin", "constants.npz"


def file_record(path: Path) -> dict[str, Any]:
    """Name, size and digest of a file."""
    return {"file": path.name, "bytes": path.stat().st_size, "sha256": sha256_of(path)}


def call_record(path: Path, spec: CallSpec) -> dict[str, Any]:
    """A call's file, and what goes in and comes out."""
    ports = {"inputs": [_port_record(p) for p in spec.inputs], "outputs": [_port_record(p) for p in spec.outputs]}
    return {**file_record(path), **ports}


def manifest_of(config: ModelConfig, entries: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest as plain JSON.

    Args:
        config: the network's sizes.
        entries: what else is to be in it.
    """
    return {
        "format": FORMAT,
        "version": VERSION,
        "sam2v": sam2v.__version__,
        "image_size": list(config.input_size),
        "config": asdict(config),
        **entries,
    }


def versions(*packages: str) -> dict[str, str]:
    """Versions of the packages that took part."""
    from importlib.metadata import version

    return {name: version(name) for name in packages}


def _port_record(port: Port) -> dict[str, Any]:
    return {"name": port.name, "dtype": str(port.dtype).removeprefix("torch."), "shape": list(port.shape)}
