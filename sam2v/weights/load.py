"""Models with their weights: by name, by file, by address.

Everything that was asked for is checked before weights are looked for: a slip is not answered by a download.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

import torch
from torch import Tensor

from sam2v.config import ModelConfig, check_overrides, list_model_configs, load_model_config
from sam2v.files import user_path
from sam2v.weights.caller import warn_caller
from sam2v.weights.files import CheckpointFormat, check_target, read_checkpoint, write_checkpoint
from sam2v.weights.hardware import pick_device, pick_dtype
from sam2v.weights.identify import fitting_configs, load_strictly
from sam2v.weights.keys import detect_layout, from_transformers
from sam2v.weights.released import RELEASED, hub_config, is_hub_id

if TYPE_CHECKING:
    from sam2v.backends.compiled import CompiledBackend
    from sam2v.model.network import Sam2Network


def list_models() -> list[str]:
    """Names that `load_model` takes: the configurations shipped with the package, sorted."""
    return list_model_configs()


@overload
def load_model(
    name: str | Path = ...,
    checkpoint: str | Path | None = ...,
    device: torch.device | str | None = ...,
    dtype: torch.dtype | str | None = ...,
    overrides: Sequence[str] = ...,
    fast: bool = ...,
    compile: Literal[False] = ...,
) -> Sam2Network: ...


@overload
def load_model(
    name: str | Path = ...,
    checkpoint: str | Path | None = ...,
    device: torch.device | str | None = ...,
    dtype: torch.dtype | str | None = ...,
    overrides: Sequence[str] = ...,
    fast: bool = ...,
    *,
    compile: bool,
) -> Sam2Network | CompiledBackend: ...


def load_model(
    name: str | Path = "sam2v_nano",
    checkpoint: str | Path | None = "auto",
    device: torch.device | str | None = None,
    dtype: torch.dtype | str | None = None,
    overrides: Sequence[str] = (),
    fast: bool = False,
    compile: bool = False,
) -> Sam2Network | CompiledBackend:
    """Build a network and load its weights.

    Args:
        name: one of `list_models`, the path of a YAML file, or a Hugging Face id (`facebook/sam2.1-hiera-tiny`; for
            other repositories the configuration is found from the shapes of the weights).
        checkpoint: `"auto"`: the file embedded in the package, or the released weights of that name from the cache or
            the network. None: random weights. Else a Hugging Face id, an http(s) address, or a path: a .pt file,
            safetensors in one file or with an index, or a folder that holds one of these. A prefix before all names and
            dictionaries around the weights are taken off (docs/weights.md); names may be transformers'.
        device: None: cuda, then mps (PyTorch 2.7 or newer), then cpu.
        dtype: precision, see `Sam2Network.set_precision`. None: on cuda bfloat16, or float16 on cards without it;
            elsewhere float32.
        overrides: Hydra overrides of the configuration, e.g. `["model.image_size=256"]` or
            `["model.image_size=[576,1024]"]`, height and width.
        fast: track faster and approximately: memories are read averaged over 2 x 2 cells (`model.memory.pool=2`;
            docs/performance.md has what it gains and costs). Images are not affected.
        compile: compile the network for one object, with a progress bar; `compile_network` does it for more, and says
            how long it took. On the CPU nothing gains, and nothing is done.

    Returns:
        The network in eval mode, or with `compile` the object that holds it and its compiled calls; both predictors
        take either. The network's `image_only` is True when the weights have no modules for tracking.

    Raises:
        FileNotFoundError: unknown name, no such file, or no weights for `"auto"`.
        ValueError: a bad configuration, device or dtype, all before anything is fetched; a file that is no checkpoint,
            or one that does not fit.
        OSError: a download failed.
    """
    target = pick_device(device)
    precision = pick_dtype(dtype, target)
    config = _config_by_name(name, overrides)
    file = _find_checkpoint(name, checkpoint, config)
    weights = None if file is None else read_checkpoint(file)
    if config is None:
        config = _config_by_weights(str(name), weights, overrides)
    if fast:
        config.memory.pool = 2
    network = _filled(config, weights, target, str(file)).set_precision(precision).eval()
    if compile:
        from sam2v.backends.compiled import compile_network

        return compile_network(network)
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
        format: `"safetensors"`, or `"official"` for a .pt that the reference implementation loads.
        dtype: store in this floating-point type instead of the parameters' own.

    Raises:
        ValueError: unknown format, a suffix that belongs to the other format, a type that is not floating point, or an
            image-only model.
    """
    check_target(user_path(path), format)
    if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise ValueError(f"dtype must be a floating-point torch.dtype, not {dtype!r}")
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


def _config_by_name(name: str | Path, overrides: Sequence[str]) -> ModelConfig | None:
    """The configuration, or None for a Hugging Face repository of which only the weights can tell."""
    if not is_hub_id(str(name)):
        return load_model_config(name, overrides)
    if known := hub_config(str(name)):
        return load_model_config(known, overrides)
    check_overrides(overrides)
    return None


def _config_by_weights(name: str, weights: dict[str, Tensor] | None, overrides: Sequence[str]) -> ModelConfig:
    if weights is None:
        raise ValueError(f"the configuration of {name!r} is not known without its weights; give a name")
    names = fitting_configs(_released_names(weights))
    if not names:
        raise ValueError(f"{name} fits none of the known configurations; give name= and checkpoint={name!r}")
    return load_model_config(names[0], overrides)


def _find_checkpoint(name: str | Path, checkpoint: str | Path | None, config: ModelConfig | None) -> Path | None:
    """The file of the weights, fetched if it must be; None for random weights."""
    if checkpoint is None:
        return None
    text = str(name if checkpoint == "auto" else checkpoint)
    if is_hub_id(text):
        from sam2v.weights.hub import download_hub

        return download_hub(text)
    if checkpoint == "auto":
        assert config is not None  # only a Hugging Face id has none
        return _weights_of_config(config.name)
    if text.startswith(("http://", "https://")):
        from sam2v.weights.download import download_url

        return download_url(text)
    return user_path(text)


def _weights_of_config(known: str) -> Path:
    """The file behind `checkpoint="auto"`."""
    if embedded := embedded_checkpoint(known):
        return embedded
    if known in RELEASED:
        from sam2v.weights.download import download_released

        return download_released(known)
    raise FileNotFoundError(
        f"no weights are known for {known!r}: give checkpoint=PATH, or checkpoint=None for random weights"
    )


def _released_names(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return from_transformers(weights) if detect_layout(weights) == "transformers" else weights


def _filled(config: ModelConfig, weights: dict[str, Tensor] | None, device: torch.device, source: str) -> Sam2Network:
    """A network with these weights, or with random ones, on a device."""
    from sam2v.model.build import build_model
    from sam2v.weights.skeleton import build_skeleton

    if weights is None:
        return build_model(config, device=device)
    network = build_skeleton(config)
    ported = detect_layout(weights) == "transformers"
    network.image_only = load_strictly(network, _released_names(weights), source, image_only=ported)
    if network.image_only:
        warn_caller(f"{source} has no modules for tracking: this model serves images only")
        _fill_missing(network)
    return network.to(device)


def _fill_missing(network: Sam2Network) -> None:
    """Give entries that no checkpoint filled (still on the meta device) zeros, so that the network can be moved."""
    zeros = {k: torch.zeros(v.shape, dtype=v.dtype) for k, v in network.state_dict().items() if v.is_meta}
    network.load_state_dict(zeros, strict=False, assign=True)
