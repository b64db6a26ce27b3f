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
from sam2v.memory import Held, Hypothesis, MemoryBank, MemoryEntry, Moment, RecentFramesPolicy, Selection
from sam2v.model.network import Sam2Network
from sam2v.model.offered import gate_by_score
from sam2v.model.values import PADDING, Answer, ImageFeatures, Prediction, Prompts, TokenGroup
from sam2v.tracking.gather import gather_memory
from sam2v.tracking.step import prompt_with_mask, prompt_with_points, track_objects
from sam2v.training.ambiguity import clicked_others
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
class UnrolledClips:
    """The result of `unroll`.

    Attributes:
        steps: (answers, truth n x H x W) of every prompt step, for the objects n that took part; logits not gated.
        others: for each of these, after a single click, another object under it, n x H x W bool (empty: none); or None.
        masks: per frame, in processing order, N x 1 x h x w final mask logits, gated by the object score.
        truth: N x T x H x W bool, in processing order.
        clip_of_row: N, the clip that a row belongs to.
        levels: features of the frames that are learnt from, in processing order, each level B x t x C x h x w.
        still: what the first frame's memory says of that frame itself, and N x H x W masks: those given, or answered.
    """

    steps: list[tuple[list[PromptStep], Tensor]] = field(default_factory=list)
    others: list[Tensor | None] = field(default_factory=list)
    masks: list[Tensor] = field(default_factory=list)
    truth: Tensor = field(default_factory=lambda: torch.empty(0))
    clip_of_row: Tensor = field(default_factory=lambda: torch.empty(0))
    levels: ImageFeatures | None = None
    still: tuple[PromptStep, Tensor] | None = None


