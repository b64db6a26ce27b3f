"""Typed configuration of a training run (`configs/train/*.yaml`), read without touching Hydra's global state."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Optional

from sam2v.config import is_input_size, read_typed_section
from sam2v.data.edits.config import EditConfig
from sam2v.files import user_path
from sam2v.paths import configs_dir
from sam2v.training.losses import LossConfig
from sam2v.training.prompting import PromptConfig
from sam2v.training.teacher_config import TeacherConfig

_SECTION = "train"


@dataclass
class SourceConfig:
    """One source of clips.

    Attributes:
        kind: `synthetic`, or a data set of `sam2v.data.open_dataset` (`davis2017`, `mose`, `sav`, `project`, ...).
        root, split: where a data set is, and which part of it.
        only, without: patterns of the names that take part, and of those that do not (`["bear", "mallard-*"]`).
        weights: JSON file of names and how often they are drawn, 0 to 1000 relative to 1, e.g. by their
            errors, see `examples/mine_errors.py`.
        weight: how often a step draws from this source, relative to the others.
        images: clips of one frame, whatever the stage says.
        batch_scale: multiplies the stage's batch size (images are cheaper than clips).
        strides: smallest and largest step between frames of a data set, in annotated frames.
        reverse: probability that a clip runs backwards; its objects are those of the frame that then comes first.
        augment: apply the fine-tuning recipe's random changes to a data set's clips.
        per_clip, per_frame: values of `sam2v.data.Augment` that differ from that recipe's, by name.
        edits: what else is done to a data set's clips, see `sam2v.data.edits.EditConfig`.
        lend: this data set's objects may be pasted into clips, those of other sources too.
        length: number of different synthetic clips.
        photographs: folder of pictures or videos from which synthetic clips take textures.
        regions: folder of region maps (a PNG per picture in `photographs`, values = regions) to cut objects out by,
            or of cut-outs themselves (PNG with transparency).
        motion, smallest, largest, bodies, limbs, clutter, look_alike, leaving, camouflage, cutouts: see
            `sam2v.data.synthetic.SyntheticConfig`.
    """

    kind: str = "synthetic"
    root: Optional[str] = None  # noqa: UP045 - OmegaConf reads these annotations
    split: Optional[str] = None  # noqa: UP045
    only: list[str] = field(default_factory=list)
    without: list[str] = field(default_factory=list)
    weights: Optional[str] = None  # noqa: UP045
    weight: float = 1.0
    images: bool = False
    batch_scale: int = 1
    strides: list[int] = field(default_factory=lambda: [1, 1])
    reverse: float = 0.5
    augment: bool = True
    per_clip: dict[str, float] = field(default_factory=dict)
    per_frame: dict[str, float] = field(default_factory=dict)
    edits: EditConfig = field(default_factory=EditConfig)
    lend: bool = False
    length: int = 1_000_000
    photographs: Optional[str] = None  # noqa: UP045
    regions: Optional[str] = None  # noqa: UP045
    motion: float = 1.0
    smallest: float = 0.2
    largest: float = 0.95
    bodies: int = 4
    limbs: int = 3
    clutter: int = 4
    look_alike: float = 0.25
    leaving: float = 0.12
    camouflage: float = 0.4
    cutouts: float = 0.6


@dataclass
class StageConfig:
    """One stage of a curriculum.

    Attributes:
        steps: optimiser steps.
        image_size: of the frames in pixels, the side of a square or [height, width]; multiples of 32.
        frames: frames per clip.
        lead: of these, how many are at most tracked without learning between the first frame and those learnt from
            (backpropagation through time, truncated): the network meets memories that hold errors of its own, for a
            forward pass. Every step draws how many; the clip ends as many frames earlier as it leaves out.
        batch: clips per step over all processes.
        objects: objects per clip at most.
        pretend_stride: frames are told to the network as up to this far apart, so that it learns to read old memories.
        pretend_length: length in frames that the network is told the video has at least; 0: the clip's.
    """

    steps: int = 1000
    image_size: Any = 1024  # int or list of two: OmegaConf has no type for that
    frames: int = 8
    lead: int = 0
    batch: int = 8
    objects: int = 3
    pretend_stride: int = 1
    pretend_length: int = 0


@dataclass
class OptimConfig:
    """AdamW with a cosine schedule.

    Attributes:
        lr, encoder_lr: peak learning rates of everything and of the image encoder (null: the same).
        final: share of the learning rate at the end of the cosine.
        warmup: steps of linear growth at the start.
        weight_decay: on matrices and tables; never on biases and normalisations.
        layer_decay: factor per trunk block from the last to the first (Clark et al. 2020); position tables are exempt.
        betas: AdamW's.
        clip: norm to which gradients are clipped, 0: not at all.
    """

    lr: float = 5e-6
    encoder_lr: Optional[float] = None  # noqa: UP045
    final: float = 0.1
    warmup: int = 0
    weight_decay: float = 0.1
    layer_decay: float = 1.0
    betas: list[float] = field(default_factory=lambda: [0.9, 0.999])
    clip: float = 0.1


@dataclass
class LoraConfig:
    """Low-rank updates (Hu et al. 2021) of linear layers; every other parameter is frozen unless `also` matches it.

    Attributes:
        rank: rank of the updates, 0: no LoRA. alpha: their scale is alpha / rank.
        layers: patterns of module names that get an update.
        also: patterns of parameter names that are trained in full beside it.
    """

    rank: int = 0
    alpha: float = 16.0
    layers: list[str] = field(default_factory=lambda: ["*attn*", "*mlp*"])
    also: list[str] = field(default_factory=list)


@dataclass
class ValidationConfig:
    """Measured while training; the first value of the first entry decides which checkpoint is the best.

    Attributes:
        kind: `synthetic` (clips that training never sees) or a data set's name.
        root, split: where a data set is.
        only, without: patterns of the names that take part, and of those that do not.
        limit: videos (or synthetic clips) at most, 0: all.
        every: steps between measurements.
        frames, image_size: of synthetic clips.
    """

    kind: str = "synthetic"
    root: Optional[str] = None  # noqa: UP045
    split: Optional[str] = None  # noqa: UP045
    only: list[str] = field(default_factory=list)
    without: list[str] = field(default_factory=list)
    limit: int = 32
    every: int = 1000
    frames: int = 6
    image_size: int = 256


@dataclass
class TrainConfig:
    """A training run.

    Attributes:
        out: folder of checkpoints and logs.
        model, overrides: the network, as for `sam2v.load_model`.
        checkpoint: weights to start from: `auto`, a path, or null for random ones.
        grow_from: overrides that make the network the shallower one in `checkpoint`, where it is to grow; blocks that
            it lacks start as identities.
        look_nearby: random weights start with memory attention that prefers the same place, this strongly; 0: not.
        seed: decides initial weights and every draw.
        stages: gone through in order. sources: where clips come from.
        prompts, loss, optim, lora, teacher: see there.
        freeze: patterns of parameter names that stay as they are.
        precision: `float32` or `bfloat16` (autocast).
        checkpointing: recompute activations in the backward pass, to save memory.
        ema: decay of an average of the weights, which is what gets exported; 0: none.
        repeat: uses of every batch, mirrored every second time, where drawing clips costs more than learning from them.
        workers: processes that prepare clips. threads: torch threads per process, 0: torch's own choice.
        log_every, save_every: steps. tensorboard: log there too.
        validation: what is measured on the way.
    """

    out: str = "runs/train"
    model: str = "sam2v_nano"
    overrides: list[str] = field(default_factory=list)
    checkpoint: Optional[str] = None  # noqa: UP045
    grow_from: list[str] = field(default_factory=list)
    look_nearby: float = 0.0
    seed: int = 0
    stages: list[StageConfig] = field(default_factory=lambda: [StageConfig()])
    sources: list[SourceConfig] = field(default_factory=lambda: [SourceConfig()])
    prompts: PromptConfig = field(default_factory=PromptConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    lora: LoraConfig = field(default_factory=LoraConfig)
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    freeze: list[str] = field(default_factory=list)
    precision: str = "float32"
    checkpointing: bool = False
    ema: float = 0.0
    repeat: int = 1
    workers: int = 0
    threads: int = 0
    log_every: int = 25
    save_every: int = 500
    tensorboard: bool = False
    validation: list[ValidationConfig] = field(default_factory=list)

    @property
    def total_steps(self) -> int:
        """Steps of all stages."""
        return sum(stage.steps for stage in self.stages)


def load_train_config(name_or_path: str | Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Read a recipe.

    Args:
        name_or_path: a recipe shipped with sam2v, or the path of a YAML file with a `train:` section.
        overrides: `key=value` strings, e.g. `["optim.lr=1e-4", "stages.0.steps=200"]`.

    Raises:
        FileNotFoundError: no such recipe; the message lists those there are.
        ValueError: an unknown key, a wrong type or an impossible value, named.
    """
    path = user_path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        path = configs_dir() / "train" / f"{name_or_path}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(found.stem for found in (configs_dir() / "train").glob("*.yaml")))
        raise FileNotFoundError(f"no training recipe {str(name_or_path)!r}; a path to a .yaml file, or one of: {known}")
    full = [item if item.startswith(f"{_SECTION}.") else f"{_SECTION}.{item}" for item in overrides]
    config = read_typed_section(path, _SECTION, TrainConfig, full)
    check_train_config(config)
    return config


