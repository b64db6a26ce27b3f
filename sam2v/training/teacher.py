"""Distillation: a larger network of the same architecture tracks the same clips, and its soft masks are targets.

Hinton et al. 2015; the teacher may see the frames at another size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from sam2v.data.clips import ClipBatch
from sam2v.model.network import Sam2Network
from sam2v.training.losses import LossParts, dice_loss
from sam2v.training.prompting import MASK, ClipPlan, PromptConfig
from sam2v.training.unroll import unroll

_HIDDEN = -100.0  # logits below are those of an object that is said to be absent


class Teacher:
    """A frozen network that tracks batches of clips from their true first masks.

    Args:
        network: the trained model; it is not changed. image_size: see `TeacherConfig`. weight: of the loss.
    """

    def __init__(self, network: Sam2Network, image_size: int, weight: float) -> None:
        self.network = network.eval().requires_grad_(False)
        self.size = (image_size, image_size) if image_size else network.config.input_size
        self.weight = weight

    @torch.no_grad()
    def masks(self, batch: ClipBatch, plan: ClipPlan, draws: list[Tensor], prompts: PromptConfig) -> list[Tensor]:
        """Logits N x 1 x h x w of every frame in `plan`, in its order; the first frames' masks were given."""
        plan = replace(plan, kinds=(MASK,) * len(plan.kinds), corrected=())
        return unroll(self.network, self._resized(batch), plan, draws, prompts).masks

    def _resized(self, batch: ClipBatch) -> ClipBatch:
        size = self.size
        if batch.frames.shape[-2:] == size:
            return batch
        clips, objects = batch.masks.shape[0], batch.masks.shape[2]
        frames = F.interpolate(batch.frames.flatten(0, 1).float().div_(255), size, mode="bilinear", align_corners=False)
        masks = F.interpolate(batch.masks.flatten(0, 1).float(), size, mode="bilinear", align_corners=False) > 0.5
        return replace(
            batch, frames=frames.unflatten(0, (clips, -1)), masks=masks.view(clips, -1, objects, *masks.shape[-2:])
        )

    def loss(
        self, mine: Sequence[Tensor], theirs: Sequence[Tensor], frames: Sequence[int], objects: float
    ) -> LossParts:
        """Cross-entropy and dice against the teacher's soft masks on some frames, divided by `objects`, weighted.

        Frames on which either says that the object is absent are left out, object by object: a frame without an object
        is taught by the truth.
        """
        zero = mine[0].new_zeros(())
        parts = LossParts(zero, zero, zero, zero)
        for t in frames:
            soft = F.interpolate(theirs[t].float(), mine[t].shape[-2:], mode="bilinear", align_corners=False)
            logits, both = mine[t].float(), _shown(mine[t]) & _shown(theirs[t])
            soft = soft.sigmoid()
            entropy = F.binary_cross_entropy_with_logits(logits, soft, reduction="none").flatten(1).mean(dim=1)
            dice = dice_loss(logits, soft)[:, 0]
            sums = [self.weight * torch.where(both, part, zero).sum() / objects for part in (entropy, dice)]
            parts = parts + LossParts(sums[0], sums[1], zero, zero)
        return parts


def _shown(logits: Tensor) -> Tensor:
    """N bool: whether a mask is more than the constant of an absent object."""
    return logits.detach().flatten(1).amax(dim=1) > _HIDDEN