class Unroller:
    """Runs one batch of clips; create one per batch.

    Args:
        network: the model, or a stand-in for it.
        batch: B clips of at least T frames.
        plan: the prompts' plan for T frames.
        draws: B tensors M x T x (1 + corrections) x 4 of uniform numbers, M at least the clip's number of objects.
        config: the prompts' settings.
        checkpointing: recompute activations in the backward pass instead of keeping them.
        still: also track the first frame as if it were its own successor.
    """

    def __init__(
        self, network: Sam2Network, batch: ClipBatch, plan: ClipPlan, draws: list[Tensor], config: PromptConfig,
        checkpointing: bool = False, still: bool = False,
    ) -> None:  # fmt: skip
        self.network, self.plan, self.config, self.checkpointing = network, plan, config, checkpointing
        self.still = still
        frames, masks = batch.frames[:, : len(plan.steps)], batch.masks[:, : len(plan.steps)]
        clip, number = batch.valid.nonzero().unbind(1)
        self.clip = clip
        self.truth = masks.transpose(1, 2)[clip, number]  # N T H W
        self.draws = torch.stack([draws[b][m] for b, m in zip(clip.tolist(), number.tolist(), strict=True)])
        self.kind = torch.tensor(plan.kinds, device=clip.device)[clip]
        self.outcome = UnrolledClips(truth=self.truth, clip_of_row=clip)
        learnt, lead = plan.learnt, list(range(1, 1 + plan.lead))
        self.outcome.levels = self._encode(frames[:, learnt])
        self.levels = dict(zip(learnt, _per_frame(self.outcome.levels), strict=True))
        if lead:
            with torch.no_grad():
                self.levels.update(zip(lead, _per_frame(self._encode(frames[:, lead])), strict=True))
        memory = network.config.memory
        self.policy = RecentFramesPolicy(memory.num_maskmem, memory.max_obj_ptrs)
        self.rows = [Hypothesis(MemoryBank()) for _ in clip]
        self.pointer_limit = max(2, min(memory.max_obj_ptrs, plan.length))
        # one more than the frames: a picture that stands still has a successor too
        self.times: list[int] = torch.tensor((0, *plan.steps[1:], 1)).cumsum(0).tolist()

    def run(self) -> UnrolledClips:
        """Prompt the initial frames, then track the others in order, correcting on the way."""
        finals: dict[int, Tensor] = {}
        tracked = [t for t in range(self.truth.shape[1]) if t not in self.plan.initial]
        self.unread = max(tracked, default=-1 if self.still else 0)  # nothing reads the last frame's memory
        for t in self.plan.initial:
            finals[t] = self._initial_frame(t)
            if self.still and t == 0:
                self._track_still(finals[t])
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
        answer: Answer | None = None
        for kind in (MASK, CLICK, BOX):
            rows = (self.kind == kind).nonzero().flatten()
            if len(rows) == 0:
                continue
            part = _rows(features, rows)
            if kind == MASK:
                given = self._call(prompt_with_mask, self.network, part, self.truth[rows, t, None].float()).pick()
            else:
                given = self._point_chain(t, rows, part, conditioned[rows], None, *self._first_points(t, rows))
            answer = _place(answer, given, rows, count)
        assert answer is not None
        return self._remember(t, features, answer, torch.ones(count, dtype=torch.bool, device=self.clip.device))

    def _tracked_frame(self, t: int) -> Tensor:
        features = self._features(t)
        conditioned = self._call(self.network.read_memory, features, self._read(t))
        # the dynamic choice among masks is for use, not for learning: every output is supervised where it is asked for
        raw = self._call(track_objects, self.network, features, conditioned, False)
        if t > self.plan.lead:
            self._supervise(raw, self.truth[:, t])
        answer = gate_by_score(raw).pick()
        prompted = torch.zeros_like(self.clip, dtype=torch.bool)
        rows = (self.kind != MASK).nonzero().flatten()
        if t in self.plan.corrected and len(rows):
            coords = conditioned.new_zeros(len(rows), 0, 2, dtype=torch.float32)
            chain = (conditioned[rows], answer.mask[rows], coords, coords[..., 0].long())
            answer = _place(answer, self._point_chain(t, rows, _rows(features, rows), *chain), rows, len(self.clip))
            prompted[rows] = True
        return self._remember(t, features, answer, prompted)

    def _track_still(self, given: Tensor) -> None:
        """Read the first frame's memory on that frame: the masks that were given should come back."""
        features = self._features(0)
        conditioned = self._call(self.network.read_memory, features, self._read(1))
        raw = self._call(track_objects, self.network, features, conditioned, False)
        masks = torch.where((self.kind == MASK)[:, None, None], self.truth[:, 0], self._painted(given))
        self.outcome.still = PromptStep(raw.masks, raw.iou, raw.object_score), masks

    def _point_chain(
        self,
        t: int,
        rows: Tensor,
        features: ImageFeatures,
        conditioned: Tensor,
        mask: Tensor | None,
        coords: Tensor,
        labels: Tensor,
    ) -> Answer:
        """Answer points on a frame, then corrections one after the other; every answer is supervised."""
        truth = self.truth[rows, t]
        answer: Answer | None = None
        most = self.config.corrections if self.plan.rounds is None else self.plan.rounds
        rounds = most if t in self.plan.corrected else 0
        for k in range(rounds + 1):
            if k > 0:
                assert mask is not None
                more = correcting_click(self._painted(mask), truth, self.draws[rows, t, k], self.config.truth_share)
                coords, labels = torch.cat([coords, more[0]], dim=1), torch.cat([labels, more[1]], dim=1)
            if labels.shape[1] == 0:
                continue
            points = Prompts(coords, labels, mask)
            raw = self._call(prompt_with_points, self.network, features, conditioned, points, False)
            first = labels.shape[1] == 1 and mask is None  # a correction is not ambiguous: it has a mask beside it
            other = clicked_others(self.truth[:, t], self.clip, rows, coords[:, 0], labels[:, 0]) if first else None
            self._supervise(raw, truth, other)
            answer = gate_by_score(raw).pick()
            mask = answer.mask
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
        images = frames.permute(0, 1, 3, 4, 2)
        if self.checkpointing:
            parts = [self._call(self.network.encode_image, images[:, t]) for t in range(images.shape[1])]
            return ImageFeatures(*(torch.stack(level, dim=1) for level in zip(*parts, strict=True)))
        flat = self.network.encode_image(images.flatten(0, 1))
        return ImageFeatures(*(level.unflatten(0, frames.shape[:2]) for level in flat))

    def _features(self, t: int) -> ImageFeatures:
        """A frame's features, one row per object."""
        return ImageFeatures(*(level[self.clip] for level in self.levels[t]))

    def _painted(self, mask: Tensor) -> Tensor:
        """N x H x W: what N x 1 x h x w mask logits cover at the size of the truth."""
        size = self.truth.shape[-2:]
        return F.interpolate(mask.detach(), size, mode="bilinear", align_corners=False)[:, 0] > 0

    def _supervise(self, answer: Prediction, truth: Tensor, other: Tensor | None = None) -> None:
        self.outcome.others.append(other)
        self.outcome.steps.append(([PromptStep(answer.masks, answer.iou, answer.object_score)], truth))

    # -- memory --------------------------------------------------------------------------------------------------------

    def _remember(self, t: int, features: ImageFeatures, answer: Answer, prompted: Tensor) -> Tensor:
        """Put the frame into the rows' banks; returns its final mask logits."""
        if t != self.unread:
            harden = prompted[:, None, None, None]
            memories = self._call(self.network.write_memory, features, answer.mask, answer.object_score, harden)
            scores = torch.cat([answer.iou, answer.object_score], dim=1)
            parts = zip(self.rows, prompted.tolist(), memories, answer.mask[:, 0], answer.pointer, scores, strict=True)
            for row, given, memory, *result in parts:
                entry = MemoryEntry(Held(tuple(result)), Held((memory,)), given)
                if given:
                    row.bank.conditioning[t] = entry
                else:
                    row.bank.put(t, entry)
        return answer.mask

    def _read(self, t: int) -> list[TokenGroup]:
        """What the rows read for frame `t`, by the rule that is used in tracking."""
        moment = Moment(t, False, self.pointer_limit)
        selections = [self._pretended(self.policy.select(row, moment), row, t) for row in self.rows]
        return gather_memory(selections, [self.pointer_limit] * len(selections))

    def _pretended(self, selection: Selection, row: Hypothesis, t: int) -> Selection:
        """The selection with pointers as far away as the frames are said to be."""
        known = ((read, self.times[t] - self.times[read.frame_idx]) for read in selection.pointers)
        selection.pointers = [
            read._replace(time=distance)
            for read, distance in known
            if distance < self.pointer_limit or read.frame_idx in row.bank.conditioning
        ]
        return selection


def unroll(
    network: Sam2Network,
    batch: ClipBatch,
    plan: ClipPlan,
    draws: list[Tensor],
    config: PromptConfig,
    checkpointing: bool = False,
    still: bool = False,
) -> UnrolledClips:
    """Run a batch of clips through the network, see `Unroller`."""
    return Unroller(network, batch, plan, draws, config, checkpointing, still).run()


def _per_frame(levels: ImageFeatures) -> list[ImageFeatures]:
    return [ImageFeatures(*parts) for parts in zip(*(level.unbind(1) for level in levels), strict=True)]


def _rows(features: ImageFeatures, rows: Tensor) -> ImageFeatures:
    return ImageFeatures(*(level[rows] for level in features))


def _place(whole: Answer | None, part: Answer, rows: Tensor, count: int) -> Answer:
    """Put the answers of some rows into those of all."""
    if len(rows) == count:
        return part
    bases = [p.new_zeros(count, *p.shape[1:]) for p in part] if whole is None else list(whole)
    return Answer(*(b.index_copy(0, rows, p.to(b.dtype)) for b, p in zip(bases, part, strict=True)))
