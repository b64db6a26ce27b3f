"""Reads recorded fixtures and replays recorded calls through sam2v's public interface."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from golden.pictures import ellipse
from golden.weights import manifests, weights_by_rule

from sam2v import MaskletFrame, VideoPredictor
from sam2v.config import load_model_config
from sam2v.model.build import build_model
from sam2v.model.network import Sam2Network

HERE = Path(__file__).parent
#: Largest differences allowed: mask logits, object scores and IoUs, mask areas in pixels per million.
TIGHT = {"logits": 1e-3, "scores": 1e-4, "area": 40}
#: Against recordings whose memories were rounded to bfloat16.
LOOSE = {"logits": 0.15, "scores": 0.01, "area": 3000}
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
        network: with the fixture's weights; or an exported one.
        frames: T x H x W x 3 uint8, the frames it was recorded on.
        more: further arguments of the predictor.
    """

    def __init__(self, fixture: Fixture, network: Any, frames: np.ndarray, **more: Any) -> None:
        options = fixture.meta["options"]
        chosen = {"fill_hole_area": 0, "add_all_frames_to_correct_as_cond": False}  # the recordings' defaults
        if not options.get("apply_postprocessing", True):
            chosen |= {"binarize_mask_from_pts_for_mem_enc": False, "dynamic_multimask_via_stability": False}
        chosen |= {name: options[name] for name in OPTIONS if name in options}
        self.predictor = VideoPredictor(network, **chosen, **more)
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
            yield from self.propagate(**arguments)
        elif name == "remove_object":
            yield from self.predictor.remove_object(self.state, **arguments)[1]
        elif name != "init_state":
            result = getattr(self.predictor, name)(self.state, **arguments)
            if result is not None:
                yield result

    def propagate(self, **arguments: Any) -> Iterator[MaskletFrame]:
        """Track."""
        return self.predictor.propagate_in_video(self.state, **arguments)


class BesideAnother(VideoReplay):
    """The same, while another video is tracked in the same batches."""

    def __init__(self, fixture: Fixture, network: Any, frames: np.ndarray, **more: Any) -> None:
        super().__init__(fixture, network, frames, **more)
        self.other = self.predictor.init_state(frames[::-1, ::2])
        self.predictor.add_points(self.other, len(frames) // 2, 1, [(100, 40)])

    def propagate(self, **arguments: Any) -> Iterator[MaskletFrame]:
        """Track both."""
        for index, result in self.predictor.propagate_in_videos([self.other, self.state], **arguments):
            if index == 1:
                yield result


def answered(replay: VideoReplay, ops: list[dict[str, Any]]) -> Iterator[tuple[int, dict[str, Any], list]]:
    """Make all recorded calls: the number, the call and the results of each that gave any."""
    for k, op in enumerate(ops):
        if "raised" in op:
            with pytest.raises(RuntimeError):
                list(replay.call(op))
        else:
            yield k, op, list(replay.call(op))


def compare(
    result: MaskletFrame, recorded: dict[str, np.ndarray], stride: int, allowed: Mapping[str, float], where: str
) -> None:
    """Masks, areas, scores and IoUs of one frame; recorded NaN means that nothing was recorded."""
    pixels = result.masks.shape[-1] * result.masks.shape[-2]
    assert_close(result.masks[:, 0, ::stride, ::stride], recorded["video_masks"], allowed["logits"], f"{where}: masks")
    areas = (result.masks[:, 0] > 0).sum((1, 2))
    assert_close(areas, recorded["area"], max(4, allowed["area"] * pixels / 1e6), f"{where}: area")
    assert_close(result.object_score, recorded["score"], allowed["scores"], f"{where}: object score")
    assert_close(result.iou, recorded["iou"], allowed["scores"], f"{where}: predicted IoU")


def replay_real(
    shared_dir: Path, name: str, network_of: Callable[[str, str, int], Any], tight: Mapping[str, float] = TIGHT
) -> None:
    """Replay a fixture whose frames are photographs.

    Args:
        shared_dir: with the fixtures and pictures. name: the fixture's.
        network_of: gives the network (or an exported one) of a configuration, salt and image size.
        tight: largest differences where the recording has memories in float32.
    """
    from PIL import Image

    fixture = Fixture(shared_dir / "golden" / "public" / f"{name}.npz")
    meta = fixture.meta
    if meta["options"]["clear_non_cond_mem_around_input"]:
        return
    files = [shared_dir / "data" / "bedroom" / Path(file).name for file in meta["frames"]]
    frames = np.stack([np.asarray(Image.open(file).convert("RGB")) for file in files])
    replay = VideoReplay(fixture, network_of(meta["config"], meta["salt"], meta["image_size"]), frames)
    allowed = tight if meta["options"]["memory_stored_as"] == "float32" else LOOSE
    for k, op, results in answered(replay, meta["ops"]):
        recorded = list(recorded_results(fixture, k, op, results))
        assert len(results) == len(recorded), f"{name}, call {k}"
        for t, (result, expected) in enumerate(zip(results, recorded)):
            if "frame" in expected:
                assert result.frame_idx == expected["frame"]
            if meta["options"]["non_overlap_masks"] and allowed is LOOSE:
                flips_are_rare(result, expected, meta["video_stride"])
            else:
                compare(result, expected, meta["video_stride"], allowed, f"{name}, call {k}, result {t}")


def recorded_results(
    fixture: Fixture, k: int, op: dict[str, Any], results: list[MaskletFrame]
) -> Iterable[dict[str, Any]]:
    """The recorded values of a call, one per result, with NaN where a value was not recorded."""
    count = len(results[0].obj_ids) if results else 0
    if op["op"] == "propagate":
        for t in range(len(fixture[f"op{k}/frame"])):
            row = {name: fixture[f"op{k}/{name}"][t] for name in ("frame", "video_masks", "area", "score")}
            yield row | {"iou": np.full(count, np.nan)}
    elif op["op"] == "remove_object":
        for frame in op["returned_frames"]:
            row = {name: fixture[f"op{k}/frame{frame}/{name}"] for name in ("video_masks", "area")}
            yield row | {"score": np.full(count, np.nan), "iou": np.full(count, np.nan), "frame": frame}
    elif f"op{k}/video_masks" in fixture:
        row = {name: fixture[f"op{k}/{name}"] for name in ("video_masks", "area")}
        score = np.full(count, np.nan)
        if f"op{k}/score" in fixture:  # of the prompted object
            score[results[0].obj_ids.index(op["obj_id"])] = fixture[f"op{k}/score"][0]
        yield row | {"score": score, "iou": np.full(count, np.nan)}


def flips_are_rare(result: MaskletFrame, expected: dict[str, Any], stride: int) -> None:
    """Where two objects' logits are nearly equal the loser may change, so only the share of such samples counts."""
    sampled = result.to_numpy()[:, ::stride, ::stride]
    assert (abs(sampled - expected["video_masks"]) > LOOSE["logits"]).mean() < 0.02
    assert_close(result.object_score, expected["score"], LOOSE["scores"], "object score")
