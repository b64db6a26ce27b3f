"""One call for the common case: a video and prompts in, masklets out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from typing_extensions import Unpack

from sam2v.masks.result import MaskletFrame
from sam2v.tracking.options import VideoChanges, VideoOptions
from sam2v.tracking.prompts import Prompt, check_count, check_index, check_mask, checked_prompt
from sam2v.video.base import FrameSource
from sam2v.video.sources import open_source

if TYPE_CHECKING:
    from sam2v.backends.base import Backend
    from sam2v.model.network import Sam2Network
    from sam2v.predict.video import Direction

Prompts = Mapping[int, Prompt] | Mapping[int, Mapping[int, Prompt]]


def track(
    source: Any,
    prompts: Prompts,
    *,
    model: str | Sam2Network | Backend = "sam2v_nano",
    direction: Direction = "forward",
    lag: int = 0,
    **options: Unpack[VideoChanges],
) -> Iterator[MaskletFrame]:
    """Track objects through a video.

    The memory that this takes does not grow with the video; nothing that was yielded is kept.

    Args:
        source: a video, as for `VideoPredictor.init_state`.
        prompts: a `sam2v.Prompt` by object id, for the first frame: `{1: Prompt(points=[(x, y)])}`; or by frame index
            and object id: `{0: {1: Prompt(...)}, 40: {2: Prompt(...)}}`.
        model: a name for `sam2v.load_model`, or a loaded model.
        direction: "forward" from the earliest prompted frame to the end, "reverse" from there to the beginning, or
            "both", first the one and then the other.
        lag: frames that each waits for before it is yielded, see `VideoPredictor.propagate_in_video`.
        **options: single options by name, see `VideoOptions`.

    Yields:
        `MaskletFrame`, which unpacks as (frame_idx, obj_ids, masks); masks are N x 1 x H x W logits.

    Raises:
        FileNotFoundError, ValueError, TypeError: the source, a prompt, the model's name, the lag or an option is wrong.
            All is checked by the call itself, the model last.
    """
    chosen = VideoOptions().changed(**options)
    lag = check_count(lag, "lag")
    by_frame = _by_frame(prompts)
    frames = open_source(source)
    _check(by_frame, frames)

    from sam2v.predict.video import VideoPredictor
    from sam2v.weights.load import load_model

    predictor = VideoPredictor(load_model(model) if isinstance(model, str) else model, options=chosen)
    state = predictor.init_state(frames, history="window")
    for frame_idx, several in by_frame.items():
        predictor.add_prompts(state, frame_idx, several)
    results = predictor.propagate_in_video(state, direction=direction, lag=lag)

    def walk() -> Iterator[MaskletFrame]:
        with state:
            yield from results

    return walk()


def _by_frame(prompts: Prompts) -> dict[int, dict[int, Prompt]]:
    """Prompts by frame index and object id, earliest frame first."""
    if not isinstance(prompts, Mapping) or not prompts:
        raise TypeError("prompts must map object ids to sam2v.Prompt values, or frame indices to such mappings")
    if all(isinstance(value, Prompt) for value in prompts.values()):
        prompts = {0: cast(Mapping[int, Prompt], prompts)}
    found = {}
    for frame_idx, several in prompts.items():
        if not isinstance(several, Mapping) or not all(isinstance(p, Prompt) for p in several.values()):
            raise TypeError(f"prompts of frame {frame_idx} must map object ids to sam2v.Prompt values")
        found[check_index(frame_idx, "frame_idx")] = {check_index(i, "obj_id"): p for i, p in several.items()}
    return dict(sorted(found.items()))


def _check(prompts: Mapping[int, Mapping[int, Prompt]], frames: FrameSource) -> None:
    """Raise ValueError or TypeError for what is wrong with prompts, before a model is loaded for them."""
    length = frames.known_length()
    for frame_idx, several in prompts.items():
        if frame_idx < 0 or (length is not None and frame_idx >= length):
            raise ValueError(f"frame_idx {frame_idx} is outside the video of {length} frames")
        for prompt in several.values():
            if prompt.mask is not None:
                check_mask(prompt.mask)
            if prompt.mask is None or any(p is not None for p in (prompt.points, prompt.labels, prompt.box)):
                checked_prompt(replace(prompt, mask=None), frames.size, frames.size)
