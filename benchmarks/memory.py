"""Memory that does not grow with the length of the video.

    python -m benchmarks.memory stream --picture docs/images/memory.png
    python -m benchmarks.memory file
    python -m benchmarks.memory history
    python -m benchmarks.memory masks

`stream` pushes frames through `VideoPredictor.track` and notes the resident memory of the process after every 100;
`file` makes a long mp4, opens it with `init_state` and counts what is decoded until the first mask is there. `history`
tracks such a file with `history="full"` from end to end, notes resident memory and the size of the temporary file,
corrects a frame in the middle and tracks on, and compares the masks with those of a session that lets nothing go.
`masks` prompts many objects with a mask each on one frame of 1920 x 1080 and notes the seconds and the peak.
All exit with 1 when a bound is missed: 40 MB of growth after frame 100; 300 MB beyond the model, and 2% of the file;
0.3 MB per object and frame, and the same masks bit for bit.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common import (
    add_model_arguments,
    disc_centres,
    drawn_frames,
    endless,
    forget_peak,
    machine,
    model_from,
    peak_megabytes,
    table,
    write_long_video,
)
from sam2v import Pool, Prompt, VideoPredictor
from sam2v.cli.progress import resident_megabytes
from sam2v.memory import Hypothesis, Moment, Reach, RecentFramesPolicy
from sam2v.tracking.session import Session

MOST_EACH = 0.3e6
MOST_GROWTH, MOST_BEYOND_MODEL, MOST_DECODED = 40.0, 300.0, 0.02
_EVERY = 100
_HEIGHT, _WIDTH = 360, 640


def main() -> int:
    """Run one of the two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    stream = kinds.add_parser("stream", help="a live stream")
    stream.add_argument("--frames", type=int, default=3000)
    stream.add_argument("--picture", type=Path, help="draw the curve here")
    file = kinds.add_parser("file", help="a long file")
    file.add_argument("--minutes", type=int, default=20)
    file.add_argument("--track", type=int, default=100, help="frames to track after the first mask")
    history = kinds.add_parser("history", help="everything of a long file is kept")
    history.add_argument("--minutes", type=float, default=10, help="at 30 frames a second")
    history.add_argument("--spill", type=Path, help="folder of the temporary file")
    masks = kinds.add_parser("masks", help="masks of many objects on one frame")
    for kind, objects in ((stream, 2), (file, 2), (history, 1), (masks, 100)):
        kind.add_argument("--objects", type=int, default=objects)
        kind.add_argument("--json", type=Path, help="write the result")
        add_model_arguments(kind)
    args = parser.parse_args()
    runs = {"stream": run_stream, "file": run_file, "history": run_history, "masks": run_masks}
    result = runs[args.kind](args)
    result |= {"model": args.model, "objects": args.objects, "machine": machine()}
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    print(f"\n{machine()}")
    return 0 if result["within_bounds"] else 1


def run_stream(args: argparse.Namespace) -> dict[str, Any]:
    """Track a live stream and watch the memory."""
    predictor = VideoPredictor(model_from(args))
    frames = endless(drawn_frames(48, _HEIGHT, _WIDTH, args.objects))
    state = predictor.init_state(None)
    predictor.track(state, next(frames))
    _prompt(predictor, state, args.objects)
    seen, memory, start = [], [], time.perf_counter()
    for number in range(1, args.frames):
        predictor.track(state, next(frames))
        if (number + 1) % _EVERY == 0:
            seen.append(number + 1)
            memory.append(round(resident_megabytes(), 1))
            print(f"frame {seen[-1]}: {memory[-1]:.1f} MB", file=sys.stderr, flush=True)
    seconds = (time.perf_counter() - start) / (args.frames - 1)
    growth = max(memory) - memory[0]
    print(_stream_table(seen, memory))
    print(f"\ngrowth after frame {_EVERY}: at most {growth:.1f} MB; {1000 * seconds:.0f} ms a frame")
    if args.picture:
        _draw(args.picture, seen, memory, args.objects)
    result = {"frames": seen, "resident_MB": memory, "growth_MB": round(growth, 1), "s_per_frame": round(seconds, 4)}
    return result | {"within_bounds": growth < MOST_GROWTH}


