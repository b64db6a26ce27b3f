"""The one result type: the masks of a frame, with their ids and scores, and what they can be turned into."""

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sam2v.masks.boxes import mask_to_box
from sam2v.masks.draw import draw_masks, to_image
from sam2v.masks.rle import encode_rle

if TYPE_CHECKING:
    from PIL import Image


#: Object ids that a label map can hold.
LABEL_IDS = range(1, 65536)


@dataclass(frozen=True, eq=False)
class MaskletFrame:
    """The masks of one frame. Unpacks as `frame_idx, obj_ids, masks = result`.

    Attributes:
        frame_idx: number of the frame, from 0.
        obj_ids: N object ids; everything else is in this order.
        masks: N x 1 x H x W float mask logits at the video's size; > 0 is object.
        iou: N predicted IoU of each mask with the object, about 0 to 1.
        object_score: N logits of the object's presence; > 0 is present.
        frame: H x W x 3 uint8 RGB, the picture itself where it is at hand, for drawing.
    """

    frame_idx: int
    obj_ids: list[int]
    masks: torch.Tensor
    iou: torch.Tensor
    object_score: torch.Tensor
    frame: np.ndarray | None = None

    def __iter__(self) -> Iterator[Any]:
        return iter((self.frame_idx, self.obj_ids, self.masks))

    def __getitem__(self, item: int) -> Any:
        """As the tuple (frame_idx, obj_ids, masks)."""
        return (self.frame_idx, self.obj_ids, self.masks)[item]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the masks."""
        return self.masks.shape[-2], self.masks.shape[-1]

    def with_frame(self, frame: Any) -> "MaskletFrame":
        """The same result with a picture to draw on: an array, tensor or PIL image of the masks' size, or None."""
        frame = None if frame is None else _picture(frame)
        if frame is not None and frame.shape != (*self.size, 3):
            raise ValueError(f"frame must be {self.size[0]} x {self.size[1]} x 3, got shape {frame.shape}")
        return replace(self, frame=frame)

    def to_numpy(self) -> np.ndarray:
        """Mask logits, N x H x W float32."""
        return self.masks[:, 0].detach().float().cpu().numpy()

    def binary(self) -> np.ndarray:
        """Masks, N x H x W bool."""
        return (self.masks[:, 0] > 0).cpu().numpy()

    def boxes(self) -> np.ndarray:
        """Tight boxes, N x 4 float32 (x0, y0, x1, y1), pixels, ends included; zeros where a mask is empty."""
        return mask_to_box(self.binary())

    def label_map(self) -> np.ndarray:
        """The id of the object at each pixel, H x W uint8 (uint16 if an id is above 255); 0 = none.

        Where masks overlap the higher logit wins. Raises ValueError for ids outside 1 to 65535.
        """
        odd = [obj_id for obj_id in self.obj_ids if obj_id not in LABEL_IDS]
        if odd:
            raise ValueError(f"a label map holds object ids 1 to 65535, got {odd[0]}")
        dtype = np.uint16 if max(self.obj_ids, default=0) > 255 else np.uint8
        if not self.obj_ids:
            return np.zeros(self.size, dtype)
        best = self.masks[:, 0].max(0)
        ids = np.array(self.obj_ids, dtype)[best.indices.cpu().numpy()]
        return np.where((best.values > 0).cpu().numpy(), ids, dtype(0))

    def to_coco_rle(self) -> list[dict[str, Any]]:
        """One COCO RLE, {"size": [H, W], "counts": str}, per object."""
        return [encode_rle(mask) for mask in self.binary()]

    def to_supervision(self) -> Any:
        """`supervision.Detections` with xyxy, mask, confidence (predicted IoU) and tracker_id (object id).

        Objects with an empty mask are left out: there is nothing to detect. Raises ImportError where the
        package `supervision` is not installed.
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
            confidence=self.iou.detach().float().cpu().numpy()[seen].clip(0, 1),
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
        return draw_masks(picture, self.binary(), self.obj_ids, **style)

    def __repr__(self) -> str:
        height, width = self.size
        return f"MaskletFrame(frame_idx={self.frame_idx}, obj_ids={self.obj_ids}, size={height} x {width})"

    def _repr_html_(self) -> str:
        """What a notebook shows: the overlay and the scores."""
        buffer = io.BytesIO()
        show(self).save(buffer, format="PNG")
        data = base64.b64encode(buffer.getvalue()).decode("ascii")
        scores = ", ".join(
            f"object {obj_id}: IoU {iou:.2f}, {'present' if score > 0 else 'absent'}"
            for obj_id, iou, score in zip(self.obj_ids, self.iou.tolist(), self.object_score.tolist(), strict=True)
        )
        return (
            f'<figure style="margin:0"><img src="data:image/png;base64,{data}" style="max-width:100%"/>'
            f"<figcaption>frame {self.frame_idx}: {scores or 'no objects'}</figcaption></figure>"
        )


def _picture(frame: Any) -> np.ndarray:
    """H x W x 3 uint8 from an array, a tensor (also 3 x H x W) or a PIL image."""
    if isinstance(frame, torch.Tensor):
        frame = frame.detach().cpu().numpy()
    array = np.asarray(frame.convert("RGB") if hasattr(frame, "convert") else frame)
    if array.ndim == 3 and array.shape[0] == 3 != array.shape[2]:
        array = array.transpose(1, 2, 0)
    if array.dtype != np.uint8 or array.ndim != 3:
        raise ValueError(f"frame must be H x W x 3 uint8, got shape {array.shape} of {array.dtype}")
    return array


def show(result: MaskletFrame, frame: Any = None, **style: Any) -> "Image.Image":
    """The overlay as a PIL image, which a notebook displays; arguments as `MaskletFrame.overlay`."""
    return to_image(result.overlay(frame, **style))
