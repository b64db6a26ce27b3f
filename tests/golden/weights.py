"""Weights made from parameter names and shapes alone, as the golden fixtures were recorded with.

Every entry is drawn on its own from a Philox generator keyed by the CRC-32 of salt + name, so neither the order of the
entries nor a file matters. The scales below keep a deep random network's outputs in a useful range.
"""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch

_MANIFESTS = Path(__file__).with_name("manifests.json.gz")
_LEARNED = ("embed", "token", "tpos_enc", "no_obj_ptr", "no_mem_pos_enc")
_LOUDER = {  # last layers whose outputs should take both signs
    "q_proj.weight": 1.5,
    "k_proj.weight": 1.5,
    "pred_obj_score_head.layers.2.weight": 4.0,
    "iou_prediction_head.layers.2.weight": 2.0,
    "obj_ptr_proj.layers.2.weight": 3.0,
    "obj_ptr_tpos_proj.weight": 4.0,
}


@cache
def manifests() -> dict[str, dict[str, list[int]]]:
    """State-dict name -> shape of the eight released configurations."""
    return json.loads(gzip.decompress(_MANIFESTS.read_bytes()))


def weights_by_rule(shapes: Mapping[str, Sequence[int]], salt: str = "") -> dict[str, torch.Tensor]:
    """A float32 state dict for any names and shapes."""
    return {name: torch.from_numpy(_entry(name, tuple(shape), salt)) for name, shape in shapes.items()}


def _entry(name: str, shape: tuple[int, ...], salt: str) -> np.ndarray:
    generator = np.random.Generator(np.random.Philox(key=zlib.crc32(f"{salt}{name}".encode())))
    mean, scale = _distribution(name, shape)
    return (mean + scale * generator.standard_normal(math.prod(shape)).reshape(shape)).astype(np.float32)


def _distribution(name: str, shape: tuple[int, ...]) -> tuple[float, float]:
    """Mean and standard deviation of an entry."""
    leaf = name.rpartition(".")[2]
    if leaf == "positional_encoding_gaussian_matrix":
        return 0.0, 1.0
    if _is_learned_vector(name):
        return 0.0, 0.5
    if leaf == "gamma":
        return 0.5, 0.1
    if leaf == "weight" and len(shape) == 1:
        return 1.0, 0.1
    if leaf == "bias":
        return float(name == "sam_mask_decoder.pred_obj_score_head.layers.2.bias"), 0.05
    return 0.0, _gain(name) / math.sqrt(math.prod(shape[1:]))


def _is_learned_vector(name: str) -> bool:
    """Embeddings and tokens; the attention layers called ..._token_to_image are not meant."""
    bare = name.replace("_token_to_image", "").replace("_image_to_token", "")
    return "patch_embed." not in name and any(part in bare for part in _LEARNED)


def _gain(name: str) -> float:
    if "output_hypernetworks_mlps." in name and name.endswith("layers.2.weight"):
        return 4.0
    return next((gain for ending, gain in _LOUDER.items() if name.endswith(ending)), 1.0)
