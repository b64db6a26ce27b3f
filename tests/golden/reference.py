"""Drives the reference implementation (package `sam2`) the way the fixtures were recorded.

CPU, float32, no autocast, weights by rule. Two things are changed, from outside: memories stay in float32 where the
reference rounds them to bfloat16, and its compiled component labelling is replaced by a plain search.
"""

from __future__ import annotations

import contextlib
import tempfile
import unittest.mock
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


def build_nano(weights: Mapping[str, torch.Tensor], image_size: int = 384) -> Any:
    """The reference's image model with the sizes of sam2v_nano and given weights.

    Two sizes of the decoder are no part of the reference's configuration; they are set while the model is built.
    """
    import sam2.modeling.sam2_base as base
    from hydra import compose, initialize_config_module
    from hydra.core.global_hydra import GlobalHydra
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    if not GlobalHydra.instance().is_initialized():
        initialize_config_module("sam2", version_base="1.2")
    config = compose("configs/sam2.1/sam2.1_hiera_t.yaml")
    OmegaConf.set_struct(config, False)
    for name, value in _nano_sizes(image_size).items():
        OmegaConf.update(config, f"model.{name}", value)
    parts = {"TwoWayTransformer": {"mlp_dim": 512, "num_heads": 4}, "MaskDecoder": {"iou_head_hidden_dim": 128}}
    with contextlib.ExitStack() as stack:
        for name, sizes in parts.items():
            kind = getattr(base, name)
            made = lambda kind=kind, sizes=sizes, **given: kind(**{**given, **sizes})  # noqa: E731
            stack.enter_context(unittest.mock.patch.object(base, name, made))
        model = instantiate(config.model, _recursive_=True)
    model.load_state_dict(dict(weights), strict=True)
    return model.eval()


def _nano_sizes(image_size: int) -> dict[str, Any]:
    cells = [image_size // 16] * 2
    trunk, neck, memory = "image_encoder.trunk", "image_encoder.neck", "memory_attention.layer"
    return {
        "image_size": image_size,
        f"{trunk}.embed_dim": 32,
        f"{trunk}.stages": [1, 1, 4, 1],
        f"{trunk}.global_att_blocks": [3, 5],
        f"{trunk}.window_spec": [8, 8, 8, 8],
        f"{neck}.d_model": 128,
        f"{neck}.backbone_channel_list": [256, 128, 64, 32],
        f"{neck}.position_encoding.num_pos_feats": 128,
        "memory_attention.d_model": 128,
        "memory_attention.num_layers": 2,
        f"{memory}.d_model": 128,
        f"{memory}.dim_feedforward": 512,
        f"{memory}.self_attention.embedding_dim": 128,
        f"{memory}.self_attention.feat_sizes": cells,
        f"{memory}.cross_attention.embedding_dim": 128,
        f"{memory}.cross_attention.kv_in_dim": 32,
        f"{memory}.cross_attention.feat_sizes": cells,
        "memory_encoder.in_dim": 128,
        "memory_encoder.out_dim": 32,
        "memory_encoder.mask_downsampler.embed_dim": 128,
        "memory_encoder.position_encoding.num_pos_feats": 32,
        "memory_encoder.fuser.layer.dim": 128,
        "sam_mask_decoder_extra_args": {
            "dynamic_multimask_via_stability": True,
            "dynamic_multimask_stability_delta": 0.05,
            "dynamic_multimask_stability_thresh": 0.98,
        },
    }


def mask_generator(model: Any, **options: Any) -> Any:
    """The reference's generator of automatic masks, for a model of any input size (it expects 1024)."""
    from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator

    generator = SAM2AutomaticMaskGenerator(model, **options)
    generator.predictor._bb_feat_sizes = [(model.image_size // stride,) * 2 for stride in (4, 8, 16)]
    return generator


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
