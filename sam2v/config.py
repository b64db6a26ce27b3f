"""Typed configuration of the network.

A model file (``configs/model/*.yaml``) names only what differs from the defaults below. Files and overrides are read
with
OmegaConf and Hydra's override grammar; Hydra's global state is never touched, so sam2v can live inside a Hydra
application.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sam2v.paths import configs_dir


@dataclass
class TrunkConfig:
    """Hiera image trunk (Ryali et al. 2023; SAM 2 paper, section 4 and appendix D.1).

    Attributes:
        embed_dim: channels of the first stage; every later stage doubles them.
        num_heads: attention heads of the first stage; every later stage doubles them.
        stages: number of blocks in each of the four stages (strides 4, 8, 16, 32).
        global_blocks: indices of the blocks that attend over the whole image instead of windows.
        pos_embed_size: (height, width) of the learned position grid, interpolated to the image's grid.
        windows: window side of each stage, in that stage's cells.
        drop_path: stochastic depth rate of the last block (it grows linearly from 0), used in training.
    """

    embed_dim: int = 96
    num_heads: int = 1
    stages: list[int] = field(default_factory=lambda: [1, 2, 7, 2])
    global_blocks: list[int] = field(default_factory=lambda: [5, 7, 9])
    pos_embed_size: list[int] = field(default_factory=lambda: [7, 7])
    windows: list[int] = field(default_factory=lambda: [8, 4, 14, 7])
    drop_path: float = 0.0


@dataclass
class DecoderConfig:
    """Two-way transformer and mask heads (SAM 2 paper, section 4 and appendix D.1).

    Attributes:
        depth: two-way layers.
        num_heads: attention heads.
        mlp_dim: hidden channels of the two-way layers' MLPs.
        num_multimask_outputs: masks offered for an ambiguous prompt, besides the single-mask output.
        stability_delta: logit offset of the stability score.
        stability_thresh: below this stability the single mask gives way to the best of the others.
    """

    depth: int = 2
    num_heads: int = 8
    mlp_dim: int = 2048
    num_multimask_outputs: int = 3
    stability_delta: float = 0.05
    stability_thresh: float = 0.98


@dataclass
class MemoryConfig:
    """Memory attention, memory encoder and object pointers (SAM 2 paper, section 4 and appendix D.1).

    Attributes:
        num_maskmem: memories with a temporal encoding of their own: conditioning frames and the 6 latest.
        mem_dim: channels of a stored memory.
        max_obj_ptrs: object pointers read at most.
        num_layers: memory-attention layers.
        mlp_dim: hidden channels of their MLPs.
        dropout: dropout rate in memory attention, used in training.
        pool: memories are read averaged over ``pool`` x ``pool`` cells: 1, as the released models do, or 2 or 4, faster
            and approximate.
        mask_scale, mask_bias: affine map of mask probabilities before memory encoding.
        no_obj_embed_spatial: mark the memory of frames without the object (SAM 2.1).
        obj_ptr_time_encoding: add temporal encodings to object pointers (SAM 2.1).
    """

    num_maskmem: int = 7
    mem_dim: int = 64
    max_obj_ptrs: int = 16
    num_layers: int = 4
    mlp_dim: int = 2048
    dropout: float = 0.0
    pool: int = 1
    mask_scale: float = 20.0
    mask_bias: float = -10.0
    no_obj_embed_spatial: bool = True
    obj_ptr_time_encoding: bool = True


@dataclass
class ModelConfig:
    """A whole network.

    Attributes:
        name: the configuration's name; filled from the file's name when absent.
        image_size: side of the square network input in pixels, a multiple of 32.
        hidden_dim: channels of the stride-16 features shared by neck, decoder and memory attention; a multiple of 32.
    """

    name: str = ""
    image_size: int = 1024
    hidden_dim: int = 256
    trunk: TrunkConfig = field(default_factory=TrunkConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    memory: MemoryConfig = field(default_factory=MemoryConfig)


def list_model_configs() -> list[str]:
    """Names of the configurations shipped with the package (``configs/model/*.yaml``), sorted."""
    return sorted(p.name.removesuffix(".yaml") for p in (configs_dir() / "model").glob("*.yaml"))


def load_model_config(name_or_path: str | Path, overrides: Sequence[str] = ()) -> ModelConfig:
    """Read a model configuration.

    Args:
        name_or_path: a name from :func:`list_model_configs`, or the path of a YAML file with a ``model:`` section.
        overrides: Hydra override strings on that file's tree, e.g. ``["model.image_size=256"]``.

    Raises:
        FileNotFoundError: no such name or file; the message lists the names.
        ValueError: unknown key, wrong type, impossible value or malformed override, named in the message.
    """
    path = _find_model_file(name_or_path)
    config = read_typed_section(path, "model", ModelConfig, overrides)
    config.name = config.name or path.name.removesuffix(".yaml")
    _validate(config)
    return config


def read_typed_section(path: Path, section: str, schema: type, overrides: Sequence[str] = ()) -> Any:
    """Read ``section`` of a YAML file into the dataclass ``schema``; the file may hold no other section.

    Raises:
        ValueError: the file is not valid YAML, or it or an override has an unknown key or a wrong type.
    """
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        tree = OmegaConf.load(path)
    except (YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a YAML file ({_first_line(error)})") from None
    if not isinstance(tree, DictConfig) or section not in tree:
        raise ValueError(f"{path}: expected a mapping with a top-level key '{section}'")
    root = OmegaConf.create({section: OmegaConf.structured(schema)})
    OmegaConf.set_struct(root, True)
    try:
        merged = OmegaConf.merge(root, tree)
        for key, value in parse_overrides(overrides):
            OmegaConf.update(merged, key, value, merge=True, force_add=False)
        return OmegaConf.to_object(merged)[section]  # type: ignore[index, call-overload]
    except OmegaConfBaseException as error:
        key = f" (at '{error.full_key}')" if getattr(error, "full_key", None) else ""
        raise ValueError(f"{path}: {_first_line(error)}{key}") from None


def parse_overrides(overrides: Sequence[str]) -> list[tuple[str, Any]]:
    """Parse Hydra override strings ``key=value`` into (dotted key, value) pairs.

    Raises:
        ValueError: an override is malformed, or adds or deletes a key.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    if isinstance(overrides, str):
        raise TypeError(f"overrides must be a list of 'key=value' strings, not the string {overrides!r}")
    try:
        parsed = OverridesParser.create().parse_overrides(overrides=list(overrides))
    except HydraException as error:
        raise ValueError(f"malformed override: {_first_line(error)}") from None
    for item in parsed:
        if item.is_add() or item.is_delete() or item.is_sweep_override():
            raise ValueError(f"override {item.input_line!r}: only 'key=value' on existing keys is accepted")
    return [(item.key_or_group, item.value()) for item in parsed]


def _find_model_file(name_or_path: str | Path) -> Path:
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml"):
        if path.is_file():
            return path
        raise FileNotFoundError(f"no configuration file {path}")
    known = configs_dir() / "model" / f"{name_or_path}.yaml"
    if path.name != str(name_or_path) or not known.is_file():
        names = ", ".join(list_model_configs())
        raise FileNotFoundError(f"unknown model {str(name_or_path)!r}; known: {names}; or give a path to a .yaml file")
    return known


def _validate(config: ModelConfig) -> None:
    trunk, memory = config.trunk, config.memory
    _require(
        config.image_size > 0 and config.image_size % 32 == 0,
        "image_size",
        config.image_size,
        "a positive multiple of 32",
    )
    _require(
        config.hidden_dim > 0 and config.hidden_dim % 32 == 0,
        "hidden_dim",
        config.hidden_dim,
        "a positive multiple of 32",
    )
    _require(
        len(trunk.stages) == 4 and min(trunk.stages) > 0,
        "trunk.stages",
        trunk.stages,
        "four positive numbers",
    )
    _require(
        len(trunk.windows) == 4 and min(trunk.windows) > 0,
        "trunk.windows",
        trunk.windows,
        "four positive numbers",
    )
    _require(
        all(w % 2 == 0 for w in trunk.windows[:3]),
        "trunk.windows",
        trunk.windows,
        "even sides in the first three stages",
    )
    blocks = sum(trunk.stages)
    _require(
        all(0 <= i < blocks for i in trunk.global_blocks),
        "trunk.global_blocks",
        trunk.global_blocks,
        f"block indices below {blocks}",
    )
    _require(
        len(trunk.pos_embed_size) == 2 and min(trunk.pos_embed_size) > 0,
        "trunk.pos_embed_size",
        trunk.pos_embed_size,
        "two sizes",
    )
    _require(
        trunk.embed_dim % trunk.num_heads == 0,
        "trunk.embed_dim",
        trunk.embed_dim,
        "a multiple of trunk.num_heads",
    )
    _require(memory.mem_dim % 4 == 0 and config.hidden_dim % memory.mem_dim == 0, "memory.mem_dim", memory.mem_dim,
             "a multiple of 4 that divides hidden_dim")  # fmt: skip
    _require(memory.num_maskmem >= 2, "memory.num_maskmem", memory.num_maskmem, "at least 2")
    _require(memory.pool in (1, 2, 4), "memory.pool", memory.pool, "1, 2 or 4")
    _require(memory.max_obj_ptrs >= 2, "memory.max_obj_ptrs", memory.max_obj_ptrs, "at least 2")
    _require(config.hidden_dim % (2 * config.decoder.num_heads) == 0, "decoder.num_heads", config.decoder.num_heads,
             "a divisor of hidden_dim / 2")  # fmt: skip


def _require(ok: bool, key: str, value: object, accepted: str) -> None:
    if not ok:
        raise ValueError(f"model.{key}={value}: must be {accepted}")


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
