"""Checkpoint files: the released .pt layout, bare state dicts and safetensors.

A file's first bytes tell what it is; its name does not matter for reading. Nothing here runs code from a file: pickles
are read by torch's weights-only unpickler.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from sam2v.files import whole_file

CheckpointFormat = Literal["safetensors", "official"]

_SUFFIXES: dict[str, tuple[str, ...]] = {"safetensors": (".safetensors",), "official": (".pt", ".pth", ".ckpt")}
_ZIP, _PICKLE, _TORCH_PICKLE = b"PK\x03\x04", b"\x80", b"\x80\x02"


def read_checkpoint(path: str | Path) -> dict[str, Tensor]:
    """Read a state dict onto the CPU.

    Args:
        path: a .pt file with ``{"model": state_dict}`` (further entries are ignored) or a bare state dict, or a
            safetensors file.

    Raises:
        FileNotFoundError, IsADirectoryError: no such file, or a folder.
        ValueError: empty, damaged, incomplete, no checkpoint, without a state dict, or a pickle that would run code.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder, not a checkpoint file")
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint file {path}")
    with path.open("rb") as file:
        head = file.read(9)
    if not head:
        raise ValueError(f"{path} is empty")
    if _is_safetensors(head):  # first, because the length it begins with may look like a pickle's first byte
        return _read_safetensors(path)
    if head.startswith((_ZIP, _TORCH_PICKLE)):
        return _state_dict_in(_unpickle(path), path)
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
        format: ``"safetensors"``, or ``"official"`` for the released layout, ``{"model": state_dict}`` in a .pt file.
        metadata: texts to keep in the file (safetensors only).

    Raises:
        ValueError: unknown format, or a suffix that belongs to the other format.
    """
    path = Path(path)
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


def _unpickle(path: Path) -> Any:
    import pickle

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        why = f"its pickle would run code ({named[1]})" if named else "it is damaged or holds more than tensors"
        raise ValueError(f"{path} is refused: {why}; only tensors are accepted") from None
    except Exception:  # damaged bytes make the unpickler stumble in any number of ways
        raise ValueError(f"{path} is damaged or incomplete, or not a torch file") from None


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


def _state_dict_in(content: Any, path: Path) -> dict[str, Tensor]:
    """The state dict in what a .pt file held."""
    inner = content["model"] if isinstance(content, dict) and isinstance(content.get("model"), dict) else content
    if not isinstance(inner, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}, not a state dict")
    strange = [str(key) for key, value in inner.items() if not isinstance(value, Tensor)]
    if strange or not inner:
        what = f"entries that are not tensors ({', '.join(strange[:5])})" if strange else "no entries"
        raise ValueError(f"{path} holds no state dict: {what}; accepted: {{'model': state_dict}} or a bare one")
    return {str(key): value for key, value in inner.items()}
