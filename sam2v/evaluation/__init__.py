"""Evaluation: J&F to the digit of the DAVIS toolkit, protocols, baselines, tables and pictures.

Names load on first use, so that scoring folders needs neither torch nor a plotting library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sam2v.lazy import lazy_names

# ruff: noqa: F401 - the imports tell type checkers what the names below are
if TYPE_CHECKING:
    from sam2v.evaluation.baselines import CopyMask, WarpMask, make_baseline
    from sam2v.evaluation.curves import Curve, InteractiveResult
    from sam2v.evaluation.interactive import InteractiveSettings, evaluate_interactive
    from sam2v.evaluation.metrics import (
        BOUND_TH,
        Statistics,
        boundary_accuracy,
        frame_scores,
        mean_iou,
        region_similarity,
        statistics,
    )
    from sam2v.evaluation.miou import ImageScores, evaluate_images
    from sam2v.evaluation.pictures import contact_sheet, plot
    from sam2v.evaluation.predictor import Predictor
    from sam2v.evaluation.prompting import Prompt
    from sam2v.evaluation.protocol import PROTOCOLS, Protocol
    from sam2v.evaluation.results import Evaluation, ObjectScores, SequenceScores
    from sam2v.evaluation.score import evaluate_folders
    from sam2v.evaluation.vos import evaluate_vos
    from sam2v.evaluation.youtube import read_categories, read_seen, seen_unseen
    from sam2v.jobs.run import Run

_MODULES = {
    "baselines": ("CopyMask", "WarpMask", "make_baseline"),
    "curves": ("Curve", "InteractiveResult"),
    "interactive": ("InteractiveSettings", "evaluate_interactive"),
    "metrics": (
        *("BOUND_TH", "Statistics", "boundary_accuracy", "frame_scores", "mean_iou"),
        *("region_similarity", "statistics"),
    ),
    "miou": ("ImageScores", "evaluate_images"),
    "pictures": ("contact_sheet", "plot"),
    "predictor": ("Predictor",),
    "prompting": ("Prompt",),
    "protocol": ("PROTOCOLS", "Protocol"),
    "results": ("Evaluation", "ObjectScores", "SequenceScores"),
    "run": ("Run",),
    "score": ("evaluate_folders",),
    "vos": ("evaluate_vos",),
    "youtube": ("read_categories", "read_seen", "seen_unseen"),
}
__getattr__, __dir__, __all__ = lazy_names(__name__, _MODULES)