def check_train_config(config: TrainConfig, processes: int = 1) -> None:
    """Raise ValueError for a value that cannot work on so many processes, naming it."""
    if not config.stages or not config.sources:
        raise ValueError("train.stages and train.sources each need at least one entry")
    _check_ranges(config)
    for k, stage in enumerate(config.stages):
        if stage.lead > max(0, stage.frames - 2):
            raise ValueError(f"train.stages.{k}.lead={stage.lead}: must be between 0 and frames - 2")
        if not is_input_size(stage.image_size):
            raise ValueError(
                f"train.stages.{k}.image_size={stage.image_size}: must be a multiple of 32, or [height, width] of such"
            )
        for n, source in enumerate(config.sources):
            if stage.batch * source.batch_scale % processes:
                raise ValueError(
                    f"train.stages.{k}.batch={stage.batch} times train.sources.{n}.batch_scale={source.batch_scale}: "
                    f"{processes} processes cannot share it equally"
                )
    for k, source in enumerate(config.sources):
        if len(source.strides) != 2 or not 1 <= source.strides[0] <= source.strides[1]:
            raise ValueError(f"train.sources.{k}.strides={source.strides}: must be two numbers, 1 <= first <= second")
    if not any(source.weight for source in config.sources):
        raise ValueError("train.sources: the weight of one of them must be above 0")
    if any(not 0 <= rounds <= config.prompts.corrections for rounds in config.prompts.rounds):
        raise ValueError(f"train.prompts.rounds={config.prompts.rounds}: each between 0 and prompts.corrections")
    if config.loss.stride not in (1, 2, 4):
        raise ValueError(f"train.loss.stride={config.loss.stride}: must be 1, 2 or 4")
    if config.teacher.image_size and not is_input_size(config.teacher.image_size):
        raise ValueError(f"train.teacher.image_size={config.teacher.image_size}: must be 0 or a multiple of 32")
    if config.precision not in ("float32", "bfloat16"):
        raise ValueError(f"train.precision={config.precision!r}: must be float32 or bfloat16")
    if len(config.optim.betas) != 2 or not all(0 <= beta < 1 for beta in config.optim.betas):
        raise ValueError(f"train.optim.betas={config.optim.betas}: must be two numbers of at least 0 and below 1")
    if not 0 <= config.ema < 1:
        raise ValueError(f"train.ema={config.ema}: must be at least 0 and below 1")


