"""Training data from cut-outs: objects with exact outlines, and pictures for what lies behind them.

    mkdir debs && cd debs && apt-get download tuxpaint-stamps-default mate-backgrounds lomiri-wallpapers-16.04 \
        lomiri-wallpapers-20.04 plasma-workspace-wallpapers
    for package in *.deb; do dpkg -x $package ../unpacked; done; cd ..
    npm pack @lobehub/fluent-emoji-3d@1.1.0 && tar xzf lobehub-fluent-emoji-3d-1.1.0.tgz -C unpacked
    python examples/collect_cutouts.py unpacked examples/collect_cutouts.json OUT

The JSON file names, relative to the first folder: a folder of cut-out photographs (pictures with transparency) and
words that a file's path must not contain; a folder of rendered drawings and those to take; the pictures. OUT receives
    pictures/   for `sources.N.photographs=`,
    regions/    PNG files with transparency, for `sources.N.regions=`.
Both may be shared with what examples/label_clips.py writes: give the same OUT.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image

CUTOUT, PICTURE = 512, 900  # longer sides in pixels
OPAQUE = 0.8  # share of what is visible at all that must be nearly opaque: no glass, no flames
SMALLEST = 2500  # opaque pixels
FULL = 0.985  # share of the picture that may be opaque: a photograph with an unused alpha channel is no cut-out


def keep(path: Path, out: Path) -> bool:
    """Write a cut-out to `out` if it is `usable`."""
    with Image.open(path) as opened:
        picture = opened.convert("RGBA")
    if not usable(picture):
        return False
    picture.thumbnail((CUTOUT, CUTOUT))
    picture.save(out)
    return True


def usable(picture: Image.Image) -> bool:
    """Whether a picture with transparency shows a solid object with an outline."""
    alpha = np.asarray(picture.getchannel("A"))
    visible, solid = (alpha > 20).sum(), (alpha > 200).sum()
    return (alpha > 127).sum() >= SMALLEST and solid >= OPAQUE * visible and (alpha > 127).mean() <= FULL


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("choice", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    choice = json.loads(options.choice.read_text())
    for name in ("pictures", "regions"):
        (options.out / name).mkdir(parents=True, exist_ok=True)
    stamps, drawings = options.folder / choice["cutouts"], options.folder / choice["drawings"]
    regions = options.out / "regions"
    kept = 0
    for path in sorted(stamps.rglob("*.png")):
        name = "_".join(path.relative_to(stamps).parts)
        if not any(word in name for word in choice["leave_out"]):
            kept += keep(path, regions / name)
    for name in choice["drawn"]:
        kept += keep(drawings / name, (regions / f"fluent_{name}").with_suffix(".png"))
    for number, name in enumerate(choice["pictures"]):
        with Image.open(options.folder / name) as opened:
            picture = opened.convert("RGB")
        picture.thumbnail((PICTURE, PICTURE))
        picture.save(options.out / "pictures" / f"wall_{number:03d}.jpg", quality=92)
    print(f"{kept} cut-outs and {len(choice['pictures'])} pictures in {options.out}")


if __name__ == "__main__":
    main()
