"""Clips that were trimmed by an edit list: what is hidden is in the file, and does not count."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from random import Random

import numpy as np
import pytest
from video.clips import BFRAMES, decoded, edit_list, number_of, replace_box, write_video

from sam2v.video.decoder import Decoder
from sam2v.video.sources import EndOfVideo, VideoFile

FRAME = 512  # duration of a frame in the file's own unit; 40 ms
FIRST = 2 * FRAME  # time of the first frame
EDITS = {  # what is shown: (milliseconds, from where); and the frames that those are
    "all": ([(1600, FIRST)], range(40)),
    "start hidden": ([(1000, FIRST + 9 * FRAME)], range(9, 34)),
    "end hidden": ([(1000, FIRST)], range(25)),
    "both hidden": ([(400, FIRST + 13 * FRAME)], range(13, 23)),
    "delay": ([(500, -1), (1600, FIRST)], range(40)),
    "two parts": ([(400, FIRST), (400, FIRST + 24 * FRAME)], [*range(10), *range(24, 34)]),
    "in another order": ([(400, FIRST + 24 * FRAME), (400, FIRST)], [*range(24, 34), *range(10)]),
    "twice": ([(400, FIRST + 5 * FRAME), (400, FIRST + 5 * FRAME)], [*range(5, 15), *range(5, 15)]),
    "longer than it is": ([(9000, FIRST)], range(40)),
}


@pytest.mark.parametrize("sound", [False, True])
@pytest.mark.parametrize("ending", ["mp4", "mov"])
@pytest.mark.parametrize("case", list(EDITS))
def test_only_what_is_shown(tmp_path: Path, case: str, ending: str, sound: bool) -> None:
    edits, shown = EDITS[case]
    path = write_video(tmp_path / f"clip.{ending}", 40, options=BFRAMES, sound=sound)
    path.write_bytes(replace_box(path.read_bytes(), b"edts", edit_list(edits)))
    frames = decoded(path)
    assert [number_of(frame) for frame in frames] == list(shown)
    with VideoFile(path, cache_bytes=0) as source:
        assert source.known_length() == len(frames)
        for index in [len(frames) - 1, *Random(0).choices(range(len(frames)), k=10), 0]:
            np.testing.assert_array_equal(source[index], frames[index], err_msg=f"frame {index}")
        with pytest.raises(EndOfVideo, match=f"has {len(frames)}"):
            source[len(frames)]
    with VideoFile(path) as source:
        assert [number_of(frame) for frame in source] == list(shown)
        assert source.known_length() == len(frames)


def test_the_length_is_known_before_anything_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "long.mp4", 250, options={"g": "20", "preset": "ultrafast"})
    path.write_bytes(replace_box(path.read_bytes(), b"edts", edit_list([(8000, 10 * FRAME)])))
    count, advance = [0], Decoder.advance

    def counted(decoder: Decoder) -> object:
        count[0] += 1
        return advance(decoder)

    monkeypatch.setattr(Decoder, "advance", counted)
    with VideoFile(path) as source:
        assert source.known_length() == len(source) == 200 and count == [1]


@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv", "webm"])
def test_frames_before_time_zero(tmp_path: Path, ending: str) -> None:
    """Muxers hide them in mp4 and mov; Matroska has no way to, so there they are shown."""
    codec = {"codec": "libvpx-vp9"} if ending == "webm" else {"options": BFRAMES}
    times = [number - 7 for number in range(20)]
    path = write_video(tmp_path / f"trim.{ending}", 20, times=times, unit=Fraction(1, 25), **codec)
    expected = list(range(7, 20)) if ending in ("mp4", "mov") else list(range(20))
    with VideoFile(path) as source:
        assert source.known_length() == len(expected)
        assert number_of(source[len(expected) - 1]) == 19
        assert [number_of(frame) for frame in source] == expected


@pytest.mark.parametrize("flags", ["frag_keyframe", "frag_keyframe+empty_moov", "dash"])
def test_recordings_in_fragments_do_not_know_their_length(tmp_path: Path, flags: str) -> None:
    """Their head lists the first frames only, or none."""
    path = write_video(tmp_path / "a.mp4", 200, options=BFRAMES, container_options={"movflags": flags})
    with VideoFile(path, cache_bytes=0) as source:
        assert source.known_length() is None and len(source) == 200
        assert [number_of(source[index]) for index in (199, 3, 120)] == [199, 3, 120]
