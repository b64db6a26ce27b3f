"""Parameter names of other layouts.

sam2v's own parameter names are those of the released checkpoints. The transformers port (`Sam2Model`,
`Sam2VideoModel`) has others. Each pair below is (released, transformers) and serves both directions: a name is the
longest matching prefix of `_SCOPES` and a rest, in which at most one of that prefix's parts stands, between dots.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from sam2v.weights.caller import warn_caller

_Pairs = tuple[tuple[str, str], ...]

_NORMS: _Pairs = tuple((f"norm{i}", f"layer_norm{i}") for i in ("", 1, 2, 3, 4)) + (
    ("norm_final_attn", "layer_norm_final_attn"),
)
_MLP2: _Pairs = (("mlp.layers.0", "mlp.proj_in"), ("mlp.layers.1", "mlp.proj_out"))
_MLP3: _Pairs = (("layers.0", "proj_in"), ("layers.1", "layers.0"), ("layers.2", "proj_out"))
_ATTENTION: _Pairs = (("out_proj", "o_proj"),)

_SCOPES: dict[tuple[str, str], _Pairs] = {
    ("image_encoder.trunk.", "vision_encoder.backbone."): (
        (("patch_embed.proj", "patch_embed.projection"),) + _NORMS + _MLP2
    ),
    ("image_encoder.neck.convs.", "vision_encoder.neck.convs."): tuple((f"{i}.conv", f"{i}") for i in range(4)),
    ("sam_prompt_encoder.", "prompt_encoder."): (),
    ("sam_prompt_encoder.mask_downscaling.", "prompt_encoder.mask_embed."): (
        ("0", "conv1"),
        ("1", "layer_norm1"),
        ("3", "conv2"),
        ("4", "layer_norm2"),
        ("6", "conv3"),
    ),
    ("sam_mask_decoder.", "mask_decoder."): (),
    ("sam_mask_decoder.transformer.", "mask_decoder.transformer."): _NORMS + _MLP2 + _ATTENTION,
    ("sam_mask_decoder.output_upscaling.0.", "mask_decoder.upscale_conv1."): (),
    ("sam_mask_decoder.output_upscaling.1.", "mask_decoder.upscale_layer_norm."): (),
    ("sam_mask_decoder.output_upscaling.3.", "mask_decoder.upscale_conv2."): (),
    **{
        (f"sam_{head}.", f"{head}."): _MLP3
        for head in (
            "mask_decoder.output_hypernetworks_mlps",
            "mask_decoder.iou_prediction_head",
            "mask_decoder.pred_obj_score_head",
        )
    },
    ("memory_attention.", "memory_attention."): _NORMS + _ATTENTION,
    ("memory_encoder.pix_feat_proj.", "memory_encoder.feature_projection."): (),
    ("memory_encoder.out_proj.", "memory_encoder.projection."): (),
    ("memory_encoder.mask_downsampler.encoder.", "memory_encoder.mask_downsampler."): (
        *((f"{3 * i}", f"layers.{i}.conv") for i in range(4)),
        *((f"{3 * i + 1}", f"layers.{i}.layer_norm") for i in range(4)),
        ("12", "final_conv"),
    ),
    ("memory_encoder.fuser.", "memory_encoder.memory_fuser."): (
        ("norm", "layer_norm"),
        ("gamma", "scale"),
        ("dwconv", "depthwise_conv"),
        ("pwconv1", "pointwise_conv1"),
        ("pwconv2", "pointwise_conv2"),
    ),
    ("obj_ptr_proj.", "object_pointer_proj."): _MLP3,
    ("obj_ptr_tpos_proj.", "temporal_positional_encoding_projection_layer."): (),
    ("mask_downsample.", "mask_downsample."): (),
    ("maskmem_tpos_enc", "memory_temporal_positional_encoding"): (),
    ("no_mem_embed", "no_memory_embedding"): (),
    ("no_mem_pos_enc", "no_memory_positional_encoding"): (),
    ("no_obj_ptr", "no_object_pointer"): (),
    ("no_obj_embed_spatial", "occlusion_spatial_embedding_parameter"): (),
}

_FOURIER = "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
_FOURIER_COPIES = (
    "prompt_encoder.shared_embedding.positional_embedding",
    "shared_image_embedding.positional_embedding",
)
_POINTS = tuple(f"sam_prompt_encoder.point_embeddings.{i}.weight" for i in range(4))
_POINTS_STACKED = "prompt_encoder.point_embed.weight"
_MARKS = {"transformers": ("vision_encoder.", "shared_image_embedding."), "released": ("image_encoder.",)}
#: Beginnings of names by which the layouts are recognised.
MARKS = tuple(mark for marks in _MARKS.values() for mark in marks)

#: Modules that tracking needs and a single image does not; Sam2Model of transformers has none of them.
MEMORY_PREFIXES = (
    "maskmem_tpos_enc",
    "memory_attention.",
    "memory_encoder.",
    "mask_downsample.",
    "no_mem_pos_enc",
    "no_obj_ptr",
    "no_obj_embed_spatial",
    "obj_ptr_proj.",
    "obj_ptr_tpos_proj.",
)


def detect_layout(names: Mapping[str, object]) -> str:
    """`"released"`, `"transformers"` or, for a dictionary that looks like neither, `"unknown"`."""
    for layout, prefixes in _MARKS.items():
        if any(name.startswith(prefixes) for name in names):
            return layout
    return "unknown"


def from_transformers(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the entries of a transformers state dict to the released names; unknown names are kept for the loader.

    The port keeps the Fourier matrix of positions twice, for points and for the image grid. Where they differ, as in a
    model that was never trained, the points' copy is taken and a warning says so.

    Raises:
        ValueError: the point embeddings are not 4 x C.
    """
    rename = _renamer(transformers=False)
    out: dict[str, Tensor] = {}
    copies = [state_dict[name] for name in _FOURIER_COPIES if name in state_dict]
    if len(copies) == 2 and not torch.equal(*copies):
        warn_caller(f"{' and '.join(_FOURIER_COPIES)} differ; the first is used for both")
    for name, value in state_dict.items():
        if name in _FOURIER_COPIES:
            out[_FOURIER] = copies[0]
        elif name == _POINTS_STACKED:
            if value.ndim != 2 or len(value) != len(_POINTS):
                raise ValueError(f"{name} must be {len(_POINTS)} x C, not {' x '.join(map(str, value.shape))}")
            out.update(zip(_POINTS, value[:, None]))
        else:
            out[rename(name)] = value
    return out


