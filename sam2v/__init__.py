"""sam2v: promptable video segmentation with SAM 2, for videos of any length, live streams and many objects.

Names are loaded when they are first used, so that importing the package stays quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sam2v.masks.result import MaskletFrame as MaskletFrame
    from sam2v.masks.result import show as show
    from sam2v.model.compiled import compile_network as compile_network
    from sam2v.predict.image import ImagePredictor as ImagePredictor
    from sam2v.predict.video import VideoPredictor as VideoPredictor
    from sam2v.weights.load import list_models as list_models
    from sam2v.weights.load import load_model as load_model
    from sam2v.weights.load import save_checkpoint as save_checkpoint

__version__ = "0.1.0"

_HOMES = {
    "ImagePredictor": "sam2v.predict.image",
    "MaskletFrame": "sam2v.masks.result",
    "VideoPredictor": "sam2v.predict.video",
    "compile_network": "sam2v.model.compiled",
    "list_models": "sam2v.weights.load",
    "load_model": "sam2v.weights.load",
    "save_checkpoint": "sam2v.weights.load",
    "show": "sam2v.masks.result",
}

__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'sam2v' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
