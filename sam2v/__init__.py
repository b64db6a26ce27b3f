"""sam2v: promptable video segmentation with SAM 2, for videos of any length, live streams and many objects.

Names are loaded when they are first used, so that importing the package stays quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sam2v.lazy import lazy_names

if TYPE_CHECKING:
    from sam2v import effects as effects
    from sam2v.automatic.masklets import AutomaticMasklets as AutomaticMasklets
    from sam2v.automatic.masks import AutomaticMasks as AutomaticMasks
    from sam2v.automatic.options import MaskOptions as MaskOptions
    from sam2v.backends.compiled import compile_network as compile_network
    from sam2v.backends.graphs import graph_network as graph_network
    from sam2v.export.run import export_model as export_model
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

_MODULES = {
    "automatic.masklets": ("AutomaticMasklets",),
    "automatic.masks": ("AutomaticMasks",),
    "automatic.options": ("MaskOptions",),
    "backends.compiled": ("compile_network",),
    "backends.graphs": ("graph_network",),
    "effects": (),
    "export.run": ("export_model",),
    "masks.result": ("MaskletFrame", "show"),
    "memory": ("Pool",),
    "output.writers": ("open_writer",),
    "predict.image": ("ImagePredictor",),
    "predict.track": ("track",),
    "predict.video": ("VideoPredictor",),
    "tracking.engine": ("NoPromptError",),
    "tracking.options": ("VideoOptions",),
    "tracking.prompts": ("Prompt",),
    "tracking.session": ("Session",),
    "weights.load": ("list_models", "load_model", "save_checkpoint"),
}
__getattr__, __dir__, __all__ = lazy_names(__name__, _MODULES)
__all__ += ["__version__"]
