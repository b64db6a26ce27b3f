"""Everything that can be segmented in a picture (Kirillov et al. 2023, section 4 and appendix B)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from typing_extensions import Unpack

from sam2v.automatic.cleaning import without_small_parts
from sam2v.automatic.found import FoundMasks
from sam2v.automatic.grid import Crop, crops_of, point_grids
from sam2v.automatic.options import MaskChanges, MaskOptions
from sam2v.automatic.proposals import Proposals, decode_points, keep_distinct
from sam2v.backends.base import Backend, backend_for
from sam2v.masks.enlarged import Enlarger, Runs
from sam2v.model.network import Sam2Network
from sam2v.predict.image import ImagePredictor
from sam2v.predict.loading import load_with_options
from sam2v.video.frames import as_frame

if TYPE_CHECKING:
    from tqdm import tqdm

#: A box this near to a crop's edge (pixels) belongs to a mask that the crop cuts.
_EDGE = 20


class AutomaticMasks:
    """Find the masks of everything in pictures, without a prompt.

    Masks are kept at low resolution and as run lengths, so that memory hardly grows with the picture. The thread that
    calls decides: there is no state, any number of threads may share an object.

    Args:
        model: a network from `sam2v.load_model`, or what `sam2v.compile_network` makes of one.
        options: a value with all options; changes: some of them by name, see `MaskOptions`.

    Raises:
        TypeError: an unknown option, or one of the wrong type. ValueError: a value out of range.
    """

    def __init__(
        self, model: Sam2Network | Backend, options: MaskOptions | None = None, **changes: Unpack[MaskChanges]
    ) -> None:
        self.options = (options or MaskOptions()).changed(**changes)
        self._backend = backend_for(model)
        self._predictor = ImagePredictor(self._backend)
        self._grids = point_grids(self.options)

    @classmethod
    def from_pretrained(cls, name: str = "sam2v_nano", **options: Any) -> AutomaticMasks:
        """Load a model by name and wrap it; takes the options of both `sam2v.load_model` and this class."""
        model, rest = load_with_options(cls, name, options)
        return cls(model, **rest)

    @property
    def model(self) -> Sam2Network:
        """The network."""
        return self._predictor.model

    def generate(self, image: Any, progress: bool = True) -> list[dict[str, Any]]:
        """Records of the masks of a picture; see `find` and `FoundMasks.records`."""
        return self.find(image, progress).records(self.options.output_mode)

    def find(self, image: Any, progress: bool = True) -> FoundMasks:
        """The masks of a picture: those of one crop by falling predicted IoU, smaller crops first.

        Args:
            image: as `ImagePredictor.embed` takes it.
            progress: show a bar, where standard error is a terminal.

        Raises:
            TypeError, ValueError: not an image, or empty.
        """
        from tqdm import tqdm

        frame = as_frame(image)
        size = (frame.shape[0], frame.shape[1])
        crops = crops_of(size, self.options.crop_n_layers, self.options.crop_overlap_ratio)
        points = sum(len(self._grids[crop.layer]) for crop in crops)
        with tqdm(total=points, unit="point", disable=None if progress else True) as bar:
            found = FoundMasks.joined([self._of_crop(frame, crop, bar) for crop in crops])
        if len(crops) > 1:
            widths, heights = (found.crops[:, 2:] - found.crops[:, :2]).T
            found = _distinct(found, 1 / (widths * heights), self.options.crop_nms_thresh)
        if self.options.min_mask_region_area:
            found, whole = without_small_parts(found, self.options.min_mask_region_area)
            limit = max(self.options.box_nms_thresh, self.options.crop_nms_thresh)
            found = _distinct(found, whole.astype(np.float32), limit)
        return found

    def _of_crop(self, frame: np.ndarray, crop: Crop, bar: tqdm) -> FoundMasks:
        embedding = self._predictor.embed(frame[crop.y0 : crop.y1, crop.x0 : crop.x1])
        size = (frame.shape[0], frame.shape[1])
        enlarger = Enlarger((4 * embedding.features.grid[0], 4 * embedding.features.grid[1]), crop.size)
        found = [FoundMasks.none(size)]
        for batch in decode_points(self._backend, embedding.features, self._grids[crop.layer], self.options):
            found.append(self._enlarged(batch, enlarger, crop, size))
            bar.update(min(self.options.points_per_batch, bar.total - bar.n))
        whole = FoundMasks.joined(found)
        return _distinct(whole, whole.iou, self.options.box_nms_thresh)

    def _enlarged(self, batch: Proposals, enlarger: Enlarger, crop: Crop, size: tuple[int, int]) -> FoundMasks:
        """Those of a batch that are stable and not cut by the crop, as they are on the picture."""
        offset = self.options.stability_score_offset
        kept: list[tuple[int, float, Runs]] = []
        for row, logits in enumerate(batch.logits.cpu().numpy()):
            inner, outer = (runs.area for runs in enlarger.cut(logits, offset, -offset))
            stability = float(np.float32(inner) / np.float32(max(outer, 1)))  # 0 where there is no mask
            if stability >= self.options.stability_score_thresh:
                (runs,) = enlarger.cut(logits, 0.0)
                if not _is_cut(runs.box(), crop, size):
                    kept.append((row, stability, runs))
        if not kept:
            return FoundMasks.none(size)
        rows, scores, masks = map(list, zip(*kept, strict=True))
        shift = np.array([crop.x0, crop.y0])
        boxes = np.array([runs.box() for runs in masks]) + np.tile(shift, 2)
        points = (batch.points[rows].numpy() * crop.size[::-1]).astype(np.float32) + shift.astype(np.float32)
        turns = tuple(runs.turns(size, (crop.x0, crop.y0)) for runs in masks)
        iou = batch.iou.cpu().numpy()[rows]
        crops = np.tile(np.array(crop.box), (len(kept), 1))
        return FoundMasks(turns, boxes, iou, np.array(scores, np.float32), points, crops, size)


def _is_cut(box: tuple[int, int, int, int], crop: Crop, size: tuple[int, int]) -> bool:
    """Whether a box in a crop lies at one of its edges that is not the picture's."""
    on_picture = (box[0] + crop.x0, box[1] + crop.y0, box[2] + crop.x0, box[3] + crop.y0)
    edges = zip(on_picture, crop.box, (0, 0, size[1], size[0]), strict=True)
    return any(abs(at - edge) <= _EDGE < abs(at - end) for at, edge, end in edges)


def _distinct(found: FoundMasks, scores: np.ndarray, max_iou: float) -> FoundMasks:
    return found[keep_distinct(torch.from_numpy(found.boxes), torch.from_numpy(scores), max_iou).numpy()]
