"""`sam2v auto` of videos."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from sam2v.cli.inputs import check_inputs_stay
from sam2v.cli.masklet_options import add_masklet_arguments, masklet_options_from
from sam2v.cli.options import load_model_from, no_progress

if TYPE_CHECKING:
    from sam2v.automatic.masklets import AutomaticMasklets, Masklets
    from sam2v.output.writers import Format
    from sam2v.video.base import FrameSource

#: What is known of every object, beside what the writers leave.
OBJECTS = "objects.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `sam2v.AutomaticMasklets` that pictures do not have, and the output of videos."""
    group = parser.add_argument_group("videos")
    group.add_argument("--video", action="store_true", help="a folder of pictures is the frames of a video")
    add_masklet_arguments(group)
    group.add_argument(
        "--format",
        metavar="LIST",
        help="of png, objects, coco, sav, yolo, cvat, labelstudio, npz, mp4, webm, gif (default: png,coco,sav,mp4)",
    )
    group.add_argument("--fps", type=float, help="frame rate of overlays (default: the video's, or 25)")


def run(args: argparse.Namespace, source: Path) -> int:
    """Find and track everything in a video, and write it as it comes."""
    from sam2v.automatic.masklets import AutomaticMasklets
    from sam2v.output.lock import FolderLock
    from sam2v.output.writers import checked_formats, remove_results
    from sam2v.video.sources import open_source

    options = masklet_options_from(args)
    formats, out = checked_formats(args.format or "png,coco,sav,mp4"), args.out
    frames = open_source(source)
    _check_inputs_stay(frames, source, out, formats)
    finder = AutomaticMasklets(load_model_from(args), options=options)
    with FolderLock(out):
        for name in formats:
            remove_results(name, out)
        found, count = _track(finder, frames, formats, args)
        _say(found, count, formats, out, options.max_objects)
    return 0


def _track(
    finder: AutomaticMasklets, frames: FrameSource, formats: Sequence[Format], args: argparse.Namespace
) -> tuple[Masklets, int]:
    """Write every frame; what was found, and how many frames there are."""
    from tqdm import tqdm

    from sam2v.output.writers import open_writers

    count = 0
    with tqdm(total=frames.known_length(), unit="frame", disable=no_progress(args)) as bar:
        found = finder.track(frames, step=bar.update)
        with open_writers(formats, args.out, source=frames, fps=args.fps) as writer:
            for result in found:
                count += 1
                bar.set_postfix(objects=len(result.obj_ids), refresh=False)
                writer.write(result.with_frame(frames[result.frame_idx]) if writer.draws else result)
    return found, count


def _say(found: Masklets, count: int, formats: Sequence[str], out: Path, most: int) -> None:
    """Write what is known of the objects, and say how it went."""
    from sam2v.files import write_text

    known = [asdict(masklet) for masklet in found.masklets.values()]
    write_text(out / OBJECTS, json.dumps({"objects": known, "left_out": found.left_out}, indent=1) + "\n")
    objects = f"{len(known) or 'no'} object{'s' * (len(known) != 1)}"
    print(f"{objects} in {count} frame{'s' * (count != 1)}: {', '.join(formats)} and {OBJECTS} in {out}")
    if found.left_out:
        print(f"proposals left out, there being {most} better objects at a time (--max-objects): {found.left_out}")


def _check_inputs_stay(frames: FrameSource, source: Path, out: Path, formats: Sequence[Format]) -> None:
    """Raise ValueError if a result would replace the video or one of its frames, or objects' folders lie in it."""
    folder, video = out.resolve(), source.resolve()
    if "objects" in formats and video.is_dir() and folder.parent == video:
        raise ValueError(f"--out {out}: results would go between the frames of {source}; name another folder")
    # which numbers objects get is not known yet: any folder in that of the results may be one's
    of_objects = [place for place in (video, video.parent) if "objects" in formats and place.parent == folder]
    names = map(frames.frame_name, range(frames.known_length() or 0))
    check_inputs_stay(out, source, [folder, *of_objects], names, formats)
