"""Promptable image segmentation: the network on a single frame, with an empty memory bank (SAM 2 paper, section 4)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from sam2v.arrays import Array, Device, clamp, floats, namespace, on_device, to_numpy
from sam2v.backends.batched import BatchedCalls
from sam2v.masks.logits import Finish
from sam2v.masks.result import MaskletFrame
from sam2v.model.values import ImageFeatures, Prediction, Prompts, Wanted
from sam2v.predict.image_prompts import ImagePrompts, checked_prompts
from sam2v.predict.loading import calls_of, load_with_options
from sam2v.tracking.prompts import ArrayLike
from sam2v.video.fit import fit_photograph
from sam2v.video.frames import as_frame

if TYPE_CHECKING:
    from sam2v.model.network import Sam2Network

#: Low-resolution logits are clamped to this before they are returned.
_LOGIT_LIMIT = 32.0


@dataclass(frozen=True, eq=False)
class ImageEmbedding:
    """An encoded image, as a value: any number of threads may prompt it at once.

    Attributes:
        features: the network's, batch 1, float32.
        size: (height, width) of the image in pixels.
    """

    features: ImageFeatures
    size: tuple[int, int]


class ImageMasks:
    """Masks of an image; unpacks as (masks, iou, low_res_logits).

    One prompt gives C x H x W, C and C x h x w; B prompts give B x C x H x W, B x C and B x C x h x w. Masks are
    booleans, or float32 logits with `return_logits`; h = w = a quarter of the network's input size.

    Attributes:
        result: the same candidates as objects 1 to B * C of a frame, with boxes, run lengths, overlay and whatever else
            a `MaskletFrame` offers. Its logits are less the threshold.

    Args:
        answer: the network's, of B prompts with C candidates each.
        size: (height, width) of the image. finish: what is done to the logits. return_logits: whether masks are logits.
    """

    def __init__(self, answer: Prediction, size: tuple[int, int], finish: Finish, return_logits: bool = False) -> None:
        self._logits, self._iou, self._finish, self._return_logits = answer.masks, answer.iou, finish, return_logits
        xp, count = namespace(answer.masks), answer.iou.shape[0] * answer.iou.shape[1]
        rows = xp.reshape(answer.masks, (count, 1, *answer.masks.shape[2:]))
        score = xp.reshape(xp.broadcast_to(answer.object_score, answer.iou.shape), (-1,))
        iou = xp.reshape(answer.iou, (-1,))
        self.result = MaskletFrame.from_low_res(0, range(1, count + 1), rows, iou, score, size, finish)

    @cached_property
    def masks(self) -> np.ndarray:
        """Masks at the image's size."""
        result = self.result
        return self._shaped(result.to_numpy() + self._finish.threshold if self._return_logits else result.binary())

    @cached_property
    def iou(self) -> np.ndarray:
        """Predicted IoU of every mask."""
        return self._shaped(to_numpy(self.result.iou))

    @cached_property
    def low_res_logits(self) -> np.ndarray:
        """Low-resolution logits, to be given back as `mask_input`."""
        logits = to_numpy(clamp(self._logits, -_LOGIT_LIMIT, _LOGIT_LIMIT))
        return self._shaped(logits.reshape(-1, *logits.shape[2:]))

    def _shaped(self, rows: np.ndarray) -> np.ndarray:
        """Rows of all candidates as B x C x ..., or C x ... of a single prompt."""
        shaped = rows.reshape(*self._iou.shape, *rows.shape[1:])
        return shaped[0] if len(shaped) == 1 else shaped

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter((self.masks, self.iou, self.low_res_logits))

    def __len__(self) -> int:
        """As the tuple (masks, iou, low_res_logits)."""
        return 3

    def __getitem__(self, item: int) -> np.ndarray:
        """As the tuple (masks, iou, low_res_logits)."""
        return (self.masks, self.iou, self.low_res_logits)[item]


