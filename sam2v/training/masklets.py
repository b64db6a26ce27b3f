"""Masklets of unlabelled videos, found by a model and kept where tracking forwards and backwards agrees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from sam2v.model.network import Sam2Network
from sam2v.predict import ImagePredictor, VideoPredictor


@dataclass(frozen=True)
class MaskletRules:
    """What is looked for, and what is kept.

    Attributes:
        grid: clicks per side of a regular grid on the first frame.
        quality: predicted IoU of a first mask, at least.
        smallest, largest: shares of the frame that a first mask covers.
        distinct: of two first masks with a higher IoU than this only the better one is followed.
        objects: masklets followed per clip, at most.
        agreement: mean IoU of the way there and the way back, at least.
    """

    grid: int = 8
    quality: float = 0.8
    smallest: float = 0.005
    largest: float = 0.4
    distinct: float = 0.5
    objects: int = 4
    agreement: float = 0.8


def find_masklets(network: Sam2Network, frames: np.ndarray, rules: MaskletRules | None = None) -> np.ndarray:
    """Follow what stands out on the first of T frames, and keep the masklets that are found again on the way back.

    Args:
        network: the model. frames: T x H x W x 3 uint8. rules: thresholds.

    Returns:
        T x M x H x W bool, M >= 0; masks of different objects do not overlap.
    """
    rules = rules or MaskletRules()
    first = propose(ImagePredictor(network), frames[0], rules)
    if not len(first):
        return np.zeros((len(frames), 0, *frames.shape[1:3]), bool)
    predictor = VideoPredictor(network)
    there = follow(predictor, frames, first)
    seen = there[-1].any(axis=(1, 2))
    there = there[:, seen]  # what is gone at the end cannot be followed back
    if not there.shape[1]:
        return there
    back = follow(predictor, frames[::-1], there[-1])[::-1]
    kept = [m for m in range(there.shape[1]) if agreement(there[:, m], back[:, m]) >= rules.agreement]
    return there[:, kept]


def propose(predictor: ImagePredictor, image: np.ndarray, rules: MaskletRules) -> np.ndarray:
    """Masks of things that single clicks on a grid find: M x H x W bool, the best first."""
    height, width = image.shape[:2]
    shares = (np.arange(rules.grid) + 0.5) / rules.grid
    clicks = np.array([[[x * width, y * height]] for y in shares for x in shares], np.float32)
    predictor.set_image(image)
    answer = predictor.predict(clicks, np.ones(clicks.shape[:2], np.int64))
    masks, quality = answer.masks.reshape(-1, height, width), answer.iou.reshape(-1)
    sizes = masks.mean(axis=(1, 2))
    found: list[np.ndarray] = []
    for index in np.argsort(-quality):
        if quality[index] < rules.quality or len(found) == rules.objects:
            break
        if rules.smallest <= sizes[index] <= rules.largest and all(
            overlap(masks[index], other) < rules.distinct for other in found
        ):
            found.append(masks[index])
    return np.array(found) if found else np.zeros((0, height, width), bool)


def follow(predictor: VideoPredictor, frames: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Track M x H x W first masks through T frames: T x M x H x W bool, every pixel with one object at most."""
    state = predictor.init_state(np.ascontiguousarray(frames))
    for number, mask in enumerate(first):
        predictor.add_mask(state, 0, number, mask)
    out = np.zeros((len(frames), *first.shape), bool)
    for frame_idx, _, logits in predictor.propagate_in_video(state):
        best = logits[:, 0].argmax(dim=0)
        owner = torch.where(logits[:, 0].amax(dim=0) > 0, best, -1)
        out[frame_idx] = (owner[None] == torch.arange(len(first), device=owner.device)[:, None, None]).cpu().numpy()
    return out


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """IoU of two masks, 1 where both are empty."""
    either = (a | b).sum()
    return float((a & b).sum() / either) if either else 1.0


def agreement(there: Sequence[np.ndarray] | np.ndarray, back: Sequence[np.ndarray] | np.ndarray) -> float:
    """Mean IoU of two T x H x W masklets over all frames but the last, from which the way back started."""
    return float(np.mean([overlap(a, b) for a, b in zip(there[:-1], back[:-1], strict=True)]))
