"""Simulated users: which prompts a clip gets, and where they click (SAM 2 paper, appendix D.2)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from sam2v.model.values import BOX_END, BOX_START

MASK, CLICK, BOX = 0, 1, 2


@dataclass
class PromptConfig:
    """How prompts are simulated.

    Attributes:
        point_share: probability that a clip starts from points instead of masks; images always do.
        box_share: of those, the probability of a box instead of a click.
        max_initial: initial conditioning frames at most: the first and random others.
        max_corrected: frames of a clip that starts from points which receive corrections, at most.
        corrections: extra clicks on such a frame, one after the other.
        rounds: numbers of extra clicks that a step draws from instead, each at most `corrections`; `[0, 2, 4]`
            shows the tracker masks of one, three and five clicks.
        truth_share: probability that a correction is clicked in the truth instead of the error.
        box_jitter, box_jitter_pixels: corners move by up to this share of the side, and this many pixels, at most.
    """

    point_share: float = 0.5
    box_share: float = 0.5
    max_initial: int = 2
    max_corrected: int = 2
    corrections: int = 7
    rounds: list[int] = field(default_factory=list)
    truth_share: float = 0.1
    box_jitter: float = 0.1
    box_jitter_pixels: float = 20.0


@dataclass(frozen=True)
class ClipPlan:
    """What happens to a batch of clips; frames are places in the order in which they are processed.

    Attributes:
        initial: frames prompted before tracking starts, the first one being 0.
        corrected: frames that receive corrections.
        kinds: MASK, CLICK or BOX per clip.
        steps: pretended distance in frames from each frame to the one before it (the first value is unused).
        length: pretended length of the video in frames, which decides how distances are given to the network.
        lead: frames after the first that are tracked without being learnt from: neither supervised nor differentiated.
        rounds: corrections on each corrected frame, at least 1; None: as many as the prompts' settings say.
    """

    initial: tuple[int, ...]
    corrected: tuple[int, ...]
    kinds: tuple[int, ...]
    steps: tuple[int, ...]
    length: int
    lead: int = 0
    rounds: int | None = None

    @property
    def learnt(self) -> list[int]:
        """Frames to learn from."""
        return [0, *range(1 + self.lead, len(self.steps))]


def plan_clips(
    rng: np.random.Generator,
    clip_rngs: list[np.random.Generator],
    frames: int,
    config: PromptConfig,
    pretend_stride: int = 1,
    pretend_length: int = 0,
    max_lead: int = 0,
) -> ClipPlan:
    """Draw a plan: `rng` decides what the batch has in common, a clip's own generator the kind of its prompts.

    Half of the time, frames are told to be up to `pretend_stride` frames apart; the video is told to have at least
    `pretend_length` frames. Up to `max_lead` frames are a lead; frames - max_lead are learnt from, and the rest of
    the clip is left out. Frames of the lead get no prompts.
    """
    lead = int(rng.integers(0, max_lead + 1)) if max_lead else 0
    frames -= max_lead - lead
    late = np.arange(1 + lead, frames)
    count = 1 + int(rng.integers(0, max(1, min(config.max_initial, len(late)))))  # something is left to track
    initial = (0, *sorted(rng.permutation(late)[: count - 1].tolist()))
    corrected: tuple[int, ...] = ()
    if config.max_corrected > 0 and config.corrections > 0:
        most = int(rng.integers(1, config.max_corrected + 1))
        others = rng.permutation([t for t in late if t not in initial]).tolist()
        corrected = tuple(sorted([*initial, *others][:most]))
    kinds = []
    for own in clip_rngs:
        points, box = own.uniform(size=2)
        starts_from_points = points < config.point_share or frames == 1
        kinds.append((BOX if box < config.box_share else CLICK) if starts_from_points else MASK)
    apart = 1 if rng.uniform() < 0.5 else pretend_stride
    steps = rng.integers(1, apart + 1, frames).tolist()
    length = max(pretend_length, sum(steps[1:]) + 1)
    rounds = config.rounds[int(rng.integers(len(config.rounds)))] if config.rounds else None
    if rounds == 0:
        corrected = ()
    return ClipPlan(initial, corrected, tuple(kinds), tuple(steps), length, lead, rounds)


def draw_numbers(rng: np.random.Generator, objects: int, frames: int, config: PromptConfig) -> Tensor:
    """The uniform numbers a clip's simulated clicks are made from: objects x frames x (1 + corrections) x 4."""
    return torch.from_numpy(rng.uniform(size=(objects, frames, 1 + config.corrections, 4)).astype(np.float32))


