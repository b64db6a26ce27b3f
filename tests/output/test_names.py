"""Results go into folders of any name: none is read as an address, a pattern or an option."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from video.clips import number_of, numbered_frame

from sam2v.masks.result import MaskletFrame
from sam2v.output.writers import open_writer
from sam2v.video.sources import open_source

NAMES = [
    "take:1",
    "file:a",
    "http:",
    "concat:a|b",
    "-i",
    "%d",
    "out%03d",
    "a b?c#d",
    "näive ☂",
    os.fsdecode(b"caf\xe9"),
]


@pytest.mark.skipif(os.name == "nt", reason="Windows takes fewer names")
@pytest.mark.parametrize("format", ["mp4", "webm", "gif"])
@pytest.mark.parametrize("name", NAMES)
def test_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, format: str) -> None:
    monkeypatch.chdir(tmp_path)
    with open_writer(format, Path(name), size=(32, 64), fps=25.0) as writer:
        for index in range(3):
            masks = torch.full((1, 1, 32, 64), -4.0)
            picture = numbered_frame(index)
            writer.write(MaskletFrame(index, [1], masks, torch.ones(1), torch.ones(1), picture))
    overlay = tmp_path / name / f"overlay.{format}"
    assert overlay.is_file()
    with open_source(overlay) as source:
        assert [number_of(np.asarray(frame)) for frame in source] == [0, 1, 2]