def to_transformers(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename released entries to those of transformers' `Sam2VideoModel`.

    Raises:
        KeyError: a point embedding is missing.
    """
    rename = _renamer(transformers=True)
    out: dict[str, Tensor] = {}
    for name, value in state_dict.items():
        if name == _FOURIER:
            out.update(dict.fromkeys(_FOURIER_COPIES, value))
        elif name == _POINTS[0]:
            out[_POINTS_STACKED] = torch.cat([state_dict[point] for point in _POINTS])
        elif name not in _POINTS:
            out[rename(name)] = value
    return out


def is_image_only(missing: set[str], expected: set[str]) -> bool:
    """Whether the names missing from a checkpoint are just the modules that tracking needs."""
    return missing == {name for name in expected if name.startswith(MEMORY_PREFIXES)}


def _renamer(transformers: bool) -> Callable[[str], str]:
    """A function that renames one entry, to transformers' names or from them."""
    old, new = (0, 1) if transformers else (1, 0)
    scopes = sorted(_SCOPES.items(), key=lambda item: len(item[0][old]), reverse=True)

    def rename(name: str) -> str:
        for prefixes, parts in scopes:
            if name.startswith(prefixes[old]):
                rest = f".{name[len(prefixes[old]) :]}."
                for part in parts:
                    if f".{part[old]}." in rest:
                        rest = rest.replace(f".{part[old]}.", f".{part[new]}.", 1)
                        break
                return prefixes[new] + rest[1:-1]
        return name

    return rename
