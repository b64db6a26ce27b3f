"""A batch of clips through the network: simulated prompts, tracking, corrections (SAM 2 paper, appendix D.2).

Rows are objects: the valid objects of all clips form one batch axis N, and every call of the network serves them all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from sam2v.data.clips import ClipBatch
from sam2v.model.network import ImageFeatures, MemoryRead, Prediction, Sam2Network, gate_by_score
from sam2v.model.prompt_encoder import PADDING
from sam2v.tracking.prompts import no_points, with_padding
from sam2v.tracking.step import PROMPT_LOGIT_LIMIT, prompt_with_mask
from sam2v.training.losses import PromptStep
from sam2v.training.prompting import (
    BOX,
    CLICK,
    MASK,
    ClipPlan,
    PromptConfig,
    click_in,
    correcting_click,
    jittered_boxes,
)


@dataclass
class Slot:
    """What N objects remember of one frame.

    Attributes:
        time: pretended frame number. memory: N x Cm x h x w. pointer: N x C.
        conditioning: N bool, True where the frame was prompted.
    """

    time: int
    memory: Tensor
    pointer: Tensor
    conditioning: Tensor


@dataclass
class UnrolledClips:
    """The result of :func:`unroll`.

    Attributes:
        steps: (answers, truth n x H x W) of every prompt step, for the objects n that took part; logits not gated.
        masks: per frame, in processing order, N x 1 x h x w final mask logits, gated by the object score.
        truth: N x T x H x W bool, in processing order.
        clip_of_row: N, the clip that a row belongs to.
        levels: features of the frames that are learnt from, in processing order, each level B x t x C x h x w.
    """

    steps: list[tuple[list[PromptStep], Tensor]] = field(default_factory=list)
    masks: list[Tensor] = field(default_factory=list)
    truth: Tensor = field(default_factory=lambda: torch.empty(0))
    clip_of_row: Tensor = field(default_factory=lambda: torch.empty(0))
    levels: ImageFeatures | None = None


class Unroller:
    """Runs one batch of clips; create one per batch.

    Args:
        network: the model.
        batch: B clips of at least T frames.
        plan: the prompts' plan for T frames.
        draws: B tensors M x T x (1 + corrections) x 4 of uniform numbers, M at least the clip's number of objects.
        config: the prompts' settings.
        checkpointing: recompute activations in the backward pass instead of keeping them.
    """

    def __init__(
        self, network: Sam2Network, batch: ClipBatch, plan: ClipPlan, draws: list[Tensor], config: PromptConfig,
        checkpointing: bool = False,
    ) -> None:  # fmt: skip
        self.network, self.plan, self.config, self.checkpointing = network, plan, config, checkpointing
        frames, masks = batch.frames[:, : len(plan.steps)], batch.masks[:, : len(plan.steps)]
        clip, number = batch.valid.nonzero().unbind(1)
        self.clip = clip
        self.truth = masks.transpose(1, 2)[clip, number]  # N T H W
        self.draws = torch.stack([draws[b][m] for b, m in zip(clip.tolist(), number.tolist(), strict=True)])
        self.kind = torch.tensor(plan.kinds, device=clip.device)[clip]
        self.slots: dict[int, Slot] = {}
        self.outcome = UnrolledClips(truth=self.truth, clip_of_row=clip)
        learnt, lead = plan.learnt, list(range(1, 1 + plan.lead))
        self.outcome.levels = self._encode(frames[:, learnt])
        self.levels = dict(zip(learnt, _per_frame(self.outcome.levels), strict=True))
        if lead:
            with torch.no_grad():
                self.levels.update(zip(lead, _per_frame(self._encode(frames[:, lead])), strict=True))
        memory = network.config.memory
        self.last_row, self.pointer_limit = memory.num_maskmem - 1, max(2, min(memory.max_obj_ptrs, plan.length))
        steps = torch.tensor((0, *plan.steps[1:]))
        self.times: list[int] = steps.cumsum(0).tolist()

    def run(self) -> UnrolledClips:
        """Prompt the initial frames, then track the others in order, correcting on the way."""
        finals: dict[int, Tensor] = {}
        tracked = [t for t in range(self.truth.shape[1]) if t not in self.plan.initial]
        self.unread = tracked[-1] if tracked else 0  # nothing reads the last frame's memory
        for t in self.plan.initial:
            finals[t] = self._initial_frame(t)
        for t in tracked:
            if t == self.plan.lead + 1:
                torch.clear_autocast_cache()  # older versions of torch reuse casts of the lead, which have no gradients
            with torch.set_grad_enabled(torch.is_grad_enabled() and t > self.plan.lead):
                finals[t] = self._tracked_frame(t)
        self.outcome.masks = [finals[t] for t in sorted(finals)]
        return self.outcome

    # -- frames --------------------------------------------------------------------------------------------------------

    def _initial_frame(self, t: int) -> Tensor:
        features = self._features(t)
        count = len(self.clip)
        conditioned = self.network.without_memory(features)
        answer: Prediction | None = None
        for kind in (MASK, CLICK, BOX):
            rows = (self.kind == kind).nonzero().flatten()
            if len(rows) == 0:
                continue
            part = _rows(features, rows)
            if kind == MASK:
                given = self._call(prompt_with_mask, self.network, part, self.truth[rows, t, None].float())
            else:
                given = self._point_chain(t, rows, part, conditioned[rows], None, *self._first_points(t, rows))
            answer = _place(answer, given, rows, count)
        assert answer is not None
        return self._remember(t, features, answer, torch.ones(count, dtype=torch.bool, device=self.clip.device))

    def _tracked_frame(self, t: int) -> Tensor:
        features = self._features(t)
        conditioned = self._call(self.network.read_memory, features, self._read(t))
        coords, labels = no_points(len(self.clip), conditioned.device)
        answer = self._decode(features, conditioned, coords, labels, None, True)
        if t > self.plan.lead:
            self._supervise(answer, self.truth[:, t])
        answer = gate_by_score(answer)
        prompted = torch.zeros_like(self.clip, dtype=torch.bool)
        if t in self.plan.corrected:
            rows = (self.kind != MASK).nonzero().flatten()
            if len(rows):
                empty = coords.new_zeros(len(rows), 0, 2)
                given = self._point_chain(
                    t, rows, _rows(features, rows), conditioned[rows], answer.best[rows], empty, empty[..., 0].long()
                )
                answer = _place(answer, given, rows, len(self.clip))
                prompted[rows] = True
        return self._remember(t, features, answer, prompted)

    def _point_chain(
        self,
        t: int,
        rows: Tensor,
        features: ImageFeatures,
        conditioned: Tensor,
        mask: Tensor | None,
        coords: Tensor,
        labels: Tensor,
    ) -> Prediction:
        """Answer points on a frame, then corrections one after the other; every answer is supervised."""
        truth = self.truth[rows, t]
        answer: Prediction | None = None
        rounds = self.config.corrections if t in self.plan.corrected else 0
        for k in range(rounds + 1):
            if k > 0:
                assert mask is not None
                guess = F.interpolate(mask.detach(), truth.shape[-2:], mode="bilinear", align_corners=False)[:, 0] > 0
                more = correcting_click(guess, truth, self.draws[rows, t, k], self.config.truth_share)
                coords, labels = torch.cat([coords, more[0]], dim=1), torch.cat([labels, more[1]], dim=1)
            if labels.shape[1] == 0:
                continue
            previous = None if mask is None else mask.clamp(-PROMPT_LOGIT_LIMIT, PROMPT_LOGIT_LIMIT)
            raw = self._decode(features, conditioned, *with_padding(coords, labels), previous, labels.shape[1] <= 1)
            self._supervise(raw, truth)
            answer = gate_by_score(raw)
            mask = answer.best
        assert answer is not None
        return answer

    def _first_points(self, t: int, rows: Tensor) -> tuple[Tensor, Tensor]:
        truth, draws = self.truth[rows, t], self.draws[rows, t, 0]
        seen = truth.flatten(1).any(dim=1)
        # an object that is out of sight on this frame gets a negative click
        coords, labels = click_in(truth, draws[:, 0])[:, None], seen[:, None].long()
        if int(self.kind[rows[0]]) == BOX:
            boxes, corners = jittered_boxes(truth, draws, self.config.box_jitter, self.config.box_jitter_pixels)
            coords = torch.where(seen[:, None, None], boxes, torch.cat([coords, torch.zeros_like(coords)], 1))
            labels = torch.where(seen[:, None], corners, torch.cat([labels, torch.full_like(labels, PADDING)], 1))
        return coords, labels

    # -- calls of the network ------------------------------------------------------------------------------------------

    def _call(self, function: Callable[..., Any], *args: Any) -> Any:
        if self.checkpointing and torch.is_grad_enabled():
            from torch.utils.checkpoint import checkpoint

            return checkpoint(function, *args, use_reentrant=False)
        return function(*args)

    def _encode(self, frames: Tensor) -> ImageFeatures:
        """Features of B x T x 3 x H x W frames, each level B x T x C x h x w."""
        if self.checkpointing:
            parts = [self._call(self.network.encode_image, frames[:, t]) for t in range(frames.shape[1])]
            return ImageFeatures(*(torch.stack(level, dim=1) for level in zip(*parts, strict=True)))
        flat = self.network.encode_image(frames.flatten(0, 1))
        return ImageFeatures(*(level.unflatten(0, frames.shape[:2]) for level in flat))

    def _features(self, t: int) -> ImageFeatures:
        """A frame's features, one row per object."""
        return ImageFeatures(*(level[self.clip] for level in self.levels[t]))

    def _decode(
        self,
        features: ImageFeatures,
        conditioned: Tensor,
        coords: Tensor,
        labels: Tensor,
        mask: Tensor | None,
        multimask: bool,
    ) -> Prediction:
        # the dynamic choice among masks is for use, not for learning: every output is supervised where it is asked for
        return self._call(self.network.decode_prompts, features, conditioned, coords, labels, mask, multimask, False)

    def _supervise(self, answer: Prediction, truth: Tensor) -> None:
        self.outcome.steps.append(([PromptStep(answer.masks, answer.iou, answer.object_score)], truth))

    # -- memory --------------------------------------------------------------------------------------------------------

    def _remember(self, t: int, features: ImageFeatures, answer: Prediction, prompted: Tensor) -> Tensor:
        """Write the frame's slot; returns its final mask logits."""
        if t != self.unread:
            memory = self._call(
                self.network.write_memory, features, answer.best, answer.object_score, prompted[:, None, None, None]
            )
            self.slots[t] = Slot(self.times[t], memory, answer.pointer, prompted)
        return answer.best

    def _read(self, t: int) -> MemoryRead:
        """What frame ``t`` reads: all conditioning frames, the latest other ones, and pointers of the past."""
        maps, map_time, pointers, pointer_time = [], [], [], []
        for s, slot in self.slots.items():
            distance = t - s
            recent = distance - 1 if 0 < distance <= self.last_row else -1
            time = torch.where(slot.conditioning, self.last_row, recent)
            if recent >= 0 or s in self.plan.initial or s in self.plan.corrected:
                maps.append(slot.memory)
                map_time.append(time)
            if distance > 0:
                far = self.times[t] - slot.time >= self.pointer_limit
                share = (self.times[t] - slot.time) / (self.pointer_limit - 1)
                value = torch.full(time.shape, share, device=time.device)
                pointers.append(slot.pointer)
                pointer_time.append(value.masked_fill(~slot.conditioning, float("nan")) if far else value)
        times, ages = torch.stack(map_time, 1), torch.stack(pointer_time, 1)
        padded = self.truth.shape[1] > self.last_row or self.times[-1] >= self.pointer_limit
        return MemoryRead(torch.stack(maps, 1), times, torch.stack(pointers, 1), ages, padded)


