"""The tracker on exported graphs: NumPy, Pillow and onnxruntime, never torch (see docs/runtime.md).

`VideoPredictor` and `ImagePredictor` are used as those of `sam2v` are; they are made of a folder that `sam2v export`
wrote instead of a model. Sessions, policies and results are the same code, and hold NumPy arrays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sam2v.lazy import lazy_names

if TYPE_CHECKING:
    from sam2v.runtime.model import ExportedModel as ExportedModel
    from sam2v.runtime.model import load_export as load_export
    from sam2v.runtime.predictors import ImagePredictor as ImagePredictor
    from sam2v.runtime.predictors import VideoPredictor as VideoPredictor
    from sam2v.runtime.providers import PROVIDERS as PROVIDERS

_MODULES = {
    "model": ("ExportedModel", "load_export"),
    "predictors": ("ImagePredictor", "VideoPredictor"),
    "providers": ("PROVIDERS",),
}
__getattr__, __dir__, __all__ = lazy_names(__name__, _MODULES)
