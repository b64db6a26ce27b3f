"""Results that must not replace what they are made from."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path


def check_inputs_stay(
    out: Path,
    video: Path,
    folders: Collection[Path],
    names: Iterable[str],
    formats: Collection[str],
    others: Iterable[Path] = (),
) -> None:
    """Raise ValueError if a result would replace the video, one of its frames, or another input.

    Args:
        out: folder of the results. video: a file, or a folder of frames.
        folders: where files about frames go, resolved; `out` among them.
        names: what files about frames are called. formats: of the results. others: further inputs.
    """
    if "yolo" in formats:  # which writes pictures as well
        folders = [*folders, out.resolve() / "images"]
    if video.resolve() in folders:
        raise ValueError(f"--out {out}: results would go between the frames of {video}; name another folder")
    about_frames, overlays = set(names), {out.resolve() / f"overlay.{name}" for name in formats}
    for path in (path.resolve() for path in (video, *others)):
        about_a_frame = path.suffix in (".png", ".npz", ".jpg") and path.parent in folders
        if path in overlays or (about_a_frame and path.stem in about_frames):
            raise ValueError(f"--out {out}: results would replace {path}; name another folder")
