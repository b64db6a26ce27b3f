"""Checkpoint files: torch's own (.pt), safetensors, and safetensors in several files with an index.

A file's first bytes tell what it is; its name does not matter for reading. Nothing here runs code from a file, or takes
more memory than a small multiple of the file's size.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from sam2v.files import parse_json, user_path, whole_file
from sam2v.weights.contents import find_weights
from sam2v.weights.pickles import Stored
from sam2v.weights.torch_files import read_torch_file

CheckpointFormat = Literal["safetensors", "official"]

_SUFFIXES: dict[str, tuple[str, ...]] = {"safetensors": (".safetensors",), "official": (".pt", ".pth", ".ckpt")}
_INDEX = ".index.json"
_MOST_INDEX = 16 << 20  # bytes
_ZIP, _PICKLE, _TORCH_PICKLE = b"PK\x03\x04", b"\x80", b"\x80\x02"
_LISTED = 6


def read_checkpoint(path: str | Path) -> dict[str, Tensor]:
    """Read a state dict onto the CPU.

    Args:
        path: a .pt file that holds one mapping of tensors, under whatever keys and with whatever prefix before all
            names; a safetensors file; the index of sharded ones (`*.index.json`); or a folder that holds one of these.

    Returns:
        Names as in the network or as in transformers' port, without a prefix.

    Raises:
        FileNotFoundError, IsADirectoryError: no such file, or a folder without a checkpoint.
        ValueError: empty, damaged, incomplete, no checkpoint, without a state dict or with several, or a pickle that
            could run code.
    """
    path = user_path(path)
    if path.is_dir():
        path = _only_checkpoint(path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint file {path}")
    if path.name.endswith(_INDEX):
        return find_weights(_read_shards(path), str(path), Tensor)
    return _read_file(path)


def _read_file(path: Path) -> dict[str, Tensor]:
    with path.open("rb") as file:
        head = file.read(9)
    if not head:
        raise ValueError(f"{path} is empty")
    if _is_safetensors(head):  # first, because the length it begins with may look like a pickle's first byte
        return find_weights(_read_safetensors(path), str(path), Tensor)
    if head.startswith((_ZIP, _TORCH_PICKLE)):
        return read_torch_file(path, lambda content: find_weights(content, str(path), Stored))
    if head.startswith(_PICKLE):
        raise ValueError(f"{path} is refused: a plain pickle, not torch's, and that could run code")
    raise ValueError(f"{path} is not a checkpoint: neither a torch file (.pt) nor safetensors")


def write_checkpoint(
    state_dict: Mapping[str, Tensor],
    path: str | Path,
    format: CheckpointFormat = "safetensors",
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Write a state dict; a file already there is replaced only when the new one is complete.

    Args:
        state_dict: name -> tensor, on any device.
        path: where to. Missing folders are made.
        format: `"safetensors"`, or `"official"` for the released layout, `{"model": state_dict}` in a .pt file.
        metadata: texts to keep in the file (safetensors only).

    Raises:
        ValueError: unknown format, or a suffix that belongs to the other format.
    """
    path = user_path(path)
    check_target(path, format)
    tensors = _with_own_memory(state_dict)
    with whole_file(path) as temporary:
        if format == "official":
            torch.save({"model": tensors}, temporary)
        else:
            from safetensors.torch import save_file

            save_file(tensors, temporary, metadata={"format": "pt", **(metadata or {})})
    return path


def _with_own_memory(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """CPU tensors without views or shared memory: safetensors refuses these, torch.save writes their whole storage."""
    out: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, value in state_dict.items():
        tensor = value.detach().cpu().contiguous()
        storage = tensor.untyped_storage()
        if storage.nbytes() != tensor.nbytes or storage.data_ptr() in seen:
            tensor = tensor.clone()
        seen.add(tensor.untyped_storage().data_ptr())
        out[name] = tensor
    return out


def check_target(path: Path, format: str) -> None:
    """Raise ValueError for an unknown format or a file name that promises the other one."""
    if format not in _SUFFIXES:
        raise ValueError(f"format must be 'safetensors' or 'official', not {format!r}")
    for other, suffixes in _SUFFIXES.items():
        if other != format and path.suffix in suffixes:
            raise ValueError(f"{path} has the suffix of format={other!r}, but format={format!r} was asked for")


def _is_safetensors(head: bytes) -> bool:
    """Whether a file starts like safetensors: the header's length in 8 bytes, then a JSON object."""
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 100_000_000


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged or incomplete ({error})") from None


def _only_checkpoint(folder: Path) -> Path:
    """The one checkpoint in a folder: an index, or else a file with a checkpoint's suffix."""
    suffixes = (*(suffix for known in _SUFFIXES.values() for suffix in known), ".bin")
    files = sorted(path for path in folder.iterdir() if path.is_file())
    indexes = [path for path in files if path.name.endswith(_INDEX)]
    found = indexes or [path for path in files if path.suffix in suffixes]
    if len(found) == 1:
        return found[0]
    if not found:
        raise IsADirectoryError(f"{folder} is a folder without a checkpoint ({', '.join(suffixes)} or *{_INDEX})")
    names = ", ".join(path.name for path in found[:_LISTED]) + ", ..." * (len(found) > _LISTED)
    raise ValueError(f"{folder} holds {len(found)} checkpoints ({names}): name one of them")


def _read_shards(index: Path) -> dict[str, Tensor]:
    """All tensors that an index names, from the files in its folder."""
    shards: dict[str, set[str]] = {}
    for name, file in read_index(index).items():
        shards.setdefault(file, set()).add(name)
    missing = [file for file in shards if not (index.parent / file).is_file()]
    if missing:
        raise FileNotFoundError(f"{index}: {len(missing)} of its {len(shards)} files are missing ({missing[0]}, ...)")
    tensors: dict[str, Tensor] = {}
    for file, names in shards.items():
        part = _read_safetensors(index.parent / file)
        if part.keys() != names:
            odd = sorted(part.keys() ^ names)
            raise ValueError(f"{index} and {file} do not belong together: {len(odd)} names differ ({odd[0]}, ...)")
        tensors.update(part)
    return tensors


def read_index(index: Path) -> dict[str, str]:
    """Name of every tensor -> name of its file, which lies beside the index.

    Raises:
        ValueError: not such an index, or one that names a file elsewhere.
    """
    if index.stat().st_size > _MOST_INDEX:
        raise ValueError(f"{index} has {index.stat().st_size} bytes: no index of weights is so long")
    try:
        content: Any = parse_json(index.read_bytes(), index)
    except ValueError:
        content = None
    names = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(names, dict) or not names or not all(isinstance(file, str) for file in names.values()):
        raise ValueError(f'{index} is not an index of weights: expected {{"weight_map": {{name: file}}}}')
    for file in names.values():
        if Path(file).name != file or "\\" in file or not file.endswith(".safetensors"):
            raise ValueError(f"{index} names {file!r}: only safetensors files beside the index are read")
    return names
