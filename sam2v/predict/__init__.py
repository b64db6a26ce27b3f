"""Predictors: what most users import."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sam2v.lazy import lazy_names

if TYPE_CHECKING:
    from sam2v.predict.image import ImagePredictor as ImagePredictor
    from sam2v.predict.video import VideoPredictor as VideoPredictor

__getattr__, __dir__, __all__ = lazy_names(__name__, {"image": ("ImagePredictor",), "video": ("VideoPredictor",)})
