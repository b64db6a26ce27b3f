"""`sam2v demo`: track two objects in a clip drawn on the spot, and say how well it went."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from sam2v.cli.options import add_model_arguments, add_quiet_argument, check_folder, load_model_from, no_progress
from sam2v.files import user_path

if TYPE_CHECKING:
    import numpy as np

    from sam2v.data.clips import Clip
    from sam2v.masks.result import MaskletFrame
    from sam2v.predict.video import VideoPredictor
    from sam2v.tracking.session import Session

_FPS = 12.0
_PROMPTS = ("mask", "box", "click")


DESCRIPTION = (
    "Draw a short clip of textured objects that move, cross and leave, track two of them from a prompt "
    "each on the first frame, write the overlay and compare the masks with the exact ones."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommand's arguments."""
    parser.add_argument(
        "--out", type=user_path, default="outputs/demo", metavar="DIR", help="for the results (default: %(default)s)"
    )
    parser.add_argument("--frames", type=int, default=48, help="length of the clip (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=2, help="which clip (default: %(default)s)")
    parser.add_argument("--objects", type=int, nargs="+", default=[1, 3], metavar="ID", help="of 1 to 3 (default: 1 3)")
    parser.add_argument(
        "--prompt", choices=_PROMPTS, default="mask", help="what the objects are prompted with (default: %(default)s)"
    )
    add_quiet_argument(parser)
    add_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Draw, track, write and score."""
    from sam2v.data.synthetic import demo_clip
    from sam2v.predict.video import VideoPredictor

    if args.frames < 3:
        raise ValueError(f"--frames {args.frames}: at least 3 frames, of which the first and the last are not scored")
    if not set(args.objects) <= {1, 2, 3}:
        raise ValueError(f"the clip has objects 1, 2 and 3, not {sorted(set(args.objects) - {1, 2, 3})[0]}")
    check_folder(args.out)
    predictor = VideoPredictor(load_model_from(args))
    clip = demo_clip(frames=args.frames, seed=args.seed)
    results = _track(predictor, clip, args, no_progress(args))
    print(f"{'object':<8}{'J&F':>7}{'J':>7}{'F':>7}")
    scores = {obj_id: _score(results, clip, obj_id) for obj_id in args.objects}
    for obj_id, (j, f) in scores.items():
        print(f"{obj_id:<8}{50 * (j + f):>7.1f}{100 * j:>7.1f}{100 * f:>7.1f}")
    j, f = (sum(column) / len(scores) for column in zip(*scores.values(), strict=True))
    print(f"{'mean':<8}{50 * (j + f):>7.1f}{100 * j:>7.1f}{100 * f:>7.1f}")
    print(f"overlay, clip and masks in {args.out}")
    return 0


def _track(predictor: VideoPredictor, clip: Clip, args: argparse.Namespace, quiet: bool | None) -> list[MaskletFrame]:
    """Track objects from the first frame; writes the clip's frames, label maps and an overlay."""
    from PIL import Image
    from tqdm import tqdm

    from sam2v.output.writers import open_writer

    out = args.out
    frames = clip.frames.permute(0, 2, 3, 1).numpy()
    pictures = out / "frames"
    pictures.mkdir(parents=True, exist_ok=True)
    for index, frame in enumerate(frames):
        Image.fromarray(frame).save(pictures / f"{index:05d}.png")
    state = predictor.init_state(frames)
    for obj_id in args.objects:
        _prompt(predictor, state, obj_id, _exact(clip, 0, obj_id), args.prompt)
    results = []
    with (
        open_writer("mp4", out, size=clip.size, fps=_FPS) as overlay,
        open_writer("png", out, size=clip.size) as labels,
    ):
        for result in tqdm(predictor.propagate_in_video(state), total=len(frames), unit="frame", disable=quiet):
            overlay.write(result.with_frame(frames[result.frame_idx]))
            labels.write(result)
            results.append(result)
    return results


def _prompt(predictor: VideoPredictor, state: Session, obj_id: int, mask: np.ndarray, kind: str) -> None:
    """Prompt an object on the first frame with its mask, the box around it, or a click at its centre."""
    from sam2v.masks.boxes import box_prompt
    from sam2v.masks.clicks import central_click

    if kind == "mask":
        predictor.add_mask(state, 0, obj_id, mask)
    elif kind == "box":
        predictor.add_box(state, 0, obj_id, box_prompt(mask))
    else:
        click = central_click(mask)
        assert click is not None  # every object of the clip is visible on its first frame
        predictor.add_points(state, 0, obj_id, [click[:2]])


def _score(results: list[MaskletFrame], clip: Clip, obj_id: int) -> tuple[float, float]:
    """Mean J and F of an object over the frames between the first and the last."""
    from sam2v.evaluation import frame_scores

    pairs = [
        frame_scores(r.binary()[r.obj_ids.index(obj_id)], _exact(clip, r.frame_idx, obj_id)) for r in results[1:-1]
    ]
    j, f = zip(*pairs, strict=True)
    return sum(j) / len(j), sum(f) / len(f)


def _exact(clip: Clip, frame_idx: int, obj_id: int) -> np.ndarray:
    """The drawn mask, H x W bool."""
    return clip.masks[frame_idx, obj_id - 1].numpy()
