"""Evaluation: J&F to the digit of the DAVIS toolkit, protocols, baselines, tables and pictures.

Names load on first use, so that scoring folders needs neither torch nor a plotting library.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "BOUND_TH": "metrics",
    "Evaluation": "results",
    "ObjectScores": "results",
    "PROTOCOLS": "protocol",
    "Protocol": "protocol",
    "SequenceScores": "results",
    "Statistics": "metrics",
    "boundary_accuracy": "metrics",
    "evaluate_folders": "score",
    "frame_scores": "metrics",
    "mean_iou": "metrics",
    "region_similarity": "metrics",
    "statistics": "metrics",
}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_HOME)
