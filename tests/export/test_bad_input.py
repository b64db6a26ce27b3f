"""What cannot be exported is refused in one line, and what fails leaves nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from models import loud_nano
from video.clips import number_of, write_video

from sam2v.cli.export import _frames_of
from sam2v.cli.main import main
from sam2v.export import run
from sam2v.export.check import Difference
from sam2v.export.run import export_model
from sam2v.model.network import Sam2Network


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--size", "100x160"], "--size 100x160: height and width must be multiples of 32"),
        (["--size", "96"], "--size 96: expected HEIGHTxWIDTH"),
        (["--size", "0x96"], "expected HEIGHTxWIDTH"),
        (["--format", "tflite"], "format must be one of onnx, torch, not 'tflite'"),
        (["--dtype", "bfloat16"], "dtype must be one of float32, float16, not 'bfloat16'"),
        (["--int8", "--format", "torch"], "int8 goes with format onnx and dtype float32"),
        (["--int8", "--dtype", "float16"], "int8 goes with format onnx and dtype float32"),
        (["--calibrate", "x.png"], "--calibrate goes with --int8"),
        (["--int8", "--calibrate", "missing.png"], "missing.png"),
        (["--model", "sam4"], "unknown model 'sam4'; known: "),
        (["--checkpoint", "missing.pt"], "missing.pt"),
        (["--override", "model.image_size=100"], "must be a positive multiple of 32"),
    ],
)
def test_arguments(tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], words: str) -> None:
    assert main(["export", "--out", str(tmp_path / "out"), *more]) == 2
    out, err = capsys.readouterr()
    assert not out and words in err and err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_other_things_in_the_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").touch()
    assert main(["export", "--out", str(tmp_path)]) == 2
    assert "there is something of that name already" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_video_of_unknown_length_is_looked_at_to_its_end(tmp_path: Path) -> None:
    path = write_video(tmp_path / "long.webm", 80, codec="libvpx", size=(32, 64))
    frames = _frames_of(path)
    assert [number_of(frame) for frame in frames] == [0, 11, 23, 34, 45, 56, 68, 79]


def test_models(tmp_path: Path) -> None:
    network = loud_nano(["model.image_size=64"])
    with pytest.raises(TypeError, match="model must come from"):
        export_model(torch.nn.Linear(1, 1), tmp_path / "out")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="load it with dtype='float32'"):
        export_model(loud_nano(["model.image_size=64"]).set_precision(torch.bfloat16), tmp_path / "out")
    with pytest.raises(ValueError, match="calibrate goes with int8"):
        export_model(network, tmp_path / "out", calibrate=[np.zeros((8, 8, 3), np.uint8)])
    with pytest.raises(ValueError, match="floats must lie in"):
        export_model(network, tmp_path / "out", int8=True, calibrate=[np.full((8, 8, 3), 9.0)])
    network.image_only = True
    with pytest.raises(ValueError, match="image-only checkpoint"):
        export_model(network, tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("share", [0.5, float("nan")])
def test_other_answers_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float) -> None:
    def write(folder: Path, network: Sam2Network, *_: Any) -> tuple[dict[str, Any], list[Difference]]:
        (folder / "weights.bin").write_bytes(b"1")
        return {}, [Difference("read_memory", "conditioned", share), Difference("encode_image", "stride16", 0.0)]

    monkeypatch.setattr(run, "_write_torch", write)
    with pytest.raises(RuntimeError, match="read_memory answers otherwise than the network: conditioned differs"):
        export_model(loud_nano(["model.image_size=64"]), tmp_path / "out", "torch")
    assert not list(tmp_path.iterdir())


def test_a_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(folder: Path, *_: Any) -> None:
        (folder / "encode_image.pt2").touch()
        raise OSError("No space left on device")

    monkeypatch.setattr(run, "_write_torch", write)
    with pytest.raises(OSError, match="No space left"):
        export_model(loud_nano(["model.image_size=64"]), tmp_path / "out", "torch")
    assert not list(tmp_path.iterdir())


def test_missing_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"needs onnx, onnxscript, onnxruntime: pip install 'sam2v\[export\]'"):
        export_model(loud_nano(["model.image_size=64"]), tmp_path / "out")
