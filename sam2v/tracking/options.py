"""Options of video tracking, as one typed value."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, get_args

from typing_extensions import TypedDict

from sam2v.masks.logits import Finish
from sam2v.memory import MemoryPolicy, named_policy
from sam2v.options import Options

Resize = Literal["host", "device"]


class VideoChanges(TypedDict, total=False):
    """The fields of `VideoOptions` as keyword arguments."""

    non_overlap_masks: bool
    fill_hole_area: int
    remove_speck_area: int
    add_all_frames_to_correct_as_cond: bool
    max_cond_frames_in_attn: int
    memory_temporal_stride_for_eval: int
    binarize_mask_from_pts_for_mem_enc: bool
    dynamic_multimask_via_stability: bool
    keep_aspect: bool
    resize: Resize


@dataclass(frozen=True)
class VideoOptions(Options):
    """How masks and memories are handled. Names are those of the reference implementation where it has them.

    Attributes:
        non_overlap_masks: in the masks returned, give every pixel to one object at most.
        fill_hole_area: fill background components of at most this many pixels of the low-resolution mask (a quarter of
            the network's input size); 0 fills nothing.
        remove_speck_area: likewise remove foreground components.
        add_all_frames_to_correct_as_cond: a frame that is prompted after it was tracked becomes a conditioning frame,
            so that the correction lasts. False reproduces the reference's default, where the next propagation over the
            frame forgets it.
        max_cond_frames_in_attn: conditioning frames read at most, the closest ones; -1 reads all.
        memory_temporal_stride_for_eval: distance between the recent frames that are read.
        binarize_mask_from_pts_for_mem_enc: harden the masks of prompted frames before they are remembered.
        dynamic_multimask_via_stability: let the best of the three ambiguous masks replace an unstable single mask.
        keep_aspect: bring frames to the rectangle with the video's aspect whose longer side is the model's, instead of
            the model's own input size (a square, as the released models are trained). About half of the work for 16:9
            (docs/performance.md).
        resize: where frames are brought to the input's size: "host" by Pillow, as the released models expect; "device"
            where the network computes, by the same kind of filter, for a GPU that waits for the host. Nearly the same
            masks (docs/performance.md).

    Raises:
        TypeError: a value of the wrong type. ValueError: a value out of range.
    """

    non_overlap_masks: bool = False
    fill_hole_area: int = 8
    remove_speck_area: int = 0
    add_all_frames_to_correct_as_cond: bool = True
    max_cond_frames_in_attn: int = -1
    memory_temporal_stride_for_eval: int = 1
    binarize_mask_from_pts_for_mem_enc: bool = True
    dynamic_multimask_via_stability: bool = True
    keep_aspect: bool = False
    resize: Resize = "host"

    def __post_init__(self) -> None:
        for option in fields(self):
            value, kind = getattr(self, option.name), type(option.default)
            if type(value) is not kind:
                raise TypeError(f"{option.name} must be {kind.__name__}, got {value!r}")
        if self.resize not in get_args(Resize):
            raise ValueError(f"resize must be one of {', '.join(get_args(Resize))}, got {self.resize!r}")
        for name in ("fill_hole_area", "remove_speck_area"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")

    @property
    def finish(self) -> Finish:
        """What is done to masks before people see them."""
        return Finish(self.fill_hole_area, self.remove_speck_area, self.non_overlap_masks)

    def policy(self, name: str, num_maskmem: int, max_obj_ptrs: int) -> MemoryPolicy:
        """A memory policy by name with these options.

        Raises:
            ValueError: an unknown name; the known ones are listed.
        """
        stride = self.memory_temporal_stride_for_eval
        return named_policy(name, num_maskmem, max_obj_ptrs, self.max_cond_frames_in_attn, stride)