def run_file(args: argparse.Namespace) -> dict[str, Any]:
    """Open a long file and see what the first mask costs."""
    model = model_from(args)
    predictor = VideoPredictor(model)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.mp4"
        write_long_video(path, drawn_frames(48, _HEIGHT, _WIDTH, args.objects), repeats=30 * args.minutes, fps=24)
        gc.collect()
        megabytes, decoded = path.stat().st_size / 1e6, _count_decoded()
        steps = [("model loaded", resident_megabytes(), decoded[0], 0.0)]
        start = time.perf_counter()

        def note(step: str) -> None:
            steps.append((step, resident_megabytes(), decoded[0], time.perf_counter() - start))

        state = predictor.init_state(path)
        note("init_state")
        _prompt(predictor, state, args.objects)
        note("first mask")
        for number, _ in enumerate(predictor.propagate_in_video(state, max_frame_num_to_track=args.track)):
            if number in (0, args.track):
                note(f"frame {number} tracked")
        total = state.num_frames or 0
        state.close()
    beyond = max(memory for _, memory, *_ in steps) - steps[0][1]
    share = next(count for step, _, count, _ in steps if step == "first mask") / total
    rows = [[s, f"{m - steps[0][1]:.1f}", f"{d}", f"{100 * d / total:.2f}%", f"{t:.2f}"] for s, m, d, t in steps]
    print(f"{args.minutes} minutes, {total} frames of {_WIDTH} x {_HEIGHT}, {megabytes:.1f} MB\n")
    print(table(["after", "MB beyond the model", "frames decoded", "of the file", "seconds"], rows))
    result = {"video_frames": total, "file_MB": round(megabytes, 1), "beyond_model_MB": round(beyond, 1)}
    result |= {"decoded_share_at_first_mask": share, "steps": steps}
    return result | {"within_bounds": beyond < MOST_BEYOND_MODEL and share < MOST_DECODED}


class _KeepAll(RecentFramesPolicy):
    """The usual rule, by which nothing is ever out of reach."""

    def reach(self, hypothesis: Hypothesis, moment: Moment) -> Reach:
        every = frozenset(range(moment.frame_idx + 1))
        return Reach(every, every)


