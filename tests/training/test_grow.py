"""Deeper networks start as what they grew from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from training.small import NETWORK, small_recipe

from sam2v.config import load_model_config
from sam2v.model.build import build_model
from sam2v.model.memory_attention import MemoryTokens
from sam2v.model.network import Sam2Network
from sam2v.nn.rotary import axial_rotation
from sam2v.training.grow import deepen
from sam2v.training.loop import LAST, train
from sam2v.weights.load import save_checkpoint

DEEP = ["model.trunk.stages=[1,2,4,1]", "model.trunk.global_blocks=[4]", "model.memory.num_layers=2"]


def _network(seed: int, *overrides: str) -> Sam2Network:
    torch.manual_seed(seed)
    return build_model(load_model_config("sam2v_nano", [*NETWORK, "model.image_size=64", *overrides])).eval()


def test_more_blocks_change_nothing_at_first() -> None:
    small, large = _network(0), _network(1, *DEEP)
    deepen(small, large)
    image = torch.rand(1, 64, 64, 3)
    with torch.no_grad():
        for mine, theirs in zip(large.encode_image(image), small.encode_image(image), strict=True):
            torch.testing.assert_close(mine, theirs)
        x, tokens = torch.randn(1, 16, 32), torch.randn(1, 1, 16, 16)
        turn = axial_rotation(4, 4, 32, x.device)
        mine, theirs = (net.memory_attention(x, turn, [MemoryTokens(tokens, tokens, turn)]) for net in (large, small))
    torch.testing.assert_close(mine, theirs)


def test_what_differs_in_more_than_depth_is_refused() -> None:
    with pytest.raises(ValueError, match=r"stages of \[1, 1, 2, 1\] blocks do not fit into \[1, 1, 1, 1\]"):
        deepen(_network(0), _network(1, "model.trunk.stages=[1,1,1,1]", "model.trunk.global_blocks=[2]"))
    with pytest.raises(ValueError, match="another window"):
        deepen(_network(0), _network(1, "model.trunk.stages=[1,2,2,1]"))
    with pytest.raises(ValueError, match="fewer layers"):
        deepen(_network(0, "model.memory.num_layers=2"), _network(1))
    with pytest.raises(RuntimeError, match="size mismatch"):
        deepen(_network(0), _network(1, "model.memory.mlp_dim=128"))


def test_a_run_grows_its_checkpoint(tmp_path: Path) -> None:
    small = _network(0)
    save_checkpoint(small, tmp_path / "small.safetensors")
    recipe = small_recipe(
        tmp_path / "run",
        checkpoint=str(tmp_path / "small.safetensors"),
        overrides=[*NETWORK, *DEEP],
        grow_from=["model.trunk.stages=[1,1,2,1]", "model.trunk.global_blocks=[3]", "model.memory.num_layers=1"],
    )
    result = train(recipe, stop_after=1, progress=False)
    assert len(result.network.image_encoder.trunk.blocks) == 8 and (tmp_path / "run" / LAST).is_file()