def unroll(
    network: Sam2Network,
    batch: ClipBatch,
    plan: ClipPlan,
    draws: list[Tensor],
    config: PromptConfig,
    checkpointing: bool = False,
) -> UnrolledClips:
    """Run a batch of clips through the network, see :class:`Unroller`."""
    return Unroller(network, batch, plan, draws, config, checkpointing).run()


def _per_frame(levels: ImageFeatures) -> list[ImageFeatures]:
    return [ImageFeatures(*parts) for parts in zip(*(level.unbind(1) for level in levels), strict=True)]


def _rows(features: ImageFeatures, rows: Tensor) -> ImageFeatures:
    return ImageFeatures(*(level[rows] for level in features))


def _place(whole: Prediction | None, part: Prediction, rows: Tensor, count: int) -> Prediction:
    """Put the answers of some rows into those of all; only what later frames need (best, score, pointer) is kept."""
    if len(rows) == count:
        return part
    out = {}
    for name in ("object_score", "best", "best_iou", "pointer"):
        value = getattr(part, name)
        base = value.new_zeros(count, *value.shape[1:]) if whole is None else getattr(whole, name)
        out[name] = base.index_copy(0, rows, value.to(base.dtype))
    return Prediction(masks=out["best"], iou=out["best_iou"], **out)
