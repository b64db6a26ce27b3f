"""The frame that effects work on: its picture, what of it is transparent, and where its objects are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from sam2v.masks.window import Window

#: What an effect acts on: an object's id, all objects together, or what belongs to none.
Target = int | Literal["objects", "background"]


class Canvas:
    """A frame while effects are applied to it, one after the other.

    Attributes:
        picture: H x W x 3 uint8, a copy of the frame.
        alpha: H x W uint8, 0 where it is transparent; None as long as nothing is.
        masks: H x W bool by object id, where the objects are now.

    Args:
        frame: H x W x 3 uint8.
        masks: H x W bool by object id. Neither is changed.

    Raises:
        TypeError: a frame that is not uint8, or a mask that is not bool. ValueError: sizes that do not fit together.
    """

    def __init__(self, frame: np.ndarray, masks: Mapping[int, np.ndarray]) -> None:
        if frame.dtype != np.uint8:
            raise TypeError(f"a frame is uint8, got {frame.dtype}")
        if frame.ndim != 3 or frame.shape[2] != 3:
            raise ValueError(f"a frame is H x W x 3, got shape {frame.shape}")
        for mask in masks.values():
            if mask.dtype != np.bool_:
                raise TypeError(f"a mask is bool, got {mask.dtype}")
            if mask.shape != frame.shape[:2]:
                raise ValueError(f"masks have the frame's size, {frame.shape[:2]} (H x W), got shape {mask.shape}")
        self.picture = frame.copy()
        self.alpha: np.ndarray | None = None
        self.masks = dict(masks)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.picture.shape[0], self.picture.shape[1]

    def mask(self, target: Target) -> np.ndarray:
        """H x W bool, what a target covers; nothing of an object that is not there."""
        if isinstance(target, int):
            known = self.masks.get(target)
            return np.zeros(self.size, bool) if known is None else known
        objects = union(self.masks, self.size)
        return objects if target == "objects" else ~objects

    def keep(self, mask: np.ndarray) -> None:
        """Let everything be transparent but a mask, and what was kept before."""
        kept = np.where(mask, np.uint8(255), np.uint8(0))
        self.alpha = kept if self.alpha is None else np.maximum(self.alpha, kept)

    def paint(self, window: Window, pixels: np.ndarray, cover: np.ndarray) -> None:
        """Lay pixels over a part of the picture.

        Args:
            window: the part. pixels: h x w x 3, or a colour. cover: h x w, 0 to 1 (or bool), how much of them is seen.
        """
        if cover.dtype == np.bool_:
            np.copyto(self.picture[window], to_bytes(pixels), where=cover[..., None])
            if self.alpha is not None:
                self.alpha[window][cover] = 255
            return
        part, weight = self.picture[window], cover[..., None].astype(np.float32)
        below = 1 - weight
        if self.alpha is not None:
            alpha = self.alpha[window]
            below *= alpha[..., None] / np.float32(255)
            seen = np.round(255 * (weight + below)[..., 0]).astype(np.uint8)
            np.copyto(alpha, seen, where=cover > 0)
        mixed = (pixels * weight + part * below) / np.maximum(weight + below, 1e-6)
        np.copyto(part, to_bytes(mixed), where=weight > 0)

    def result(self) -> np.ndarray:
        """H x W x 3 uint8, or H x W x 4 with alpha where something is transparent; transparent pixels are black."""
        if self.alpha is None:
            return self.picture
        shown = np.where(self.alpha[..., None] > 0, self.picture, np.uint8(0))
        return np.concatenate([shown, self.alpha[..., None]], axis=2)


def union(masks: Mapping[int, np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """H x W bool, all objects together."""
    together = np.zeros(size, bool)
    for mask in masks.values():
        together |= mask
    return together


def to_bytes(colours: np.ndarray) -> np.ndarray:
    """The nearest uint8 values."""
    return np.asarray(np.round(colours).clip(0, 255).astype(np.uint8))
