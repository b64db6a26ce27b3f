"""Training data from unlabelled videos: masklets of a model, kept where tracking forwards and backwards agrees.

    python examples/make_masklets.py VIDEOS OUT --checkpoint runs/1/last.safetensors

OUT receives images/ and masks/ of short clips, for a source of `kind: folder`. The masks are the model's own: look at
them, and delete what is wrong.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

import sam2v
from sam2v.data.readers.folder import write_pair
from sam2v.training.masklets import MaskletRules, find_masklets
from sam2v.video.sources import open_source

SUFFIXES = {".mp4", ".mov", ".webm", ".mkv", ".avi"}


def shrunk(frame: np.ndarray, height: int) -> np.ndarray:
    """A frame of at most this height."""
    rows, columns = frame.shape[:2]
    if rows <= height:
        return frame
    return np.array(Image.fromarray(frame).resize((round(columns * height / rows), height), Image.Resampling.BOX))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", type=Path, help="folder of video files")
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", default="sam2v_nano")
    parser.add_argument("--checkpoint", default="auto")
    parser.add_argument("--dtype", default=None)
    parser.add_argument("--frames", type=int, default=36, help="frames per clip")
    parser.add_argument("--height", type=int, default=360, help="of the pictures, at most")
    parser.add_argument("--agreement", type=float, default=0.8, help="mean IoU of both ways, at least")
    parser.add_argument("--quality", type=float, default=0.8, help="predicted IoU of a first mask, at least")
    args = parser.parse_args()
    network = sam2v.load_model(args.model, args.checkpoint, dtype=args.dtype)
    rules = MaskletRules(agreement=args.agreement, quality=args.quality)
    for path in sorted(path for path in args.videos.iterdir() if path.suffix.lower() in SUFFIXES):
        video, kept = open_source(path), 0
        for start in range(0, len(video) - args.frames + 1, args.frames):
            frames = np.stack([shrunk(np.asarray(video[t]), args.height) for t in range(start, start + args.frames)])
            masks = find_masklets(network, frames, rules)
            if masks.shape[1]:
                write_pair(args.out, f"{path.stem}-{start:05d}", frames, masks)
                kept += masks.shape[1]
        print(f"{path.name}: {kept} masklets", flush=True)


if __name__ == "__main__":
    main()