class ImagePredictor:
    """Segment objects in images from points, boxes and masks. An image is encoded once and may then be prompted often.

    The image that was set last is kept here, as in the reference; `embed` gives it as a value instead, which several
    threads may use.

    Args:
        model: a network from `sam2v.load_model`, or what `sam2v.compile_network` makes of one.
        mask_threshold: logit above which a pixel is the object.
        max_hole_area: fill background components of at most this many pixels of the low-resolution mask; 0 fills
            nothing.
        max_sprinkle_area: likewise remove foreground components.
    """

    def __init__(
        self,
        model: Sam2Network | BatchedCalls,
        mask_threshold: float = 0.0,
        max_hole_area: int = 0,
        max_sprinkle_area: int = 0,
    ) -> None:
        self._backend = calls_of(model)
        self.model = self._backend.model
        self.mask_threshold = mask_threshold
        self.max_hole_area = max_hole_area
        self.max_sprinkle_area = max_sprinkle_area
        self._images: list[ImageEmbedding] = []

    @classmethod
    def from_pretrained(cls, name: str = "sam2v_nano", **options: Any) -> ImagePredictor:
        """Load a model by name and wrap it; takes the options of both `sam2v.load_model` and this class."""
        model, rest = load_with_options(cls, name, options)
        return cls(model, **rest)

    # -- images --------------------------------------------------------------------------------------------------------

    def embed(self, image: Any) -> ImageEmbedding:
        """Encode an image and keep nothing of it.

        Args:
            image: PIL image, H x W x 3 uint8 array or 3 x H x W tensor (also grey, RGBA, which loses its alpha,
                16-bit, which is brought to 8 bits, and floats in [0, 1]).

        Raises:
            TypeError, ValueError: not an image, or empty.
        """
        return self.embed_batch([image])[0]

    def embed_batch(self, images: Sequence[Any]) -> list[ImageEmbedding]:
        """Encode several images, of any sizes, in one batch; see `embed`."""
        frames = [as_frame(image) for image in images]
        inputs = [fit_photograph(frame, self._backend.config.input_size, self.device) for frame in frames]
        features = self._backend.encode_image(namespace(*inputs).stack(inputs))
        # prompts are decoded in float32, many of them on one image
        features = ImageFeatures(*map(floats, features))
        sizes = [(frame.shape[0], frame.shape[1]) for frame in frames]
        return [ImageEmbedding(features.select(i), size) for i, size in enumerate(sizes)]

    def set_image(self, image: Any) -> None:
        """Encode an image; it replaces the earlier one. See `embed`; on an error the earlier image stays set."""
        self.set_image_batch([image])

    def set_image_batch(self, images: Sequence[Any]) -> None:
        """Encode several images, of any sizes, in one batch; see `set_image`."""
        if not isinstance(images, list | tuple) or not images:
            raise ValueError("set_image_batch takes a list with at least one image")
        self._images = self.embed_batch(images)

    def reset_predictor(self) -> None:
        """Forget the images."""
        self._images = []

    @property
    def device(self) -> Device:
        """Where the network's arrays are: a `torch.device`, or "cpu" for NumPy's."""
        return self._backend.device

    def get_image_embedding(self) -> Array:
        """The image's stride-16 features with the no-memory embedding, 1 x C x S/16 x S/16 (B x ... after a batch)."""
        found = [self._backend.without_memory(image.features) for image in self._set_images()]
        return namespace(*found).concat(found)

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
        embedding: ImageEmbedding | None = None,
    ) -> ImageMasks:
        """Masks for a prompt, or for B prompts decoded as one batch.

        Args:
            point_coords: P x 2 or B x P x 2 points (x, y) in pixels of the image.
            point_labels: P or B x P of 1 (object) and 0 (not the object); None means all 1.
            box: 4 or B x 4 (x0, y0, x1, y1) in pixels of the image.
            mask_input: 1 x h x w or B x 1 x h x w logits of an earlier answer (`low_res_logits`) to refine.
            multimask_output: offer three masks, for an ambiguous prompt, instead of one.
            return_logits: return mask logits instead of booleans.
            normalize_coords: True for pixels, False for coordinates in [0, 1].
            embedding: the image, from `embed`; None takes the one that was set.

        Raises:
            RuntimeError: no image is set. ValueError, TypeError: something is wrong with a prompt.
        """
        if embedding is None:
            images = self._set_images()
            if len(images) > 1:
                raise RuntimeError("a batch of images is set: use predict_batch")
            embedding = images[0]
        given = ImagePrompts(point_coords, point_labels, box, mask_input)
        return self._predict(embedding, given, multimask_output, return_logits, normalize_coords)

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
        """Masks for every image of `set_image_batch`; each argument holds one entry per image, or is None.

        Returns:
            Lists of masks, IoUs and low-resolution logits, one entry per image, as `predict` returns them.
        """
        images = self._set_images()
        given = {
            "point_coords_batch": point_coords_batch,
            "point_labels_batch": point_labels_batch,
            "box_batch": box_batch,
            "mask_input_batch": mask_input_batch,
        }
        for name, batch in given.items():
            if batch is not None and len(batch) != len(images):
                raise ValueError(f"{name} must have one entry per image: {len(images)} expected, got {len(batch)}")
        columns = (batch if batch is not None else [None] * len(images) for batch in given.values())
        answers = [
            self._predict(image, ImagePrompts(*prompts), multimask_output, return_logits, normalize_coords)
            for image, prompts in zip(images, zip(*columns, strict=True), strict=True)
        ]
        return [a.masks for a in answers], [a.iou for a in answers], [a.low_res_logits for a in answers]

    def decode(self, embedding: ImageEmbedding, prompts: Prompts, multimask: bool = True) -> Prediction:
        """The network's answer to prompts that are on its device and in its coordinates, as it is: B x M logits at low
        resolution, predicted IoUs, object scores and pointers, on the device."""
        features = embedding.features
        return self._backend.decode_prompts(
            features, self._backend.without_memory(features), prompts, Wanted(multimask)
        )

    def _predict(
        self,
        embedding: ImageEmbedding,
        given: ImagePrompts,
        multimask: bool,
        return_logits: bool,
        normalize_coords: bool,
    ) -> ImageMasks:
        prompts = checked_prompts(given, embedding.size, self._backend.config.input_size, not normalize_coords)
        there = Prompts(*(None if part is None else on_device(part, self.device) for part in prompts))
        answer = self.decode(embedding, there, multimask)
        finish = Finish(self.max_hole_area, self.max_sprinkle_area, False, self.mask_threshold, 10.0, -10.0)
        return ImageMasks(answer, embedding.size, finish, return_logits)

    def _set_images(self) -> list[ImageEmbedding]:
        if not self._images:
            raise RuntimeError("no image is set: call set_image or set_image_batch first")
        return self._images
