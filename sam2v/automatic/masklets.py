"""Masklets of everything in a video: found, tracked, and kept apart by their ids."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from typing_extensions import Self, Unpack

from sam2v.automatic.backward import BackwardPass
from sam2v.automatic.forward import ForwardPass, Masklet
from sam2v.automatic.masklet_options import MaskletChanges, MaskletOptions
from sam2v.backends.base import Backend
from sam2v.masks.result import MaskletFrame
from sam2v.memory import MemoryPolicy, Pool
from sam2v.model.network import Sam2Network
from sam2v.predict.loading import load_with_options
from sam2v.predict.video import VideoPredictor, forward_frames
from sam2v.tracking.options import VideoOptions
from sam2v.video.sources import open_source


class Masklets:
    """The frames of a video with their objects, as an iterator.

    Attributes:
        masklets: the objects that were found so far, by id.
    """

    def __init__(self, frames: Iterator[MaskletFrame], forward: ForwardPass) -> None:
        self._frames, self._forward = frames, forward

    @property
    def masklets(self) -> dict[int, Masklet]:
        """The objects that were found so far, by id."""
        return self._forward.masklets

    @property
    def left_out(self) -> int:
        """Proposals for which there was no room so far."""
        return self._forward.left_out

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> MaskletFrame:
        return next(self._frames)


class AutomaticMasklets:
    """Find and track everything in videos, without a prompt.

    Masks proposed on the first frame become objects. At intervals, and when much of the picture is explained by no
    object, masks are proposed where none is, and those that are new join in mid-track. Objects that show the same are
    merged; those that stay out of sight, or whose masks are bad, are given up. There is no state: any number of videos
    may be tracked at once.

    Args:
        model: a network from `sam2v.load_model`, or what `sam2v.compile_network` makes of one.
        options: how objects are found and kept, as one value.
        video: how masks and memories are handled. policy: which memories are read, see `VideoPredictor`.
        pool: keeps results within a budget, see `VideoPredictor`.
        **changes: single options by name, see `MaskletOptions`.

    Raises:
        TypeError: an unknown option, or a value of the wrong type. ValueError: a value out of range.
    """

    def __init__(
        self,
        model: Sam2Network | Backend,
        *,
        options: MaskletOptions | None = None,
        video: VideoOptions | None = None,
        policy: MemoryPolicy | None = None,
        pool: Pool | None = None,
        **changes: Unpack[MaskletChanges],
    ) -> None:
        self.options = (options or MaskletOptions()).changed(**changes)
        self._predictor = VideoPredictor(model, options=video, policy=policy, pool=pool)

    @classmethod
    def from_pretrained(cls, name: str = "sam2v_nano", **options: Any) -> AutomaticMasklets:
        """Load a model by name and wrap it; takes the options of both `sam2v.load_model` and this class."""
        model, rest = load_with_options(cls, name, options)
        return cls(model, **rest)

    @property
    def model(self) -> Sam2Network:
        """The network."""
        return self._predictor.model

    def track(self, source: Any, step: Callable[[], object] = bool) -> Masklets:
        """Find and track everything in a video.

        Memory does not grow with the video; nothing that was given out is kept.

        Args:
            source: a video, as for `VideoPredictor.init_state`; of a stream the frames are taken as they are needed.
            step: is called whenever a frame was tracked (with `both` up to twice per frame), before results come.

        Returns:
            An iterator over `MaskletFrame`s in order, `hot_start` frames behind what was read; with `both` all of them
            after the video's end. An object that is out of sight is there with an empty mask; one that was given up is
            not. `masklets` tells what is known of the objects.

        Raises:
            FileNotFoundError, ValueError, TypeError: the source cannot be read, or `both` was asked for of a stream.
        """
        frames = open_source(source)
        if self.options.both and not frames.is_seekable:
            raise ValueError(
                "both=True tracks backwards too, and a stream goes forward only: give a file, folder or array"
            )
        engine = self._predictor.engine
        state = self._predictor.init_state(frames, history="full" if self.options.both else "window")
        forward = ForwardPass(engine, state, self.options, keeps=self.options.both)

        def forwards() -> Iterator[MaskletFrame]:
            with state:
                yield from forward.run(forward_frames(state, 0, None), step)

        def both_ways() -> Iterator[MaskletFrame]:
            with state:
                count = sum(1 for _ in forward.run(forward_frames(state, 0, None), step))
                BackwardPass(engine, state, self.options, forward.masklets).run(step)
                for position in range(count):
                    yield forward.shown(position)

        return Masklets(both_ways() if self.options.both else forwards(), forward)
