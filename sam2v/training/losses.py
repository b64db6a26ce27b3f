"""Losses of masks, predicted IoU and object score (SAM 2 paper, appendix D.2).

Focal loss: Lin et al. 2017; dice loss: Milletari et al. 2016.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass
class LossConfig:
    """Weights of the losses' parts, and the shape of the focal loss.

    Attributes:
        mask, dice, iou, score: weights of focal loss, dice loss, L1 loss of predicted IoU, cross-entropy of presence.
        focal_alpha: weight of object pixels against the others in the focal loss; negative: no weighting.
        focal_gamma: how much easy pixels count less.
        stride: mask losses are computed at the network's input size divided by this.
        ambiguity: weight of the mask losses of another object under the same single positive click (the whole, where a
            part is meant), for the best of the other masks, see `ambiguity_loss`.
        contrast: weight of a loss on image features that tells objects apart across frames, see `contrast_loss`.
        still: weight of the losses of tracking the first frame as if it were its own successor, which teaches memories
            to hold masks in detail. Long leads alone teach them to hold rough ones, since what is read there is rough.
    """

    mask: float = 20.0
    dice: float = 1.0
    iou: float = 1.0
    score: float = 1.0
    focal_alpha: float = 0.25
    focal_gamma: float = 2.0
    stride: int = 1
    ambiguity: float = 0.0
    contrast: float = 0.0
    still: float = 0.0


@dataclass(frozen=True)
class PromptStep:
    """The network's answer to one prompt of N objects on one frame.

    Attributes:
        masks: N x m x H x W logits, m = 3 for an ambiguous prompt, else 1.
        iou: N x m predicted IoU.
        score: N x 1 object score logits.
    """

    masks: Tensor
    iou: Tensor
    score: Tensor


@dataclass(frozen=True)
class LossParts:
    """Sums over prompt steps and frames, divided by the number of objects; scalars with gradients."""

    mask: Tensor
    dice: Tensor
    iou: Tensor
    score: Tensor

    def total(self, config: LossConfig) -> Tensor:
        """The weighted sum that is minimised."""
        return config.mask * self.mask + config.dice * self.dice + config.iou * self.iou + config.score * self.score

    def scaled(self, weight: float) -> LossParts:
        """Every part times a weight."""
        return LossParts(*(weight * part for part in vars(self).values()))

    def __add__(self, other: LossParts) -> LossParts:
        return LossParts(
            *(mine + theirs for mine, theirs in zip(vars(self).values(), vars(other).values(), strict=True))
        )


def clip_loss(
    frames: Sequence[tuple[Sequence[PromptStep], Tensor]], config: LossConfig, objects: float | Tensor
) -> LossParts:
    """Losses of a clip.

    Args:
        frames: per frame its prompt steps, and the truth N x H x W (bool or 0 / 1).
        config: focal parameters and the weights that choose among several masks.
        objects: number of objects to divide by; over several processes, their average.

    Raises:
        ValueError: no frame, or no prompt step in any of them.
    """
    parts = [step_loss(step, truth, config, objects) for steps, truth in frames for step in steps]
    if not parts:
        raise ValueError("no prompt step to compute a loss from")
    return sum(parts[1:], start=parts[0])


def step_loss(step: PromptStep, truth: Tensor, config: LossConfig, objects: float | Tensor) -> LossParts:
    """Losses of one prompt step.

    Of several masks only the one with the lowest weighted mask loss is supervised; every predicted IoU is. An object
    that is absent from the frame contributes its object score only.
    """
    target = truth[:, None].to(step.masks.dtype)  # N 1 H W
    present = truth.flatten(1).any(dim=1)
    focal = focal_loss(step.masks, target, config.focal_alpha, config.focal_gamma)  # N m
    dice = dice_loss(step.masks, target)
    best = (config.mask * focal + config.dice * dice).detach().argmin(dim=1, keepdim=True)
    error = (step.iou - true_iou(step.masks, target)).abs().mean(dim=1)
    score = F.binary_cross_entropy_with_logits(step.score[:, 0], present.to(step.score.dtype), reduction="sum")
    zero = error.new_zeros(())
    return LossParts(
        torch.where(present, focal.gather(1, best)[:, 0], zero).sum() / objects,
        torch.where(present, dice.gather(1, best)[:, 0], zero).sum() / objects,
        torch.where(present, error, zero).sum() / objects,
        score / objects,
    )


def focal_loss(logits: Tensor, target: Tensor, alpha: float, gamma: float) -> Tensor:
    """Focal loss per mask, mean over pixels: N x m x H x W logits against N x 1 x H x W in {0, 1} give N x m."""
    target = target.expand_as(logits)
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    wrong = torch.lerp(logits.sigmoid(), 1 - logits.sigmoid(), target)  # probability of the wrong answer
    loss = entropy * wrong**gamma
    if alpha >= 0:
        loss = loss * torch.lerp(torch.full_like(loss, 1 - alpha), torch.full_like(loss, alpha), target)
    return loss.flatten(2).mean(dim=2)


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """One minus the soft dice coefficient per mask, with 1 added above and below: N x m."""
    guess = logits.sigmoid().flatten(2)
    target = target.flatten(2)
    common = (guess * target).sum(dim=2)
    return 1 - (2 * common + 1) / (guess.sum(dim=2) + target.sum(dim=2) + 1)


def true_iou(logits: Tensor, target: Tensor) -> Tensor:
    """IoU of the thresholded masks (logit > 0) with the truth, N x m, without gradient; 0 where both are empty."""
    guess, target = logits > 0, target > 0.5
    common = (guess & target).flatten(2).sum(dim=2)
    either = (guess | target).flatten(2).sum(dim=2)
    return common / either.clamp_min(1)
