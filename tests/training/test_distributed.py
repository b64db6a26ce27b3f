"""Several processes give the curve of one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from training.small import small_recipe

from sam2v.training.config import StageConfig
from sam2v.training.log import read_rows
from sam2v.training.loop import train

ROOT = Path(__file__).resolve().parents[2]
CURVE = ("loss", "mask", "dice", "iou", "score", "track_iou", "gradient_norm")


@pytest.mark.slow
def test_two_processes_give_the_curve_of_one(tmp_path: Path) -> None:
    from dataclasses import asdict

    from omegaconf import OmegaConf

    stages = [
        StageConfig(steps=2, image_size=64, frames=1, batch=4, objects=2),
        StageConfig(steps=3, image_size=64, frames=4, lead=1, batch=4, objects=2),
    ]
    train(small_recipe(tmp_path / "one", stages=stages), progress=False)
    recipe = tmp_path / "two.yaml"
    OmegaConf.save({"train": asdict(small_recipe(tmp_path / "two", stages=stages))}, recipe)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    command = [*launch, "-m", "sam2v.cli", "train", "--config", str(recipe), "--device", "cpu", "--quiet"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = (read_rows(tmp_path / name / "train.csv") for name in ("one", "two"))
    assert len(one) == len(two) == 5
    for alone, shared in zip(one, two, strict=True):
        for name in CURVE:
            assert shared[name] == pytest.approx(alone[name], rel=1e-4, nan_ok=True), (alone["step"], name)
