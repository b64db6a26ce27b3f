"""Clicks that mean more than one object: the three masks of an ambiguous prompt learn a part and its whole at once."""

from __future__ import annotations

import torch
from torch import Tensor

from sam2v.training.losses import LossConfig, LossParts, PromptStep, dice_loss, focal_loss


def clicked_others(truth: Tensor, clip_of_row: Tensor, rows: Tensor, clicks: Tensor, labels: Tensor) -> Tensor:
    """Another object of the same clip under each positive click: what else may have been meant.

    Args:
        truth: N x H x W bool, all objects of all clips on one frame.
        clip_of_row: N, the clip of each.
        rows: n of them that were clicked.
        clicks: n x 2 (x, y), whole pixels.
        labels: n, 1 where the click says that this is the object; a negative click on another object rules it out.

    Returns:
        n x H x W bool, the first other object that holds the click; all False where none does.
    """
    x, y = clicks.long().unbind(1)
    under = truth[:, y, x].T  # n x N
    alike = clip_of_row[rows][:, None] == clip_of_row
    itself = rows[:, None] == torch.arange(len(truth), device=rows.device)
    hits = under & alike & ~itself & (labels == 1)[:, None]
    return truth[hits.int().argmax(dim=1)] & hits.any(dim=1)[:, None, None]


def ambiguity_loss(
    step: PromptStep, truth: Tensor, other: Tensor, config: LossConfig, objects: float | Tensor
) -> LossParts:
    """Mask losses of the other object, for the best of the masks that the meant one did not take.

    Args:
        step: the answer to a single click, of several masks (of one mask nothing is asked).
        truth, other: n x H x W, the object that is meant and the other one; no loss where either is empty.
        config: weights, `ambiguity` among them.
        objects: number of objects to divide by.
    """
    zero = step.masks.new_zeros(())
    if step.masks.shape[1] == 1:
        return LossParts(zero, zero, zero, zero)
    meant, _, _ = _losses(step.masks, truth, config)
    total, focal, dice = _losses(step.masks, other, config)
    free = total.scatter(1, meant.argmin(dim=1, keepdim=True), float("inf"))
    best = free.argmin(dim=1, keepdim=True)
    asked = other.flatten(1).any(dim=1) & truth.flatten(1).any(dim=1)  # a click beside an absent object means nothing
    parts = [torch.where(asked, part.gather(1, best)[:, 0], zero).sum() / objects for part in (focal, dice)]
    return LossParts(config.ambiguity * parts[0], config.ambiguity * parts[1], zero, zero)


def _losses(masks: Tensor, target: Tensor, config: LossConfig) -> tuple[Tensor, Tensor, Tensor]:
    """Weighted loss without gradient, focal and dice loss: n x m each."""
    target = target[:, None].to(masks.dtype)
    focal, dice = focal_loss(masks, target, config.focal_alpha, config.focal_gamma), dice_loss(masks, target)
    return (config.mask * focal + config.dice * dice).detach(), focal, dice
