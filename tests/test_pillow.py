"""Pictures are opened in one place, which runs nothing of what a file says."""

from __future__ import annotations

import ast
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image, UnidentifiedImageError, features

import sam2v
from sam2v.masks.png import read_binary, read_label_map, read_objects
from sam2v.pillow import FORMATS, open_picture
from sam2v.video.frames import image_size, read_image

PROGRAM = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"


@pytest.mark.parametrize("read", [open_picture, read_image, image_size, read_binary, read_label_map, read_objects])
def test_postscript_is_not_run(read: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[object] = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *args, **options: ran.append(args))
    path = tmp_path / "f.png"
    path.write_bytes(PROGRAM)
    with pytest.raises((OSError, ValueError), match=r"f\.png"):
        read(path)
    assert not ran


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind != "AVIF" or features.check("avif")])
def test_formats(kind: str, tmp_path: Path) -> None:
    """By content, from paths and from open files."""
    picture, options = np.full((16, 24, 3), 200, np.uint8), {"quality": 90} if kind == "AVIF" else {}
    file = io.BytesIO()
    Image.fromarray(picture).save(file, kind, **options)
    (tmp_path / "picture.png").write_bytes(file.getvalue())
    for given in (tmp_path / "picture.png", file):
        with open_picture(given) as opened:
            assert opened.size == (24, 16)
    assert np.abs(read_image(tmp_path / "picture.png").astype(int) - 200).max() < 8


def test_a_format_that_this_pillow_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.init()
    monkeypatch.delitem(Image.OPEN, "AVIF", raising=False)
    (tmp_path / "f.png").write_bytes(b"no picture at all")
    with pytest.raises(UnidentifiedImageError, match=r"cannot identify image file .*f\.png"):
        open_picture(tmp_path / "f.png")


def test_nothing_else_opens_pictures() -> None:
    package = Path(sam2v.__file__).parent
    found = [
        f"{file.relative_to(package)}:{node.lineno}"
        for file in sorted(package.rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "Image.open"
    ]
    assert len(found) == 1 and found[0].startswith("pillow.py:"), found
