"""Warnings that point at the user's line."""

from __future__ import annotations

import sys
import warnings


def warn_caller(text: str) -> None:
    """Warn on behalf of whoever called sam2v, however deep inside of it this is."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] == "sam2v":
        level, frame = level + 1, frame.f_back
    warnings.warn(text, stacklevel=level)