#: Smallest and largest value of the numbers in a recipe; of a list's sections, in every one.
_RANGES = {
    (0, math.inf): (
        "seed workers threads look_nearby stages.lead stages.pretend_length sources.weight prompts.max_corrected "
        "prompts.corrections prompts.box_jitter prompts.box_jitter_pixels optim.lr optim.encoder_lr optim.warmup "
        "optim.weight_decay optim.clip lora.rank validation.limit loss.mask loss.dice loss.iou loss.score "
        "loss.ambiguity loss.contrast loss.still loss.focal_gamma teacher.weight"
    ),
    (1, math.inf): (
        "repeat log_every save_every stages.steps stages.frames stages.batch stages.objects "
        "stages.pretend_stride sources.batch_scale sources.length prompts.max_initial validation.every "
        "validation.image_size"
    ),
    (2, math.inf): "validation.frames",
    (0, 1): "sources.reverse prompts.point_share prompts.box_share prompts.truth_share optim.final optim.layer_decay",
}


def _check_ranges(config: TrainConfig) -> None:
    for (low, high), keys in _RANGES.items():
        for key in keys.split():
            section, _, name = key.rpartition(".")
            found = getattr(config, section) if section else config
            parts = (
                {f"{section}.{k}.{name}": part for k, part in enumerate(found)}
                if isinstance(found, list)
                else {key: found}
            )
            for where, part in parts.items():
                value = getattr(part, name)
                if value is not None and not low <= value <= high:
                    wanted = f"at least {low}" if high == math.inf else f"between {low} and {high}"
                    raise ValueError(f"train.{where}={value}: must be {wanted}")


#: What may differ between a run and its continuation: it changes no number.
_FREE = ("out", "workers", "threads", "log_every", "save_every", "tensorboard", "validation")


def config_difference(old: dict[str, Any], new: TrainConfig) -> list[str]:
    """`key: old -> new` of every value that a continued run must not change, sorted."""
    before, after = _flat(old), _flat(asdict(new))
    keys = sorted(key for key in before.keys() | after.keys() if key.split(".")[0] not in _FREE)
    gone = "(absent)"
    return [
        f"{key}: {before.get(key, gone)} -> {after.get(key, gone)}"
        for key in keys
        if before.get(key, gone) != after.get(key, gone)
    ]


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, dict | list) and value:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {
            key: leaf
            for name, part in items
            for key, leaf in _flat(part, f"{prefix}.{name}" if prefix else str(name)).items()
        }
    return {prefix: value}
