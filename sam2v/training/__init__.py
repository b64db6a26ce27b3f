"""Training: losses, simulated prompts, the unroll of a clip, and the loop around them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "LossConfig": "losses",
    "LossParts": "losses",
    "PromptConfig": "prompting",
    "PromptStep": "losses",
    "TrainConfig": "config",
    "TrainResult": "loop",
    "clip_loss": "losses",
    "load_train_config": "config",
    "train": "loop",
    "unroll": "unroll",
}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_HOME)
