"""Promptable image segmentation: the network on a single frame, with an empty memory bank (SAM 2 paper, section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sam2v.masks.components import fill_holes, remove_specks
from sam2v.model.network import ImageFeatures, Prediction, Sam2Network
from sam2v.model.prompt_encoder import BOX_END, BOX_START
from sam2v.predict.loading import load_with_options
from sam2v.tracking.prompts import ArrayLike, as_numbers, check_boxes, check_points, to_network, with_padding
from sam2v.video.frames import as_frame
from sam2v.video.preprocess import preprocess

#: Low-resolution logits are clamped to this before they are returned.
_LOGIT_LIMIT = 32.0


class ImageMasks(NamedTuple):
    """Masks of an image; unpacks as (masks, iou, low_res_logits).

    One prompt gives C x H x W, C and C x h x w; B prompts give B x C x H x W, B x C and B x C x h x w. Masks are
    booleans, or float32 logits with ``return_logits``; h = w = a quarter of the network's input size.
    """

    masks: np.ndarray
    iou: np.ndarray
    low_res_logits: np.ndarray


class _Given(NamedTuple):
    """Prompts as the caller gave them."""

    points: ArrayLike | None
    labels: ArrayLike | None
    box: ArrayLike | None
    mask: ArrayLike | None


class _Prompts(NamedTuple):
    """Prompts as the network takes them."""

    coords: Tensor  # B x P x 2 in network pixels
    labels: Tensor  # B x P
    mask: Tensor | None  # B x 1 x h x w logits


class ImagePredictor:
    """Segment objects in images from points, boxes and masks. An image is encoded once and may then be prompted often.

    Args:
        model: a network from :func:`sam2v.load_model`.
        mask_threshold: logit above which a pixel is the object.
        max_hole_area: fill background components of at most this many pixels of the low-resolution mask; 0 fills
            nothing.
        max_sprinkle_area: likewise remove foreground components.
    """

    def __init__(
        self,
        model: Sam2Network,
        mask_threshold: float = 0.0,
        max_hole_area: int = 0,
        max_sprinkle_area: int = 0,
    ) -> None:
        if not isinstance(model, Sam2Network):
            raise TypeError(f"model must come from sam2v.load_model, got {type(model).__name__}")
        self.model = model
        self.mask_threshold = mask_threshold
        self.max_hole_area = max_hole_area
        self.max_sprinkle_area = max_sprinkle_area
        self._features: list[ImageFeatures] = []
        self._sizes: list[tuple[int, int]] = []

    @classmethod
    def from_pretrained(cls, name: str = "sam2v_nano", **options: Any) -> ImagePredictor:
        """Load a model by name and wrap it; takes the options of both :func:`sam2v.load_model` and this class."""
        model, rest = load_with_options(name, options)
        return cls(model, **rest)

    # -- images --------------------------------------------------------------------------------------------------------

    def set_image(self, image: Any) -> None:
        """Encode an image; it replaces the earlier one.

        Args:
            image: PIL image, H x W x 3 uint8 array or 3 x H x W tensor (also grey, RGBA, which loses its alpha,
                16-bit, which is brought to 8 bits, and floats in [0, 1]).

        Raises:
            TypeError, ValueError: not an image, or empty. The earlier image stays set.
        """
        self.set_image_batch([image])

    @torch.no_grad()
    def set_image_batch(self, images: Sequence[Any]) -> None:
        """Encode several images, of any sizes, in one batch; see :meth:`set_image`."""
        if not isinstance(images, list | tuple) or not images:
            raise ValueError("set_image_batch takes a list with at least one image")
        frames = [as_frame(image) for image in images]
        inputs = preprocess(frames, self.model.config.image_size, filter="bilinear")
        features = self.model.encode_image(inputs.to(self.model.device))
        # prompts are decoded in float32, many of them on one image
        features = ImageFeatures(*(level.float() for level in features))
        self._features = [features.select(i) for i in range(len(frames))]
        self._sizes = [(frame.shape[0], frame.shape[1]) for frame in frames]

    def reset_predictor(self) -> None:
        """Forget the images."""
        self._features, self._sizes = [], []

    @property
    def device(self) -> torch.device:
        """Where the network runs."""
        return self.model.device

    @torch.no_grad()
    def get_image_embedding(self) -> Tensor:
        """The image's stride-16 features with the no-memory embedding, 1 x C x S/16 x S/16 (B x ... after a batch)."""
        self._require_image()
        return torch.cat([self.model.without_memory(f) for f in self._features])

    # -- masks ---------------------------------------------------------------------------------------------------------

    def predict(
        self,
        point_coords: ArrayLike | None = None,
        point_labels: ArrayLike | None = None,
        box: ArrayLike | None = None,
        mask_input: ArrayLike | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
        normalize_coords: bool = True,
    ) -> ImageMasks:
        """Masks for a prompt, or for B prompts decoded as one batch.

        Args:
            point_coords: P x 2 or B x P x 2 points (x, y) in pixels of the image.
            point_labels: P or B x P of 1 (object) and 0 (not the object); None means all 1.
            box: 4 or B x 4 (x0, y0, x1, y1) in pixels of the image.
            mask_input: 1 x h x w or B x 1 x h x w logits of an earlier answer (``low_res_logits``) to refine.
            multimask_output: offer three masks, for an ambiguous prompt, instead of one.
            return_logits: return mask logits instead of booleans.
            normalize_coords: True for pixels, False for coordinates in [0, 1].

        Raises:
            RuntimeError: no image is set. ValueError, TypeError: something is wrong with a prompt.
        """
        self._require_image()
        if len(self._sizes) > 1:
            raise RuntimeError("a batch of images is set: use predict_batch")
        given = _Given(point_coords, point_labels, box, mask_input)
        return self._predict(0, given, multimask_output, return_logits, normalize_coords)

    def predict_batch(
        self,
        point_coords_batch: Sequence[ArrayLike | None] | None = None,
        point_labels_batch: Sequence[ArrayLike | None] | None = None,
        box_batch: Sequence[ArrayLike | None] | None = None,
        mask_input_batch: Sequence[ArrayLike | None] | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
        normalize_coords: bool = True,
    ) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
        """Masks for every image of :meth:`set_image_batch`; each argument holds one entry per image, or is None.

        Returns:
            Lists of masks, IoUs and low-resolution logits, one entry per image, as :meth:`predict` returns them.
        """
        self._require_image()
        given = {
            "point_coords_batch": point_coords_batch,
            "point_labels_batch": point_labels_batch,
            "box_batch": box_batch,
            "mask_input_batch": mask_input_batch,
        }
        count = len(self._sizes)
        for name, batch in given.items():
            if batch is not None and len(batch) != count:
                raise ValueError(f"{name} must have one entry per image: {count} expected, got {len(batch)}")
        per_image = zip(*(batch if batch is not None else [None] * count for batch in given.values()), strict=True)
        answers = [
            self._predict(i, _Given(*prompts), multimask_output, return_logits, normalize_coords)
            for i, prompts in enumerate(per_image)
        ]
        return [a.masks for a in answers], [a.iou for a in answers], [a.low_res_logits for a in answers]

    @torch.no_grad()
    def _predict(
        self, index: int, given: _Given, multimask: bool, return_logits: bool, normalize_coords: bool
    ) -> ImageMasks:
        size, side = self._sizes[index], self.model.config.image_size
        prompts = _gather(given, size, side, normalized=not normalize_coords)
        features, device = self._features[index], self.model.device
        coords, marks = prompts.coords.to(device), prompts.labels.to(device)
        if coords.shape[1]:
            coords, marks = with_padding(coords, marks)
        answer = self.model.decode_prompts(
            features,
            self.model.without_memory(features),
            coords,
            marks,
            None if prompts.mask is None else prompts.mask.to(device),
            multimask,
        )
        return self._finish(answer, size, return_logits)

    def _finish(self, answer: Prediction, size: tuple[int, int], return_logits: bool) -> ImageMasks:
        low = answer.masks
        cleaned = low - self.mask_threshold
        if self.max_hole_area:
            cleaned = fill_holes(cleaned, self.max_hole_area, value=10.0)
        if self.max_sprinkle_area:
            cleaned = remove_specks(cleaned, self.max_sprinkle_area, value=-10.0)
        masks = F.interpolate(cleaned + self.mask_threshold, size, mode="bilinear", align_corners=False)
        if not return_logits:
            masks = masks > self.mask_threshold
        parts = (masks, answer.iou, low.clamp(-_LOGIT_LIMIT, _LOGIT_LIMIT))
        return ImageMasks(*(p.squeeze(0).cpu().numpy() if len(p) == 1 else p.cpu().numpy() for p in parts))

    def _require_image(self) -> None:
        if not self._features:
            raise RuntimeError("no image is set: call set_image or set_image_batch first")


