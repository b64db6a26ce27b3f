"""Distillation: what a teacher sees, what is learnt from it, and that it stays as it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from training.small import NETWORK, small_recipe

from sam2v.config import load_model_config
from sam2v.data.clips import collate
from sam2v.data.synthetic import SyntheticClips, SyntheticConfig
from sam2v.model.build import build_model
from sam2v.model.network import Sam2Network
from sam2v.model.offered import ABSENT_LOGIT
from sam2v.training.loop import train
from sam2v.training.prompting import CLICK, ClipPlan, PromptConfig, draw_numbers
from sam2v.training.teacher import Teacher
from sam2v.training.teacher_config import TeacherConfig
from sam2v.weights.load import save_checkpoint


def _network(size: int = 64) -> Sam2Network:
    torch.manual_seed(4)
    return build_model(load_model_config("sam2v_nano", [*NETWORK, f"model.image_size={size}"]))


@pytest.mark.parametrize("size", [64, 96])
def test_a_teacher_tracks_from_the_true_masks_at_its_own_size(size: int) -> None:
    batch = collate(SyntheticClips(SyntheticConfig(height=64, width=64, frames=3, bodies=3), seed=5).draw([0, 1]))
    prompts = PromptConfig(corrections=1)
    plan = ClipPlan((0,), (0,), (CLICK, CLICK), (1, 1, 1), 3)
    draws = [draw_numbers(np.random.default_rng(k), batch.valid.shape[1], 3, prompts) for k in range(2)]
    teacher = Teacher(_network(size), 0, 1.0)
    masks = teacher.masks(batch, plan, draws, prompts)
    rows = int(batch.valid.sum())
    assert [tuple(part.shape) for part in masks] == [(rows, 1, size // 4, size // 4)] * 3
    assert not any(part.requires_grad for part in masks)
    given = torch.nn.functional.avg_pool2d(batch.masks[:, 0].float(), 4)[batch.valid]
    sure = (given < 0.1) | (given > 0.9)
    if size == 64:
        assert ((masks[0][:, 0] > 0) == (given > 0.5))[sure].float().mean() > 0.99


def test_soft_masks_pull_and_absent_objects_do_not() -> None:
    teacher = Teacher(_network(), 0, 2.0)
    mine = torch.zeros(3, 1, 8, 8, requires_grad=True)
    theirs = torch.full((3, 1, 8, 8), 3.0)
    theirs[1] = ABSENT_LOGIT
    loss = teacher.loss([mine, mine], [theirs, theirs], [1], 3)
    (loss.mask + loss.dice).backward()
    assert mine.grad is not None
    assert (mine.grad[0] < 0).all() and (mine.grad[1] == 0).all() and (mine.grad[2] < 0).all()
    half = Teacher(_network(), 0, 1.0).loss([mine, mine], [theirs, theirs], [1], 3)
    assert loss.mask.item() == pytest.approx(2 * half.mask.item())
    even = teacher.loss([mine], [torch.zeros(3, 1, 16, 16)], [0], 3)
    assert even.mask.item() == pytest.approx(2 * np.log(2), rel=1e-4)  # its entropy is what is left


def test_a_run_with_a_teacher_differs_from_one_without(tmp_path: Path) -> None:
    network = _network()
    save_checkpoint(network, tmp_path / "teacher.safetensors")
    teacher = TeacherConfig(
        1.0, overrides=list(NETWORK), checkpoint=str(tmp_path / "teacher.safetensors"), image_size=96
    )
    plain = small_recipe(tmp_path / "plain")
    taught = small_recipe(tmp_path / "taught", teacher=teacher)
    losses = [train(recipe, stop_after=4, progress=False).loss for recipe in (plain, taught)]
    assert losses[1] > losses[0]
