"""The released checkpoints: names, addresses, and where they are kept."""

from __future__ import annotations

import os
import re
from pathlib import Path

from sam2v.files import user_path

_SIZES = ("tiny", "small", "base_plus", "large")
_FOLDERS = {"sam2": "072824", "sam2.1": "092824"}
_HOME = "https://dl.fbaipublicfiles.com/segment_anything_2"

#: Configuration name -> path of the released file under the weights' address.
RELEASED: dict[str, str] = {
    f"{version}_hiera_{size}": f"{folder}/{version}_hiera_{size}.pt"
    for version, folder in _FOLDERS.items()
    for size in _SIZES
}


def released_url(name: str) -> str:
    """Address of a configuration's released weights; the variable `SAM2V_WEIGHTS_URL` names a mirror.

    Raises:
        KeyError: no weights were released under this name.
    """
    if name not in RELEASED:
        raise KeyError(f"no released weights for {name!r}; known: {', '.join(RELEASED)}")
    return f"{os.environ.get('SAM2V_WEIGHTS_URL', _HOME).rstrip('/')}/{RELEASED[name]}"


def cache_dir() -> Path:
    """Where downloads are kept: `SAM2V_HOME`, or `~/.cache/sam2v` (`XDG_CACHE_HOME` is respected)."""
    if home := os.environ.get("SAM2V_HOME"):
        return user_path(home)
    return user_path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "sam2v"


def cached_path(name: str, folder: Path | None = None) -> Path:
    """Where the released weights of `name` are, or would be, after a download.

    Raises:
        KeyError: no weights were released under this name.
    """
    return (folder or cache_dir()) / Path(released_url(name)).name


def is_offline() -> bool:
    """Whether `SAM2V_OFFLINE` forbids the network."""
    return os.environ.get("SAM2V_OFFLINE", "").strip().lower() not in ("", "0", "false", "no")


def is_hub_id(text: str) -> bool:
    """Whether a text reads like a Hugging Face id, `owner/name`, and is neither a file nor a file name."""
    named_file = text.endswith((".pt", ".pth", ".ckpt", ".safetensors", ".yaml", ".yml"))
    return bool(re.fullmatch(r"[\w-]+/[\w.-]+", text)) and not named_file and not user_path(text).exists()


def hub_config(repo_id: str) -> str | None:
    """Configuration of one of the released Hugging Face repositories (`facebook/sam2.1-hiera-tiny`), else None."""
    owner, _, repo = repo_id.partition("/")
    name = repo.replace("-", "_")
    return name if owner == "facebook" and name in RELEASED else None
