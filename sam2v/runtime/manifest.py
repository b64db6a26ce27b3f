"""What an exported folder says of itself, checked before anything of it is used.

Whoever made the folder may have meant ill: files are looked for in the folder alone, all sizes are bounded, and what a
graph takes and gives is compared with what the runtime's calls give and take.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from sam2v.config import ModelConfig, is_input_size
from sam2v.files import parse_json, sha256_of, user_path
from sam2v.runtime.plain_config import config_from_plain

FORMAT, VERSION, MANIFEST = "sam2v-export", 1, "manifest.json"
#: The graphs, with the names of what goes in.
INPUTS: Mapping[str, tuple[str, ...]] = {
    "encode_image": ("images",),
    "without_memory": ("stride16",),
    "read_memory": (
        *("stride16", "memories", "memory_time", "memory_bias", "memory_scale"),
        *("pointers", "pointer_time", "pointer_bias", "pointer_scale"),
    ),
    "decode_prompts": ("stride8", "stride4", "conditioned", "coords", "labels", "mask", "has_mask"),
    "point_to_mask": ("stride16", "mask"),
    "write_memory": ("stride16", "masks", "object_score", "binarize"),
}
#: Bytes at most: of the manifest, a graph, the constants and the weights; and the longest side of a picture.
MANIFEST_BYTES, GRAPH_BYTES, CONSTANTS_BYTES, WEIGHTS_BYTES = 4 << 20, 64 << 20, 1 << 20, 16 << 30
LONGEST_SIDE = 4096
#: Memories and pointers that an object reads at most: so many frames are kept.
MOST_READ = 4096
_DTYPES = ("float32", "float16")


class NotAnExport(ValueError):
    """A folder that the runtime cannot use; the message says why."""


@dataclass(frozen=True)
class FileRecord:
    """A file of the folder, as the manifest describes it: its path, length in bytes and SHA-256."""

    path: Path
    length: int
    digest: str

    def check(self) -> None:
        """Raise `NotAnExport` unless the file is there and as it was written."""
        if not self.path.is_file():
            raise NotAnExport(f"{self.path.parent}: {self.path.name} is missing; export the model again")
        found = self.path.stat().st_size
        if found != self.length:
            raise self._altered(f"has {found} bytes, not {self.length}")
        if sha256_of(self.path) != self.digest:
            raise self._altered("has another digest")

    def _altered(self, how: str) -> NotAnExport:
        return NotAnExport(f"{self.path.parent}: {self.path.name} was altered, it {how}; export the model again")


@dataclass(frozen=True)
class Manifest:
    """What a folder holds.

    Attributes:
        folder: where. config: the network's sizes.
        dtype: "float32" or "float16", of features and memories.
        approximate: None, or why masks differ from the model's.
        checksum: tells the model's weights from others.
        graphs: by call. weights, constants: the other files.
        inputs: types of what goes into each graph, by name.
    """

    folder: Path
    config: ModelConfig
    dtype: str
    approximate: str | None
    checksum: str
    graphs: Mapping[str, FileRecord]
    weights: FileRecord
    constants: FileRecord
    inputs: Mapping[str, Mapping[str, str]]


def read_manifest(folder: str | PathLike[str]) -> Manifest:
    """Read and check what an exported folder says; its other files are not looked at.

    Raises:
        FileNotFoundError: no such folder. NotAnExport: (a ValueError) it is no export, of a newer version, or damaged.
    """
    folder = user_path(folder)
    if not folder.exists():
        raise FileNotFoundError(f"no folder {folder}")
    path = folder / MANIFEST
    if not path.is_file():
        raise NotAnExport(f"{folder} is no exported model: it has no {MANIFEST} (sam2v export makes one)")
    if path.stat().st_size > MANIFEST_BYTES:
        raise NotAnExport(f"{path}: larger than {MANIFEST_BYTES >> 20} MB, no manifest of an exported model")
    try:
        record = parse_json(path.read_text(encoding="utf-8"), path)
    except ValueError:
        raise NotAnExport(f"{path}: not JSON, or damaged") from None
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise NotAnExport(f"{path}: not the manifest of an exported model")
    _check_version(path, record)
    try:
        return _manifest(folder, record)
    except NotAnExport:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        missing = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise NotAnExport(f"{path}: damaged, {missing}") from None


def _check_version(path: Path, record: dict[str, Any]) -> None:
    version = record.get("version")
    if type(version) is not int or version < 1:
        raise NotAnExport(f"{path}: version {version!r} is no version of an exported model")
    if version > VERSION:
        raise NotAnExport(
            f"{path}: exported by a newer sam2v (format {version}, this one reads {VERSION}): update sam2v"
        )
    kind = record.get("kind", "onnx")
    if kind != "onnx":
        raise NotAnExport(
            f"{path}: holds programs of kind {kind!r}; the runtime takes those of sam2v export --format onnx"
        )


def _manifest(folder: Path, record: dict[str, Any]) -> Manifest:
    size = record["image_size"]
    if not isinstance(size, list) or not is_input_size(size):
        raise NotAnExport(f"{folder}: image_size {size!r} must be [height, width], positive multiples of 32")
    if max(size) > LONGEST_SIDE:
        raise NotAnExport(f"{folder}: image_size {size!r} exceeds {LONGEST_SIDE}")
    config = config_from_plain(record["config"])
    if list(config.input_size) != size:
        raise NotAnExport(f"{folder}: image_size {size!r} and that of its config, {config.image_size!r}, differ")
    for key in ("num_maskmem", "max_obj_ptrs"):
        if getattr(config.memory, key) > MOST_READ:
            raise NotAnExport(f"{folder}: memory.{key} {getattr(config.memory, key)} exceeds {MOST_READ}")
    if record["dtype"] not in _DTYPES:
        raise NotAnExport(f"{folder}: dtype {record['dtype']!r} is none of {', '.join(_DTYPES)}")
    graphs = record["graphs"]
    absent = [name for name in INPUTS if name not in graphs]
    if absent:
        raise NotAnExport(f"{folder}: the manifest names no graph {absent[0]}")
    return Manifest(
        folder,
        config,
        record["dtype"],
        None if record["approximate"] is None else str(record["approximate"]),
        str(record.get("checksum", "")),
        {name: _file(folder, graphs[name], GRAPH_BYTES, ".onnx") for name in INPUTS},
        _file(folder, record["weights"], WEIGHTS_BYTES),
        _file(folder, record["constants"], CONSTANTS_BYTES),
        {name: _ports(graphs[name], expected) for name, expected in INPUTS.items()},
    )


def _file(folder: Path, record: dict[str, Any], most: int, ending: str = "") -> FileRecord:
    """A file that lies in the folder, no larger than `most` bytes.

    Args:
        ending: of its name; onnxruntime tells formats by it, and only ONNX is checked.
    """
    name, length, digest = record["file"], record["bytes"], record["sha256"]
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        raise ValueError(f"{name!r} is no name of a file in the folder")
    if not name.endswith(ending):
        raise ValueError(f"{name} is no name of a graph, which ends in {ending}")
    if type(length) is not int or not 0 <= length <= most:
        raise ValueError(f"{name} has {length!r} bytes, more than {most} or none")
    if not isinstance(digest, str) or not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise ValueError(f"{name} has no SHA-256")
    path = folder / name
    if path.is_symlink() and path.resolve().parent != folder.resolve():
        raise ValueError(f"{name} is a link to somewhere else")
    return FileRecord(path, length, digest)


def _ports(record: dict[str, Any], expected: tuple[str, ...]) -> dict[str, str]:
    """Types of a graph's inputs by name."""
    found = {str(port["name"]): str(port["dtype"]) for port in record["inputs"]}
    if tuple(found) != expected:
        raise ValueError(f"{record['file']} takes {', '.join(found)} instead of {', '.join(expected)}")
    return found
