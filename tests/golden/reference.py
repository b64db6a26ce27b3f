"""Drives the reference implementation (package `sam2`) the way the fixtures were recorded.

CPU, float32, no autocast, weights by rule. Two things are changed, from outside: memories stay in float32 where the
reference rounds them to bfloat16, and its compiled component labelling is replaced by a plain search.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from golden.pictures import ellipse
from golden.weights import weights_by_rule
from PIL import Image

Arrays = dict[str, np.ndarray]

_FILES = {"tiny": "t", "small": "s", "base_plus": "b+", "large": "l"}
_MODEL_OPTIONS = (
    "non_overlap_masks",
    "add_all_frames_to_correct_as_cond",
    "max_cond_frames_in_attn",
    "memory_temporal_stride_for_eval",
)


def build_reference(
    config: str, salt: str, image_size: int = 1024, video: bool = False, options: Mapping[str, Any] | None = None
) -> Any:
    """The reference's model or, with `video`, its video predictor, filled with weights by rule."""
    from sam2.build_sam import build_sam2, build_sam2_video_predictor

    options = dict(options or {})
    version, size = config.split("_hiera_")
    overrides = [f"++model.image_size={image_size}"]
    overrides += [f"++model.{name}={str(options[name]).lower()}" for name in _MODEL_OPTIONS if name in options]
    model = (build_sam2_video_predictor if video else build_sam2)(
        f"configs/{version}/{version}_hiera_{_FILES[size]}.yaml",
        device="cpu",
        hydra_overrides_extra=overrides,
        apply_postprocessing=options.get("apply_postprocessing", True),
    )
    shapes = {name: list(value.shape) for name, value in model.state_dict().items()}
    model.load_state_dict(weights_by_rule(shapes, salt))
    if video:
        model.fill_hole_area = options.get("fill_hole_area", 0)
        _keep_float32()
        _label_without_cuda()
        _note_decisions(model)
    return model


def _keep_float32() -> None:
    """Give the video predictor's module a `torch` whose bfloat16 is float32: it only uses it to store memories."""
    import sam2.sam2_video_predictor as module

    names = {name: getattr(torch, name) for name in dir(torch) if not name.startswith("__")}
    module.torch = SimpleNamespace(**{**names, "bfloat16": torch.float32})


def _label_without_cuda() -> None:
    import sam2.utils.misc as module

    module.get_connected_components = components


def components(mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Labels and areas of the 8-connected components of N x 1 x H x W masks."""
    labels, areas = torch.zeros_like(mask, dtype=torch.int64), torch.zeros_like(mask, dtype=torch.int64)
    for plane in range(len(mask)):
        left = {tuple(cell) for cell in mask[plane, 0].nonzero().tolist()}
        while left:
            found = grown = {left.pop()}
            while grown:
                near = {(y + dy, x + dx) for y, x in grown for dy in (-1, 0, 1) for dx in (-1, 0, 1)}
                grown = near & left
                left -= grown
                found = found | grown
            rows, columns = map(list, zip(*found))
            labels[plane, 0, rows, columns] = int(labels[plane].max()) + 1
            areas[plane, 0, rows, columns] = len(found)
    return labels, areas


def _note_decisions(model: Any) -> None:
    """Keep the predicted IoUs of a frame's masks, which the reference throws away, and how close its choices were."""
    decoder = model.sam_mask_decoder
    inner, outer, stability, last = (
        model._track_step,
        model._run_single_frame_inference,
        decoder._get_stability_scores,
        {},
    )
    model.margins = {"iou_gap": np.inf, "stability_gap": np.inf}

    def track_step(*args: Any, **kwargs: Any) -> Any:
        out = inner(*args, **kwargs)
        last["ious"] = ious = out[1][2]
        if ious.shape[1] > 1:
            best, second = ious[0].sort(descending=True).values[:2].tolist()
            model.margins["iou_gap"] = min(model.margins["iou_gap"], best - second)
        return out

    def single_frame(*args: Any, **kwargs: Any) -> Any:
        stored, masks = outer(*args, **kwargs)
        stored["ious"] = last["ious"]
        return stored, masks

    def stability_scores(masks: torch.Tensor) -> torch.Tensor:
        scores = stability(masks)
        model.margins["stability_gap"] = min(model.margins["stability_gap"], float(abs(scores - 0.98).min()))
        return scores

    model._track_step, model._run_single_frame_inference = track_step, single_frame
    decoder._get_stability_scores = stability_scores


class ReferenceVideo:
    """A session of the reference's video predictor on frames that are in memory."""

    def __init__(self, predictor: Any, frames: np.ndarray) -> None:
        self.predictor = predictor
        self.size = frames.shape[1:3]
        with tempfile.TemporaryDirectory() as folder:
            for i, frame in enumerate(frames):
                # the reference goes by the name's ending and Pillow by the content, so the pixels stay exact
                Image.fromarray(frame).save(Path(folder) / f"{i:05d}.jpg", format="PNG")
            self.state = predictor.init_state(folder)

    def call(self, op: Mapping[str, Any]) -> Iterator[tuple[int, list[int], torch.Tensor]]:
        """Make a recorded call; what it returns as (frame_idx, obj_ids, masks), one for every frame."""
        arguments = {name: value for name, value in op.items() if name not in ("op", "raised")}
        if "mask" in arguments:
            arguments["mask"] = ellipse(arguments["mask"], *self.size)
        name = "propagate_in_video" if op["op"] == "propagate" else op["op"]
        out = getattr(self.predictor, name)(self.state, **arguments)
        if name == "propagate_in_video":
            yield from out
        elif name == "remove_object":
            yield from ((frame, out[0], masks) for frame, masks in out[1])
        elif out is not None:
            yield out

    def scores(self, frame: int, obj_id: int) -> tuple[float, list[float]]:
        """Object score and predicted IoUs of the newest result on a frame."""
        index = self.state["obj_id_to_idx"][obj_id]
        for group in ("temp_output_dict_per_obj", "output_dict_per_obj"):
            for kind in ("cond_frame_outputs", "non_cond_frame_outputs"):
                stored = self.state[group][index][kind].get(frame)
                if stored is not None:
                    return float(stored["object_score_logits"]), stored["ious"].flatten().tolist()
        return float("nan"), [float("nan")]
