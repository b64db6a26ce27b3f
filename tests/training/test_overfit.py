"""The whole chain learns: a small network learns two clips by heart."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from training.small import NETWORK, small_recipe

from sam2v.data.samplers import draw_seed
from sam2v.training.config import OptimConfig, SourceConfig, StageConfig
from sam2v.training.data import open_source
from sam2v.training.loop import train
from sam2v.training.losses import LossConfig
from sam2v.training.prompting import PromptConfig
from sam2v.training.validate import clips_jf


@pytest.mark.slow
def test_two_clips_are_learnt_in_200_steps(tmp_path: Path) -> None:
    source = SourceConfig(
        bodies=1, limbs=0, clutter=1, length=2, smallest=0.65, largest=0.95, camouflage=0.0, reverse=0.0
    )
    recipe = small_recipe(
        tmp_path / "run",
        overrides=[*NETWORK, "model.hidden_dim=64", "model.memory.mem_dim=32"],
        look_nearby=3.0,
        stages=[StageConfig(steps=200, image_size=64, frames=3, batch=2, objects=2)],
        sources=[source],
        prompts=PromptConfig(point_share=0.0, max_initial=1, max_corrected=0),
        loss=LossConfig(stride=1, mask=5.0, dice=2.0, iou=3.0, focal_alpha=-1.0, focal_gamma=0.0),
        optim=OptimConfig(lr=2e-3, final=0.02, warmup=10, weight_decay=0.0, clip=3.0, betas=[0.9, 0.98]),
        log_every=50,
        save_every=1000,
    )
    clips = open_source(source, recipe.stages[0], draw_seed(recipe.seed, 0, 0), torch.device("cpu")).draw([0, 1])
    network = train(recipe, device="cpu", progress=False).network
    assert clips_jf(network, clips) > 95
