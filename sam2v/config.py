"""Typed configuration of the network.

A model file (`configs/model/*.yaml`) names only what differs from the defaults below. Files and overrides are read with
OmegaConf and Hydra's override grammar; Hydra's global state is never touched, so sam2v can live inside a Hydra
application.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any

from sam2v.files import user_path
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
        pool: memories are read averaged over `pool` x `pool` cells: 1, as the released models do, or 2 or 4, faster and
            approximate.
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
        image_size: the network's input in pixels: the side of a square, or [height, width]; multiples of 32. A square
            is kept as one number.
        hidden_dim: channels of the stride-16 features shared by neck, decoder and memory attention; a multiple of 32.
    """

    name: str = ""
    image_size: Any = 1024  # int or list of two: OmegaConf has no type for that
    hidden_dim: int = 256
    trunk: TrunkConfig = field(default_factory=TrunkConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    memory: MemoryConfig = field(default_factory=MemoryConfig)

    def __post_init__(self) -> None:
        if isinstance(self.image_size, list | tuple):
            sides = list(self.image_size)
            self.image_size = sides[0] if len(sides) == 2 and sides[0] == sides[1] else sides

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of the network's input in pixels."""
        return sides_of(self.image_size)


def list_model_configs() -> list[str]:
    """Names of the configurations shipped with the package (`configs/model/*.yaml`), sorted."""
    return sorted(p.name.removesuffix(".yaml") for p in (configs_dir() / "model").glob("*.yaml"))


def load_model_config(name_or_path: str | Path, overrides: Sequence[str] = ()) -> ModelConfig:
    """Read a model configuration.

    Args:
        name_or_path: a name from `list_model_configs`, or the path of a YAML file with a `model:` section.
        overrides: Hydra override strings on that file's tree, e.g. `["model.image_size=256"]`.

    Raises:
        FileNotFoundError: no such name or file; the message lists the names.
        ValueError: unknown key, wrong type, impossible value or malformed override, named in the message.
    """
    path = _find_model_file(name_or_path)
    config = read_typed_section(path, "model", ModelConfig, overrides)
    config.name = config.name or path.name.removesuffix(".yaml")
    check_config(config)
    return config


def check_overrides(overrides: Sequence[str]) -> None:
    """Check overrides for a network whose configuration is not known yet.

    Raises:
        ValueError: no shipped configuration takes them.
    """
    problems = []
    for name in list_model_configs():
        try:
            load_model_config(name, overrides)
        except ValueError as error:
            problems.append(error)
        else:
            return
    raise problems[0]


def read_typed_section(path: Path, section: str, schema: type, overrides: Sequence[str] = ()) -> Any:
    """Read `section` of a YAML file into the dataclass `schema`; the file may hold no other section.

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
    """Parse Hydra override strings `key=value` into (dotted key, value) pairs.

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
    path = user_path(name_or_path)
    if path.suffix in (".yaml", ".yml"):
        if path.is_file():
            return path
        raise FileNotFoundError(f"no configuration file {path}")
    known = configs_dir() / "model" / f"{name_or_path}.yaml"
    if path.name != str(name_or_path) or not known.is_file():
        names = ", ".join(list_model_configs())
        raise FileNotFoundError(f"unknown model {str(name_or_path)!r}; known: {names}; or give a path to a .yaml file")
    return known


def sides_of(image_size: Any) -> tuple[int, int]:
    """(height, width) of a size as configurations write it: the side of a square, or [height, width]."""
    height, width = image_size if isinstance(image_size, list) else (image_size, image_size)
    return height, width


def is_input_size(value: Any) -> bool:
    """Whether a value is the side of a square or [height, width], positive multiples of 32."""
    sides = value if isinstance(value, list) else [value, value]
    return len(sides) == 2 and all(type(side) is int and side > 0 and side % 32 == 0 for side in sides)


def _are_four(values: list[int]) -> bool:
    return len(values) == 4 and min(values) > 0


_Rule = tuple[str, Callable[[ModelConfig], bool], str]

#: What a value must fulfil beyond its type: key, test, and what is accepted.
_RULES: tuple[_Rule, ...] = (
    ("image_size", lambda c: is_input_size(c.image_size), "a positive multiple of 32, or [height, width] of such"),
    ("hidden_dim", lambda c: c.hidden_dim > 0 and c.hidden_dim % 32 == 0, "a positive multiple of 32"),
    ("trunk.stages", lambda c: _are_four(c.trunk.stages), "four positive numbers"),
    ("trunk.windows", lambda c: _are_four(c.trunk.windows), "four positive numbers"),
    ("trunk.windows", lambda c: not any(w % 2 for w in c.trunk.windows[:3]), "even sides in the first three stages"),
    (
        "trunk.global_blocks",
        lambda c: all(0 <= block < sum(c.trunk.stages) for block in c.trunk.global_blocks),
        "block indices, from 0 to the sum of trunk.stages less 1",
    ),
    (
        "trunk.pos_embed_size",
        lambda c: len(c.trunk.pos_embed_size) == 2 and min(c.trunk.pos_embed_size) > 0,
        "two positive numbers",
    ),
    ("trunk.num_heads", lambda c: c.trunk.num_heads > 0, "a positive number"),
    (
        "trunk.embed_dim",
        lambda c: c.trunk.embed_dim > 0 and c.trunk.embed_dim % c.trunk.num_heads == 0,
        "a positive multiple of trunk.num_heads",
    ),
    ("trunk.drop_path", lambda c: 0 <= c.trunk.drop_path < 1, "at least 0 and below 1"),
    ("decoder.depth", lambda c: c.decoder.depth > 0, "a positive number"),
    ("decoder.mlp_dim", lambda c: c.decoder.mlp_dim > 0, "a positive number"),
    (
        "decoder.num_heads",
        lambda c: c.decoder.num_heads > 0 and c.hidden_dim % (2 * c.decoder.num_heads) == 0,
        "a divisor of hidden_dim / 2",
    ),
    ("decoder.num_multimask_outputs", lambda c: c.decoder.num_multimask_outputs > 0, "a positive number"),
    (
        "memory.mem_dim",
        lambda c: c.memory.mem_dim > 0 and c.memory.mem_dim % 4 == 0 and c.hidden_dim % c.memory.mem_dim == 0,
        "a multiple of 4 that divides hidden_dim",
    ),
    ("memory.num_maskmem", lambda c: c.memory.num_maskmem >= 2, "at least 2"),
    ("memory.max_obj_ptrs", lambda c: c.memory.max_obj_ptrs >= 2, "at least 2"),
    ("memory.num_layers", lambda c: c.memory.num_layers > 0, "a positive number"),
    ("memory.mlp_dim", lambda c: c.memory.mlp_dim > 0, "a positive number"),
    ("memory.dropout", lambda c: 0 <= c.memory.dropout < 1, "at least 0 and below 1"),
    ("memory.pool", lambda c: c.memory.pool in (1, 2, 4), "1, 2 or 4"),
)


def check_config(config: ModelConfig) -> None:
    """Raise ValueError, naming key and value, for a value that no network can have."""
    for key, holds, accepted in _RULES:
        if not holds(config):
            raise ValueError(f"model.{key}={attrgetter(key)(config)!r}: must be {accepted}")


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
