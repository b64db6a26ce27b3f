"""What an annotator hands in: masks, what was done to them, and how long it took."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal, get_args

from sam2v.data.masklet_file import MaskletMasks
from sam2v.data_engine.scores import scores_of

ActKind = Literal["click", "stroke", "mask"]


@dataclass(frozen=True)
class Act:
    """Something that was done to a frame.

    Attributes:
        frame: its index. kind: a click, a stroke of the brush or the eraser, or a mask that was given.
        x, y: where, in pixels of the frame. label: 1 adds, 0 takes away. radius: of the brush, in pixels.
        seconds: active ones since the act before.
    """

    frame: int
    kind: ActKind
    x: float = 0.0
    y: float = 0.0
    label: int = 1
    radius: float = 0.0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in get_args(ActKind):
            raise ValueError(f"an act is one of {', '.join(get_args(ActKind))}, got {self.kind!r}")

    @property
    def data(self) -> dict[str, Any]:
        """What of it is neither frame, kind nor time."""
        return {name: value for name, value in asdict(self).items() if name in ("x", "y", "label", "radius")}


@dataclass
class Work:
    """A task that is done.

    Attributes:
        masks: on all annotated frames of the video. acts: what was done, in order.
        phase: by which the masks were made. model: which one helped.
        active_seconds: of the annotator. model_seconds: of computation.
    """

    masks: MaskletMasks
    acts: list[Act] = field(default_factory=list)
    phase: int = 3
    model: str | None = None
    active_seconds: float = 0.0
    model_seconds: float = 0.0

    def __post_init__(self) -> None:
        if not self.masks.rows:
            raise ValueError("no frame has masks: there is nothing to hand in")
        unknown = {act.frame for act in self.acts} - set(self.masks.rows)
        if unknown:
            raise ValueError(f"frame {min(unknown)} was edited but is not among the annotated frames")

    @cached_property
    def scores(self) -> dict[str, Any]:
        """See `scores_of`; looked at once, before a transaction begins: it takes seconds of a long video."""
        return scores_of(self.masks)

    @property
    def edited(self) -> int:
        """How many frames were edited."""
        return len({act.frame for act in self.acts})

    def count(self, kind: ActKind) -> int:
        """How many acts there are of a kind."""
        return sum(act.kind == kind for act in self.acts)
