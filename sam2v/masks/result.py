"""The one result type: the masks of a frame, with their ids and scores, and what they can be turned into."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from sam2v.arrays import Array, Device, device_of, floats, is_on_host, is_torch_array, on_device, to_numpy
from sam2v.masks.boxes import mask_to_box
from sam2v.masks.brought import BroughtMasks, packed_masks
from sam2v.masks.crops import MaskCrop, crop_bits, crop_mask
from sam2v.masks.draw import draw_crops, to_image
from sam2v.masks.logits import Finish, packed
from sam2v.masks.overlap import paint_labels
from sam2v.masks.rle import encode_crop

if TYPE_CHECKING:
    from PIL import Image


class MaskletFrame:
    """The masks of one frame. Unpacks as `frame_idx, obj_ids, masks = result`.

    Made by the predictors from low-resolution logits, it costs what those cost until masks are asked for; they are then
    cleaned, enlarged to the frame's size and kept with the result. To keep many results, keep what is small:
    `packed()`, `to_coco_rle()` or `low_res`.

    Where an accelerator made them, the host is brought bits and scores, an eighth of a byte a pixel, in one download.

    Args:
        frame_idx: number of the frame, from 0.
        obj_ids: N object ids; everything else is in this order.
        masks: N x 1 x H x W float mask logits at the frame's size; > 0 is object.
        iou: N predicted IoU of each mask with the object, about 0 to 1.
        object_score: N logits of the object's presence; > 0 is present.
        frame: H x W x 3 uint8 RGB, the picture itself where it is at hand, for drawing.
    """

    def __init__(
        self,
        frame_idx: int,
        obj_ids: Sequence[int],
        masks: Array,
        iou: Array,
        object_score: Array,
        frame: np.ndarray | None = None,
    ) -> None:
        self.frame_idx, self.obj_ids = frame_idx, list(obj_ids)
        self.iou, self.object_score, self.frame = iou, object_score, frame
        self.size: tuple[int, int] = (masks.shape[-2], masks.shape[-1])
        self._raw, self._finish = masks, Finish()
        self._whole: tuple[MaskletFrame, np.ndarray] | None = None  # the result that this is some rows of
        self.__dict__["masks"] = self.__dict__["low_res"] = masks

    @classmethod
    def from_low_res(
        cls,
        frame_idx: int,
        obj_ids: Sequence[int],
        low_res: Array,
        iou: Array,
        object_score: Array,
        size: tuple[int, int],
        finish: Finish | None = None,
    ) -> MaskletFrame:
        """A result of low-resolution logits.

        Args:
            low_res: N x 1 x h x w float logits, as the network gives them.
            size: (height, width) of the frame.
            finish: what is done to them when masks are asked for; the others as for the class itself.
        """
        made = cls(frame_idx, obj_ids, low_res, iou, object_score)
        made.size, made._finish = size, finish or Finish()
        del made.__dict__["masks"], made.__dict__["low_res"]
        return made

    @property
    def device(self) -> Device:
        """Where the masks are made: "cpu" for NumPy's arrays, a `torch.device` for tensors."""
        return device_of(self._raw)

    @cached_property
    def low_res(self) -> Array:
        """N x 1 x h x w float logits before they are enlarged, small holes and specks gone."""
        return self._finish.clean(self._raw)

    @cached_property
    def masks(self) -> Array:
        """N x 1 x H x W float mask logits at the frame's size; > 0 is object."""
        if self._whole is not None:
            result, rows = self._whole
            return result.masks[on_device(rows, device_of(result.masks))]
        return self._finish.enlarge(self.low_res, self.size)

    def download(self) -> None:
        """Start to bring masks and scores to the host, while it goes on: who looks at them later waits less.

        Nothing is done where they are there already. The predictors do it with results of CUDA.
        """
        if not is_on_host(self._raw):
            self._brought  # noqa: B018 - made when it is looked at

    @cached_property
    def _brought(self) -> BroughtMasks:
        if self._whole is not None:
            bits = packed(self.masks[:, 0] > 0)
        else:
            bits = packed_masks(self.low_res, self._finish, self.size)
        return BroughtMasks(bits, self.size, self.iou, self.object_score)

    @cached_property
    def crops(self) -> list[MaskCrop | None]:
        """What each object covers, None where that is nothing; objects are enlarged one by one, and not kept whole."""
        if not is_on_host(self._raw):
            return [crop_bits(bits, self.size) for bits in self._brought.bits]
        if self._finish.non_overlap or "masks" in self.__dict__:
            return [crop_mask(mask[0]) for mask in self.masks]
        return [crop_mask(self._finish.enlarge(row[None], self.size)[0, 0]) for row in self.low_res]

    @cached_property
    def _binary(self) -> np.ndarray:
        masks = np.zeros((len(self.obj_ids), *self.size), bool)
        for mask, crop in zip(masks, self.crops, strict=True):
            if crop is not None:
                mask[crop.window] = crop.mask
        return masks

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_brought"}

    def __iter__(self) -> Iterator[Any]:
        return iter((self.frame_idx, self.obj_ids, self.masks))

    def __len__(self) -> int:
        """As the tuple (frame_idx, obj_ids, masks)."""
        return 3

    def __getitem__(self, item: int) -> Any:
        """As the tuple (frame_idx, obj_ids, masks)."""
        return (self.frame_idx, self.obj_ids, self.masks)[item]

    def with_frame(self, frame: Any) -> MaskletFrame:
        """The same result with a picture to draw on: an array, tensor or PIL image of the masks' size, or None."""
        frame = None if frame is None else _picture(frame)
        if frame is not None and frame.shape != (*self.size, 3):
            raise ValueError(f"frame must be {self.size[0]} x {self.size[1]} x 3, got shape {frame.shape}")
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__, frame=frame)
        return made

    def select(self, obj_ids: Sequence[int]) -> MaskletFrame:
        """The same result with only some of the objects, in the order given.

        Raises:
            KeyError: an object that is not part of it; the known ids are listed.
        """
        rows = {obj_id: row for row, obj_id in enumerate(self.obj_ids)}
        unknown = [obj_id for obj_id in obj_ids if obj_id not in rows]
        if unknown:
            raise KeyError(f"unknown object {unknown[0]}; known: {self.obj_ids}")
        kept = np.array([rows[obj_id] for obj_id in obj_ids], np.int64)
        raw, iou, score = (p[on_device(kept, device_of(p))] for p in (self._raw, self.iou, self.object_score))
        made = type(self).from_low_res(self.frame_idx, obj_ids, raw, iou, score, self.size, self._finish)
        made.frame = self.frame
        if self._finish.non_overlap and len(kept) < len(self.obj_ids):  # what others won stays theirs
            made._whole = self, kept
        return made

    def to_numpy(self) -> np.ndarray:
        """Mask logits, N x H x W float32."""
        return to_numpy(floats(self.masks[:, 0]))

    def binary(self) -> np.ndarray:
        """Masks, N x H x W bool. The array belongs to the result: copy it before you change it."""
        return self._binary

    def packed(self) -> np.ndarray:
        """Masks as bits, N x ceil(H * W / 8) uint8: `numpy.unpackbits(row, count=H * W).reshape(H, W)` undoes a row."""
        return to_numpy(packed(self.masks[:, 0] > 0)) if is_on_host(self._raw) else self._brought.bits.copy()

    def scores(self) -> np.ndarray:
        """`iou` and `object_score` on the host, N x 2 float32."""
        if not is_on_host(self._raw):
            return self._brought.scores
        return np.stack([to_numpy(floats(self.iou)), to_numpy(floats(self.object_score))], axis=1)

    def boxes(self) -> np.ndarray:
        """Tight boxes, N x 4 float32 (x0, y0, x1, y1), pixels, ends included; zeros where a mask is empty."""
        return mask_to_box(self.binary())

    def label_map(self) -> np.ndarray:
        """The id of the object at each pixel, H x W uint8 (uint16 if an id is 255 or above); 0 = none.

        Where masks overlap the higher logit wins.

        Raises:
            ValueError: ids outside 1 to 65535.
        """
        return paint_labels(self._apart(), self.obj_ids, self.size)

    def _apart(self) -> list[MaskCrop | None]:
        """The crops, with their logits or without any pixel that belongs to several of them."""
        if is_on_host(self._raw) or not self._brought.overlap():
            return self.crops
        rows = packed_masks(self.low_res, replace(self._finish, non_overlap=True), self.size)
        return [crop_bits(bits, self.size) for bits in to_numpy(rows)]

    def to_coco_rle(self) -> list[dict[str, Any]]:
        """One COCO RLE, {"size": [H, W], "counts": str}, per object."""
        return [encode_crop(crop, self.size) for crop in self.crops]

    def to_supervision(self) -> Any:
        """`supervision.Detections` with xyxy, mask, confidence (predicted IoU) and tracker_id (object id).

        Objects with an empty mask are left out: there is nothing to detect.

        Raises:
            ImportError: the package `supervision` is not installed.
        """
        try:
            import supervision
        except ImportError as error:
            raise ImportError("to_supervision() needs a package: pip install supervision") from error
        masks = self.binary()
        seen = masks.any(axis=(1, 2))
        ids = np.array(self.obj_ids, dtype=int)[seen]
        return supervision.Detections(
            xyxy=mask_to_box(masks[seen]),
            mask=masks[seen],
            confidence=self.scores()[seen, 0].clip(0, 1),
            class_id=np.zeros(len(ids), dtype=int),
            tracker_id=ids,
        )

    def overlay(self, frame: Any = None, **style: Any) -> np.ndarray:
        """The masks drawn over a picture, H x W x 3 uint8.

        Args:
            frame: H x W x 3 uint8, tensor or PIL image; default the result's own frame, or black where it has none.
            style: options of `draw_masks`: alpha, contour, labels.
        """
        picture = self.frame if frame is None else _picture(frame)
        if picture is None:
            picture = np.zeros((*self.size, 3), np.uint8)
        if picture.shape != (*self.size, 3):
            raise ValueError(f"frame must be {self.size[0]} x {self.size[1]} x 3, got shape {picture.shape}")
        return draw_crops(picture, self.crops, self.obj_ids, **style)

    def __repr__(self) -> str:
        height, width = self.size
        return f"{type(self).__name__}(frame_idx={self.frame_idx}, obj_ids={self.obj_ids}, size={height} x {width})"

    def _repr_html_(self) -> str:
        """What a notebook shows: the overlay and the scores."""
        buffer = io.BytesIO()
        show(self).save(buffer, format="PNG")
        data = base64.b64encode(buffer.getvalue()).decode("ascii")
        scores = ", ".join(
            f"object {obj_id}: IoU {iou:.2f}, {'present' if score > 0 else 'absent'}"
            for obj_id, iou, score in zip(self.obj_ids, *self.scores().T.tolist(), strict=True)
        )
        return (
            f'<figure style="margin:0"><img src="data:image/png;base64,{data}" style="max-width:100%"/>'
            f"<figcaption>frame {self.frame_idx}: {scores or 'no objects'}</figcaption></figure>"
        )


def _picture(frame: Any) -> np.ndarray:
    """H x W x 3 uint8 from an array, a tensor (also 3 x H x W) or a PIL image."""
    if is_torch_array(frame):
        frame = to_numpy(frame)
    if hasattr(frame, "convert"):
        if frame.mode[0] in "IF":  # Pillow would cut all values at 255
            raise ValueError(f"frame must have 8 bits a channel, got a picture of mode {frame.mode}")
        frame = frame.convert("RGB")
    array = np.asarray(frame)
    if array.ndim == 3 and array.shape[0] == 3 != array.shape[2]:
        array = array.transpose(1, 2, 0)
    if array.dtype != np.uint8 or array.ndim != 3:
        raise ValueError(f"frame must be H x W x 3 uint8, got shape {array.shape} of {array.dtype}")
    return array


def show(result: MaskletFrame, frame: Any = None, **style: Any) -> Image.Image:
    """The overlay as a PIL image, which a notebook displays; arguments as `MaskletFrame.overlay`."""
    return to_image(result.overlay(frame, **style))
