"""Data sets as records, and clips for training.

Names load on first use, so that reading masks needs no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sam2v.lazy import lazy_names

# ruff: noqa: F401 - the imports tell type checkers what the names below are
if TYPE_CHECKING:
    from sam2v.data.clips import Clip, ClipBatch, collate
    from sam2v.data.dataset import ClipDataset, ClipMix, read_clip
    from sam2v.data.readers import (
        DATASETS,
        davis,
        folder_pair,
        lvos,
        mose,
        open_dataset,
        project,
        sa1b,
        sav,
        youtube_vos,
    )
    from sam2v.data.records import ImageRecord, Records, VideoRecord
    from sam2v.data.samplers import FrameSampler, MixedBatches, ObjectSampler, draw_seed
    from sam2v.data.transforms import PER_CLIP, PER_FRAME, Augment, ClipTransforms

_MODULES = {
    "clips": ("Clip", "ClipBatch", "collate"),
    "dataset": ("ClipDataset", "ClipMix", "read_clip"),
    "readers": (
        *("DATASETS", "davis", "folder_pair", "lvos", "mose", "open_dataset", "project", "sa1b", "sav", "youtube_vos"),
    ),
    "records": ("ImageRecord", "Records", "VideoRecord"),
    "samplers": ("FrameSampler", "MixedBatches", "ObjectSampler", "draw_seed"),
    "transforms": ("PER_CLIP", "PER_FRAME", "Augment", "ClipTransforms"),
}
__getattr__, __dir__, __all__ = lazy_names(__name__, _MODULES)
