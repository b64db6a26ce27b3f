"""One case of `benchmarks.gpu` in a process of its own: what to do comes as JSON, what it found is its last line."""

from __future__ import annotations

import contextlib
import itertools
import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common import count_gflop, forget_peak, machine, peak_megabytes, product_peak
from benchmarks.programs import VIDEO, Setup

Job = dict[str, Any]
ROOT = Path(__file__).resolve().parents[1]
#: Frames on which host reads are counted, and kernels.
_LOOKED_AT = 2


def track(job: Job) -> dict[str, Any]:
    """Track a clip: times, host reads, kernels, operations and memory of frames whose bank is full."""
    found: dict[str, Any] = {}
    network, predictor = _predictor(job)
    found["load_s"] = time.time() - job["started"]
    step, first = _sessions(job, predictor)
    found["first_mask_s"] = first - job["started"]
    for _ in range(job["warm"]):
        step()
    _wait(job)
    forget_peak(job["device"])
    found |= _times(job, step) | {"peak_mb": peak_megabytes(job["device"])}
    if job["device"] == "cuda":
        found |= {"host_reads": _host_reads(step), "kernels": _kernels(step)}
    if job["mode"] == "eager":  # what is compiled or replayed cannot be looked into
        network.requires_grad_(False)
        found["gflop"] = count_gflop(step)[0]
    return found


def peer(job: Job) -> dict[str, Any]:
    """The reference's predictor, compiled, on the same clip."""
    setup = Setup(
        *("sam2", job["model"], job["weights"], job["image_size"], job["dtype"], job["device"]),
        threads=torch.get_num_threads(),
        compiled=job["device"] == "cuda",
    )
    program: Any = VIDEO["sam2"](setup)
    with setup.context():
        program.start(Path(job["frames"]), [tuple(place) for place in job["clicks"]])
        (program.step() > 0).cpu()
        found: dict[str, Any] = {"first_mask_s": time.time() - job["started"]}
        for _ in range(job["warm"]):
            program.step()
        _wait(job)
        forget_peak(job["device"])
        found |= _times(job, lambda: (program.step() > 0).cpu())
    return found | {"peak_mb": peak_megabytes(job["device"])}


def fixtures(job: Job) -> dict[str, Any]:
    """Replay recorded answers of the reference on the device, in float32."""
    sys.path.insert(0, str(ROOT / "tests"))
    from golden.pictures import clip
    from golden.replay import TIGHT, Fixture, VideoReplay, answered, compare, golden_network

    torch.backends.cudnn.allow_tf32 = False
    checked = []
    for path in sorted((ROOT / "tests" / "golden" / "videos").glob("sam2.1_*.npz"))[: job["count"]]:
        fixture = Fixture(path)
        meta = fixture.meta
        network = golden_network(meta["config"], meta["salt"], meta["image_size"], job["device"])
        replay = VideoReplay(fixture, _in_mode(network, job["mode"], 1), clip(meta["frames"]))
        for k, _, results in answered(replay, meta["ops"]):
            for t, result in enumerate(results):
                recorded = {name: fixture[f"op{k}/{name}"][t] for name in ("video_masks", "area", "score", "iou")}
                compare(result, recorded, meta["video_stride"], TIGHT, f"{path.stem}, call {k}, result {t}")
        checked.append(path.stem)
    return {"checked": checked}


def machine_facts(job: Job) -> dict[str, Any]:
    """The machine and the most that a product of two square matrices reaches on the device."""
    peak = product_peak(getattr(torch, job["dtype"]), job["device"], job["seconds"])
    return {"machine": machine(job["device"]), "product_gflop_per_s": peak}


def decode(job: Job) -> dict[str, Any]:
    """Frames per second that are decoded and brought to the network's size, by number of threads that fit them."""
    return {"frames_per_s": {str(count): _decode_rate(job, count) for count in job["threads"]}}


# -- sam2v -------------------------------------------------------------------------------------------------------------


def _predictor(job: Job) -> tuple[Any, Any]:
    """The network and the predictor of a mode."""
    from sam2v import VideoPredictor, load_model

    overrides = [f"model.image_size={job['image_size']}"]
    network: Any = load_model(job["model"], job["weights"], job["device"], job["dtype"], overrides)
    return network, VideoPredictor(_in_mode(network, job["mode"], len(job["clicks"])))


