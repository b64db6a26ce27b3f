"""Data sets as records, and clips for training."""

from sam2v.data.clips import Clip, ClipBatch, collate
from sam2v.data.dataset import ClipDataset, ClipMix, read_clip
from sam2v.data.readers import DATASETS, davis, folder_pair, lvos, mose, open_dataset, sa1b, sav, youtube_vos
from sam2v.data.records import ImageRecord, Records, VideoRecord
from sam2v.data.samplers import FrameSampler, MixedBatches, ObjectSampler, draw_seed
from sam2v.data.transforms import PER_CLIP, PER_FRAME, Augment, ClipTransforms

__all__ = [
    "DATASETS",
    "PER_CLIP",
    "PER_FRAME",
    "Augment",
    "Clip",
    "ClipBatch",
    "ClipDataset",
    "ClipMix",
    "ClipTransforms",
    "FrameSampler",
    "ImageRecord",
    "MixedBatches",
    "ObjectSampler",
    "Records",
    "VideoRecord",
    "collate",
    "davis",
    "draw_seed",
    "folder_pair",
    "lvos",
    "mose",
    "open_dataset",
    "read_clip",
    "sa1b",
    "sav",
    "youtube_vos",
]
