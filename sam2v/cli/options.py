"""Arguments that several subcommands share."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sam2v.files import user_path

if TYPE_CHECKING:
    import numpy as np

    from sam2v.model.network import Sam2Network
    from sam2v.runtime.model import ExportedModel


#: What `add_model_arguments`' arguments are when nobody gives them.
_MODEL_DEFAULTS: dict[str, Any] = {
    "model": "sam2v_nano",
    "checkpoint": "auto",
    "device": None,
    "dtype": None,
    "override": [],
    "fast": False,
}


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Which model, its weights, where and how precisely it runs."""
    group = parser.add_argument_group("model")
    group.add_argument(
        "--model", default=_MODEL_DEFAULTS["model"], metavar="NAME", help="see 'sam2v models' (default: %(default)s)"
    )
    group.add_argument("--checkpoint", default="auto", metavar="FILE", help="weights: a file, an address, or auto")
    group.add_argument("--device", metavar="DEVICE", help="cuda, mps or cpu (default: the best there is)")
    group.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), help="precision of the computation")
    group.add_argument(
        "--override",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change the model's configuration, e.g. model.image_size=512; may be repeated",
    )
    group.add_argument("--fast", action="store_true", help="track faster, approximately: read memories at half size")


def add_runtime_arguments(parser: argparse.ArgumentParser) -> None:
    """An exported model in the place of a network, and how it runs."""
    group = parser.add_argument_group("exported model", "runs on onnxruntime, without torch (see 'sam2v export')")
    group.add_argument("--runtime", type=user_path, metavar="DIR", help="use this exported model")
    group.add_argument("--provider", metavar="NAME", help="CPU, CUDA, CoreML, OpenVINO or DirectML (default: CPU)")
    group.add_argument("--threads", type=int, metavar="N", help="threads of the CPU (default: all cores)")


def export_from(args: argparse.Namespace) -> ExportedModel | None:
    """The exported model that `add_runtime_arguments`' arguments name; None where they name none.

    Raises:
        ValueError: they do not go together with `add_model_arguments`' arguments, or with each other.
    """
    if args.runtime is None:
        for name in ("provider", "threads"):
            if getattr(args, name) is not None:
                raise ValueError(f"--{name} is about an exported model: it needs --runtime DIR")
        return None
    for name, default in _MODEL_DEFAULTS.items():
        if getattr(args, name) != default:
            raise ValueError(f"--{name} does not go with --runtime: an exported model is what it was exported as")
    from sam2v.runtime.model import load_export

    return load_export(args.runtime, args.provider or "CPU", args.threads)


def load_model_from(args: argparse.Namespace) -> Sam2Network:
    """The model that `add_model_arguments`' arguments name.

    Raises:
        ImportError: torch is not installed.
    """
    try:
        from sam2v.weights.load import load_model
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ImportError(
            "this needs torch (pip install torch torchvision), or an exported model (--runtime)"
        ) from None

    return load_model(args.model, args.checkpoint, args.device, args.dtype, args.override, fast=args.fast)


def add_memory_argument(group: argparse._ActionsContainer) -> None:
    """Which memory policy."""
    group.add_argument(
        "--memory",
        default="recent",
        metavar="NAME",
        help="memory policy: recent, quality, motion, distractor, tree or robust (default: %(default)s)",
    )


def add_aspect_argument(group: argparse._ActionsContainer) -> None:
    """Whether frames keep their aspect."""
    group.add_argument(
        "--keep-aspect", action="store_true", help="bring frames to a rectangle of their aspect instead of a square"
    )


def add_resize_argument(group: argparse._ActionsContainer) -> None:
    """Where frames are resized."""
    group.add_argument(
        "--resize",
        choices=("host", "device"),
        default="host",
        help="where frames are brought to the model's size; device is for GPUs and nearly the same (default: host)",
    )


def memory_from(args: argparse.Namespace) -> str:
    """The policy's name that `add_memory_argument`'s argument gives.

    Raises:
        ValueError: an unknown one; the known ones are listed.
    """
    from sam2v.memory import check_policy_name

    check_policy_name(args.memory)
    return str(args.memory)


def add_quiet_argument(parser: argparse._ActionsContainer) -> None:
    """Whether progress bars are shown."""
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def no_progress(args: argparse.Namespace) -> bool | None:
    """tqdm's `disable`: True with --quiet, else None, which means when standard error is no terminal."""
    return True if args.quiet else None


def check_folder(out: Path) -> None:
    """Raise NotADirectoryError, before anything slow, for an --out that is or lies in a file."""
    for place in (out, *out.parents):
        if place.exists() and not place.is_dir():
            raise NotADirectoryError(f"--out {out}: {place} is a file, not a folder")


def check_rate(fps: float | None) -> None:
    """Raise ValueError for a --fps that no film can have."""
    if fps is not None and not 0.001 <= fps < math.inf:
        raise ValueError(f"--fps must be a number from 0.001 on, got {fps}")


def numbers(text: str, what: str) -> list[float]:
    """Comma-separated numbers.

    Raises:
        ValueError: something else; `what` says what is accepted.
    """
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"{text!r}: expected {what}") from None


def click(text: str, flag: str, form: str) -> tuple[list[float], int]:
    """A click X,Y[,LABEL] as point and label, 1 if it is left out.

    Raises:
        ValueError: something else; `flag` and `form` say what is accepted.
    """
    values = numbers(text, f"{flag} {form}")
    label = values[2] if len(values) == 3 else 1.0
    if len(values) not in (2, 3) or not label.is_integer():
        raise ValueError(f"{text!r}: expected {flag} {form}, LABEL 1 or 0")
    return values[:2], int(label)


def check_mask_size(file: object, mask: np.ndarray, size: tuple[int, int], what: str) -> None:
    """Raise ValueError unless a mask is as big as what it belongs to."""
    if mask.shape != size:
        sizes = " and ".join(f"{width} x {height}" for height, width in (mask.shape, size))
        raise ValueError(f"{file}: the mask and the {what} have different sizes, {sizes}")


def few(numbers: Iterable[int]) -> str:
    """The first of many numbers, for a message."""
    listed = list(numbers)
    return ", ".join(map(str, listed[:6])) + (", ..." if len(listed) > 6 else "")


def box(text: str, flag: str, form: str) -> list[float]:
    """A box X0,Y0,X1,Y1; raises ValueError as `click`."""
    values = numbers(text, f"{flag} {form}")
    if len(values) != 4:
        raise ValueError(f"{text!r}: expected {flag} {form}")
    return values
