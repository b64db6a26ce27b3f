"""Where a model runs and how precisely, by default: what the machine is good at."""

from __future__ import annotations

import os
import re

import torch

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_MPS_SINCE = (2, 7)  # earlier ones lack antialiased resizing, which mask prompts need


def pick_device(device: torch.device | str | None) -> torch.device:
    """The device asked for, or the best there is: cuda, then mps where PyTorch has the operators, then cpu.

    Raises:
        ValueError: it cannot be used here.
    """
    if device is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if _mps_works() and torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise ValueError(f"device {str(device)!r} cannot be used here: {reason}") from None
    if chosen.type == "mps" and not _mps_works() and os.environ.get("PYTORCH_ENABLE_MPS_FALLBACK") != "1":
        raise ValueError(
            f"device 'mps' cannot be used here: PyTorch {torch.__version__} lacks operators for it; take 2.7 or newer, "
            "or set PYTORCH_ENABLE_MPS_FALLBACK=1"
        )
    return chosen


def pick_dtype(dtype: torch.dtype | str | None, device: torch.device) -> torch.dtype:
    """The precision asked for, or the fast one of a device: on cuda bfloat16, float16 on cards that only emulate it.

    Raises:
        ValueError: a precision that networks do not run in.
    """
    if dtype is None:
        return _half(device) if device.type == "cuda" else torch.float32
    chosen = _DTYPES.get(str(dtype).removeprefix("torch."))
    if chosen is None:
        raise ValueError(f"dtype must be one of {', '.join(_DTYPES)}, not {dtype!r}")
    return chosen


def dtype_there(dtype: torch.dtype | str | None, device: torch.device | str | None) -> str:
    """The name of the precision that a model has on a device, for whoever reads its weights elsewhere.

    Raises:
        ValueError: see `pick_device` and `pick_dtype`.
    """
    return str(pick_dtype(dtype, pick_device(device)))


def _half(device: torch.device) -> torch.dtype:
    with torch.cuda.device(device):
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if native else torch.float16


def _mps_works() -> bool:
    version = re.match(r"(\d+)\.(\d+)", torch.__version__)
    return version is not None and (int(version[1]), int(version[2])) >= _MPS_SINCE
