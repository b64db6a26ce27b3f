"""Thins fixtures that need no picture into the compact copies kept beside this file.

    python tests/golden/compact.py FOLDER_OF_FIXTURES

Arrays of more than LIMIT numbers are sampled; `meta["thinned"]` holds the strides, so that a test samples alike.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
KINDS = {
    "encoder": "encoders",
    "prompt_encoder": "modules",
    "mask_decoder": "modules",
    "memory_encoder": "modules",
    "memory_attention": "modules",
    "pieces": "modules",
}
LIMIT = 900


def strides(shape: tuple[int, ...], limit: int = LIMIT) -> list[int]:
    """Sampling steps that leave at most `limit` entries, the longest dimension thinned first."""
    steps = [1] * len(shape)

    def left(dim: int) -> int:
        return -(-shape[dim] // steps[dim])

    while np.prod([left(dim) for dim in range(len(shape))]) > limit:
        steps[max(range(len(shape)), key=left)] += 1
    return steps


def compact(source: Path, target: Path) -> None:
    """Write a thinned copy of one fixture."""
    with np.load(source) as arrays:
        meta = json.loads(str(arrays["meta"]))
        kept = {name: arrays[name] for name in arrays.files if name != "meta"}
    meta.pop("arrays", None)
    meta["thinned"] = {name: steps for name, a in kept.items() if max(steps := strides(a.shape), default=1) > 1}
    for name, steps in meta["thinned"].items():
        kept[name] = kept[name][tuple(slice(None, None, step) for step in steps)]
    target.parent.mkdir(exist_ok=True)
    np.savez_compressed(target, meta=np.array(json.dumps(meta)), **kept)


def main(folder: Path) -> None:
    """Thin every fixture of the kinds above."""
    for kind, home in KINDS.items():
        for source in sorted(folder.glob(f"{kind}_sam2*.npz")):
            name = source.name.removeprefix("encoder_") if kind == "encoder" else source.name
            compact(source, HERE / home / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
