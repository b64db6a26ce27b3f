"""The state of a run on disk: written whole or not at all, read back only into the same run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from sam2v.files import whole_file
from sam2v.training.config import TrainConfig, config_difference
from sam2v.weights.pickles import Refused
from sam2v.weights.torch_files import check_archive

_VERSION = 1
#: What a state holds at least.
_PARTS: dict[str, type | tuple[type, ...]] = {
    "config": dict,
    "step": int,
    "best": (int, float),
    "model": dict,
    "optimizer": dict,
}


def save_state(path: Path, state: dict[str, Any], config: TrainConfig) -> None:
    """Write a run's state; the file that was there stays whole until the new one is.

    Raises:
        OSError: it could not be written (a full disk, say); the message says that the previous file is intact.
    """
    whole = {"version": _VERSION, "config": asdict(config), **state}
    try:
        with whole_file(path) as temporary, temporary.open("wb") as file:
            torch.save(whole, file)
            file.flush()
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
        kept = "the previous one is intact" if path.is_file() else "there was none before"
        raise OSError(f"the checkpoint {path} could not be written ({error}); {kept}") from error


def load_state(path: Path, config: TrainConfig) -> dict[str, Any]:
    """Read the state of a run that is to be continued with `config`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not the state of a training run, or of one with another configuration; every difference is named.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no training state {path}: nothing to resume")
    with reading(path):
        check_archive(path)  # torch would unpack what is compressed
        state = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, dict) or state.get("version") != _VERSION:
        raise ValueError(f"{path} is not the state of a training run of this version")
    wrong = [name for name, kind in _PARTS.items() if not isinstance(state.get(name), kind)]
    if wrong or state["step"] < 0:
        raise ValueError(f"{path} is not the state of a training run ({', '.join(wrong or ['step'])} missing or wrong)")
    with reading(path):
        different = config_difference(state["config"], config)
    if different:
        raise ValueError(f"cannot resume {path} with another configuration; it differs in {'; '.join(different)}")
    return state


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Whatever is wrong with what a file holds becomes one ValueError, which names the file."""
    try:
        yield
    except Exception as error:  # a stranger's file makes torch stumble in any number of ways
        reason = error if isinstance(error, Refused) else type(error).__name__
        raise ValueError(f"{path} is not the state of a training run ({reason})") from error
