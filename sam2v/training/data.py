"""From a recipe's sources to batches: which clips make a step follows from the seed and the step alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from sam2v.config import sides_of
from sam2v.data import (
    ClipDataset,
    ClipMix,
    ClipTransforms,
    FrameSampler,
    MixedBatches,
    ObjectSampler,
    collate,
    open_dataset,
)
from sam2v.data.clips import ClipBatch
from sam2v.data.edits import ClipEdits, SpritePool
from sam2v.data.masklets import read_json
from sam2v.data.samplers import draw_seed
from sam2v.data.selection import repeated_names, select_records
from sam2v.data.synthetic import SyntheticClips, SyntheticConfig
from sam2v.data.transforms import PER_CLIP, PER_FRAME, Augment
from sam2v.files import user_path
from sam2v.training.config import SourceConfig, StageConfig, TrainConfig
from sam2v.training.distributed import World

_SPARE = 3  # objects read beyond those learnt from, so that some of them touch


def open_source(
    source: SourceConfig, stage: StageConfig, seed: int, device: torch.device, pool: SpritePool | None = None
) -> SyntheticClips | ClipDataset:
    """Clips of one source at a stage's size; `pool` holds the objects that may be pasted into them.

    Raises:
        ValueError: an empty data set, or a source without what its kind needs. FileNotFoundError: no such folder.
    """
    frames = 1 if source.images else stage.frames
    if source.kind == "synthetic":
        return SyntheticClips(synthetic_config(source, stage), source.length, seed, _pictures(source), device)
    low, high = source.strides
    sampler = FrameSampler(frames, (low, high), source.reverse)
    transforms = ClipTransforms(sides_of(stage.image_size), _augment(source, "per_clip"), _augment(source, "per_frame"))
    edits = ClipEdits(source.edits, stage.objects, pool) if source.edits.active else None
    most = stage.objects + (_SPARE if source.edits.union else 0)
    records = open_records(source)
    if source.weights is not None:
        records = records.select(repeated_names(records.names, read_json(user_path(source.weights))))
    return ClipDataset(records, sampler, ObjectSampler(most), transforms, seed, edits)


def _augment(source: SourceConfig, which: str) -> Augment:
    """The random changes of a source's clips. ValueError for an unknown or impossible value."""
    if not source.augment:
        return Augment()
    changes = getattr(source, which)
    try:
        return replace({"per_clip": PER_CLIP, "per_frame": PER_FRAME}[which], **changes)
    except TypeError as error:
        raise ValueError(f"train.sources: {which}={dict(changes)}: {error}") from None


def open_records(source: SourceConfig) -> Any:
    """The records of a data set that take part.

    Raises:
        ValueError: no root folder, or a pattern of names that matches nothing. FileNotFoundError: no such folder.
    """
    if source.root is None:
        raise ValueError(f"train.sources: kind {source.kind!r} needs a root folder")
    return select_records(open_dataset(source.kind, source.root, source.split), source.only, source.without)


def open_pool(sources: Sequence[SourceConfig]) -> SpritePool | None:
    """The objects of all sources that lend theirs; None if none does."""
    lenders = [open_records(source) for source in sources if source.lend and source.kind != "synthetic"]
    return SpritePool(lenders) if lenders else None


def synthetic_config(source: SourceConfig, stage: StageConfig) -> SyntheticConfig:
    """Settings of the clip generator for a source at a stage."""
    names = (
        *("motion", "smallest", "largest", "bodies", "limbs", "clutter", "look_alike", "leaving", "camouflage"),
        "cutouts", "reverse",
    )  # fmt: skip
    shared = {name: getattr(source, name) for name in names}
    height, width = sides_of(stage.image_size)
    return SyntheticConfig(
        height=height,
        width=width,
        frames=1 if source.images else stage.frames,
        max_objects=stage.objects,
        **shared,
    )


def _pictures(source: SourceConfig) -> Any:
    if source.photographs is None:
        if source.regions is not None:
            raise ValueError("train.sources: regions need the photographs that they belong to")
        return None
    from sam2v.data.synthetic.photographs import load_sources

    return load_sources(source.photographs, source.regions)


class StageBatches:
    """Batches of one stage from a step on, on this process's device.

    Args:
        config: the recipe. number: which stage. start: first step within the stage. world: this process.
    """

    def __init__(self, config: TrainConfig, number: int, start: int, world: World) -> None:
        stage = config.stages[number]
        self.repeat, self.start, self.steps, self.world = config.repeat, start, stage.steps, world
        # rendering on a GPU happens in this process; on the CPU it may happen in workers
        device = world.device if world.device.type == "cuda" else torch.device("cpu")
        pool = open_pool(config.sources)
        sources = [
            open_source(s, stage, draw_seed(config.seed, number, k), device, pool) for k, s in enumerate(config.sources)
        ]
        mix = ClipMix(sources)  # type: ignore[arg-type]
        draws = MixedBatches(
            mix.lengths,
            steps=-(-stage.steps // config.repeat),
            batch_size=[stage.batch * s.batch_scale for s in config.sources],
            weights=[s.weight for s in config.sources],
            seed=draw_seed(config.seed, number),
            rank=(world.rank, world.size),
            start=start // config.repeat,
        )
        on_gpu = device.type == "cuda" and any(s.kind == "synthetic" for s in config.sources)
        self.loader: DataLoader[ClipBatch | Exception] = DataLoader(
            _Batches(mix),
            sampler=draws,  # type: ignore[arg-type]
            batch_size=None,
            num_workers=0 if on_gpu else config.workers,
            worker_init_fn=_one_thread,
        )

    def __iter__(self) -> Iterator[ClipBatch]:
        step = self.start
        for found in self.loader:
            if isinstance(found, Exception):
                raise found
            batch = found.to(self.world.device)
            for use in range(step % self.repeat, self.repeat):
                if step >= self.steps:
                    return
                yield mirrored(batch) if use % 2 else batch
                step += 1


class _Batches(Dataset[ClipBatch | Exception]):
    """The batches of a mix by their clips' keys.

    What is wrong with the data comes as the error that names it; to one that is raised, a worker adds its traceback.
    """

    def __init__(self, mix: ClipMix) -> None:
        self.mix = mix

    def __getitem__(self, keys: Sequence[tuple[int, int, int]]) -> ClipBatch | Exception:
        try:
            return collate(self.mix.__getitems__(keys))
        except (ValueError, OSError) as error:
            return error.with_traceback(None)


def mirrored(batch: ClipBatch) -> ClipBatch:
    """The batch with left and right exchanged."""
    return ClipBatch(batch.frames.flip(-1), batch.masks.flip(-1), batch.valid, batch.names)


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)
