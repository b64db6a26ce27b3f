"""What a synthetic clip looks like: the few values that a recipe changes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class SyntheticConfig:
    """Settings of the procedural clip generator.

    Attributes:
        height, width: frame size in pixels, both at least 32.
        frames: frames per clip; 1 gives image samples.
        max_objects: objects annotated per clip at most; every other body is an unannotated distractor or occluder.
        bodies: independent bodies drawn per clip at most. fewest_bodies: at least, as far as `bodies` allows.
        limbs: limbs in a clip at most; a limb hinges on a body, moves by itself and belongs to the body's mask.
        clutter: static shapes painted into the background; half of the share `cutouts` of them are cut-outs.
        smallest, largest: half extents of bodies, as shares of the view's shorter half side.
        motion: multiplies every speed; 1 is about the motion between consecutive frames of 12 frames/s film.
        look_alike: probability that a body copies the shape and texture of another one.
        leaving: probability that a body leaves the view and returns; clips of four frames or more.
        camouflage: probability that a body takes its colours from the background, a cut-out in part.
        photographs: share of textures cut from photographs, where the generator was given any.
        cutouts: share of bodies cut out along annotated regions, where the generator was given region maps.
        min_area: an annotated object covers at least this share of the first frame, and is seen there at all.
        reverse: probability that a clip runs backwards; its objects are those of the frame that then comes first.
    """

    height: int = 128
    width: int = 128
    frames: int = 4
    max_objects: int = 3
    bodies: int = 4
    fewest_bodies: int = 2
    limbs: int = 3
    clutter: int = 4
    smallest: float = 0.2
    largest: float = 0.95
    motion: float = 1.0
    look_alike: float = 0.25
    leaving: float = 0.12
    camouflage: float = 0.4
    photographs: float = 0.6
    cutouts: float = 0.6
    min_area: float = 0.004
    reverse: float = 0.0

    def __post_init__(self) -> None:
        whole = {"height": 32, "width": 32, "frames": 1, "max_objects": 1, "limbs": 0, "clutter": 0}
        for name, least in {**whole, "bodies": 1, "fewest_bodies": 1}.items():
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise ValueError(f"synthetic.{name}={value!r}: must be a whole number of at least {least}")
        for name in ("look_alike", "leaving", "camouflage", "photographs", "cutouts", "min_area", "reverse"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"synthetic.{name}={getattr(self, name)!r}: must lie in [0, 1]")
        if not 0 < self.smallest <= self.largest:
            raise ValueError(f"synthetic.smallest={self.smallest!r}, largest={self.largest!r}: positive, in this order")
        if not self.motion >= 0:
            raise ValueError(f"synthetic.motion={self.motion!r}: must be at least 0")

    @property
    def layers(self) -> int:
        """Moving layers of a clip: bodies and limbs."""
        return self.bodies + self.limbs

    @property
    def aspect(self) -> tuple[float, float]:
        """Half extents (x, y) of the view in world units: the shorter side is 1."""
        short = min(self.height, self.width)
        return self.width / short, self.height / short
