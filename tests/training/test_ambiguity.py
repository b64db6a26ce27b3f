"""Clicks under which several objects lie."""

from __future__ import annotations

import pytest
import torch

from sam2v.training.ambiguity import ambiguity_loss, clicked_others
from sam2v.training.losses import LossConfig, PromptStep


def _masks() -> torch.Tensor:
    """Rows: a part and its whole of clip 0, an object of clip 1."""
    truth = torch.zeros(3, 8, 8, dtype=torch.bool)
    truth[0, 2:4, 2:4] = truth[1, 1:6, 1:6] = truth[2, 1:6, 1:6] = True
    return truth


def test_the_other_object_of_the_same_clip_under_a_click_is_found() -> None:
    truth, clip = _masks(), torch.tensor([0, 0, 1])
    rows = torch.tensor([0, 1, 2, 1])
    clicks = torch.tensor([[2.0, 3.0], [3.0, 2.0], [2.0, 2.0], [5.0, 5.0]])
    found = clicked_others(truth, clip, rows, clicks, torch.ones(4, dtype=torch.int64))
    assert torch.equal(found[0], truth[1]) and torch.equal(found[1], truth[0])
    assert not found[2].any() and not found[3].any()  # alone in its clip; outside of the part


def test_an_object_that_a_click_rules_out_is_not_learnt() -> None:
    truth = _masks()
    clicks = torch.tensor([[5.0, 5.0], [5.0, 5.0]])  # on the whole, beside the part that is meant
    found = clicked_others(truth, torch.tensor([0, 0, 1]), torch.tensor([0, 0]), clicks, torch.tensor([0, 1]))
    assert not found[0].any() and torch.equal(found[1], truth[1])


def test_a_mask_that_the_meant_object_did_not_take_learns_the_other() -> None:
    truth = _masks()
    logits = torch.stack([6.0 * truth[0] - 3, 2.0 * truth[1] - 1, torch.zeros(8, 8) - 1]).requires_grad_()
    step = PromptStep(logits[None], torch.full((1, 3), 0.5), torch.ones(1, 1))
    config = LossConfig(ambiguity=0.5)
    loss = ambiguity_loss(step, truth[:1], truth[1:2], config, 1)
    loss.total(config).backward()
    step = PromptStep(logits[None].detach(), step.iou, step.score)
    assert logits.grad is not None
    assert logits.grad[0].abs().sum() == 0 and logits.grad[1].abs().sum() > 0 and logits.grad[2].abs().sum() == 0
    whole = ambiguity_loss(step, truth[:1], truth[1:2], LossConfig(ambiguity=1.0), 1)
    assert whole.dice.item() == pytest.approx(2 * loss.dice.item()) and loss.iou.item() == 0


def test_nothing_is_asked_where_a_click_is_clear() -> None:
    truth = _masks()
    step = PromptStep(torch.randn(1, 3, 8, 8), torch.full((1, 3), 0.5), torch.ones(1, 1))
    config = LossConfig(ambiguity=1.0)
    assert float(ambiguity_loss(step, truth[:1], torch.zeros_like(truth[:1]), config, 1).total(config)) == 0
    assert float(ambiguity_loss(step, torch.zeros_like(truth[:1]), truth[1:2], config, 1).total(config)) == 0
    single = PromptStep(torch.randn(1, 1, 8, 8), torch.full((1, 1), 0.5), torch.ones(1, 1))
    assert float(ambiguity_loss(single, truth[:1], truth[1:2], config, 1).total(config)) == 0
