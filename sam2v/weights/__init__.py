"""Weights: files, names of other layouts, downloads, and loading a model by name."""

from sam2v.weights.files import read_checkpoint, read_metadata, write_checkpoint
from sam2v.weights.identify import fitting_configs
from sam2v.weights.load import list_models, load_model, save_checkpoint
from sam2v.weights.released import RELEASED, cache_dir

__all__ = [
    "RELEASED",
    "cache_dir",
    "fitting_configs",
    "list_models",
    "load_model",
    "read_checkpoint",
    "read_metadata",
    "save_checkpoint",
    "write_checkpoint",
]
