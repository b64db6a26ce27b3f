"""A network small enough to be trained in a test, and recipes for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sam2v.training.config import OptimConfig, SourceConfig, StageConfig, TrainConfig
from sam2v.training.losses import LossConfig
from sam2v.training.prompting import PromptConfig

NETWORK = [
    "model.trunk.stages=[1,1,2,1]",
    "model.trunk.global_blocks=[3]",
    "model.trunk.windows=[4,4,4,2]",
    "model.trunk.embed_dim=16",
    "model.hidden_dim=32",
    "model.decoder.num_heads=2",
    "model.decoder.mlp_dim=64",
    "model.memory.mem_dim=16",
    "model.memory.num_layers=1",
    "model.memory.mlp_dim=64",
]


def small_recipe(folder: Path, **changes: Any) -> TrainConfig:
    """Eight steps on clips of 64 pixels."""
    values: dict[str, Any] = {
        "out": str(folder),
        "overrides": list(NETWORK),
        "stages": [
            StageConfig(steps=3, image_size=64, frames=1, batch=2, objects=2),
            StageConfig(steps=5, image_size=64, frames=4, lead=1, batch=2, objects=2),
        ],
        "sources": [SourceConfig(bodies=3, limbs=1, clutter=1)],
        "prompts": PromptConfig(corrections=2),
        "loss": LossConfig(stride=4),
        "optim": OptimConfig(lr=1e-3, warmup=2, clip=1.0),
        "ema": 0.9,
        "threads": 1,
        "log_every": 1,
        "save_every": 4,
    }
    return TrainConfig(**{**values, **changes})
