"""Weights of training data by a model's own errors on it, for `sources.N.weights=`.

    python examples/mine_errors.py davis2016 DAVIS weights.json --checkpoint runs/1/last.safetensors --without rhino
    python examples/mine_errors.py sa1b PHOTOGRAPHS weights.json --checkpoint runs/1/last.safetensors

Videos are tracked from their first masks and from three clicks, photographs clicked once and three times. A record
whose error is twice the mean is drawn twice as often as before.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import sam2v
from sam2v.data import open_dataset
from sam2v.data.selection import select_records
from sam2v.training.mining import photograph_errors, video_errors, weights_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", help="data set, e.g. davis2016 or sa1b")
    parser.add_argument("root", type=Path)
    parser.add_argument("out", type=Path, help="JSON file to write")
    parser.add_argument("--split")
    parser.add_argument("--without", nargs="*", default=[], metavar="PATTERN")
    parser.add_argument("--model", default="sam2v_nano")
    parser.add_argument("--checkpoint", default="auto")
    parser.add_argument("--dtype", default=None)
    args = parser.parse_args()
    network = sam2v.load_model(args.model, args.checkpoint, dtype=args.dtype)
    records = select_records(open_dataset(args.kind, args.root, args.split), without=args.without)
    if args.kind == "sa1b":
        errors = photograph_errors(network, records)
    else:
        errors = video_errors(network, records, ("mask", "clicks:3"))
    args.out.write_text(json.dumps(weights_of(errors), indent=1, sort_keys=True) + "\n")
    hardest = sorted(errors, key=errors.__getitem__, reverse=True)[:8]
    print(f"{len(errors)} records; most wrong: {', '.join(f'{name} {errors[name]:.2f}' for name in hardest)}")


if __name__ == "__main__":
    main()
