"""Which frames and which objects of a sequence are scored: one named convention per family of benchmarks."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Literal, get_args

from sam2v.evaluation.metrics import BOUND_TH

Frames = Literal["inner", "all", "after-first"]
Objects = Literal["first", "all"]


@dataclass(frozen=True)
class Protocol:
    """A scoring convention.

    frames: "inner" leaves out the first and last annotated frame (DAVIS semi-supervised); "all" scores every annotated
    frame; "after-first" scores an object on the annotated frames after the one that introduces it. objects: "first" =
    objects 1..N where N is the highest number in the first annotation (DAVIS); "all" = every number. In both cases only
    numbers that some annotation holds are objects. sparse: annotations may cover only some of the predicted frames;
    otherwise a prediction without one is an error. bound_th: boundary tolerance of F, a share of the image diagonal or,
    from 1 on, pixels.
    """

    frames: Frames = "inner"
    objects: Objects = "first"
    sparse: bool = False
    bound_th: float = BOUND_TH

    def __post_init__(self) -> None:
        for name, kind in (("frames", Frames), ("objects", Objects)):
            if getattr(self, name) not in get_args(kind):
                raise ValueError(f"{name} must be one of {', '.join(get_args(kind))}, got {getattr(self, name)!r}")


PROTOCOLS = {
    "davis": Protocol(),
    "all-frames": Protocol(frames="all"),
    "youtube": Protocol(frames="after-first", objects="all", sparse=True),
    "sav": Protocol(objects="all", sparse=True),
}


def objects_of_first(first: Collection[int], later: Iterable[Collection[int]]) -> list[int]:
    """The objects that "first" counts.

    The DAVIS toolkit counts 1..N, N being the highest number in the first annotation: also a number that appears only
    later, or goes away. A number up to N that no annotation holds is no object, however; to the toolkit it is one that
    is right on every frame.

    Args:
        first: object numbers in the first annotation, at least one.
        later: those in the annotations after it; read as far as numbers are missing.
    """
    missing, found = set(range(1, max(first))) - set(first), set(first)
    for numbers in later if missing else ():
        found |= missing & set(numbers)
        if missing <= found:
            break
    return sorted(found)


def get_protocol(protocol: str | Protocol, frames: Frames | None = None, bound_th: float | None = None) -> Protocol:
    """Look a convention up by name, with single settings changed. Raises ValueError for an unknown name."""
    if isinstance(protocol, str):
        if protocol not in PROTOCOLS:
            raise ValueError(f"no protocol named {protocol!r}; there are {', '.join(PROTOCOLS)}")
        protocol = PROTOCOLS[protocol]
    if frames is not None:
        protocol = replace(protocol, frames=frames)
    return protocol if bound_th is None else replace(protocol, bound_th=bound_th)
