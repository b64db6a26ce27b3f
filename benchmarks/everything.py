"""Everything in a long video: memory that does not grow, time per frame, and the network's calls.

    python -m benchmarks.everything --frames 2000 --max-objects 50

A video of textured discs that swing over a textured ground is made; `AutomaticMasklets` finds and tracks everything in
it. After every 100 frames the table gives

    resident MB     of the process
    objects         tracked, and found so far
    ms/frame        mean of these frames, proposals included
    calls           per frame to encode images, read memories and write memories: one each, however many objects there
                    are; proposals decode more often, and a frame on which objects join has their memories to write

Exits with 1 when resident memory grows by more than 60 MB after frame 200, or there are more calls in a hundred frames
in which no object joins.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.common import add_model_arguments, drawn_frames, machine, model_from, table, write_long_video
from sam2v import AutomaticMasklets
from sam2v.backends.base import Backend
from sam2v.cli.progress import resident_megabytes

MOST_GROWTH = 60.0
_EVERY, _SETTLED = 100, 200
_HEIGHT, _WIDTH, _GROUP = 360, 640, 50
_HEAD = ["frame", "resident MB", "objects", "found", "ms/frame", "calls"]
_COUNTED = ("encode_image", "read_memory", "write_memory")


class Row(NamedTuple):
    """What is seen after a hundred frames; see the columns of the table."""

    frame: int
    resident_mb: float
    objects: int
    found: int
    ms: float
    calls: float

    def cells(self) -> list[str]:
        """For the table."""
        return [*(f"{value:.0f}" for value in self[:-1]), f"{self.calls:.2f}"]


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
    rows = _track(args)
    settled = [row.resident_mb for row in rows if row.frame >= _SETTLED]
    growth = max(settled) - settled[0]
    print(table(_HEAD, [row.cells() for row in rows if row.frame in (100, 200, 500) or row.frame % 500 == 0]))
    print(f"\ngrowth after frame {_SETTLED}: at most {growth:.1f} MB; {args.model}; {machine()}")
    if args.json:
        result = {"steps": [row._asdict() for row in rows], "growth_MB": growth, "machine": machine()}
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    steady = [row.calls for before, row in pairwise(rows) if row.found == before.found]
    return 0 if growth <= MOST_GROWTH and max(steady, default=1.0) <= 1 else 1


def _track(args: argparse.Namespace) -> list[Row]:
    """Make the video and track it; what is seen after every hundred frames."""
    backend = CountingBackend(model_from(args))
    finder = AutomaticMasklets(backend, max_objects=args.max_objects, points_per_side=args.points_per_side)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.mp4"
        frames = drawn_frames(_GROUP, _HEIGHT, _WIDTH, args.discs)
        write_long_video(path, frames, repeats=-(-args.frames // _GROUP), fps=25)
        found = finder.track(path)
        start, before = time.perf_counter(), Counter(backend.count)
        for number, result in enumerate(islice(found, args.frames), 1):
            if number % _EVERY == 0:
                now = time.perf_counter()
                calls = max((backend.count - before)[name] for name in _COUNTED) / _EVERY
                ms = 1000 * (now - start) / _EVERY
                rows.append(Row(number, resident_megabytes(), len(result.obj_ids), len(found.masklets), ms, calls))
                print(*rows[-1].cells(), file=sys.stderr, flush=True)
                start, before = now, Counter(backend.count)
    return rows


if __name__ == "__main__":
    sys.exit(main())
