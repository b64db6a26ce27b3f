"""Which tensors of a file are the weights: wrapping dictionaries and prefixes come off, strictly, and it is said."""

from __future__ import annotations

import logging
import re
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from golden.weights import manifests
from torch import Tensor

import sam2v
from sam2v.weights.files import read_checkpoint, write_checkpoint
from sam2v.weights.keys import to_transformers

StateDict = dict[str, Tensor]


@pytest.fixture(scope="module")
def weights() -> StateDict:
    """A small network's names and shapes, every entry with a value of its own."""
    shapes = sam2v.load_model("sam2v_nano", checkpoint=None, device="cpu").state_dict()
    return {name: torch.full_like(value, number) for number, (name, value) in enumerate(shapes.items())}


def prefixed(prefix: str, weights: StateDict) -> StateDict:
    return {prefix + name: value for name, value in weights.items()}


def assert_same(one: StateDict, other: StateDict) -> None:
    assert one.keys() == other.keys()
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def saved(content: Any, folder: Path) -> Path:
    torch.save(content, folder / "w.pt")
    return folder / "w.pt"


USUAL = ["module.", "model.", "_orig_mod.", "sam2_model.", "model._orig_mod.module.", "module.module.", "net."]
ODD = ["teacher.", "my_tracker.sam.", "ema_", "runner/"]


@pytest.mark.parametrize("layout", ["released", "transformers"])
@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
@pytest.mark.parametrize("prefix", ["", *USUAL, *ODD])
def test_one_prefix_comes_off(tmp_path: Path, weights: StateDict, prefix: str, suffix: str, layout: str) -> None:
    names = weights if layout == "released" else to_transformers(weights)
    path = tmp_path / f"w.{suffix}"
    write_checkpoint(prefixed(prefix, names), path, "official" if suffix == "pt" else "safetensors")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model = sam2v.load_model("sam2v_nano", checkpoint=path, device="cpu")
    assert_same(dict(model.state_dict()), weights)
    assert not model.image_only
    where = "under model " if suffix == "pt" else ""
    expected = [f"{path}: the weights are those {where}with names that begin with {prefix!r}"] * (prefix in ODD)
    assert [str(w.message) for w in said] == expected
    assert all(w.filename == __file__ for w in said), "a warning points at the user's line"


