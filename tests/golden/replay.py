"""Reads recorded fixtures and replays recorded calls through sam2v's public interface."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from golden.pictures import ellipse
from golden.weights import manifests, weights_by_rule

from sam2v import MaskletFrame, VideoPredictor
from sam2v.config import load_model_config
from sam2v.model.build import build_model
from sam2v.model.network import Sam2Network

HERE = Path(__file__).parent
OPTIONS = (
    "non_overlap_masks",
    "fill_hole_area",
    "add_all_frames_to_correct_as_cond",
    "max_cond_frames_in_attn",
    "memory_temporal_stride_for_eval",
    "binarize_mask_from_pts_for_mem_enc",
    "dynamic_multimask_via_stability",
)


class Fixture:
    """A recorded file: `meta` and arrays. Compact copies are thinned; `meta["thinned"]` says by which strides."""

    def __init__(self, path: Path) -> None:
        with np.load(path) as arrays:
            self.arrays = {name: arrays[name] for name in arrays.files if name != "meta"}
            self.meta: dict[str, Any] = json.loads(str(arrays["meta"]))

    def __contains__(self, name: str) -> bool:
        return name in self.arrays

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]

    def check(self, name: str, actual: torch.Tensor | np.ndarray, atol: float) -> None:
        """Compare an array that is sampled as the original fixture was.

        Raises:
            AssertionError: another shape, or a difference above `atol`.
        """
        actual = actual.cpu().numpy() if isinstance(actual, torch.Tensor) else np.asarray(actual)
        thinned = self.meta.get("thinned", {}).get(name)
        if thinned:
            actual = actual[tuple(slice(None, None, step) for step in thinned)]
        assert_close(actual, self.arrays[name], atol, f"{self.meta.get('config')} {name}")


def assert_close(actual: Any, expected: Any, atol: float, name: str) -> None:
    """Same shape, and no entry further than `atol` away; NaN in `expected` is not compared."""
    actual = actual.cpu() if isinstance(actual, torch.Tensor) else actual
    actual, expected = np.asarray(actual, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    assert actual.shape == expected.shape, f"{name}: shape {actual.shape} instead of {expected.shape}"
    far = abs(actual - expected)[~np.isnan(expected)]
    assert not np.isnan(far).any(), f"{name}: NaN"
    assert far.max(initial=0.0) <= atol, f"{name}: off by {far.max():.3g}, {atol:g} allowed"


def golden_network(config: str, salt: str, image_size: int = 1024, device: torch.device | str = "cpu") -> Sam2Network:
    """A network with weights by rule, loaded strictly."""
    network = build_model(load_model_config(config, [f"model.image_size={image_size}"]), device="meta")
    network.load_state_dict(weights_by_rule(manifests()[config], salt), strict=True, assign=True)
    return network.eval().to(device)


class VideoReplay:
    """Repeats a video fixture's calls.

    Args:
        fixture: the recorded file.
        network: with the fixture's weights.
        frames: T x H x W x 3 uint8, the frames it was recorded on.
    """

    def __init__(self, fixture: Fixture, network: Sam2Network, frames: np.ndarray) -> None:
        options = fixture.meta["options"]
        chosen = {"fill_hole_area": 0, "add_all_frames_to_correct_as_cond": False}  # the recordings' defaults
        if not options.get("apply_postprocessing", True):
            chosen |= {"binarize_mask_from_pts_for_mem_enc": False, "dynamic_multimask_via_stability": False}
        chosen |= {name: options[name] for name in OPTIONS if name in options}
        self.predictor = VideoPredictor(network, **chosen)
        self.size = frames.shape[1:3]
        self.state = self.predictor.init_state(frames)

    def call(self, op: Mapping[str, Any]) -> Iterator[MaskletFrame]:
        """Make one recorded call and give its results."""
        name = op["op"]
        known = ("frame_idx", "obj_id", "points", "labels", "box", "clear_old_points", "start_frame_idx",
                 "max_frame_num_to_track", "reverse")  # fmt: skip
        arguments = {key: op[key] for key in known if key in op}
        if "mask" in op:
            arguments["mask"] = ellipse(op["mask"], *self.size)
        if name == "propagate":
            yield from self.predictor.propagate_in_video(self.state, **arguments)
        elif name == "remove_object":
            yield from self.predictor.remove_object(self.state, **arguments)[1]
        elif name != "init_state":
            result = getattr(self.predictor, name)(self.state, **arguments)
            if result is not None:
                yield result
