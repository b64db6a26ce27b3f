"""The reference package's names over sam2v's predictors, so that its scripts run after a change of imports.

`from sam2.build_sam import build_sam2_video_predictor` becomes
`from sam2v.compat import build_sam2_video_predictor`. Defaults are the reference's; docs/differences.md lists what
still differs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sam2v.automatic.masks import AutomaticMasks
from sam2v.automatic.options import MaskOptions, OutputMode
from sam2v.config import parse_overrides
from sam2v.model.network import Sam2Network
from sam2v.predict.image import ImagePredictor
from sam2v.predict.video import VideoPredictor
from sam2v.tracking.options import VideoOptions
from sam2v.tracking.session import Session
from sam2v.weights.load import load_model

_SIZES = {"t": "tiny", "s": "small", "b+": "base_plus", "l": "large"}
_IMAGE_SIZE = "model.image_size"


def build_sam2(
    config_file: str,
    ckpt_path: str | None = None,
    device: str | torch.device | None = None,
    mode: str = "eval",
    hydra_overrides_extra: Sequence[str] = (),
    apply_postprocessing: bool = True,
    **kwargs: Any,
) -> Sam2Network:
    """Build a network for `SAM2ImagePredictor`.

    Args:
        config_file: the reference's configuration name (`configs/sam2.1/sam2.1_hiera_t.yaml`), or sam2v's.
        ckpt_path: weights; None gives random ones.
        device: None takes the best there is.
        mode: "eval" or "train".
        hydra_overrides_extra: overrides; `model.image_size` and the tracking options are understood.
        apply_postprocessing: accepted for its place in the signature; a single image is always decoded with it.
    """
    if kwargs:
        raise TypeError(f"build_sam2 takes no argument {next(iter(kwargs))!r}")
    network_overrides, _ = _split_overrides(hydra_overrides_extra)
    model = load_model(_model_name(config_file), ckpt_path, device, None, network_overrides)
    return model.train(mode == "train")


def build_sam2_video_predictor(
    config_file: str,
    ckpt_path: str | None = None,
    device: str | torch.device | None = None,
    mode: str = "eval",
    hydra_overrides_extra: Sequence[str] = (),
    apply_postprocessing: bool = True,
    vos_optimized: bool = False,
    **kwargs: Any,
) -> SAM2VideoPredictor:
    """Build a video predictor; see `build_sam2`.

    Args:
        apply_postprocessing: False turns off hole filling, the dynamic multimask choice and the hardening of clicked
            masks.
        vos_optimized: accepted; speed is a setting of the model, not another predictor.
    """
    if kwargs:
        raise TypeError(f"build_sam2_video_predictor takes no argument {next(iter(kwargs))!r}")
    network_overrides, options = _split_overrides(hydra_overrides_extra)
    if not apply_postprocessing:
        off = {"fill_hole_area": 0, "dynamic_multimask_via_stability": False}
        options = {**off, "binarize_mask_from_pts_for_mem_enc": False, **options}
    model = load_model(_model_name(config_file), ckpt_path, device, None, network_overrides)
    return SAM2VideoPredictor(model.train(mode == "train"), **options)


def build_sam2_hf(model_id: str, **kwargs: Any) -> Sam2Network:
    """`build_sam2` with the weights of a Hugging Face repository, e.g. `facebook/sam2.1-hiera-tiny`."""
    return build_sam2(model_id, "auto", **kwargs)


def build_sam2_video_predictor_hf(model_id: str, **kwargs: Any) -> SAM2VideoPredictor:
    """`build_sam2_video_predictor` with the weights of a Hugging Face repository."""
    return build_sam2_video_predictor(model_id, "auto", **kwargs)


class SAM2ImagePredictor(ImagePredictor):
    """`sam2v.ImagePredictor` under the reference's name; masks come back as float32 of 0 and 1, as there."""

    def __init__(
        self,
        sam_model: Sam2Network,
        mask_threshold: float = 0.0,
        max_hole_area: float = 0.0,
        max_sprinkle_area: float = 0.0,
        **kwargs: Any,
    ) -> None:
        if kwargs:
            raise TypeError(f"SAM2ImagePredictor takes no argument {next(iter(kwargs))!r}")
        super().__init__(sam_model, mask_threshold, int(max_hole_area), int(max_sprinkle_area))

    @classmethod
    def from_pretrained(cls, model_id: str, **kwargs: Any) -> SAM2ImagePredictor:  # type: ignore[override]
        """Build with the weights of a Hugging Face repository; takes the arguments of `build_sam2` as well."""
        names = ("mask_threshold", "max_hole_area", "max_sprinkle_area")
        own = {name: kwargs.pop(name) for name in names if name in kwargs}
        return cls(build_sam2_hf(model_id, **kwargs), **own)

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """As `sam2v.ImagePredictor.predict`."""
        answer = super().predict(*args, **kwargs)
        answer.masks = answer.masks.astype(np.float32)
        return answer

    def predict_batch(self, *args: Any, **kwargs: Any) -> Any:
        """As `sam2v.ImagePredictor.predict_batch`."""
        masks, *rest = super().predict_batch(*args, **kwargs)
        return ([m.astype(np.float32) for m in masks], *rest)


