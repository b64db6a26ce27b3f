"""One program in a process of its own, for `benchmarks.runtime`: nothing is imported that the program does not need.

    python -m benchmarks.runtime_child track JSON
    python -m benchmarks.runtime_child stream JSON

Prints its numbers as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


def runtime(job: dict[str, Any]) -> Iterator[Any]:
    """Exported graphs: the first frame's masks, then those of one frame after the other."""
    from sam2v.runtime import VideoPredictor

    yield from _own(VideoPredictor(job["export"], threads=job["threads"], fill_hole_area=0), job)


def torch_own(job: dict[str, Any]) -> Iterator[Any]:
    """sam2v on torch."""
    import torch

    torch.set_num_threads(job["threads"])
    from sam2v import VideoPredictor, load_model

    overrides = [f"model.image_size={job['image_size']}"]
    model = load_model(job["model"], job["weights"], device="cpu", overrides=overrides)
    yield from _own(VideoPredictor(model, fill_hole_area=0), job)


def reference(job: dict[str, Any]) -> Iterator[Any]:
    """The package `sam2`."""
    import torch

    torch.set_num_threads(job["threads"])
    import sam2.sam2_video_predictor as module
    import sam2.utils.misc as loading
    from sam2.build_sam import build_sam2_video_predictor

    module.tqdm = loading.tqdm = lambda frames, **_: frames
    with torch.inference_mode():
        model = build_sam2_video_predictor(
            config_file=job["reference_config"],
            ckpt_path=job["weights"],
            device="cpu",
            hydra_overrides_extra=[f"++model.image_size={job['image_size']}"],
        )
        model.fill_hole_area = 0
        state = model.init_state(job["frames"])
        for number, place in enumerate(job["clicks"], 1):
            first = model.add_new_points_or_box(state, frame_idx=0, obj_id=number, points=[place], labels=[1])
        yield (first[2][:, 0] > 0).numpy()
        for _, _, masks in model.propagate_in_video(state):
            yield (masks[:, 0] > 0).numpy()


def _own(predictor: Any, job: dict[str, Any]) -> Iterator[Any]:
    state = predictor.init_state(job["frames"])
    for number, place in enumerate(job["clicks"], 1):
        first = predictor.add_points(state, 0, number, [place])
    yield first.binary()
    for result in predictor.propagate_in_video(state):
        yield result.binary()


PROGRAMS: dict[str, Callable[[dict[str, Any]], Iterator[Any]]] = {
    "sam2v.runtime": runtime,
    "sam2v": torch_own,
    "sam2": reference,
}


def track(job: dict[str, Any]) -> dict[str, Any]:
    """Time to the first mask since `job["started"]`, seconds per frame, memory, and pixels per frame to compare with.

    The first frames, whose memories are few, do not count.
    """
    results = PROGRAMS[job["program"]](job)
    next(results)
    cold, times, pixels = time.time() - job["started"], [], []
    while True:
        before = time.perf_counter()
        masks = next(results, None)
        if masks is None:
            break
        times.append(time.perf_counter() - before)
        pixels.append([int(mask.sum()) for mask in masks])
    steady = sorted(times[job["skip"] :])
    return {
        "cold_s": cold,
        "frame_s": steady[len(steady) // 2] if steady else None,
        "fastest_s": steady[0] if steady else None,
        "resident_MB": _megabytes("VmRSS"),
        "peak_MB": _megabytes("VmHWM"),
        "pixels": pixels,
        "torch": "torch" in sys.modules,
    }


def stream(job: dict[str, Any]) -> dict[str, Any]:
    """Resident memory over a live stream on exported graphs, after every hundred frames."""
    from sam2v.runtime import VideoPredictor
    from sam2v.video.frames import read_image

    frames = [read_image(file) for file in sorted(Path(job["frames"]).iterdir())]
    predictor = VideoPredictor(job["export"], threads=job["threads"])
    state, memory = predictor.init_state(None), []
    for number in range(job["count"]):
        predictor.track(state, frames[number % len(frames)])
        if number == 0:
            for obj_id, place in enumerate(job["clicks"], 1):
                predictor.add_points(state, 0, obj_id, [place])
        if (number + 1) % 100 == 0:
            memory.append(_megabytes("VmRSS"))
            print(f"frame {number + 1}: {memory[-1]:.0f} MB", file=sys.stderr, flush=True)
    return {"resident_MB": memory, "growth_MB": max(memory) - memory[0] if memory else None}


def _megabytes(what: str) -> float | None:
    """A line of /proc/self/status, where there is one."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    lines = status.read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith(what)).split()[1]) / 1024


if __name__ == "__main__":
    print(json.dumps({"track": track, "stream": stream}[sys.argv[1]](json.loads(sys.argv[2]))))
