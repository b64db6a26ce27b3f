"""The unit of training: a clip of frames with its objects' masks, and a batch of clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Clip:
    """T consecutive frames and the masks of M objects on every one of them; an image is a clip of T = 1.

    Attributes:
        frames: T x 3 x H x W uint8, RGB.
        masks: T x M x H x W bool, M >= 1; all False where an object is out of sight.
        name: where it comes from, for messages.

    Raises:
        TypeError, ValueError: naming the clip, for another dtype or shape, masks of another size than the frames, no
            frame, no object.
    """

    frames: Tensor
    masks: Tensor
    name: str

    def __post_init__(self) -> None:
        frames, masks = self.frames, self.masks
        if frames.dtype != torch.uint8 or masks.dtype != torch.bool:
            raise TypeError(f"clip {self.name}: frames are uint8 and masks bool, got {frames.dtype} and {masks.dtype}")
        if frames.ndim != 4 or frames.shape[1] != 3 or masks.ndim != 4:
            raise ValueError(
                f"clip {self.name}: frames are T x 3 x H x W and masks T x M x H x W, "
                f"got {tuple(frames.shape)} and {tuple(masks.shape)}"
            )
        if frames.shape[-2:] != masks.shape[-2:]:
            raise ValueError(f"clip {self.name}: masks of {_size(masks)} pixels on frames of {_size(frames)} (H x W)")
        if len(frames) != len(masks) or len(frames) == 0:
            raise ValueError(f"clip {self.name}: {len(frames)} frames and masks for {len(masks)}; at least 1, equal")
        if masks.shape[1] == 0:
            raise ValueError(f"clip {self.name}: no object; a clip to learn from has at least one")

    @property
    def num_frames(self) -> int:
        return self.frames.shape[0]

    @property
    def num_objects(self) -> int:
        return self.masks.shape[1]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.frames.shape[-2], self.frames.shape[-1]

    @property
    def visible(self) -> Tensor:
        """T x M bool: which objects can be seen on which frames."""
        return self.masks.flatten(2).any(dim=2)


@dataclass(frozen=True, eq=False)
class ClipBatch:
    """B clips of equal length and size, the objects padded to the largest number among them.

    Attributes:
        frames: B x T x 3 x H x W uint8, RGB.
        masks: B x T x M x H x W bool; padding is all False.
        valid: B x M bool, False for padding.
        names: the clips' names, B of them.
    """

    frames: Tensor
    masks: Tensor
    valid: Tensor
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def visible(self) -> Tensor:
        """B x T x M bool: which objects can be seen on which frames."""
        return self.masks.flatten(3).any(dim=3)

    def to(self, device: torch.device | str) -> ClipBatch:
        """The same batch on another device."""
        return replace(self, frames=self.frames.to(device), masks=self.masks.to(device), valid=self.valid.to(device))


def collate(clips: Sequence[Clip]) -> ClipBatch:
    """Stack clips into a batch on their device and pad the objects.

    Raises ValueError for no clips, or clips of different lengths or sizes, naming two that differ.
    """
    if not clips:
        raise ValueError("a batch needs at least one clip")
    for clip in clips[1:]:
        if clip.frames.shape != clips[0].frames.shape:
            raise ValueError(
                f"clips of one batch have one shape: {clips[0].name} is {tuple(clips[0].frames.shape)}, "
                f"{clip.name} is {tuple(clip.frames.shape)}"
            )
    most = max(clip.num_objects for clip in clips)
    counts = torch.tensor([clip.num_objects for clip in clips], device=clips[0].masks.device)
    return ClipBatch(
        frames=torch.stack([clip.frames for clip in clips]),
        masks=torch.stack([_pad_objects(clip.masks, most) for clip in clips]),
        valid=torch.arange(most, device=counts.device)[None] < counts[:, None],
        names=tuple(clip.name for clip in clips),
    )


def _pad_objects(masks: Tensor, most: int) -> Tensor:
    """T x M x H x W -> T x most x H x W, with empty masks."""
    padded = masks.new_zeros((masks.shape[0], most, *masks.shape[2:]))
    padded[:, : masks.shape[1]] = masks
    return padded


def _size(pictures: Tensor) -> str:
    return f"{pictures.shape[-2]} x {pictures.shape[-1]}"
