"""Everything in a long video: memory that does not grow, time per frame, and the network's calls.

    python -m benchmarks.everything --frames 2000 --max-objects 50

A video of textured discs that swing over a textured ground is made; `AutomaticMasklets` finds and tracks everything in
it. After every 100 frames the table gives

    resident MB     of the process
    objects         tracked, and found so far
    ms/frame        mean of these frames, proposals included
    calls           per frame to encode images, read memories and write memories: one each, however many objects there
                    are; proposals alone decode more often

Exits with 1 when resident memory grows by more than 60 MB after frame 200, or there are more calls.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.common import add_model_arguments, drawn_frames, machine, model_from, table, write_long_video
from sam2v import AutomaticMasklets
from sam2v.backends.base import Backend
from sam2v.cli.progress import resident_megabytes

MOST_GROWTH = 60.0
_EVERY, _SETTLED = 100, 200
_HEIGHT, _WIDTH, _GROUP = 360, 640, 50
_COUNTED = ("encode_image", "read_memory", "write_memory")


class CountingBackend(Backend):
    """Counts the calls.

    Attributes:
        count: calls by name.
    """

    def __init__(self, network: Any) -> None:
        super().__init__(network)
        self.count: Counter[str] = Counter()

    def __getattribute__(self, name: str) -> Any:
        if name in _COUNTED:
            self.count[name] += 1
        return super().__getattribute__(name)


def main() -> int:
    """Track the video and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--discs", type=int, default=12, help="objects in the video (default: %(default)s)")
    parser.add_argument("--max-objects", type=int, default=50)
    parser.add_argument("--points-per-side", type=int, default=16)
    parser.add_argument("--json", type=Path, help="write the result")
    add_model_arguments(parser)
    args = parser.parse_args()
    backend = CountingBackend(model_from(args))
    finder = AutomaticMasklets(backend, max_objects=args.max_objects, points_per_side=args.points_per_side)
    rows: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.mp4"
        frames = drawn_frames(_GROUP, _HEIGHT, _WIDTH, args.discs)
        write_long_video(path, frames, repeats=-(-args.frames // _GROUP), fps=25)
        found = finder.track(path)
        start, before = time.perf_counter(), Counter(backend.count)
        for number, result in enumerate(found, 1):
            if number % _EVERY == 0:
                now = time.perf_counter()
                calls = max((backend.count - before)[name] for name in _COUNTED) / _EVERY
                rows.append(
                    {
                        "frame": number,
                        "resident_mb": resident_megabytes(),
                        "objects": len(result.obj_ids),
                        "found": len(found.masklets),
                        "ms": 1000 * (now - start) / _EVERY,
                        "calls": calls,
                    }
                )
                print(*rows[-1].values(), file=sys.stderr, flush=True)
                start, before = now, Counter(backend.count)
            if number >= args.frames:
                break
    settled = [row["resident_mb"] for row in rows if row["frame"] >= _SETTLED]
    growth = max(settled) - settled[0]
    shown = [row for row in rows if row["frame"] in (100, 200, 500) or row["frame"] % 500 == 0]
    head = ["frame", "resident MB", "objects", "found", "ms/frame", "calls"]
    cells = [
        [f"{row['frame']:.0f}", *(f"{row[k]:.0f}" for k in ("resident_mb", "objects", "found", "ms"))] for row in shown
    ]
    print(table(head, [[*cell, f"{row['calls']:.2f}"] for cell, row in zip(cells, shown, strict=True)]))
    print(f"\ngrowth after frame {_SETTLED}: at most {growth:.1f} MB; {args.model}; {machine()}")
    if args.json:
        args.json.write_text(json.dumps({"steps": rows, "growth_MB": growth, "machine": machine()}, indent=1) + "\n")
    most = max(row["calls"] for row in rows[1:])  # the first frames are read ahead, before the first result comes
    return 0 if growth <= MOST_GROWTH and most <= 1 else 1


if __name__ == "__main__":
    sys.exit(main())
