"""Where a model runs and how precisely, on machines that are pretended."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
import torch

from sam2v.weights.hardware import pick_device, pick_dtype

Pretend = Callable[..., None]


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Pretend:
    """Function that makes this machine another one: its torch, and whether it has mps, cuda and native bfloat16."""

    def make(torch_version: str = "2.9.0", mps: bool = False, cuda: bool = False, bfloat16: bool = False) -> None:
        monkeypatch.setattr(torch, "__version__", torch_version)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(torch.cuda, "device", lambda device: contextlib.nullcontext())
        monkeypatch.setattr(
            torch.cuda, "is_bf16_supported", lambda including_emulation=True: bfloat16 or including_emulation
        )
        monkeypatch.setattr(torch, "empty", lambda *_, **__: None)  # every device there is can be used
        monkeypatch.delenv("PYTORCH_ENABLE_MPS_FALLBACK", raising=False)

    return make


@pytest.mark.parametrize(
    ("version", "works"),
    [("2.6.0", False), ("2.6.1+cpu", False), ("2.7.0", True), ("2.10.0a0+git1", True), ("2.14.1", True), ("3.0", True)],
)
def test_mps_only_where_its_operators_are(
    pretend: Pretend, monkeypatch: pytest.MonkeyPatch, version: str, works: bool
) -> None:
    pretend(version, mps=True)
    assert pick_device(None).type == ("mps" if works else "cpu")
    if works:
        assert pick_device("mps").type == "mps"
    else:
        with pytest.raises(ValueError, match=r"device 'mps' cannot be used here: PyTorch 2\.6\.\S+ lacks operators"):
            pick_device("mps")
        monkeypatch.setenv("PYTORCH_ENABLE_MPS_FALLBACK", "1")
        assert pick_device("mps").type == "mps"


def test_the_best_device(pretend: Pretend) -> None:
    pretend(mps=True, cuda=True)
    assert pick_device(None).type == "cuda"
    pretend()
    assert pick_device(None).type == "cpu"
    assert pick_device("cpu") == pick_device(torch.device("cpu")) == torch.device("cpu")


def test_bfloat16_only_on_cards_that_have_it(pretend: Pretend) -> None:
    cuda = torch.device("cuda", 1)
    pretend(cuda=True, bfloat16=True)
    assert pick_dtype(None, cuda) == torch.bfloat16
    pretend(cuda=True)
    assert pick_dtype(None, cuda) == torch.float16
    assert pick_dtype("bfloat16", cuda) == torch.bfloat16, "what is asked for is given"
    assert pick_dtype(None, torch.device("cpu")) == pick_dtype(None, torch.device("mps")) == torch.float32


@pytest.mark.parametrize("dtype", ["half", "float", "int8", "", torch.float64, 16])
def test_other_precisions(dtype: object) -> None:
    with pytest.raises(ValueError, match="dtype must be one of float32, bfloat16, float16, not "):
        pick_dtype(dtype, torch.device("cpu"))  # type: ignore[arg-type]


@pytest.mark.parametrize("device", ["gpu", "", "cuda:99", "cpu:x", 3.5, "xla"])
def test_devices_that_are_not_there(device: object) -> None:
    with pytest.raises(ValueError, match=r"cannot be used here: .") as error:
        pick_device(device)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
