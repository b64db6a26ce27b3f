"""From a recipe's sources to batches: which clips make a step follows from the seed and the step alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader

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
from sam2v.data.clips import Clip, ClipBatch
from sam2v.data.samplers import draw_seed
from sam2v.data.synthetic import SyntheticClips, SyntheticConfig
from sam2v.data.transforms import Augment
from sam2v.training.config import SourceConfig, StageConfig, TrainConfig
from sam2v.training.distributed import World


def open_source(
    source: SourceConfig, stage: StageConfig, seed: int, device: torch.device
) -> SyntheticClips | ClipDataset:
    """Clips of one source at a stage's size.

    Raises:
        ValueError: an empty data set, or a source without what its kind needs. FileNotFoundError: no such folder.
    """
    frames = 1 if source.images else stage.frames
    if source.kind == "synthetic":
        return SyntheticClips(synthetic_config(source, stage), source.length, seed, _pictures(source), device)
    if source.root is None:
        raise ValueError(f"train.sources: kind {source.kind!r} needs a root folder")
    records: Any = open_dataset(source.kind, source.root, source.split)
    low, high = source.strides
    sampler = FrameSampler(frames, (low, high), source.reverse)
    plain = Augment()
    transforms = ClipTransforms(stage.image_size) if source.augment else ClipTransforms(stage.image_size, plain, plain)
    return ClipDataset(records, sampler, ObjectSampler(stage.objects), transforms, seed)


def synthetic_config(source: SourceConfig, stage: StageConfig) -> SyntheticConfig:
    """Settings of the clip generator for a source at a stage."""
    names = (
        *("motion", "smallest", "largest", "bodies", "limbs", "clutter", "look_alike", "leaving", "camouflage"),
        "cutouts", "reverse",
    )  # fmt: skip
    shared = {name: getattr(source, name) for name in names}
    return SyntheticConfig(
        height=stage.image_size,
        width=stage.image_size,
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
        sources = [
            open_source(s, stage, draw_seed(config.seed, number, k), device) for k, s in enumerate(config.sources)
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
        self.loader: DataLoader[Clip] = DataLoader(
            mix,
            batch_sampler=draws,  # type: ignore[arg-type]
            num_workers=0 if on_gpu else config.workers,
            collate_fn=collate,  # type: ignore[arg-type]
            worker_init_fn=_one_thread,
        )

    def __iter__(self) -> Iterator[ClipBatch]:
        step = self.start
        for batch in self.loader:
            batch = batch.to(self.world.device)  # type: ignore[attr-defined]
            for use in range(step % self.repeat, self.repeat):
                if step >= self.steps:
                    return
                yield mirrored(batch) if use % 2 else batch
                step += 1


def mirrored(batch: ClipBatch) -> ClipBatch:
    """The batch with left and right exchanged."""
    return ClipBatch(batch.frames.flip(-1), batch.masks.flip(-1), batch.valid, batch.names)


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)
