"""Training data: clips drawn from records, and mixes of data sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch.utils.data import Dataset

from sam2v.data.clips import Clip
from sam2v.data.records import ImageRecord, VideoRecord
from sam2v.data.samplers import FrameSampler, ObjectSampler, draw_seed
from sam2v.data.transforms import ClipTransforms

_ATTEMPTS = 20


class ClipDataset(Dataset[Clip]):
    """A clip of every record, drawn anew on every pass: frames, then objects, then edits, then transforms.

    Clip (index, number of the pass) depends on the records, the settings and the seed alone.

    Args:
        records: videos, or images, which make clips of one frame; any sequence, e.g. of `open_dataset`.
        frames: a `FrameSampler` or the number of frames T (reversed with probability 0.5).
        objects: an `ObjectSampler` or the largest number of objects M.
        transforms: None = the record's own size, unchanged.
        seed: a whole number; different seeds give different clips.
        edits: changes a clip as it was read, e.g. `sam2v.data.edits.ClipEdits`.

    Raises ValueError for no records.
    """

    def __init__(
        self,
        records: Sequence[VideoRecord] | Sequence[ImageRecord],
        frames: FrameSampler | int = 8,
        objects: ObjectSampler | int = 3,
        transforms: ClipTransforms | None = None,
        seed: int = 0,
        edits: Callable[[Clip, np.random.Generator], Clip] | None = None,
    ) -> None:
        if len(records) == 0:
            raise ValueError("the data set is empty: no record to draw clips from")
        self.records = records
        self.frames = FrameSampler(frames) if isinstance(frames, int) else frames
        self.objects = ObjectSampler(objects) if isinstance(objects, int) else objects
        self.transforms, self.edits = transforms, edits
        self.seed = seed

    def __len__(self) -> int:
        """Number of records."""
        return len(self.records)

    def __getitem__(self, index: int) -> Clip:
        """The clip of a record on pass 0."""
        return self.clip(index)

    def clip(self, index: int, number: int = 0) -> Clip:
        """The clip of record `index` on pass `number`.

        Raises IndexError outside the data set, OSError or ValueError naming the file for one that cannot be read, and
        ValueError naming a video that shows no object anywhere.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"clip {index}: the data set has clips 0 to {len(self) - 1}")
        record = self.records[index]
        video = record.as_video() if isinstance(record, ImageRecord) else record
        rng = np.random.default_rng([self.seed, number, index])
        chosen, objects = self._choose(video, rng)
        clip = read_clip(video, chosen, objects)
        if self.edits is not None:
            clip = self.edits(clip, rng)
        return clip if self.transforms is None else self.transforms(clip, draw_seed(self.seed, number, index))

    def _choose(self, video: VideoRecord, rng: np.random.Generator) -> tuple[list[int], list[int]]:
        if not video.annotated:
            raise ValueError(f"video {video.name}: none of its frames is annotated ({video.source})")
        for _ in range(_ATTEMPTS):
            chosen = self.frames(video.annotated, rng)
            objects = self.objects(video.areas(chosen[0]), rng)
            if objects:
                return chosen, objects
        for place in rng.permutation(len(video.annotated)).tolist():  # objects are rarely there: look for them
            objects = self.objects(video.areas(video.annotated[place]), rng)
            if objects:
                return self.frames.starting_at(place, video.annotated, rng), objects
        raise ValueError(
            f"video {video.name}: no object of at least {self.objects.min_area} pixels on any annotated frame "
            f"({video.annotations.file(video.annotated[0])} and on)"
        )


def read_clip(video: VideoRecord, frames: Sequence[int], objects: Sequence[int]) -> Clip:
    """Frames of a video and masks of the given objects on them, in the given order. Frames must be annotated."""
    pictures = {index: torch.from_numpy(np.array(video.frame(index))) for index in sorted(set(frames))}
    found = {index: video.masks(index, objects) for index in pictures}
    for index, picture in pictures.items():
        if picture.shape[:2] != video.size:
            raise ValueError(
                f"{video.source}: frame {video.frame_names[index]} has {picture.shape[0]} x {picture.shape[1]} pixels, "
                f"the video {video.size[0]} x {video.size[1]}"
            )
    masks = {index: torch.stack([torch.from_numpy(mask[obj]) for obj in objects]) for index, mask in found.items()}
    return Clip(
        frames=torch.stack([pictures[index] for index in frames]).permute(0, 3, 1, 2).contiguous(),
        masks=torch.stack([masks[index] for index in frames]),
        name=f"{video.name}@{video.frame_names[frames[0]]}",
    )


class ClipSource(Protocol):
    """Anything with a length and clips by number: `ClipDataset`, or synthetic clips."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Clip: ...


class ClipMix(Dataset[Clip]):
    """Several sources of clips under one key (source, pass, index), as `MixedBatches` yields them.

    Sources that fetch many clips at once (`__getitems__`) are asked for a batch in one call.
    Raises ValueError for no source.
    """

    def __init__(self, sources: Sequence[ClipSource]) -> None:
        if not sources:
            raise ValueError("a mix needs at least one source of clips")
        self.sources = list(sources)

    @property
    def lengths(self) -> list[int]:
        """Number of clips of every source, for `MixedBatches`."""
        return [len(source) for source in self.sources]

    def __getitem__(self, key: tuple[int, int, int]) -> Clip:
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: Sequence[tuple[int, int, int]]) -> list[Clip]:
        """Clips of several keys, in their order."""
        if len({source for source, _, _ in keys}) == 1:
            fetch = getattr(self.sources[keys[0][0]], "__getitems__", None)
            if fetch is not None:
                return list(fetch([index for _, _, index in keys]))
        return [self._one(*key) for key in keys]

    def _one(self, source: int, number: int, index: int) -> Clip:
        clips = self.sources[source]
        return clips.clip(index, number) if isinstance(clips, ClipDataset) else clips[index]
