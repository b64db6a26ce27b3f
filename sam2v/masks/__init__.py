"""Masks as data: the result type, run-length codes, PNG files, boxes, clean-up and drawing."""

from sam2v.masks.boxes import mask_to_box
from sam2v.masks.components import component_areas, fill_holes, label_components, remove_specks
from sam2v.masks.draw import colour_of, draw_masks
from sam2v.masks.overlap import non_overlapping
from sam2v.masks.png import davis_palette, read_binary, read_label_map, write_binary, write_label_map
from sam2v.masks.result import MaskletFrame, show
from sam2v.masks.rle import decode_rle, encode_rle, rle_area

__all__ = [
    "MaskletFrame",
    "colour_of",
    "component_areas",
    "davis_palette",
    "decode_rle",
    "draw_masks",
    "encode_rle",
    "fill_holes",
    "label_components",
    "mask_to_box",
    "non_overlapping",
    "read_binary",
    "read_label_map",
    "remove_specks",
    "rle_area",
    "show",
    "write_binary",
    "write_label_map",
]
