"""Light that differs from clip to clip and changes within one."""

from __future__ import annotations

import numpy as np
import torch

from sam2v.data.clips import Clip


def relight(clip: Clip, rng: np.random.Generator) -> Clip:
    """Multiply a clip's colours by gains: of the whole clip, of each channel, and of each frame."""
    time = np.arange(clip.num_frames)[:, None]
    drift = rng.normal(0, 0.02, 4) * time + rng.normal(0, 0.03, (clip.num_frames, 1)) * rng.exponential(0.5)
    logs = rng.normal(0, 0.2) + drift[:, 3:] + rng.normal(0, 0.05, 3) + 0.5 * drift[:, :3]
    gains = torch.from_numpy(np.exp(logs.clip(-0.7, 0.7))).float()[..., None, None]
    frames = (clip.frames * gains).round_().clamp_(0, 255).to(torch.uint8)
    return Clip(frames, clip.masks, clip.name)
