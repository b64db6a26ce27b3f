"""mIoU of single images: predictions of any method, as one label map per image."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sam2v.evaluation.folders import png_stems
from sam2v.evaluation.metrics import region_similarity
from sam2v.files import user_path, write_text
from sam2v.masks.grey import is_mask, is_white, objects_in, one_object, present, void_pixels
from sam2v.masks.png import read_label_map


@dataclass(frozen=True)
class ImageScores:
    """IoU of every annotated object: image name, then object number (1 for a 0 / 255 picture), fractions."""

    images: Mapping[str, Mapping[int, float]]

    @property
    def mean(self) -> float:
        """Mean IoU over all objects of all images."""
        values = [iou for objects in self.images.values() for iou in objects.values()]
        return sum(values) / len(values)

    def to_dict(self) -> dict[str, Any]:
        """{"mIoU": ..., "images": {name: {object: iou}}}."""
        images = {name: {str(k): v for k, v in objects.items()} for name, objects in self.images.items()}
        return {"mIoU": self.mean, "images": images}

    def write_json(self, path: str | Path) -> None:
        """Write `to_dict()`."""
        write_text(user_path(path), json.dumps(self.to_dict(), indent=1) + "\n")


def evaluate_images(pred: str | Path, gt: str | Path) -> ImageScores:
    """IoU of every object of GT/NAME.png, from PRED/NAME.png; pixel value = object number, 255 = void, or 0 /
    255.

    Raises:
        OSError: folder or file missing or unreadable.
        ValueError: sizes differ, or no annotation holds an object.
    """
    pred, gt = user_path(pred), user_path(gt)
    for folder in (pred, gt):
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder}: no such folder")
    images = {stem: _image(pred / f"{stem}.png", gt / f"{stem}.png") for stem in png_stems(gt)}
    if not any(images.values()):
        raise ValueError(f"{gt}: holds no PNG file with an object")
    return ImageScores(images)


def _image(pred_file: Path, gt_file: Path) -> dict[int, float]:
    gt, pred = read_label_map(gt_file), read_label_map(pred_file)
    if gt.shape != pred.shape:
        raise ValueError(f"{pred_file} is {pred.shape} but {gt_file} is {gt.shape} (height, width)")
    if is_mask(gt):
        return {1: region_similarity(one_object(pred), one_object(gt))}
    void, objects = void_pixels(gt), objects_in(gt)
    if is_white(present(pred), objects):
        return {objects[0]: region_similarity(pred, gt == objects[0], void)}
    return {label: region_similarity(pred == label, gt == label, void) for label in objects}
