"""`sam2v export`: a model as files that run without sam2v's network."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from sam2v.cli.options import add_quiet_argument, no_progress
from sam2v.files import check_new, user_path

if TYPE_CHECKING:
    import numpy as np

    from sam2v.export.run import Export

#: Frames of each file that quantisation is calibrated by.
_FRAMES = 8

DESCRIPTION = (
    "Export the whole tracker: its calls as ONNX graphs that share one file of weights, or as programs of "
    "torch.export, with a manifest. What was exported is compared with the network at the end."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommand's arguments."""
    parser.add_argument(
        "--model", default="sam2v_nano", metavar="NAME", help="see 'sam2v models' (default: %(default)s)"
    )
    parser.add_argument("--checkpoint", default="auto", metavar="FILE", help="weights: a file, an address, or auto")
    parser.add_argument("--out", type=user_path, required=True, metavar="DIR", help="a new folder for the files")
    parser.add_argument("--format", default="onnx", help="onnx or torch (default: %(default)s)")
    parser.add_argument(
        "--dtype",
        default="float32",
        help="of image encoder and memory attention: float32 or float16 (default: %(default)s)",
    )
    parser.add_argument("--size", metavar="HxW", help="pictures' size, multiples of 32 (default: the model's)")
    parser.add_argument("--int8", action="store_true", help="quantise the image encoder, approximately")
    parser.add_argument(
        "--calibrate",
        nargs="+",
        type=user_path,
        default=[],
        metavar="FILE",
        help="with --int8: pictures or videos by which activations are quantised once, not for every picture anew",
    )
    parser.add_argument(
        "--override",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change the model's configuration, e.g. model.memory.pool=2; may be repeated",
    )
    add_quiet_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Export, and print what was compared."""
    from tqdm import tqdm

    from sam2v.export.run import STEPS, check_options, export_model
    from sam2v.weights.load import load_model

    check_options(args.format, args.dtype, args.int8)
    if args.calibrate and not args.int8:
        raise ValueError("--calibrate goes with --int8")
    overrides = [*args.override, *_size_override(args.size)]
    check_new(args.out)
    frames = [frame for file in args.calibrate for frame in _frames_of(file)]
    model = load_model(args.model, args.checkpoint, "cpu", "float32", overrides)
    with tqdm(total=STEPS, unit="step", disable=no_progress(args)) as bar:

        def begin(step: str) -> None:
            bar.set_description(step)
            bar.update()

        export = export_model(model, args.out, args.format, args.dtype, args.int8, frames, begin)
    _report(export)
    return 0


def _size_override(size: str | None) -> list[str]:
    if size is None:
        return []
    if not re.fullmatch(r"[1-9]\d{0,4}x[1-9]\d{0,4}", size):
        raise ValueError(f"--size {size}: expected HEIGHTxWIDTH, e.g. 576x1024")
    height, width = map(int, size.split("x"))
    if height % 32 or width % 32:
        raise ValueError(f"--size {size}: height and width must be multiples of 32")
    return [f"model.image_size=[{height},{width}]"]


def _frames_of(file: Path) -> list[np.ndarray]:
    """A few frames of a picture or video, evenly spread."""
    from sam2v.video.sources import open_source

    with open_source(file) as source:
        count = len(source)
        picked = sorted({round(i * (count - 1) / (_FRAMES - 1)) for i in range(_FRAMES)})
        return [source[index] for index in picked]


def _report(export: Export) -> None:
    print(f"{'call':<16}{'output':<14}{'difference':>10}")
    for difference in export.differences:
        print(f"{difference.call:<16}{difference.output:<14}{difference.share:>10.1e}")
    size = sum(path.stat().st_size for path in export.folder.iterdir())
    manifest = export.manifest
    height, width = manifest["image_size"]
    note = f", approximate ({manifest['approximate']})" if manifest["approximate"] else ""
    print(f"{manifest['model']} for {width} x {height} pictures{note}, {size / 1e6:.1f} MB: {export.folder}")
