"""`sam2v demo`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sam2v.cli.main import main


def test_demo(nano: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "demo"
    assert main(["demo", "--out", str(out), "--frames", "4", "--quiet", *nano]) == 0
    said, complaints = capsys.readouterr()
    assert complaints == ""
    head, *rows, last = said.splitlines()
    assert head.split() == ["object", "J&F", "J", "F"]
    assert [row.split()[0] for row in rows] == ["1", "3", "mean"]
    scores = np.array([[float(value) for value in row.split()[1:]] for row in rows])
    assert ((scores >= 0) & (scores <= 100)).all()
    np.testing.assert_allclose(scores[:, 0], scores[:, 1:].mean(1), atol=0.11)
    np.testing.assert_allclose(scores[2], scores[:2].mean(0), atol=0.11)
    assert str(out) in last
    size = Image.open(out / "frames" / "00000.png").size
    for index in range(4):
        assert set(np.unique(Image.open(out / f"{index:05d}.png"))) <= {0, 1, 3}
        assert Image.open(out / f"{index:05d}.png").size == size
    av = pytest.importorskip("av")
    with av.open(str(out / "overlay.mp4")) as container:
        frames = list(container.decode(video=0))
    assert len(frames) == 4 and (frames[0].width, frames[0].height) == size


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--objects", "4"], "the clip has objects 1, 2 and 3, not 4"),
        (["--frames", "2"], "at least 3 frames"),
        (["--seed", "-1"], "seed=-1"),
        (["--model", "sam9"], "sam9"),
        (["--checkpoint", "nowhere.pt"], "nowhere.pt"),
    ],
)
def test_bad_arguments(
    nano: list[str], tmp_path: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "--out", str(tmp_path / "demo"), *nano, *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and words in err and err.startswith("sam2v: error: ") and err.count("\n") == 1
    assert not (tmp_path / "demo").exists()
