"""How real clips and photographs are changed before they are learnt from."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass
class EditConfig:
    """What a source does to its clips; every value is a probability unless said otherwise, and 0 leaves clips alone.

    Attributes:
        animate: a photograph that fills a clip of several frames is set in motion: its objects move and deform before a
            filled-in background, under a moving camera. Without, it is shown as it is.
        parallax: an object of an animated photograph moves by itself; otherwise the camera alone moves.
        camera: a clip is seen by a moving camera: closer by up to `zoom`, with drift, turn and shake.
        zoom: largest enlargement of such a view, a factor of at least 1.
        paste: objects of other videos and photographs are put into a clip.
        pasted: how many at most, a number.
        again: a pasted object is a copy of one of the clip's own, moved in place and time: a look-alike.
        behind: a pasted object passes behind the clip's own objects instead of before them.
        leaving: a pasted object leaves the view and returns.
        learn: pasted objects are among those to learn; otherwise they are rivals and occluders only.
        blur: frames are blurred, by motion of the camera or of an object, or out of focus.
        light: a clip is lit otherwise, and its light changes.
        union: objects that touch count as one (a rider and a horse), beside the parts.
        motion: factor on the speed of whatever is set in motion, a number.
    """

    animate: float = 0.0
    parallax: float = 0.6
    camera: float = 0.0
    zoom: float = 1.6
    paste: float = 0.0
    pasted: int = 2
    again: float = 0.25
    behind: float = 0.3
    leaving: float = 0.3
    learn: float = 0.5
    blur: float = 0.0
    light: float = 0.0
    union: float = 0.0
    motion: float = 1.5

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if name in ("zoom", "motion", "pasted"):
                continue
            if not 0 <= value <= 1:
                raise ValueError(f"edits.{name}={value}: must be between 0 and 1")
        if self.zoom < 1 or self.pasted < 1 or self.motion < 0:
            raise ValueError(f"edits.zoom={self.zoom}, pasted={self.pasted}, motion={self.motion}: at least 1, 1 and 0")

    @property
    def active(self) -> bool:
        """Whether anything is done at all."""
        return any((self.animate, self.camera, self.paste, self.blur, self.light, self.union))