def run_history(args: argparse.Namespace) -> dict[str, Any]:
    """Track a long file and keep everything; correct its middle and compare."""
    model = model_from(args)
    frames = drawn_frames(48, _HEIGHT, _WIDTH, args.objects)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.mp4"
        write_long_video(path, frames, repeats=math.ceil(1800 * args.minutes / len(frames)), fps=30)
        predictor = VideoPredictor(model, pool=Pool(folder=args.spill))
        gc.collect()
        rows, base, start = [], resident_megabytes(), time.perf_counter()
        with predictor.init_state(path) as state:
            _prompt(predictor, state, args.objects)
            for number, _ in enumerate(predictor.propagate_in_video(state), 1):
                if number in (100, 1000) or number % 3000 == 0:
                    rows.append(_history_row(predictor.pool, number, base, start))
            rows.append(_history_row(predictor.pool, number, base, start))
            refined = _refine(predictor, state, number // 2)
        memory = model.config.memory
        everything = VideoPredictor(model, policy=_KeepAll(memory.num_maskmem, memory.max_obj_ptrs))
        with everything.init_state(path) as state:
            _prompt(everything, state, args.objects)
            for _ in everything.propagate_in_video(state, max_frame_num_to_track=number // 2):
                pass
            same = all(map(torch.equal, refined, _refine(everything, state, number // 2)))
    each = 1e6 * (rows[-1][2] + rows[-1][3]) / number / args.objects
    print(
        table(["frames", "resident MB beyond", "host MB kept", "file MB", "seconds"], [list(map(str, r)) for r in rows])
    )
    print(
        f"\n{each / 1e3:.1f} kB per object and frame; the refinement is {'' if same else 'NOT '}that of everything kept"
    )
    result = {"frames": number, "steps": rows, "bytes_per_object_and_frame": round(each), "same_refinement": same}
    return result | {"within_bounds": each < MOST_EACH and same}


def _history_row(pool: Pool, number: int, base: float, start: float) -> tuple[int, float, float, float, float]:
    host, file = pool.held_bytes["host"] / 1e6, pool.file_bytes / 1e6
    seconds = time.perf_counter() - start
    row = (number, round(resident_megabytes() - base, 1), round(host, 1), round(file, 1), round(seconds, 1))
    print(*row, file=sys.stderr, flush=True)
    return row


def _refine(predictor: VideoPredictor, state: Session, frame: int) -> list[torch.Tensor]:
    """Masks after a correction: on its frame and on thirty more."""
    masks = [predictor.add_points(state, frame, 1, [(_WIDTH / 2, _HEIGHT / 2)], [0]).masks]
    return masks + [r.masks for r in predictor.propagate_in_video(state, frame, max_frame_num_to_track=30)]


def run_masks(args: argparse.Namespace) -> dict[str, Any]:
    """Give many objects a mask each on one frame."""
    height, width = 1080, 1920
    predictor, rng = VideoPredictor(model_from(args)), np.random.default_rng(0)
    state = predictor.init_state(rng.integers(0, 255, (1, height, width, 3)).astype(np.uint8))
    prompts = {}
    for obj_id in range(1, args.objects + 1):
        mask, y, x = np.zeros((height, width), bool), rng.integers(0, 900), rng.integers(0, 1700)
        mask[y : y + 150, x : x + 180] = True
        prompts[obj_id] = Prompt(mask=mask)
    forget_peak()
    base, start = resident_megabytes(), time.perf_counter()
    predictor.add_prompts(state, 0, prompts)
    seconds, beyond = time.perf_counter() - start, peak_megabytes() - base
    print(
        f"{args.objects} masks of {width} x {height}: {seconds:.1f} s, {beyond:.0f} MB beyond the model and the masks"
    )
    return {"seconds": round(seconds, 2), "beyond_MB": round(beyond), "within_bounds": True}


def _prompt(predictor: VideoPredictor, state: Session, objects: int) -> None:
    for number, centre in enumerate(disc_centres(0.0, _HEIGHT, _WIDTH, objects)):
        predictor.add_points(state, 0, number + 1, [centre])


def _count_decoded() -> list[int]:
    """A counter of all frames that any decoder gives from now on."""
    from sam2v.video.decoder import Decoder

    count, advance = [0], Decoder.advance

    def counted(decoder: Decoder) -> Any:
        frame = advance(decoder)
        count[0] += frame is not None
        return frame

    Decoder.advance = counted  # type: ignore[method-assign]
    return count


def _stream_table(seen: list[int], memory: list[float]) -> str:
    marks = [i for i in range(len(seen)) if seen[i] in (100, 500) or seen[i] % 1000 == 0 or i == len(seen) - 1]
    return table(["frame", *(str(seen[i]) for i in marks)], [["resident MB", *(f"{memory[i]:.0f}" for i in marks)]])


def _draw(path: Path, seen: list[int], memory: list[float], objects: int) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 3), layout="constrained")
    axes.axhspan(0, memory[0] + MOST_GROWTH, color="0.94", zorder=0)
    axes.plot(seen, memory, color="#1f6f8b", linewidth=2)
    axes.set(xlim=(0, seen[-1]), ylim=(0, 1.35 * (memory[0] + MOST_GROWTH)))
    axes.set(xlabel="frames of the stream", ylabel="resident memory, MB")
    axes.set_title(f"A live stream, {objects} objects; grey: 40 MB above frame 100", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    sys.exit(main())
