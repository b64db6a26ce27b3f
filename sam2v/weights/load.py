"""Models with their weights: by name, by file, by address."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sam2v.config import ModelConfig, list_model_configs, load_model_config
from sam2v.weights.files import CheckpointFormat, check_target, read_checkpoint, write_checkpoint
from sam2v.weights.identify import fitting_configs, load_strictly
from sam2v.weights.keys import detect_layout, from_transformers
from sam2v.weights.released import RELEASED, hub_config, is_hub_id

if TYPE_CHECKING:
    from sam2v.model.network import Sam2Network

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def list_models() -> list[str]:
    """Names that :func:`load_model` takes: the configurations shipped with the package, sorted."""
    return list_model_configs()


def load_model(
    name: str | Path = "sam2v_nano",
    checkpoint: str | Path | None = "auto",
    device: torch.device | str | None = None,
    dtype: torch.dtype | str | None = None,
    overrides: Sequence[str] = (),
    fast: bool = False,
    compile: bool = False,
) -> Sam2Network:
    """Build a network and load its weights.

    Args:
        name: one of :func:`list_models`, the path of a YAML file, or a Hugging Face id (``facebook/sam2.1-hiera-tiny``;
            for other repositories the configuration is found from the shapes of the weights).
        checkpoint: ``"auto"``: the file embedded in the package, or the released weights of that name from the cache or
            the network. None: random weights. Else a path, an http(s) address or a Hugging Face id: a released .pt, a
            bare state dict, safetensors; released or transformers names.
        device: None: cuda, then mps, then cpu.
        dtype: precision, see :meth:`Sam2Network.set_precision`. None: bfloat16 on cuda, float32 elsewhere.
        overrides: Hydra overrides of the configuration, e.g. ``["model.image_size=256"]``.
        fast: track faster and approximately: memories are read averaged over 2 x 2 cells (``model.memory.pool=2``;
            docs/performance.md has what it gains and costs). Images are not affected.
        compile: compile the network for one object, with a progress bar; :func:`sam2v.compile_network` does it for
            more, and says how long it took. On the CPU nothing gains, and nothing is done.

    Returns:
        The network in eval mode. Its ``image_only`` is True when the weights have no modules for tracking.

    Raises:
        FileNotFoundError: unknown name, no such file, or no weights for ``"auto"``.
        ValueError: a bad configuration, device or dtype, a file that is no checkpoint, or one that does not fit.
        OSError: a download failed.
    """
    from sam2v.model.build import build_model
    from sam2v.weights.skeleton import build_skeleton

    if fast:
        overrides = [*overrides, "model.memory.pool=2"]
    target = _pick_device(device)
    precision = _pick_dtype(dtype, target)
    state_dict, source = _find_weights(name, checkpoint)
    config = _config_for(name, state_dict, source, overrides)
    if state_dict is None:
        network = build_model(config, device=target)
    else:
        network = build_skeleton(config)
        ported = detect_layout(state_dict) == "transformers"
        if ported:
            state_dict = from_transformers(state_dict)
        network.image_only = load_strictly(network, state_dict, source, image_only=ported)
        if network.image_only:
            text = f"{source} has no modules for tracking: this model serves images only"
            warnings.warn(text, stacklevel=2)
            _fill_missing(network)
        network = network.to(target)
    network.set_precision(precision).eval()
    if compile:
        from sam2v.model.compiled import compile_network

        compile_network(network)
    return network


def save_checkpoint(
    model: Sam2Network,
    path: str | Path,
    format: CheckpointFormat = "safetensors",
    dtype: torch.dtype | None = None,
) -> Path:
    """Write a network's weights.

    Args:
        model: the network.
        path: where to; an existing file is replaced only when the new one is complete.
        format: ``"safetensors"``, or ``"official"`` for a .pt that the reference implementation loads.
        dtype: store in this floating-point type instead of the parameters' own.

    Raises:
        ValueError: unknown format, a suffix that belongs to the other format, or an image-only model.
    """
    check_target(Path(path), format)
    if model.image_only:
        raise ValueError("this model has no weights for tracking (image-only checkpoint), so it cannot be saved whole")
    state_dict: dict[str, Tensor] = model.state_dict()
    if dtype is not None:
        state_dict = {name: value.to(dtype) for name, value in state_dict.items()}
    return write_checkpoint(state_dict, path, format, {"config": model.config.name})


def embedded_checkpoint(name: str) -> Path | None:
    """The checkpoint of this name that ships with the package, if there is one."""
    from sam2v.paths import checkpoints_dir

    path = checkpoints_dir() / f"{name}.safetensors"
    return path if path.is_file() else None


def _find_weights(name: str | Path, checkpoint: str | Path | None) -> tuple[dict[str, Tensor] | None, str]:
    """The state dict to load, None for random weights, and what to call it."""
    if checkpoint is None:
        return None, ""
    text = str(name if checkpoint == "auto" else checkpoint)
    if checkpoint == "auto" and not is_hub_id(text):
        path = _weights_of_config(name)
    elif is_hub_id(text):
        from sam2v.weights.hub import download_hub

        path = download_hub(text)
    elif text.startswith(("http://", "https://")):
        from sam2v.weights.download import download_url

        path = download_url(text)
    else:
        path = Path(text).expanduser()
    return read_checkpoint(path), str(path)


def _weights_of_config(name: str | Path) -> Path:
    """The file behind ``checkpoint="auto"``."""
    known = load_model_config(name).name
    if embedded := embedded_checkpoint(known):
        return embedded
    if known in RELEASED:
        from sam2v.weights.download import download_released

        return download_released(known)
    raise FileNotFoundError(
        f"no weights are known for {known!r}: give checkpoint=PATH, or checkpoint=None for random weights"
    )


def _config_for(
    name: str | Path, state_dict: dict[str, Tensor] | None, source: str, overrides: Sequence[str]
) -> ModelConfig:
    if not is_hub_id(str(name)):
        return load_model_config(name, overrides)
    known = hub_config(str(name))
    if known is None and state_dict is not None:
        layout = detect_layout(state_dict)
        names = fitting_configs(from_transformers(state_dict) if layout == "transformers" else state_dict)
        if not names:
            raise ValueError(f"{source} fits none of the known configurations; give name= and checkpoint={str(name)!r}")
        known = names[0]
    if known is None:
        raise ValueError(f"the configuration of {str(name)!r} is not known without its weights; give a name")
    return load_model_config(known, overrides)


def _fill_missing(network: Sam2Network) -> None:
    """Give entries that no checkpoint filled (still on the meta device) zeros, so that the network can be moved."""
    zeros = {k: torch.zeros(v.shape, dtype=v.dtype) for k, v in network.state_dict().items() if v.is_meta}
    network.load_state_dict(zeros, strict=False, assign=True)


def _pick_device(device: torch.device | str | None) -> torch.device:
    if device is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise ValueError(f"device {str(device)!r} cannot be used here: {reason}") from None
    return chosen


def _pick_dtype(dtype: torch.dtype | str | None, device: torch.device) -> torch.dtype:
    if dtype is None:
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    chosen = _DTYPES.get(str(dtype).removeprefix("torch."))
    if chosen is None:
        raise ValueError(f"dtype must be one of {', '.join(_DTYPES)}, not {dtype!r}")
    return chosen
