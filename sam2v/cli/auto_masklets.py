"""`sam2v auto` of videos."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from sam2v.cli.inputs import check_inputs_stay
from sam2v.cli.masklet_options import add_masklet_arguments, masklet_options_from
from sam2v.cli.options import check_rate, load_model_from, no_progress

if TYPE_CHECKING:
    from tqdm import tqdm

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
    from tqdm import tqdm

    from sam2v.automatic.masklets import AutomaticMasklets
    from sam2v.output.lock import FolderLock
    from sam2v.output.writers import remove_results, results_in
    from sam2v.video.sources import open_source

    options = masklet_options_from(args)
    formats, out = formats_of(args), args.out
    frames = open_source(source)
    check_frames_stay(frames, source, out, formats)
    finder = AutomaticMasklets(load_model_from(args), options=options)
    with FolderLock(out):
        for name in results_in(out):
            remove_results(name, out)
        with tqdm(total=frames.known_length(), unit="frame", disable=no_progress(args)) as bar:
            found, count = write_masklets(finder, frames, formats, out, args.fps, bar)
    objects = f"{len(found.masklets) or 'no'} object{'s' * (len(found.masklets) != 1)}"
    print(f"{objects} in {count} frame{'s' * (count != 1)}: {', '.join(formats)} and {OBJECTS} in {out}")
    if found.left_out:
        most = options.max_objects
        print(f"proposals left out, there being {most} better objects at a time (--max-objects): {found.left_out}")
    return 0


def formats_of(args: argparse.Namespace) -> list[Format]:
    """The formats of results; raises ValueError for an unknown one, and for a rate that none can have."""
    from sam2v.output.writers import checked_formats

    check_rate(args.fps)
    return checked_formats(args.format or "png,coco,sav,mp4")


def write_masklets(
    finder: AutomaticMasklets,
    frames: FrameSource,
    formats: Sequence[Format],
    folder: Path,
    fps: float | None,
    bar: tqdm[NoReturn],
) -> tuple[Masklets, int]:
    """Write every frame to a folder, and what is known of the objects; what was found, and the number of frames."""
    from sam2v.files import write_text
    from sam2v.output.writers import open_writers

    count = 0
    found = finder.track(frames, step=bar.update)
    with open_writers(formats, folder, source=frames, fps=fps) as writer:
        for result in found:
            count += 1
            bar.set_postfix(objects=len(result.obj_ids), refresh=False)
            writer.write(result.with_frame(frames[result.frame_idx]) if writer.draws else result)
    known = [asdict(masklet) for masklet in found.masklets.values()]
    write_text(folder / OBJECTS, json.dumps({"objects": known, "left_out": found.left_out}, indent=1) + "\n")
    return found, count


def check_frames_stay(frames: FrameSource, source: Path, out: Path, formats: Sequence[Format]) -> None:
    """Raise ValueError if a result would replace the video or one of its frames, or objects' folders lie in it."""
    folder, video = out.resolve(), source.resolve()
    if "objects" in formats and video.is_dir() and folder.parent == video:
        raise ValueError(f"--out {out}: results would go between the frames of {source}; name another folder")
    # which numbers objects get is not known yet: any folder in that of the results may be one's
    of_objects = [place for place in (video, video.parent) if "objects" in formats and place.parent == folder]
    check_inputs_stay(out, source, [folder, *of_objects], frames, formats)