def _in_mode(network: Any, mode: str, objects: int) -> Any:
    """What a predictor takes: the network, or its calls compiled or as graphs."""
    if mode == "eager":
        return network
    if mode == "compiled":
        from sam2v import compile_network

        return compile_network(network, objects=(objects,), progress=False)
    from sam2v import graph_network

    return graph_network(network)


def _sessions(job: Job, predictor: Any) -> tuple[Callable[[], None], float]:
    """Click on the first frame of every video; gives what tracks all of them by a frame, their masks on the host as
    bits, and when the first mask was there."""
    states, first = [], 0.0
    for _ in range(job["videos"]):
        states.append(predictor.init_state(job["frames"]))
        for number, place in enumerate(job["clicks"], 1):
            result = predictor.add_points(states[-1], 0, number, [place])
            if not first:
                result.packed()
                first = time.time()
    if job["videos"] == 1:
        alone = predictor.propagate_in_video(states[0])
        return lambda: next(alone).packed(), first
    together = predictor.propagate_in_videos(states)

    def step() -> None:
        for _, result in itertools.islice(together, job["videos"]):
            result.packed()

    return step, first


# -- measuring ---------------------------------------------------------------------------------------------------------


def _wait(job: Job) -> None:
    if job["device"] == "cuda":
        torch.cuda.synchronize()


def _times(job: Job, step: Callable[[], Any]) -> dict[str, Any]:
    """Median milliseconds of a step, and the frames per second of all steps together."""
    times, began = [], time.perf_counter()
    while len(times) < job["count"]:
        started = time.perf_counter()
        step()
        times.append(1000 * (time.perf_counter() - started))
    _wait(job)
    seconds = time.perf_counter() - began
    return {"ms": statistics.median(times), "frames_per_s": job["videos"] * len(times) / seconds, "times_ms": times}


def _host_reads(step: Callable[[], Any]) -> float:
    """How often a step waits for the device, as torch's sync debug mode sees it; the result's download is one."""
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            for _ in range(_LOOKED_AT):
                step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return sum("synchronizing" in str(one.message) for one in seen) / _LOOKED_AT


def _kernels(step: Callable[[], Any]) -> dict[str, float]:
    """Kernels, and copies and fills, that a step runs on the device, and the milliseconds that the device was busy."""
    from torch.autograd import DeviceType
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        for _ in range(_LOOKED_AT):
            step()
        torch.cuda.synchronize()
    events = [event for event in profiler.events() if event.device_type == DeviceType.CUDA]
    copies = [event for event in events if event.name.startswith(("Memcpy", "Memset"))]
    busy = sum(event.time_range.elapsed_us() for event in events) / 1000
    counts = {"kernels": len(events) - len(copies), "copies": len(copies), "busy_ms": busy}
    return {name: value / _LOOKED_AT for name, value in counts.items()}


def _decode_rate(job: Job, threads: int) -> float:
    """A file is read over and over, for so many seconds; so many threads bring its frames to the network's size."""
    from sam2v.video.fit import fit
    from sam2v.video.prefetch import Prefetcher
    from sam2v.video.sources import open_source

    size, count = tuple(job["size"]), 0
    order = itertools.cycle(range(job["length"]))
    with Prefetcher(open_source(job["file"]), order, lambda f: fit(f, size), 2 * threads, threads) as frames:
        next(frames)
        began = time.perf_counter()
        while time.perf_counter() < began + job["seconds"]:
            next(frames)
            count += 1
        return count / (time.perf_counter() - began)


KINDS: dict[str, Callable[[Job], dict[str, Any]]] = {
    "machine": machine_facts,
    "fixtures": fixtures,
    "track": track,
    "peer": peer,
    "decode": decode,
}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What others print does not mix with the answer."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def main() -> None:
    """Do the case; a failure is an answer too."""
    job: Job = json.loads(sys.argv[1])
    try:
        with _quiet():
            found = KINDS[job["kind"]](job)
    except (Exception, AssertionError) as error:
        found = {"failure": f"{type(error).__name__}: {error}".splitlines()[0][:500]}
    print(json.dumps(found, default=_plain))


def _plain(value: Any) -> Any:
    """Numbers of NumPy as Python's."""
    return value.item() if isinstance(value, np.generic) else str(value)


if __name__ == "__main__":
    main()
