"""What typed options have in common: values that are changed by name, and checks of their ranges."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self


class Options:
    """A frozen dataclass of options."""

    def changed(self, **changes: object) -> Self:
        """These options with some changed.

        Raises:
            TypeError: an unknown name (the known ones are listed) or a wrong type. ValueError: a value out of range.
        """
        known = {option.name: getattr(self, option.name) for option in fields(self)}  # type: ignore[arg-type]
        unknown = [name for name in changes if name not in known]
        if unknown:
            raise TypeError(f"unknown option {unknown[0]!r}; known: {', '.join(known)}")
        return type(self)(**{**known, **changes})

    def check_fractions(self, names: Iterable[str]) -> None:
        """Raise ValueError unless the options of these names are in [0, 1], or None."""
        for name in names:
            value: Any = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"{name} must be in [0, 1], got {value}")

    def check_whole(self, names: Iterable[str]) -> None:
        """Raise TypeError unless the options of these names are whole numbers, or None."""
        for name in names:
            value: Any = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not hasattr(value, "__index__")):
                raise TypeError(f"{name} must be a whole number, got {value!r}")

    def check_least(self, least: Mapping[str, float]) -> None:
        """Raise ValueError unless options are at least as large as what stands beside their names."""
        for name, bound in least.items():
            if not getattr(self, name) >= bound:
                raise ValueError(f"{name} must be at least {bound}, got {getattr(self, name)}")
