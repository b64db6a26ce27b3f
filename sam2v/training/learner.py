"""One step's forward pass as a module: the unroll, its losses and what is worth logging."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam2v.backends.training import training_network
from sam2v.data.clips import ClipBatch
from sam2v.model.network import Sam2Network
from sam2v.training.ambiguity import ambiguity_loss
from sam2v.training.auxiliary import contrast_loss
from sam2v.training.losses import LossConfig, LossParts, PromptStep, clip_loss, true_iou
from sam2v.training.prompting import ClipPlan, PromptConfig
from sam2v.training.teacher import Teacher
from sam2v.training.unroll import UnrolledClips, unroll


@dataclass(frozen=True)
class StepResult:
    """What a step gives.

    Attributes:
        parts: losses, with gradients; already divided by `objects`.
        contrast: loss between frames' features, 0 where it has no weight.
        tracked: sum and number, as a tensor of 2, of the IoUs of visible objects on frames that were only tracked.
    """

    parts: LossParts
    contrast: Tensor
    tracked: Tensor


class ClipLearner(nn.Module):
    """Wraps a network so that one call is one step, as distributed training needs.

    Args:
        network: the model. prompts, loss: settings. checkpointing: recompute activations.
        autocast: run the network in bfloat16 where autocast does; losses are computed in float32 all the same.
        teacher: whose masks are targets too, or None.
    """

    def __init__(
        self,
        network: Sam2Network,
        prompts: PromptConfig,
        loss: LossConfig,
        checkpointing: bool = False,
        autocast: bool = False,
        teacher: Teacher | None = None,
    ) -> None:
        super().__init__()
        self.teacher = teacher
        self.network = network
        self._stand_in = (training_network(network),)  # in a tuple: its parameters are the network's own
        self.prompts, self.loss, self.checkpointing, self.autocast = prompts, loss, checkpointing, autocast

    def forward(self, batch: ClipBatch, plan: ClipPlan, draws: list[Tensor], objects: float) -> tuple[Tensor, ...]:
        """Returns the total loss, its four parts, the contrast loss and `StepResult.tracked`, as tensors."""
        result = self.measure(batch, plan, draws, objects)
        total = result.parts.total(self.loss) + self.loss.contrast * result.contrast
        return (total, *vars(result.parts).values(), result.contrast, result.tracked)

    def measure(self, batch: ClipBatch, plan: ClipPlan, draws: list[Tensor], objects: float) -> StepResult:
        """Losses of a batch, divided by `objects`."""
        with torch.autocast(batch.frames.device.type, torch.bfloat16, enabled=self.autocast):
            unrolled = unroll(
                self._stand_in[0], batch, plan, draws, self.prompts, self.checkpointing, self.loss.still > 0
            )
            taught = None if self.teacher is None else self.teacher.masks(batch, plan, draws, self.prompts)
        side = (batch.frames.shape[-2] // self.loss.stride, batch.frames.shape[-1] // self.loss.stride)
        frames = [
            ([_sized(step, side) for step in steps], _shrunk(truth, self.loss.stride))
            for steps, truth in unrolled.steps
        ]
        contrast = torch.zeros((), device=batch.frames.device)
        if self.loss.contrast and len(plan.learnt) > 1 and unrolled.levels is not None:
            contrast = contrast_loss(unrolled.levels, batch.masks[:, plan.learnt])
        parts = clip_loss(frames, self.loss, objects)
        if self.teacher is not None and taught is not None:
            tracked = [t for t in plan.learnt if t not in plan.initial]
            parts = parts + self.teacher.loss(unrolled.masks, taught, tracked, objects)
        if self.loss.ambiguity:
            for (steps, truth), other in zip(frames, unrolled.others, strict=True):
                if other is not None:
                    other = _shrunk(other, self.loss.stride)
                    parts = parts + ambiguity_loss(steps[0], truth, other, self.loss, objects)
        if unrolled.still is not None:
            step, masks = unrolled.still
            again = clip_loss([([_sized(step, side)], _shrunk(masks, self.loss.stride))], self.loss, objects)
            parts = parts + again.scaled(self.loss.still)
        return StepResult(parts, contrast, tracked_iou(unrolled, plan))


def tracked_iou(unrolled: UnrolledClips, plan: ClipPlan) -> Tensor:
    """Sum and number of the IoUs of visible objects over frames without any prompt."""
    total = torch.zeros(2, device=unrolled.truth.device)
    for t, masks in enumerate(unrolled.masks):
        if t in plan.initial or t in plan.corrected:
            continue
        truth = unrolled.truth[:, t, None].float()
        guess = F.interpolate(masks.detach().float(), truth.shape[-2:], mode="bilinear", align_corners=False)
        seen = truth.flatten(1).any(dim=1)
        iou = true_iou(guess, truth)[seen]
        total += torch.stack([iou.sum(), seen.sum().float()])
    return total


def _sized(step: PromptStep, side: tuple[int, int]) -> PromptStep:
    if step.masks.shape[-2:] == side:
        return step
    return PromptStep(F.interpolate(step.masks, side, mode="bilinear", align_corners=False), step.iou, step.score)


def _shrunk(truth: Tensor, stride: int) -> Tensor:
    """Truth at the loss's size: a cell is object where at least half of it is; a visible object keeps a cell."""
    if stride == 1:
        return truth
    cover = F.avg_pool2d(truth.float()[:, None], stride)[:, 0]
    most = cover.flatten(1).amax(dim=1)[:, None, None]
    return (cover >= most.clamp(max=0.5)) & (cover > 0)