class SAM2AutomaticMaskGenerator(AutomaticMasks):
    """`sam2v.AutomaticMasks` with the reference's argument order, names and defaults; see `MaskOptions`."""

    def __init__(
        self,
        model: Sam2Network,
        points_per_side: int | None = 32,
        points_per_batch: int = 64,
        pred_iou_thresh: float = 0.8,
        stability_score_thresh: float = 0.95,
        stability_score_offset: float = 1.0,
        mask_threshold: float = 0.0,
        box_nms_thresh: float = 0.7,
        crop_n_layers: int = 0,
        crop_nms_thresh: float = 0.7,
        crop_overlap_ratio: float = 512 / 1500,
        crop_n_points_downscale_factor: int = 1,
        point_grids: list[np.ndarray] | None = None,
        min_mask_region_area: int = 0,
        output_mode: OutputMode = "binary_mask",
        use_m2m: bool = False,
        multimask_output: bool = True,
        **kwargs: Any,
    ) -> None:
        given = {name: value for name, value in locals().items() if name in MaskOptions.__dataclass_fields__}
        if kwargs:
            raise TypeError(f"SAM2AutomaticMaskGenerator takes no argument {next(iter(kwargs))!r}")
        super().__init__(model, MaskOptions(**given))

    @classmethod
    def from_pretrained(cls, model_id: str, **kwargs: Any) -> SAM2AutomaticMaskGenerator:  # type: ignore[override]
        """Build with the weights of a Hugging Face repository; takes the arguments of `build_sam2` as well."""
        own = {name: kwargs.pop(name) for name in MaskOptions.__dataclass_fields__ if name in kwargs}
        MaskOptions(**own)  # a slip is not answered by a download
        return cls(build_sam2_hf(model_id, **kwargs), **own)

    def generate(self, image: Any, progress: bool = False) -> list[dict[str, Any]]:
        """As `sam2v.AutomaticMasks.generate`, without a bar unless asked for."""
        return super().generate(image, progress)


class SAM2State(Session):
    """A session that also answers to the keys of the reference's state that scripts read."""

    def __getitem__(self, key: str) -> Any:
        return self._known()[key]

    def __contains__(self, key: object) -> bool:
        return key in self._known()

    def get(self, key: str, default: Any = None) -> Any:
        """As a dict's."""
        return self._known().get(key, default)

    def _known(self) -> dict[str, Any]:
        height, width = self.size
        return {
            "num_frames": self.num_frames,
            "video_height": height,
            "video_width": width,
            "obj_ids": self.obj_ids,
        }


