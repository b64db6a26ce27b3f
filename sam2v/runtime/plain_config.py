"""A network's configuration from plain JSON, without the libraries that read and merge configurations."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from sam2v.config import ModelConfig, check_config

_Config = TypeVar("_Config")


def config_from_plain(values: Any) -> ModelConfig:
    """A configuration of what `dataclasses.asdict` made of one.

    Raises:
        ValueError: something else; the message names the key.
    """
    config = _made(ModelConfig(), values, "config")
    check_config(config)
    return config


def _made(default: _Config, values: Any, name: str) -> _Config:
    """A dataclass of plain values, of the types that its defaults have."""
    assert is_dataclass(default) and not isinstance(default, type)
    known = {f.name: getattr(default, f.name) for f in fields(default)}
    if not isinstance(values, dict) or values.keys() != known.keys():
        raise ValueError(f"{name} must have the keys {', '.join(known)}")
    made = {key: _value(known[key], value, f"{name}.{key}") for key, value in values.items()}
    return replace(default, **made)


def _value(default: Any, value: Any, name: str) -> Any:
    if is_dataclass(default):
        return _made(default, value, name)
    numbers = isinstance(value, list) and len(value) <= 64 and all(type(number) is int for number in value)
    if name == "config.image_size":
        accepted = type(value) is int or numbers
    elif isinstance(default, list):
        accepted = numbers
    else:
        accepted = type(value) is type(default) or (type(default) is float and type(value) is int)
    if not accepted:
        raise ValueError(f"{name} is {value!r}")
    try:
        return float(value) if type(default) is float else value
    except OverflowError:
        raise ValueError(f"{name} is too large") from None
