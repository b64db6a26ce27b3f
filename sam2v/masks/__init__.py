"""Masks as data: the result type, run-length codes, PNG files, boxes, clean-up and drawing.

Names load on first use, so that reading and writing pictures of masks needs no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sam2v.lazy import lazy_names

# ruff: noqa: F401 - the imports tell type checkers what the names below are
if TYPE_CHECKING:
    from sam2v.masks.boxes import box_prompt, mask_to_box
    from sam2v.masks.components import component_areas, fill_holes, label_components, remove_specks
    from sam2v.masks.draw import colour_of, draw_masks
    from sam2v.masks.overlap import label_map, non_overlapping
    from sam2v.masks.palette import davis_palette
    from sam2v.masks.png import read_binary, read_label_map, read_objects, write_binary, write_label_map
    from sam2v.masks.result import MaskletFrame, show
    from sam2v.masks.rle import decode_rle, encode_rle, rle_area

_MODULES = {
    "boxes": ("box_prompt", "mask_to_box"),
    "components": ("component_areas", "fill_holes", "label_components", "remove_specks"),
    "draw": ("colour_of", "draw_masks"),
    "overlap": ("label_map", "non_overlapping"),
    "palette": ("davis_palette",),
    "png": ("read_binary", "read_label_map", "read_objects", "write_binary", "write_label_map"),
    "result": ("MaskletFrame", "show"),
    "rle": ("decode_rle", "encode_rle", "rle_area"),
}
__getattr__, __dir__, __all__ = lazy_names(__name__, _MODULES)
