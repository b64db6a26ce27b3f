"""Prompts of a simulated user: the true mask, its box, or clicks that correct what the predictor shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from sam2v.evaluation.predictor import Mask, Predictor, binary_masks
from sam2v.masks.boxes import box_prompt
from sam2v.masks.clicks import Click, central_click

Kind = Literal["mask", "box", "clicks"]


@dataclass(frozen=True)
class Prompt:
    """How objects are introduced: "mask", "box", or `clicks` simulated clicks, each at the centre of the error."""

    kind: Kind = "mask"
    clicks: int = 3

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"a prompt is mask, box or clicks:N, got {self.kind!r}")
        if self.clicks < 1:
            raise ValueError(f"the number of clicks must be at least 1, got {self.clicks}")

    @classmethod
    def parse(cls, text: str) -> Prompt:
        """ "mask", "box" or "clicks:N". Raises ValueError for anything else."""
        kind, _, count = text.partition(":")
        if kind == "clicks" and count.isdigit():
            return cls("clicks", int(count))
        if kind == "clicks" or count:
            raise ValueError(f"a prompt is mask, box or clicks:N, got {text!r}")
        return cls(kind)  # type: ignore[arg-type]  # checked by __post_init__

    def __str__(self) -> str:
        return f"clicks:{self.clicks}" if self.kind == "clicks" else self.kind


def introduce(
    predictor: Predictor, state: Any, frame_idx: int, obj_id: int, truth: Mask, prompt: Prompt, void: Mask | None = None
) -> None:
    """Prompt an object on the frame where it enters. `truth` is its H x W mask there, not empty; `void` as of
    `click_error`."""
    if prompt.kind == "mask":
        predictor.add_mask(state, frame_idx, obj_id, truth)
    elif prompt.kind == "box":
        predictor.add_box(state, frame_idx, obj_id, box_prompt(truth))
    else:
        click_error(predictor, state, frame_idx, obj_id, truth, None, prompt.clicks, void)


def click_error(
    predictor: Predictor,
    state: Any,
    frame_idx: int,
    obj_id: int,
    truth: Mask,
    shown: Mask | None,
    clicks: int,
    void: Mask | None = None,
) -> list[Click]:
    """Correct an object on one frame, click by click, each where what is shown is most wrong; stops when nothing is.

    Args:
        truth: H x W bool.
        shown: the object's mask on this frame so far, H x W bool; None: the object is new and the clicks are its first.
        clicks: how many at most.
        void: H x W bool, pixels that are not scored: what is shown there is not wrong. None: there are none.

    Returns:
        The clicks made.
    """
    made: list[Click] = []
    fresh = shown is None
    while len(made) < clicks and (click := central_click(truth, _without(shown, void))) is not None:
        points = np.asarray([[click.x, click.y]], dtype=np.float32)
        labels = np.asarray([click.label], dtype=np.int64)
        result = predictor.add_points(state, frame_idx, obj_id, points, labels, clear_old_points=fresh and not made)
        _, obj_ids, masks = result
        shown = binary_masks(obj_ids, masks)[obj_id]
        made.append(click)
    return made


def _without(shown: Mask | None, void: Mask | None) -> Mask | None:
    """A mask without the pixels that are not scored."""
    return shown if shown is None or void is None else shown & ~void
