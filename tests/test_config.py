"""The network's configuration: what is accepted, and what is said about the rest."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from sam2v.config import ModelConfig, check_overrides, list_model_configs, load_model_config


@pytest.mark.parametrize(
    ("text", "size", "kept"),
    [
        ("512", (512, 512), 512),
        ("[512,512]", (512, 512), 512),
        ("[576,1024]", (576, 1024), [576, 1024]),
        ("[1024, 576]", (1024, 576), [1024, 576]),
    ],
)
def test_input_size(tmp_path: Path, text: str, size: tuple[int, int], kept: object) -> None:
    """As an override and in a file; a square is one number, and a configuration survives JSON."""
    (tmp_path / "mine.yaml").write_text(f"model: {{image_size: {text}}}")
    for config in (
        load_model_config("sam2v_nano", [f"model.image_size={text}"]),
        load_model_config(tmp_path / "mine.yaml"),
        load_model_config(tmp_path / "mine.yaml", [f"model.image_size={text}"]),
        ModelConfig(image_size=tuple(kept) if isinstance(kept, list) else kept),
        replace(ModelConfig(), image_size=size),
    ):
        assert (config.input_size, config.image_size) == (size, kept)
        assert json.loads(json.dumps(asdict(config))) == asdict(config)
    assert ModelConfig().input_size == (1024, 1024)


@pytest.mark.parametrize(
    "text", ["500", "0", "-32", "576.0", "'576'", "true", "null", "big", "[]", "[576]", "[576,1000]", "[576,1024,3]",
             "[576,1024.0]", "[a,b]", "[[576,1024]]", "[true,32]", "[0,32]", "{height:576}"]
)  # fmt: skip
def test_other_sizes(text: str) -> None:
    with pytest.raises(ValueError, match=r"^model\.image_size=.*: must be a positive multiple of 32, or \[height, wi"):
        load_model_config("sam2v_nano", [f"model.image_size={text}"])


@pytest.mark.parametrize(
    ("key", "value", "accepted"),
    [
        ("hidden_dim", "100", "a positive multiple of 32"),
        ("trunk.stages", "[1,2,3]", "four positive numbers"),
        ("trunk.stages", "[]", "four positive numbers"),
        ("trunk.windows", "[8,4,0,7]", "four positive numbers"),
        ("trunk.windows", "[8,5,14,7]", "even sides in the first three stages"),
        ("trunk.global_blocks", "[99]", "block indices"),
        ("trunk.pos_embed_size", "[7]", "two positive numbers"),
        ("trunk.num_heads", "0", "a positive number"),
        ("trunk.embed_dim", "-4", "a positive multiple"),
        ("trunk.drop_path", "1.0", "at least 0 and below 1"),
        ("decoder.num_heads", "7", "a divisor of hidden_dim / 2"),
        ("decoder.depth", "0", "a positive number"),
        ("memory.mem_dim", "48", "a multiple of 4 that divides hidden_dim"),
        ("memory.mem_dim", "0", "a multiple of 4 that divides hidden_dim"),
        ("memory.num_maskmem", "1", "at least 2"),
        ("memory.max_obj_ptrs", "1", "at least 2"),
        ("memory.dropout", "nan", "at least 0 and below 1"),
        ("memory.pool", "3", "1, 2 or 4"),
    ],
)
def test_impossible_values_are_named(key: str, value: str, accepted: str) -> None:
    with pytest.raises(ValueError, match=rf"^model\.{key}=.*: must be .*{accepted}") as error:
        load_model_config("sam2v_nano", [f"model.{key}={value}"])
    assert "\n" not in str(error.value)


def test_overrides_before_the_configuration_is_known() -> None:
    check_overrides([])
    check_overrides(["model.memory.mem_dim=32"])  # divides the hidden size of some
    for slip in ("model.imagesize=64", "model.image_size=65", "model.memory.mem_dim=7", "model.trunk.stages=x"):
        with pytest.raises(ValueError, match=slip.split("=")[0].split(".")[-1]):
            check_overrides([slip])


def test_user_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.yaml").write_text("model: {hidden_dim: 128}")
    assert load_model_config("~/mine.yaml").hidden_dim == 128


def test_shipped_configurations_are_sound() -> None:
    for name in list_model_configs():
        assert load_model_config(name).name == name