@pytest.mark.parametrize(
    "keys",
    ["model", "state_dict", "model_state_dict", "net", "ema", "weights", "checkpoint.model", "a.b.c"],
)
def test_one_mapping_is_found(tmp_path: Path, weights: StateDict, keys: str) -> None:
    content: Any = weights
    for key in reversed(keys.split(".")):
        content = {"epoch": 3, key: content, "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}, "scale": Tensor()}}
    path = saved(content, tmp_path)
    odd = keys in ("ema", "a.b.c")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert_same(read_checkpoint(path), weights)
    assert [str(w.message) for w in said] == ([f"{path}: the weights are those under {keys}"] if odd else [])


def test_what_is_usual_is_said_in_the_log(tmp_path: Path, weights: StateDict, caplog: pytest.LogCaptureFixture) -> None:
    path = saved({"state_dict": prefixed("model.", weights), "epoch": 3}, tmp_path)
    with caplog.at_level(logging.INFO, "sam2v"):
        read_checkpoint(path)
    assert caplog.messages == [f"{path}: the weights are those under state_dict with names that begin with 'model.'"]
    caplog.clear()
    with caplog.at_level(logging.INFO, "sam2v"):
        read_checkpoint(saved({"model": weights}, tmp_path))
    assert caplog.messages == [f"{path}: the weights are those under model"]


def test_several_mappings_are_listed(tmp_path: Path, weights: StateDict) -> None:
    path = saved({"model": weights, "ema": {"shadow": prefixed("module.", weights)}, "epoch": 3}, tmp_path)
    count = len(weights)
    with pytest.raises(ValueError, match=rf"several .*: model \({count} tensors\), ema\.shadow \({count} tensors\)"):
        read_checkpoint(path)
    strange = {"a": {"x": torch.ones(1)}, "b": {"x": torch.ones(1)}}
    with pytest.raises(ValueError, match=r"several .*: a \(1 tensors\), b \(1 tensors\)"):
        read_checkpoint(saved(strange, tmp_path))


def test_one_mapping_under_two_keys_is_one(tmp_path: Path, weights: StateDict) -> None:
    assert_same(read_checkpoint(saved({"model": weights, "weights": weights}, tmp_path)), weights)


def test_numbers_among_the_weights_are_left_out(tmp_path: Path, weights: StateDict) -> None:
    assert_same(read_checkpoint(saved({**weights, "epoch": 3, "note": "x", "lr": [0.1]}, tmp_path)), weights)


@pytest.mark.parametrize("layout", ["released", "transformers"])
def test_a_prefix_of_some_names_only(tmp_path: Path, weights: StateDict, layout: str) -> None:
    names = weights if layout == "released" else to_transformers(weights)
    path = saved({**prefixed("model.", names), "loss.weight": torch.ones(2), "metric.sum": torch.ones(2)}, tmp_path)
    expected = f"{len(names)} names begin with 'model.' and 2 do not (loss.weight, metric.sum)"
    with pytest.raises(ValueError, match=re.escape(expected)):
        read_checkpoint(path)


def test_parts_that_wrappers_put_between(tmp_path: Path, weights: StateDict) -> None:
    wrapped = {
        name.replace("image_encoder.trunk.", "image_encoder._orig_mod.trunk.module.").replace(
            "layers.0.", "layers.0._checkpoint_wrapped_module."
        ): value
        for name, value in weights.items()
    }
    assert wrapped.keys() != weights.keys()
    assert_same(read_checkpoint(saved(prefixed("module.", wrapped), tmp_path)), weights)
    twice = {**weights, **{name.replace("trunk.", "trunk.module."): value for name, value in weights.items()}}
    with pytest.raises(ValueError, match="some names are the same without the parts module"):
        read_checkpoint(saved(twice, tmp_path))


def test_strictness_is_that_of_the_names_without_a_prefix(tmp_path: Path, weights: StateDict) -> None:
    cut = {name: value for name, value in weights.items() if name != "no_obj_ptr"}
    path = saved(prefixed("module.", {**cut, "extra": torch.ones(1)}), tmp_path)
    with pytest.raises(ValueError, match=r"1 missing \(no_obj_ptr\); 1 unexpected \(extra\)"):
        sam2v.load_model("sam2v_nano", checkpoint=path, device="cpu")
    other = manifests()["sam2.1_hiera_tiny"]
    path = saved(prefixed("module.", {name: torch.zeros(shape) for name, shape in other.items()}), tmp_path)
    with pytest.raises(ValueError, match=r"it fits sam2\.1_hiera_tiny$"):
        sam2v.load_model("sam2v_nano", checkpoint=path, device="cpu")


def test_part_of_a_network_is_named_as_such(tmp_path: Path, weights: StateDict) -> None:
    encoder = {name: value for name, value in weights.items() if name.startswith("image_encoder.")}
    path = saved(prefixed("model.", encoder), tmp_path)
    with pytest.raises(ValueError, match=rf"^[^;]*: {len(weights) - len(encoder)} missing \([^;]*; it fits none"):
        sam2v.load_model("sam2v_nano", checkpoint=path, device="cpu")


def test_values_that_are_no_floating_point_numbers(tmp_path: Path, weights: StateDict) -> None:
    path = saved({**weights, "no_obj_ptr": torch.ones(1, 128, dtype=torch.int8)}, tmp_path)
    with pytest.raises(ValueError, match=r"1 not floating point \(no_obj_ptr int8\)"):
        sam2v.load_model("sam2v_nano", checkpoint=path, device="cpu")
