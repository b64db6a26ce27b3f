"""Loading a model and making a predictor of it in one call."""

from __future__ import annotations

import inspect
from typing import Any

from sam2v.model.network import Sam2Network


def load_with_options(name: str, options: dict[str, Any]) -> tuple[Sam2Network, dict[str, Any]]:
    """Load a model with those ``options`` that :func:`sam2v.load_model` takes; returns it with the others."""
    from sam2v.weights.load import load_model

    known = set(inspect.signature(load_model).parameters) - {"name"}
    model = load_model(name, **{key: value for key, value in options.items() if key in known})
    return model, {key: value for key, value in options.items() if key not in known}
