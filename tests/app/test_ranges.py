"""Which frames are tracked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sam2v.app.ranges import frames_of, legs, rest

LAST = 20
FRAME = st.integers(0, LAST)


@given(FRAME, st.sampled_from(["forward", "backward", "both"]), st.sets(FRAME, max_size=4), FRAME, FRAME)
def test_no_run_goes_over_a_verified_frame(start, direction, verified, one, other) -> None:  # type: ignore[no-untyped-def]
    first, last = min(one, other), max(one, other)
    try:
        run = legs(start, direction, first, last, verified)
    except ValueError:
        return
    frames = [frame for leg in run for frame in frames_of(leg)]
    assert len(frames) == len(set(frames))
    assert not set(frames) & verified
    assert all(first <= frame <= last for frame in frames)
    for leg in run:
        seen = list(frames_of(leg))
        between = range(min(start, *seen), max(start, *seen) + 1)
        assert not (set(between) - {start}) & verified
    for number, frame in enumerate(frames):
        assert [f for leg in rest(run, frame) for f in frames_of(leg)] == frames[number + 1 :]
    assert rest(run, None) == run


def test_nothing_to_track_is_said() -> None:
    with pytest.raises(ValueError, match="nothing to track that way"):
        legs(0, "backward", 5, 9, set())
    with pytest.raises(ValueError, match="nothing to track that way"):
        legs(12, "forward", 5, 9, set())
    assert legs(2, "forward", 5, 9, set()) == [[5, 9, 1]] and legs(12, "backward", 5, 9, set()) == [[9, 5, -1]]
    assert legs(3, "both", 0, 9, {5, 1}) == [[3, 4, 1], [2, 2, -1]]
