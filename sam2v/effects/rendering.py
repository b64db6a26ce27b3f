"""A video with effects, written to a file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from sam2v.data.results import VideoMasks, open_masks
from sam2v.effects.base import Effect
from sam2v.effects.canvas import Target
from sam2v.effects.edit import Edit
from sam2v.effects.parse import parse_effects
from sam2v.effects.scene import Masks
from sam2v.files import check_new, naming, user_path, whole_file, whole_folder
from sam2v.output.encode import Kept, Palette, VideoEncoder
from sam2v.output.sound import Sound
from sam2v.video.base import EndOfVideo, FrameSource
from sam2v.video.sources import open_source

RenderFormat = Literal["mp4", "webm", "gif", "png"]
#: Seconds that times in a file are counted in: all usual frame rates are whole numbers of it.
_TICK = {"mp4": Fraction(1, 360000), "webm": Fraction(1, 1000), "gif": Fraction(1, 100)}
#: Pictures that the colours of a GIF are chosen from.
_PALETTE_PICTURES = 16

Progress = Callable[[int, int | None], object]


def render(
    source: Any,
    masks: str | os.PathLike[str] | VideoMasks | Callable[[int], Masks | None],
    effects: Sequence[str | tuple[Target, Effect]],
    out: str | os.PathLike[str],
    *,
    format: RenderFormat | None = None,
    sound: bool = True,
    gaps: Literal["error", "unchanged"] = "error",
    progress: Progress | None = None,
) -> Path:
    """Write a video with effects: whole, or not at all.

    Frames are shown when the source's frames are, also where their rate varies, and mp4 and webm have the source's
    sound. Memory does not grow with the video.

    Args:
        source: a video, as for `sam2v.VideoPredictor.init_state`.
        masks: what `sam2v track` wrote, or any other masks that `sam2v.data.results.open_masks` reads; or a function of
            a frame's number that gives its masks, H x W bool by object id, and None where none are known.
        effects: texts such as "background:blur=12", or pairs (target, effect); done in this order.
        out: the file; for "png" a new folder.
        format: "mp4" (H.264), "webm" (VP9, transparent where something is cut out), "gif" or "png" (a picture per
            frame, RGBA where something is cut out). None goes by the ending of `out`; without one it is "png".
        sound: whether mp4 and webm have the source's sound.
        gaps: what becomes of frames that no masks are known of: "error", or "unchanged", as frames without objects. A
            frame of which it is known that it has none is no gap.
        progress: called with the frames done and, if it is known, how many there are. What it raises ends the work.

    Returns:
        `out`.

    Raises:
        ValueError, TypeError: a wrong effect; an object that is on no frame; a frame without known masks; a format
            that holds no transparency; an output that would replace what it is made from.
        FileNotFoundError, FileExistsError, OSError: nothing to read, or it cannot be written.
    """
    if gaps not in ("error", "unchanged"):
        raise ValueError(f"gaps is 'error' or 'unchanged', got {gaps!r}")
    effects = parse_effects(effects)
    path = user_path(out)
    format = render_format(path, format)
    opened = open_source(source)
    if isinstance(masks, str | os.PathLike):
        check_kept(path, format, opened, user_path(masks))
        masks = open_masks(masks, opened)
    else:
        check_kept(path, format, opened, masks.path if isinstance(masks, VideoMasks) else None)
    edit = Edit(opened, _known_masks(masks, gaps == "error"), effects)
    if isinstance(masks, VideoMasks):
        _check_targets(edit, masks)
        if gaps == "error":
            _check_gaps(masks, opened)
    if edit.transparent and format == "mp4":
        raise ValueError(
            "mp4 holds no transparency, and something is cut out: write .webm, .gif or a folder of pictures"
        )
    if format == "png":
        _write_pictures(edit, path, progress)
    else:
        _write_film(edit, path, format, sound and format != "gif", progress)
    return path


def render_format(out: Path, format: str | None = None) -> RenderFormat:
    """The format that a file is written in, by its ending if none is named.

    Raises:
        ValueError: an unknown one; the accepted ones are listed.
    """
    name = format or out.suffix.removeprefix(".").lower() or "png"
    if format is None and name == "png" and out.suffix:
        raise ValueError(f"{out}: pictures are written to a folder, name one without an ending")
    for known in get_args(RenderFormat):
        if name == known:
            return known
    what = f"unknown format {name!r}" if format else f"{out}: unknown ending {out.suffix!r}"
    raise ValueError(f"{what}; accepted: .mp4, .webm, .gif, or a folder for pictures (png)")


def check_kept(out: Path, format: RenderFormat, source: FrameSource, masks: Path | None = None) -> None:
    """Raise an error if an output would replace the video, its masks, or something beside them.

    Raises:
        ValueError: it would. FileExistsError: a folder of pictures that is there already.
    """
    place = out.resolve()
    for what, given in (("the video", source.path), ("the masks", masks)):
        if given is None:
            continue
        known = given.resolve()
        if place == known or (known.exists() and place.exists() and place.samefile(known)):
            raise ValueError(f"{out}: would replace {what}; name another file")
        if known.is_dir() and place.is_relative_to(known) and (place.exists() or format == "png"):
            raise ValueError(f"{out}: lies among {what} in {given}; name another place")
    if format == "png":
        check_new(out)
    elif out.is_dir():
        raise ValueError(f"{out}: is a folder, and a {format} is a file")


def _known_masks(masks: VideoMasks | Callable[[int], Masks | None], all_known: bool) -> Callable[[int], Masks | None]:
    """Masks by frame, None where none are known; a ValueError there, if they have to be known everywhere."""
    if isinstance(masks, VideoMasks):
        there, of_file = set(masks.frames), masks.masks
        return lambda index: of_file(index) if index in there else None

    def masks_of(index: int) -> Masks | None:
        found = masks(index)
        if found is None and all_known:
            raise _gap(f"no masks are known on frame {index}")
        return found

    return masks_of


def _check_targets(edit: Edit, masks: VideoMasks) -> None:
    wanted = {applied.target for applied in edit.effects if isinstance(applied.target, int)}
    missing, known = masks.missing(wanted)
    if missing:
        listed = ", ".join(map(str, sorted(known))) or "none"
        raise ValueError(f"{masks.path}: no object {min(missing)} on any frame; known: {listed}")


def _check_gaps(masks: VideoMasks, source: FrameSource) -> None:
    missing = _missing(masks, source)
    if missing:
        with suppress(EndOfVideo):  # where that is behind the end of a file that was cut short, its length is known now
            source[missing[0]]
        missing = _missing(masks, source)
    if missing:
        raise _gap(f"{masks.path}: no masks are known on frame {missing[0]} ({len(missing)} of {len(source)} frames)")


def _missing(masks: VideoMasks, source: FrameSource) -> list[int]:
    """Frames that no masks are known of, ascending."""
    return sorted(set(range(len(source))) - set(masks.frames))


def _gap(where: str) -> ValueError:
    return ValueError(f"{where}, which would be left unedited; gaps='unchanged' (--allow-gaps) permits that")


def _write_pictures(edit: Edit, out: Path, progress: Progress | None) -> None:
    from PIL import Image

    with whole_folder(out) as folder:
        for index, picture in _pictures(edit, progress):
            Image.fromarray(picture).save(folder / f"{edit.source.frame_name(index)}.png", compress_level=3)


def _write_film(
    edit: Edit, out: Path, format: Literal["mp4", "webm", "gif"], sound: bool, progress: Progress | None
) -> None:
    source = edit.source
    with whole_file(out) as temporary, naming(out):
        kept = Kept(_TICK[format], edit.transparent)
        palette = Palette(_few(edit)) if format == "gif" else None
        shape = source.size, source.fps or 25, palette
        encoder = VideoEncoder(temporary, format, *shape, kept=kept, pixel_aspect=source.pixel_aspect)
        heard = Sound(source.media, encoder.container, format) if sound and source.media is not None else None
        try:
            for index, picture in _pictures(edit, progress):
                shown = source.shown(index)
                if heard is not None:
                    heard.write_until(shown[0])
                encoder.add(picture, shown)
            if heard is not None:
                heard.finish()
        except BaseException:
            encoder.abandon()
            raise
        finally:
            if heard is not None:
                heard.close()
        encoder.close()


def _pictures(edit: Edit, progress: Progress | None) -> Iterator[tuple[int, np.ndarray]]:
    """(number, picture) of every frame."""
    for index, picture in enumerate(edit):
        yield index, picture
        if progress is not None:
            progress(index + 1, edit.source.known_length())


def _few(edit: Edit) -> Iterator[np.ndarray]:
    """Pictures from all over the video."""
    if not edit.source.is_seekable:
        raise ValueError("a GIF's colours are chosen from the whole video, and this one cannot go back")
    for index in range(0, len(edit.source), -(-len(edit.source) // _PALETTE_PICTURES)):
        try:
            yield edit[index]
        except EndOfVideo:
            return