def _gather(given: _Given, size: tuple[int, int], image_size: int, normalized: bool) -> _Prompts:
    """Check prompts and stack them: box corners first, then points; B prompts share one B."""
    points, labels, box, mask = given
    if points is None and labels is not None:
        raise ValueError("point_labels were given without point_coords")
    coords, marks = [], []
    if box is not None:
        corners = to_network(check_boxes(box, size, normalized).reshape(-1, 2, 2), size, image_size, normalized)
        coords.append(corners)
        marks.append(torch.tensor([BOX_START, BOX_END]).expand(len(corners), 2))
    if points is not None:
        clicks, kinds = check_points(points, labels, size, normalized)
        if clicks.ndim == 2:
            clicks, kinds = clicks[None], kinds[None]
        if clicks.ndim != 3:
            raise ValueError(f"point_coords must have shape P x 2 or B x P x 2, got {clicks.ndim} dimensions")
        if box is None and mask is None and not (kinds >= 0).any(axis=1).all():
            raise ValueError("give at least one point: point_coords is empty")
        coords.append(to_network(clicks, size, image_size, normalized))
        marks.append(torch.from_numpy(kinds))
    plane = None if mask is None else _mask_logits(mask)
    counts = {len(part) for part in [*coords, *([] if plane is None else [plane])]}
    if not counts:
        raise ValueError("give at least one of point_coords, box and mask_input")
    batch = max(counts)
    if counts - {1, batch}:
        raise ValueError(f"prompts of different numbers cannot be combined: {sorted(counts)}")
    if plane is not None and len(plane) != batch:
        plane = plane.expand(batch, -1, -1, -1)
    if not coords:
        return _Prompts(torch.zeros(batch, 0, 2), torch.zeros(batch, 0, dtype=torch.long), plane)
    joined = torch.cat([c.expand(batch, -1, -1) for c in coords], dim=1)
    return _Prompts(joined, torch.cat([m.expand(batch, -1) for m in marks], dim=1), plane)


def _mask_logits(mask: ArrayLike) -> Tensor:
    logits = torch.from_numpy(as_numbers(mask, "mask_input").astype(np.float32))
    if logits.ndim == 2 or (logits.ndim == 3 and len(logits) == 1):
        logits = logits.reshape(1, 1, *logits.shape[-2:])
    if logits.ndim != 4 or logits.shape[1] != 1 or 0 in logits.shape:
        several = "; choose one of an answer's masks: low_res_logits[iou.argmax()][None]" if logits.ndim == 3 else ""
        shape = " x ".join(map(str, np.shape(mask)))
        raise ValueError(f"mask_input must have shape 1 x h x w or B x 1 x h x w, got {shape}{several}")
    return logits
