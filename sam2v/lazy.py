"""Packages whose names are loaded when they are first used, so that importing them stays quick."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping
from importlib import import_module
from typing import Any


def lazy_names(
    package: str, modules: Mapping[str, Collection[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """What a package's `__init__` needs to load names on first use.

    Args:
        package: the package's `__name__`.
        modules: module below the package -> the names that it holds; without any, the module itself is the name.

    Returns:
        The package's `__getattr__`, `__dir__` and `__all__`.
    """
    home = {name: f"{package}.{module}" for module, names in modules.items() for name in names or (module,)}

    def get(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = import_module(home[name])
        return getattr(module, name) if modules.get(name, True) else module

    return get, lambda: sorted({*vars(sys.modules[package]), *home}), list(home)
