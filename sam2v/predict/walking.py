"""Sessions on their way through frames: one by itself, or several that share every batch."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing

from sam2v.masks.result import MaskletFrame
from sam2v.tracking.engine import Engine, NoPromptError
from sam2v.tracking.rows import Step
from sam2v.tracking.session import Session
from sam2v.tracking.tracks import ObjectTrack

#: For every frame: None when it is at hand, the step that somebody is to make before he goes on (the session is locked
#: meanwhile), and a result or None.
Walk = Generator[Step | MaskletFrame | None, None, None]
#: Told the number of a video that failed, and why.
OnError = Callable[[int, Exception], object]


def walk(
    engine: Engine, state: Session, frames: Iterable[int], reverse: bool, first: int | None = None, lag: int = 0
) -> Walk:
    """Go through frames of a session.

    Args:
        first: where tracking starts, what is verified there stops nothing; None: the first of the frames.
        lag: how many frames each result waits for.

    Raises:
        NoPromptError: an object has no prompt, or there are no objects any more.
    """
    stopped: list[ObjectTrack] = []
    waiting: deque[int] = deque()
    with closing(engine.encoder.read_ahead(state, frames)) as ahead:
        for position in ahead:
            yield None
            with state.lock:
                state.check_open()
                if not state.tracks:
                    raise NoPromptError("all objects were removed while tracking")
                engine.remember_prompts(state)
                first = position if first is None else first
                going = [track for track in state.tracks.values() if not any(track is other for other in stopped)]
                if not going:
                    break
                yield Step(state, position, reverse, {track.obj_id for track in going})
                stopped += [track for track in going if position in track.verified and position != first]
                waiting.append(position)
                state.awaited = frozenset(waiting if lag else ())
                result = engine.result(state, waiting.popleft(), newest=lag > 0) if len(waiting) > lag else None
                if result is not None:
                    result.download()
                engine.encoder.encode_next(ahead)  # the device has work while somebody looks at this frame's masks
            yield result
    state.awaited = frozenset()
    while waiting:
        with state.lock:
            state.check_open()
            result = engine.result(state, waiting.popleft(), newest=True)
        yield result


def alone(engine: Engine, walk: Walk) -> Iterator[MaskletFrame]:
    """The results of one session's way."""
    with closing(walk):
        for item in walk:
            if isinstance(item, Step):
                engine.step(*item)
            elif item is not None:
                yield item


def together(
    engine: Engine, walks: Mapping[int, Walk], on_error: OnError | None = None
) -> Iterator[tuple[int, MaskletFrame]]:
    """The results of several sessions' ways, a frame of each at a time; those that end first leave the others.

    Args:
        walks: by number. on_error: told of a way that fails, while the others go on; None: the error ends all.

    Yields:
        Number and result.
    """
    going = dict(walks)
    with ExitStack() as all_of_them:
        for one in walks.values():
            all_of_them.enter_context(closing(one))

        def failed(number: int, error: Exception) -> None:
            del going[number]
            if on_error is None:
                raise error
            on_error(number, error)

        def go_on(number: int, error: Exception | None = None) -> Step | MaskletFrame | None:
            """The next item of a way; None also where it ends."""
            try:
                return next(going[number]) if error is None else going[number].throw(error)
            except StopIteration:
                del going[number]
            except Exception as raised:
                failed(number, raised)
            return None

        def next_step(number: int) -> Step | None:
            """What a way asks for, on which the next frame is at hand; None where it ends."""
            while number in going:
                item = go_on(number)
                if isinstance(item, Step):
                    return item
            return None

        while going:
            for number in list(going):
                go_on(number)
            steps = {number: step for number in list(going) if (step := next_step(number)) is not None}
            errors = engine.step_together(list(steps.values()))
            results = [(number, go_on(number, errors.get(place))) for place, number in enumerate(steps)]
            for number, result in results:
                if isinstance(result, MaskletFrame):
                    yield number, result
