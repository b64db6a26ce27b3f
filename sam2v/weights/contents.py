"""Which of a file's tensors are the weights, and under which names.

Trainers wrap a network's state dict in further dictionaries (`{"state_dict": ..., "epoch": 3}`) and wrappers of modules
put a prefix before every name (`module.`, `_orig_mod.`, `model.`). Both are taken off, strictly: exactly one mapping
of tensors, exactly one prefix that all names share. What is out of the ordinary is said.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from sam2v.weights.caller import warn_caller
from sam2v.weights.keys import MARKS, detect_layout

T = TypeVar("T")

_DEPTH = 3  # dictionaries around a state dict
_LISTED = 6
#: Parts of names that wrappers put in, before all of them or between modules.
_WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module")
#: Keys and prefixes that need no word.
_USUAL = ("checkpoint", "model", "model_state", "model_state_dict", "net", "network", "params", "sam", "sam2",
          "sam2_model", "sam_model", "state_dict", "weights")  # fmt: skip

_Keys = tuple[str, ...]
logger = logging.getLogger("sam2v")


class NotWeights(ValueError):
    """A sound file without weights in it, or with several."""


def find_weights(content: Any, source: str, kind: type[T]) -> dict[str, T]:
    """The one mapping of tensors in what a file holds, with sam2v's or transformers' names.

    Args:
        content: nested dictionaries, at most three deep around the state dict; what is not a tensor is left out.
        source: what to call the file.
        kind: the type of its tensors.

    Raises:
        ValueError: no mapping of tensors, several, or names of which only some have a prefix.
    """
    found = {keys: tensors for keys, tensors in _mappings(content, kind) if _layout(tensors) != "unknown"}
    if not found:  # then the loader says what does not fit
        found = dict(_mappings(content, kind))
    if not found:
        raise NotWeights(f"{source} holds no state dict: {_what_else(content, kind)}; accepted: names to tensors")
    if len(found) > 1:
        listed = ", ".join(f"{_path(keys)} ({len(tensors)} tensors)" for keys, tensors in found.items())
        remedy = "save the one that is meant into a file of its own"
        raise NotWeights(f"{source} holds several mappings of tensors: {listed}; {remedy}")
    ((keys, tensors),) = found.items()
    prefix, named = _unprefixed(tensors, source)
    _say(keys, prefix, source)
    return named


def _mappings(content: Any, kind: type[T]) -> Iterator[tuple[_Keys, dict[str, T]]]:
    """Every dictionary that holds tensors under texts, with the keys that lead to it."""
    ahead: list[tuple[_Keys, Any]] = [((), content)]
    seen: set[int] = set()
    while ahead:
        keys, part = ahead.pop(0)
        if not isinstance(part, Mapping) or id(part) in seen:
            continue
        seen.add(id(part))
        named = {key: value for key, value in part.items() if isinstance(key, str)}
        tensors = {key: value for key, value in named.items() if isinstance(value, kind)}
        if tensors:
            yield keys, tensors
        if len(keys) < _DEPTH:
            ahead += [((*keys, key), value) for key, value in named.items() if isinstance(value, Mapping)]


def _layout(names: Mapping[str, object]) -> str:
    """The layout of names as they are, or behind a prefix."""
    return detect_layout({name[_prefix_length(name) :]: None for name in _unwrapped(names).values()})


def _unwrapped(names: Mapping[str, object]) -> dict[str, str]:
    """Names without the parts of wrappers, by name."""
    return {name: ".".join(part for part in name.split(".") if part not in _WRAPPERS) for name in names}


def _prefix_length(name: str) -> int:
    """Where in a name a module of SAM 2 begins that is recognised; 0 if there is none."""
    return max(0, min((at for mark in MARKS if (at := name.find(mark)) >= 0), default=0))


def _unprefixed(tensors: Mapping[str, T], source: str) -> tuple[str, dict[str, T]]:
    """The prefix that all names share, and the tensors by what remains."""
    names = _unwrapped(tensors)
    prefix = next((name[:length] for name in names.values() if (length := _prefix_length(name))), "")
    without = [name for name in names.values() if not name.startswith(prefix)]
    if without:
        raise NotWeights(
            f"{source}: {len(names) - len(without)} names begin with {prefix!r} and {len(without)} do not "
            f"({', '.join(without[:_LISTED])}{', ...' * (len(without) > _LISTED)}); only a prefix of all is taken off"
        )
    named = {names[name].removeprefix(prefix): value for name, value in tensors.items()}
    if len(named) < len(tensors):
        raise NotWeights(f"{source}: some names are the same without the parts {', '.join(_WRAPPERS)}")
    return prefix, named


def _say(keys: _Keys, prefix: str, source: str) -> None:
    parts = [f"under {_path(keys)}"] * bool(keys) + [f"with names that begin with {prefix!r}"] * bool(prefix)
    if not parts:
        return
    text = f"{source}: the weights are those {' '.join(parts)}"
    unusual = {*keys, *prefix.strip(".").split(".")} - {*_USUAL, *_WRAPPERS, ""}
    if unusual:
        warn_caller(text)
    else:
        logger.info(text)


def _path(keys: _Keys) -> str:
    return ".".join(keys) or "the file itself"


def _what_else(content: Any, kind: type) -> str:
    if not isinstance(content, Mapping):
        return "it holds a tensor" if isinstance(content, kind) else f"it holds a {type(content).__name__.lower()}"
    model = content.get("model")
    others = list(model if isinstance(model, Mapping) else content)
    return f"entries that are not tensors ({', '.join(map(_brief, others[:_LISTED]))})" if others else "no entries"


def _brief(key: object) -> str:
    """A key in few letters; tuples within tuples could be of any length."""
    return str(key)[:60] if isinstance(key, str | int | float) else type(key).__name__
