"""From frames to network input: one function, the resampling filter a parameter.

Video frames and photographs are resampled differently in SAM 2, and the network sees the difference (logits
move by about 3), so both rules are kept:

* "bicubic" (video): Pillow's bicubic on the 8-bit frame, so values are rounded to 8 bits after resizing;
* "bilinear" (photographs): scaled to [0, 1] first, then antialiased bilinear in float.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F

Filter = Literal["bicubic", "bilinear"]

# ImageNet statistics of RGB in [0, 1]
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

Frames = np.ndarray | torch.Tensor | Sequence[np.ndarray | torch.Tensor]


def preprocess(
    frames: Frames,
    image_size: int,
    filter: Filter = "bicubic",
    device: torch.device | str | None = None,
) -> torch.Tensor:
    """Resize frames to a square (the aspect ratio is not kept) and normalise them.

    Args:
        frames: uint8 RGB, H x W x 3 or B x H x W x 3, numpy or torch, or a sequence of H x W x 3 (sizes may
            differ).
        image_size: side S of the network's input, in pixels.
        filter: "bicubic" for video frames, "bilinear" for photographs; see the module's text.
        device: where the result goes; None = where the frames are. Bicubic resizing itself runs on the CPU,
            so that it gives Pillow's pixels exactly; bilinear runs on `device`.

    Returns:
        B x 3 x S x S float32; (value / 255 - mean) / std per channel.

    Raises:
        ValueError: wrong shape, unknown filter, or a size below 1.
        TypeError: pixels that are not uint8.
    """
    if filter not in ("bicubic", "bilinear"):
        raise ValueError(f"filter must be 'bicubic' or 'bilinear', got {filter!r}")
    if image_size < 1:
        raise ValueError(f"image_size must be at least 1, got {image_size}")
    singles = _split(frames)
    if device is None:
        device = singles[0].device if isinstance(singles[0], torch.Tensor) else "cpu"
    resize = _bicubic if filter == "bicubic" else _bilinear
    target = torch.device(device)
    scaled = torch.stack([resize(frame, image_size, target) for frame in singles])  # B x 3 x S x S
    mean = torch.tensor(MEAN, device=scaled.device)[:, None, None]
    std = torch.tensor(STD, device=scaled.device)[:, None, None]
    return scaled.sub_(mean).div_(std)


def resize_bicubic(frame: np.ndarray, size: int) -> np.ndarray:
    """H x W x 3 uint8 to S x S x 3 uint8, Pillow's bicubic: what :func:`preprocess` does to a video's frame first.

    Doing it again changes nothing, so that a frame may be resized by one thread and finished by another.
    """
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(frame))
    return np.array(image.resize((size, size), Image.Resampling.BICUBIC))


def _split(frames: Frames) -> list[np.ndarray | torch.Tensor]:
    """One frame, a batch or a sequence of frames as a list of checked H x W x 3 uint8 frames."""
    if isinstance(frames, np.ndarray | torch.Tensor):
        singles = [frames] if frames.ndim == 3 else list(frames) if frames.ndim == 4 else []
        shape: object = tuple(frames.shape)
    else:
        singles, shape = list(frames), f"a sequence of {len(frames)}"
    if not singles:
        raise ValueError(f"frames must be H x W x 3 or B x H x W x 3 with at least one frame, got {shape}")
    for frame in singles:
        _check(frame)
    return singles


def _check(frame: np.ndarray | torch.Tensor) -> None:
    if not isinstance(frame, np.ndarray | torch.Tensor):
        raise TypeError(f"a frame must be a numpy array or a torch tensor, got {type(frame).__name__}")
    if frame.ndim != 3 or frame.shape[-1] != 3 or 0 in frame.shape:
        raise ValueError(f"a frame must be H x W x 3 (RGB), got shape {tuple(frame.shape)}")
    if frame.dtype not in (np.uint8, torch.uint8):
        raise TypeError(f"a frame must be uint8, got {frame.dtype}")


def _bicubic(frame: np.ndarray | torch.Tensor, size: int, device: torch.device) -> torch.Tensor:
    """3 x S x S float32 in [0, 1] on `device`; only bytes travel to it."""
    array = frame.cpu().numpy() if isinstance(frame, torch.Tensor) else frame
    return torch.from_numpy(resize_bicubic(array, size)).to(device).permute(2, 0, 1).float().div_(255)


def _bilinear(frame: np.ndarray | torch.Tensor, size: int, device: torch.device) -> torch.Tensor:
    """3 x S x S float32 in [0, 1] on `device`, never rounded to 8 bits."""
    pixels = torch.from_numpy(np.array(frame)) if isinstance(frame, np.ndarray) else frame  # may be read-only
    chw = pixels.to(device).permute(2, 0, 1).float().div_(255)
    return F.interpolate(chw[None], (size, size), mode="bilinear", align_corners=False, antialias=True)[0]
