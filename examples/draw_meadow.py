"""Training data from the drawn meadow: the demonstration's story and the crowd's, by seeds that nothing is measured on.

    python examples/draw_meadow.py OUT --clips 40

OUT receives images/ and masks/ of twice as many clips, for a source of `kind: folder`. The demonstration is seed 2 of
its story, and clips are measured on seeds below 1000.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tqdm import tqdm

from sam2v.data.meadow.clip import MeadowClip
from sam2v.data.meadow.crowd import Crowd
from sam2v.data.readers.folder import write_pair


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--clips", type=int, default=40, help="of each story")
    parser.add_argument("--first", type=int, default=1000, help="first seed")
    parser.add_argument("--frames", type=int, default=48)
    args = parser.parse_args()
    for seed in tqdm(range(args.first, args.first + args.clips)):
        for story, kind in (("demo", MeadowClip), ("crowd", Crowd)):
            pictures, masks = kind((270, 480), args.frames, seed).draw()
            frames = pictures.permute(0, 2, 3, 1).contiguous()
            write_pair(args.out, f"{story}-{seed}", frames.numpy(), masks.numpy())


if __name__ == "__main__":
    main()
