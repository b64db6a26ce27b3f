"""Results that must not replace what they are made from."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sam2v.video.base import FrameSource


def check_inputs_stay(
    out: Path,
    video: Path,
    folders: Collection[Path],
    frames: FrameSource,
    formats: Collection[str],
    others: Iterable[Path] = (),
) -> None:
    """Raise ValueError if a result would replace the video, one of its frames, or another input.

    Args:
        out: folder of the results. video: a file, or a folder of frames.
        folders: where files about frames go, resolved; `out` among them.
        frames: the video, opened. formats: of the results. others: further inputs.
    """
    if "yolo" in formats:  # which writes pictures as well
        folders = [*folders, out.resolve() / "images"]
    if video.resolve() in folders:
        raise ValueError(f"--out {out}: results would go between the frames of {video}; name another folder")
    length = frames.known_length()
    names = None if length is None else set(map(frames.frame_name, range(length)))
    overlays = {out.resolve() / f"overlay.{name}" for name in formats}

    def is_of_a_frame(stem: str) -> bool:
        if names is not None:
            return stem in names
        return stem.isascii() and stem.isdecimal() and frames.frame_name(int(stem)) == stem

    for path in (path.resolve() for path in (video, *others)):
        about_a_frame = path.suffix in (".png", ".npz", ".jpg") and path.parent in folders
        if path in overlays or (about_a_frame and is_of_a_frame(path.stem)):
            raise ValueError(f"--out {out}: results would replace {path}; name another folder")
