"""The predictors on exported models."""

from __future__ import annotations

from os import PathLike
from typing import Any

from typing_extensions import Self, Unpack

from sam2v.memory import MemoryPolicy, Pool
from sam2v.predict import image, video
from sam2v.runtime.model import ExportedModel, load_export
from sam2v.tracking.options import VideoChanges, VideoOptions


class VideoPredictor(video.VideoPredictor):
    """`sam2v.VideoPredictor` on an exported model. Results hold NumPy arrays; all else is the same.

    Sessions go from one to the other: what was saved with torch goes on here, and the other way round, where the model
    is the one that was exported.

    Args:
        folder: what `sam2v export --format onnx` wrote, or what `sam2v.runtime.load_export` gave.
        provider, threads: see `sam2v.runtime.load_export`.
        policy, frames_per_encoding, pool, options, **changes: as for `sam2v.VideoPredictor`. The network's input has
            the size that was exported: `keep_aspect` is refused.

    Raises:
        FileNotFoundError, ValueError, TypeError, ImportError: as `load_export`; an unknown option, or a wrong value.
    """

    model: ExportedModel

    def __init__(
        self,
        folder: str | PathLike[str] | ExportedModel,
        provider: str = "CPU",
        threads: int | None = None,
        *,
        policy: MemoryPolicy | str | None = None,
        frames_per_encoding: int | None = None,
        pool: Pool | None = None,
        options: VideoOptions | None = None,
        **changes: Unpack[VideoChanges],
    ) -> None:
        chosen = (options or VideoOptions()).changed(**changes)
        if chosen.keep_aspect:
            raise ValueError(
                "keep_aspect needs inputs of any size, an exported model has one: export it with --size HxW instead"
            )
        if chosen.resize == "device":
            raise ValueError("resize='device' is for models on torch: an exported one takes pictures from the host")
        model = _loaded(folder, provider, threads)
        super().__init__(model, policy=policy, frames_per_encoding=frames_per_encoding, pool=pool, options=chosen)

    @classmethod
    def from_pretrained(cls, name: str | PathLike[str] | ExportedModel, **options: Any) -> Self:  # type: ignore[override]
        """The same as the class itself, by the name that the predictors on torch have for it."""
        return cls(name, **options)


class ImagePredictor(image.ImagePredictor):
    """`sam2v.ImagePredictor` on an exported model.

    Args:
        folder: what `sam2v export --format onnx` wrote, or what `sam2v.runtime.load_export` gave.
        provider, threads: see `sam2v.runtime.load_export`.
        mask_threshold, max_hole_area, max_sprinkle_area: as for `sam2v.ImagePredictor`.

    Raises:
        FileNotFoundError, ValueError, TypeError, ImportError: as `load_export`.
    """

    model: ExportedModel

    def __init__(
        self,
        folder: str | PathLike[str] | ExportedModel,
        provider: str = "CPU",
        threads: int | None = None,
        mask_threshold: float = 0.0,
        max_hole_area: int = 0,
        max_sprinkle_area: int = 0,
    ) -> None:
        super().__init__(_loaded(folder, provider, threads), mask_threshold, max_hole_area, max_sprinkle_area)

    @classmethod
    def from_pretrained(cls, name: str | PathLike[str] | ExportedModel, **options: Any) -> Self:  # type: ignore[override]
        """The same as the class itself, by the name that the predictors on torch have for it."""
        return cls(name, **options)


def _loaded(folder: str | PathLike[str] | ExportedModel, provider: str, threads: int | None) -> ExportedModel:
    return folder if isinstance(folder, ExportedModel) else load_export(folder, provider, threads)
