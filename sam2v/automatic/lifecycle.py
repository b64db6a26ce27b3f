"""One track's life, as association sees it: what speaks for it and against it, frame by frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sam2v.automatic.rules import AssociationRules

#: Why a track ends: its hot start failed, no evidence for too long, its masks are bad, it is the same as another one,
#: or another one needed its place.
Reason = Literal["unproven", "lost", "unstable", "duplicate", "displaced"]

#: Frames over which the mean of a track's quality reaches back.
_QUALITY_FRAMES = 16
#: Overlap of an object's masks on neighbouring frames below which it has jumped.
_JUMP = 0.05
#: What a track's standing grows to, in frames, and what is left of it after a frame on which it is not seen.
_STANDING, _FADING = 32.0, 0.5


@dataclass
class Track:
    """What is known of one track.

    Attributes:
        obj_id: its id. label: what it is, if anybody said so. score: of the candidate it began with.
        born: the frame it began on. last_seen: the newest frame on which it was seen and not hidden.
        standing: frames on which it alone has shown what it shows; fades while it is away, and is gone after a jump.
        stood: the most that its standing has been.
        alive: frames that it may still go without evidence.
        confirmed: whether it has proved itself. failed: frames of its hot start that spoke against it.
        seen: frames on which it was seen. quality: of its masks, a mean over the latest of them.
    """

    obj_id: int
    born: int
    score: float
    label: str | None
    alive: int
    last_seen: int
    quality: float
    confirmed: bool = False
    failed: int = 0
    seen: int = 0
    standing: float = 0.0
    stood: float = 0.0

    @classmethod
    def begin(cls, obj_id: int, frame_idx: int, score: float, label: str | None, rules: AssociationRules) -> Track:
        """A track that begins with a candidate's mask."""
        alive = rules.keep_alive
        return cls(obj_id, frame_idx, score, label, alive, frame_idx, score, rules.hot_start == 0)

    def absent(self, frame_idx: int) -> int:
        """Frames since it was last seen."""
        return abs(frame_idx - self.last_seen)

    def see(self, frame_idx: int, quality: float, overlap: float) -> None:
        """Note that it is seen; `overlap` is the IoU of its mask with the one it had before."""
        if overlap < _JUMP:
            self.standing = 0.0
        self.seen += 1
        self.quality += (quality - self.quality) / min(self.seen + 1, _QUALITY_FRAMES)

    def judge(self, frame_idx: int, for_it: bool, evidence: bool, rules: AssociationRules) -> Reason | None:
        """Take a frame's outcome into account.

        Args:
            frame_idx: the frame.
            for_it: whether it was seen and is no duplicate. evidence: whether something says that the object is there.

        Returns:
            Why it ends here, or None.
        """
        self.standing = min(_STANDING, self.standing + 1) if for_it else _FADING * self.standing
        self.stood = max(self.stood, self.standing)
        if for_it:
            self.last_seen = frame_idx
        self.alive = min(rules.keep_alive, self.alive + 1) if evidence else self.alive - 1
        if not self.confirmed:
            self.failed += not for_it
            if 2 * self.failed > rules.hot_start:
                return "unproven"
            self.confirmed = abs(frame_idx - self.born) >= rules.hot_start
        if self.quality < rules.min_quality:
            return "unstable" if self.confirmed else "unproven"
        return "lost" if self.alive < 0 else None

    @property
    def rooted(self) -> tuple[float, int, float, int]:
        """Of two tracks on the same pixels, the one with the smaller value stays."""
        return -self.standing, self.born, -self.quality, self.obj_id
