"""Training data from the drawn meadow: the demonstration's story and the crowd's, by seeds that nothing is measured on.

    python examples/draw_meadow.py OUT --clips 40

OUT receives images/ and masks/ of twice as many clips, for a source of `kind: folder`. The demonstration is seed 2 of
its story, and clips are measured on seeds below 1000.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from PIL import Image
from tqdm import tqdm

from sam2v.data.meadow.clip import MeadowClip
from sam2v.data.meadow.crowd import Crowd
from sam2v.masks.png import write_label_map


def write_clip(out: Path, name: str, scene: MeadowClip) -> None:
    """Pictures and label maps of one clip."""
    for folder in ("images", "masks"):
        (out / folder / name).mkdir(parents=True, exist_ok=True)
    for t in range(scene.frames):
        picture, masks = scene.frame(t)
        ids = torch.arange(1, len(masks) + 1, dtype=torch.uint8)[:, None, None]
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(out / "images" / name / f"{t:05d}.jpg", quality=93)
        write_label_map(out / "masks" / name / f"{t:05d}.png", (masks * ids).amax(dim=0).numpy())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--clips", type=int, default=40, help="of each story")
    parser.add_argument("--first", type=int, default=1000, help="first seed")
    parser.add_argument("--frames", type=int, default=48)
    args = parser.parse_args()
    for seed in tqdm(range(args.first, args.first + args.clips)):
        for story, kind in (("demo", MeadowClip), ("crowd", Crowd)):
            write_clip(args.out, f"{story}-{seed}", kind((270, 480), args.frames, seed))


if __name__ == "__main__":
    main()