def click_in(region: Tensor, share: Tensor) -> Tensor:
    """A pixel of each region, uniformly.

    Args:
        region: N x H x W bool; where one is empty, its whole image counts.
        share: N values in [0, 1).

    Returns:
        N x 2 float (x, y), whole pixels: the network adds the half that leads to their centres.
    """
    flat = region.flatten(1)
    flat = flat | ~flat.any(dim=1, keepdim=True)
    rank = flat.cumsum(dim=1)
    wanted = (share.to(flat.device) * rank[:, -1]).floor().long().clamp(max=rank[:, -1] - 1) + 1
    index = torch.searchsorted(rank, wanted[:, None])[:, 0]
    width = region.shape[-1]
    return torch.stack([index % width, index // width], dim=1).float()


def correcting_click(guess: Tensor, truth: Tensor, draws: Tensor, truth_share: float) -> tuple[Tensor, Tensor]:
    """A click on each object's error: positive where it was missed, negative where it was invented.

    Args:
        guess, truth: N x H x W bool.
        draws: N x 2 uniform numbers: whether to click in the truth instead, and where.
        truth_share: probability of the former.

    Returns:
        coords N x 1 x 2 (x, y) in pixels, labels N x 1 int64. Where nothing is wrong the click confirms: it lands in
        the object, or, for an absent object, outside as a negative one.
    """
    wrong = guess != truth
    perfect = ~wrong.flatten(1).any(dim=1)
    in_truth = ((draws[:, 0] < truth_share).to(truth.device) | perfect) & truth.flatten(1).any(dim=1)
    coords = click_in(torch.where(in_truth[:, None, None], truth, wrong), draws[:, 1])
    x, y = coords.long().unbind(1)
    labels = truth[torch.arange(len(truth), device=truth.device), y, x].long()
    return coords[:, None], labels[:, None]


def jittered_boxes(truth: Tensor, draws: Tensor, share: float, pixels: float) -> tuple[Tensor, Tensor]:
    """Boxes around N x H x W masks, their corners moved; an empty mask gets the whole image.

    Args:
        draws: N x 4 uniform numbers.

    Returns:
        coords N x 2 x 2 (x, y) in pixels, labels N x 2 int64.
    """
    height, width = truth.shape[-2:]
    low_x, high_x = _span(truth.any(dim=1))
    low_y, high_y = _span(truth.any(dim=2))
    box = torch.stack([low_x, low_y, high_x, high_y], dim=1).float()
    side = torch.stack([high_x - low_x, high_y - low_y], dim=1).float().repeat(1, 2)
    box = box + (2 * draws.to(box) - 1) * (side * share).clamp(max=pixels)
    limit = box.new_tensor([width, height, width, height])
    box = torch.minimum(box.clamp_min(0), limit)
    labels = torch.tensor([BOX_START, BOX_END], device=truth.device).expand(len(truth), 2)
    return box.view(-1, 2, 2), labels


def _span(line: Tensor) -> tuple[Tensor, Tensor]:
    """First and one past the last True of N x L; the whole line where there is none."""
    line = line | ~line.any(dim=1, keepdim=True)
    first = line.int().argmax(dim=1)
    return first, line.shape[1] - line.flip(1).int().argmax(dim=1)
