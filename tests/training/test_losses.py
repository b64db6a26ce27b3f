"""Losses: the recorded values and gradients, and the rules about what is supervised."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from sam2v.training import LossConfig, PromptStep, clip_loss
from sam2v.training.losses import dice_loss, focal_loss, step_loss, true_iou


def _noise(seed: int, *shape: int, scale: float = 1.0) -> Tensor:
    generator = np.random.Generator(np.random.Philox(key=seed))
    return torch.from_numpy((generator.standard_normal(shape) * scale).astype(np.float32))


def _recorded_inputs(
    meta: dict, targets: Tensor
) -> tuple[list[tuple[list[PromptStep], Tensor]], dict[tuple[int, int], PromptStep]]:
    frames, leaves = [], {}
    n, side = meta["objects"], meta["size"]
    for t in range(meta["frames"]):
        for s, count in enumerate(meta["masks_per_step"]):
            key = meta["base"] + 100 * t + 10 * s
            masks = _noise(key, n, count, side, side, scale=4) + (6 * targets[t] - 3)[:, None]
            step = PromptStep(masks, _noise(key + 1, n, count).sigmoid(), _noise(key + 2, n, 1, scale=2))
            for tensor in vars(step).values():
                tensor.requires_grad_()
            leaves[t, s] = step
        frames.append(([leaves[t, s] for s in range(len(meta["masks_per_step"]))], targets[t] > 0.5))
    return frames, leaves


def test_recorded_values_and_gradients(golden_dir: Path) -> None:
    data = np.load(golden_dir / "losses.npz")
    meta = json.loads(str(data["meta"]))
    frames, leaves = _recorded_inputs(meta, torch.from_numpy(data["targets"]))
    config = LossConfig()
    parts = clip_loss(frames, config, meta["objects"])
    for name, value in (("mask", parts.mask), ("dice", parts.dice), ("iou", parts.iou), ("class", parts.score)):
        assert value.item() == pytest.approx(float(data[f"loss/loss_{name}"]), rel=1e-5)
    assert parts.total(config).item() == pytest.approx(float(data["loss/core_loss"]), rel=1e-5)
    parts.total(config).backward()
    for (t, s), step in leaves.items():
        head = f"grad/frame{t}/step{s}"
        sample = data[f"{head}/masks_sample"]
        stride = 9  # samples lie at 0, 9, ... 63
        assert step.masks.grad is not None and step.iou.grad is not None and step.score.grad is not None
        np.testing.assert_allclose(step.masks.grad[..., ::stride, ::stride], sample, atol=1e-7)
        np.testing.assert_allclose(step.masks.grad.flatten(1).norm(dim=1), data[f"{head}/masks_norm"], atol=1e-6)
        np.testing.assert_allclose(step.iou.grad, data[f"{head}/ious"], atol=1e-6)
        np.testing.assert_allclose(step.score.grad, data[f"{head}/scores"], atol=1e-6)


def test_only_the_best_of_several_masks_learns() -> None:
    truth = torch.zeros(1, 8, 8, dtype=torch.bool)
    truth[:, 2:6, 2:6] = True
    sign = truth.float() * 2 - 1
    masks = torch.stack([-3 * sign, 3 * sign, 0 * sign], dim=1).requires_grad_()
    step = PromptStep(masks, torch.full((1, 3), 0.5), torch.ones(1, 1))
    step_loss(step, truth, LossConfig(), 1).total(LossConfig()).backward()
    assert masks.grad is not None
    assert masks.grad[0, 1].abs().sum() > 0 and masks.grad[0, [0, 2]].abs().sum() == 0


def test_absent_objects_only_teach_presence() -> None:
    masks = torch.randn(2, 1, 8, 8, requires_grad=True)
    iou = torch.rand(2, 1, requires_grad=True)
    score = torch.zeros(2, 1, requires_grad=True)
    truth = torch.zeros(2, 8, 8, dtype=torch.bool)
    truth[1, :4] = True
    step_loss(PromptStep(masks, iou, score), truth, LossConfig(), 2).total(LossConfig()).backward()
    assert masks.grad is not None and iou.grad is not None and score.grad is not None
    assert masks.grad[0].abs().sum() == 0 and iou.grad[0].abs().sum() == 0
    assert masks.grad[1].abs().sum() > 0
    assert score.grad[0] > 0 > score.grad[1]


def test_values_by_hand() -> None:
    logits, truth = torch.zeros(1, 1, 2, 2), torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
    assert focal_loss(logits, truth, 0.25, 2.0).item() == pytest.approx(np.log(2) * 0.25 * (0.25 + 3 * 0.75) / 4)
    assert focal_loss(logits, truth, -1.0, 0.0).item() == pytest.approx(np.log(2))
    assert dice_loss(logits, truth).item() == pytest.approx(1 - (2 * 0.5 + 1) / (2 + 1 + 1))
    assert true_iou(torch.tensor([[[[1.0, 1.0], [-1.0, -1.0]]]]), truth).item() == 0.5
    assert true_iou(-torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)).item() == 0


def test_nothing_to_learn_from_is_an_error() -> None:
    with pytest.raises(ValueError, match="no prompt step"):
        clip_loss([([], torch.zeros(1, 4, 4, dtype=torch.bool))], LossConfig(), 1)


def test_contrast_prefers_features_that_follow_objects() -> None:
    from sam2v.model.values import ImageFeatures
    from sam2v.training.auxiliary import contrast_loss

    masks = torch.zeros(1, 2, 1, 32, 32, dtype=torch.bool)
    masks[0, 0, 0, :16], masks[0, 1, 0, 16:] = True, True  # the object moves down

    def features(side: int, follows: bool) -> Tensor:
        cover = masks[:, :, :, :: 32 // side, :: 32 // side].float()
        own = cover if follows else cover[:, :1].expand_as(cover)
        return torch.cat([own, 1 - own], dim=2)

    def loss(follows: bool) -> float:
        levels = ImageFeatures(features(2, follows), features(4, follows), features(8, follows))
        return contrast_loss(levels, masks).item()

    assert loss(True) < 0.01 < 1 < loss(False)
    still = ImageFeatures(*(level[:, :1] for level in (features(2, True), features(4, True), features(8, True))))
    assert contrast_loss(still, masks[:, :1]).item() == 0
