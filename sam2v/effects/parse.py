"""The effects by name, and effects as people write them: TARGET:EFFECT[=VALUE[,key=value...]]."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np

from sam2v.effects.base import Effect
from sam2v.effects.canvas import Target
from sam2v.effects.erase import Erase
from sam2v.effects.looks import Blur, Desaturate, Fill, Pixelate, Recolour, Spotlight
from sam2v.effects.shapes import CutOut, Duplicate, Enlarge, Outline
from sam2v.effects.trail import Trail

#: Name -> effect.
EFFECTS: dict[str, type[Effect]] = {
    "spotlight": Spotlight,
    "blur": Blur,
    "pixelate": Pixelate,
    "desaturate": Desaturate,
    "recolour": Recolour,
    "fill": Fill,
    "outline": Outline,
    "cutout": CutOut,
    "erase": Erase,
    "duplicate": Duplicate,
    "trail": Trail,
    "enlarge": Enlarge,
}
_ALSO = {"recolor": "recolour", "cut-out": "cutout", "cut_out": "cutout"}
_FORM = "TARGET:EFFECT[=VALUE[,key=value]], TARGET being an object's id, objects or background"


class Applied(NamedTuple):
    """An effect and what it is done to."""

    target: Target
    effect: Effect

    @property
    def name(self) -> str:
        """What the effect is called; one of another kind by its class."""
        kinds = (name for name, kind in EFFECTS.items() if isinstance(self.effect, kind))
        return next(kinds, type(self.effect).__name__)


def parse_effect(text: str) -> Applied:
    """An effect such as `background:blur=12`, `1:outline` or `2:duplicate=80,y=-10`.

    The value without a key is that of the effect's first attribute.

    Raises:
        ValueError: another form, an unknown target, effect or key, or a value out of range; says what is accepted.
    """
    target_text, colon, rest = text.partition(":")
    name, equals, values = rest.partition("=")
    name = name.strip().lower()
    kind = EFFECTS.get(_ALSO.get(name, name))
    if not colon or not name or (equals and not values.strip()):
        raise ValueError(f"{text!r}: expected {_FORM}")
    if kind is None:
        raise ValueError(f"{text!r}: unknown effect {name!r}; accepted: {', '.join(EFFECTS)}")
    try:
        return checked(_target(target_text.strip()), kind(**_options(kind, values if equals else "")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{text!r}: {error}") from None


def parse_effects(effects: Iterable[str | tuple[Target, Effect]]) -> list[Applied]:
    """Effects given as texts, or as (target, effect).

    Raises:
        TypeError, ValueError: as `parse_effect`; or there is none.
    """
    if isinstance(effects, str):
        raise TypeError(f"effects are a list, got the text {effects!r}")
    found = [parse_effect(effect) if isinstance(effect, str) else _pair(effect) for effect in effects]
    if not found:
        raise ValueError(f"no effect given; expected {_FORM}")
    return found


def _pair(given: object) -> Applied:
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise TypeError(f"an effect is a text, {_FORM}, or a pair (target, effect), got {given!r}")
    return checked(*given)


def checked(target: Target, effect: Effect) -> Applied:
    """An effect with its target.

    Raises:
        TypeError, ValueError: no effect, no target, or an effect that has no meaning for the background.
    """
    if not isinstance(effect, Effect):
        raise TypeError(f"an effect is one of {', '.join(EFFECTS)}, got {type(effect).__name__}")
    if isinstance(target, np.integer):
        target = int(target)
    if isinstance(target, bool) or not (isinstance(target, int) or target in ("objects", "background")):
        raise ValueError(f"a target is an object's id, objects or background, got {target!r}")
    applied = Applied(target, effect)
    if target == "background" and not effect.takes_background:
        raise ValueError(f"{applied.name} is done to objects, not to the background")
    return applied


def _target(text: str) -> Target:
    if text in ("objects", "background"):
        return text  # type: ignore[return-value]
    if text.isascii() and text.isdecimal():
        return int(text)
    raise ValueError(f"a target is an object's id, objects or background, got {text!r}")


def _options(kind: type[Effect], text: str) -> dict[str, Any]:
    """Options of an effect from "VALUE,key=value"."""
    known: dict[str, Any] = {field.name: field for field in fields(kind)}
    found: dict[str, Any] = {}
    for number, part in enumerate(text.split(",") if text else ()):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals:
            if number or not known:
                raise ValueError(f"{part!r} has no key; accepted: {', '.join(known) or 'none'}")
            key, value = next(iter(known)), key
        if key not in known:
            raise ValueError(f"unknown option {key!r}; accepted: {', '.join(known) or 'none'}")
        if key in found:
            raise ValueError(f"{key} is given twice")
        found[key] = _value(key, value, str(known[key].type))
    return found


def _value(key: str, text: str, kind: str) -> Any:
    """A value of the type that an attribute is annotated with."""
    if kind.startswith("Colour"):
        return text
    if kind == "bool":
        words = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
        if text.lower() not in words:
            raise ValueError(f"{key} is yes or no, got {text!r}")
        return words[text.lower()]
    try:
        return int(text) if kind.startswith("int") else float(text)
    except ValueError:
        raise ValueError(f"{key} is a {'whole ' if kind.startswith('int') else ''}number, got {text!r}") from None
