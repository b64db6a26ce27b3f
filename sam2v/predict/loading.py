"""Loading a model and making a predictor of it in one call."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from sam2v.backends.batched import BatchedCalls

if TYPE_CHECKING:
    from sam2v.backends.base import Backend
    from sam2v.model.network import Sam2Network


def calls_of(model: Sam2Network | BatchedCalls) -> BatchedCalls:
    """The calls of a network as predictors make them, or the ones that are given.

    Raises:
        TypeError: neither a network nor calls.
    """
    if isinstance(model, BatchedCalls):
        return model
    from sam2v.backends.base import backend_for

    return backend_for(model)


def load_with_options(cls: type, name: str, options: dict[str, Any]) -> tuple[Sam2Network | Backend, dict[str, Any]]:
    """Load a model with those `options` that `sam2v.load_model` takes; returns it with the others.

    Args:
        cls: the predictor that takes the others. One is made with them, around a small network without weights, before
            anything is loaded: a slip is not answered by a download.
        name: the model.
        options: what `load_model` and the predictor take by name.

    Raises:
        TypeError: an option that neither takes, or of the wrong type. ValueError: a value out of range.
    """
    from sam2v.config import load_model_config
    from sam2v.weights.load import load_model
    from sam2v.weights.skeleton import build_skeleton

    known = set(inspect.signature(load_model).parameters) - {"name"}
    rest = {key: value for key, value in options.items() if key not in known}
    if rest:
        cls(build_skeleton(load_model_config("sam2v_nano")), **rest)
    return load_model(name, **{key: value for key, value in options.items() if key in known}), rest