class SAM2VideoPredictor:
    """`sam2v.VideoPredictor` with the reference's argument order, names and defaults.

    Args:
        model: a network.
        **options: see `sam2v.tracking.options.VideoOptions`. As in the reference, a correction on a tracked
            frame is forgotten by the next propagation over it unless `add_all_frames_to_correct_as_cond=True`.
    """

    def __init__(self, model: Sam2Network, **options: Any) -> None:
        options.setdefault("add_all_frames_to_correct_as_cond", False)
        self.model = model
        self._video = VideoPredictor(model, **options)

    @classmethod
    def from_pretrained(cls, model_id: str, **kwargs: Any) -> SAM2VideoPredictor:
        """Build with the weights of a Hugging Face repository."""
        return build_sam2_video_predictor_hf(model_id, **kwargs)

    @property
    def device(self) -> torch.device:
        """Where the network runs."""
        return self.model.device

    def to(self, device: str | torch.device) -> SAM2VideoPredictor:
        """Move the network; sessions that were opened before stay where they are."""
        self.model.to(device)
        return self

    def cuda(self) -> SAM2VideoPredictor:
        """Move the network to the GPU."""
        return self.to("cuda")

    def eval(self) -> SAM2VideoPredictor:
        """Put the network in eval mode."""
        self.model.eval()
        return self

    def parameters(self) -> Iterator[torch.nn.Parameter]:
        """The network's parameters."""
        return self.model.parameters()

    def init_state(
        self,
        video_path: Any,
        offload_video_to_cpu: bool = False,
        offload_state_to_cpu: bool = False,
        async_loading_frames: bool = False,
    ) -> SAM2State:
        """Open a video. The other arguments have no effect: frames are read when needed, and memory is bounded."""
        state: Any = self._video.init_state(video_path)
        state.__class__ = SAM2State
        return state

    def add_new_points_or_box(
        self,
        inference_state: Session,
        frame_idx: int,
        obj_id: int,
        points: Any = None,
        labels: Any = None,
        clear_old_points: bool = True,
        normalize_coords: bool = True,
        box: Any = None,
    ) -> Any:
        """See `sam2v.VideoPredictor.add_points`."""
        return self._video.add_points(
            inference_state, frame_idx, obj_id, points, labels, box, clear_old_points, normalize_coords
        )

    add_new_points = add_new_points_or_box

    def add_new_mask(self, inference_state: Session, frame_idx: int, obj_id: int, mask: Any) -> Any:
        """See `sam2v.VideoPredictor.add_mask`."""
        return self._video.add_mask(inference_state, frame_idx, obj_id, mask)

    def propagate_in_video(
        self,
        inference_state: Session,
        start_frame_idx: int | None = None,
        max_frame_num_to_track: int | None = None,
        reverse: bool = False,
    ) -> Iterator[Any]:
        """See `sam2v.VideoPredictor.propagate_in_video`."""
        return self._video.propagate_in_video(inference_state, start_frame_idx, max_frame_num_to_track, reverse)

    def clear_all_prompts_in_frame(
        self, inference_state: Session, frame_idx: int, obj_id: int, need_output: bool = True
    ) -> Any:
        """See `sam2v.VideoPredictor.clear_all_prompts_in_frame`; None unless `need_output`."""
        result = self._video.clear_all_prompts_in_frame(inference_state, frame_idx, obj_id)
        return result if need_output else None

    def remove_object(
        self, inference_state: Session, obj_id: int, strict: bool = False, need_output: bool = True
    ) -> tuple[list[int], list[tuple[int, Tensor]]]:
        """See `sam2v.VideoPredictor.remove_object`; frames come as (frame_idx, masks)."""
        ids, updated = self._video.remove_object(inference_state, obj_id, strict)
        return ids, [(r.frame_idx, r.masks) for r in updated] if need_output else []

    def reset_state(self, inference_state: Session) -> None:
        """See `sam2v.VideoPredictor.reset_state`."""
        self._video.reset_state(inference_state)


def _model_name(config_file: str) -> str:
    """sam2v's name of a configuration of the reference; other names and paths are left alone."""
    stem = PurePosixPath(str(config_file)).name.removesuffix(".yaml")
    family, _, size = stem.rpartition("_")
    if family in ("sam2_hiera", "sam2.1_hiera") and size in _SIZES:
        return f"{family}_{_SIZES[size]}"
    return str(config_file)


def _split_overrides(overrides: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """Hydra overrides as (network overrides, tracking options).

    Raises:
        ValueError: an override of something that has no counterpart here.
    """
    network, options = [], {}
    for text, (key, value) in zip(overrides, parse_overrides([o.lstrip("+") for o in overrides]), strict=True):
        name = key.removeprefix("model.")
        if key == _IMAGE_SIZE:
            network.append(f"{_IMAGE_SIZE}={value}")
        elif name in VideoOptions.__dataclass_fields__:
            options[name] = value
        else:
            known = ", ".join(VideoOptions.__dataclass_fields__)
            raise ValueError(f"override {text!r} has no counterpart; known: {_IMAGE_SIZE}, model.{{{known}}}")
    return network, options
