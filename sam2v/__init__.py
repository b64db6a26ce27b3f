"""sam2v: promptable video segmentation with SAM 2, for videos of any length, live streams and many objects.

Names are loaded when they are first used, so that importing the package stays quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sam2v.automatic.masklets import AutomaticMasklets as AutomaticMasklets
    from sam2v.backends.compiled import compile_network as compile_network
    from sam2v.masks.result import MaskletFrame as MaskletFrame
    from sam2v.masks.result import show as show
    from sam2v.memory import Pool as Pool
    from sam2v.output.writers import open_writer as open_writer
    from sam2v.predict.image import ImagePredictor as ImagePredictor
    from sam2v.predict.track import track as track
    from sam2v.predict.video import VideoPredictor as VideoPredictor
    from sam2v.tracking.engine import NoPromptError as NoPromptError
    from sam2v.tracking.options import VideoOptions as VideoOptions
    from sam2v.tracking.prompts import Prompt as Prompt
    from sam2v.tracking.session import Session as Session
    from sam2v.weights.load import list_models as list_models
    from sam2v.weights.load import load_model as load_model
    from sam2v.weights.load import save_checkpoint as save_checkpoint

__version__ = "0.1.0"

_HOMES = {
    "AutomaticMasklets": "sam2v.automatic.masklets",
    "ImagePredictor": "sam2v.predict.image",
    "MaskletFrame": "sam2v.masks.result",
    "NoPromptError": "sam2v.tracking.engine",
    "Pool": "sam2v.memory",
    "Prompt": "sam2v.tracking.prompts",
    "Session": "sam2v.tracking.session",
    "VideoOptions": "sam2v.tracking.options",
    "VideoPredictor": "sam2v.predict.video",
    "compile_network": "sam2v.backends.compiled",
    "list_models": "sam2v.weights.load",
    "load_model": "sam2v.weights.load",
    "open_writer": "sam2v.output.writers",
    "save_checkpoint": "sam2v.weights.load",
    "show": "sam2v.masks.result",
    "track": "sam2v.predict.track",
}

__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'sam2v' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
