"""Predictors: what most users import."""

from sam2v.predict.image import ImagePredictor
from sam2v.predict.video import VideoPredictor

__all__ = ["ImagePredictor", "VideoPredictor"]
