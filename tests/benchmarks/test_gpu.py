"""The command for ten minutes of a GPU, in a small form on the processor: every case, cut off and gone on with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import gpu, gpu_case

SMALL = ["--device", "cpu", "--dtype", "float32", "--models", "sam2v_nano", "--checkpoint", "auto"]
SMALL += ["--image-size", "96", "--modes", "eager", "--objects", "1,2", "--videos", "1,2"]
SMALL += ["--warm", "1", "--frames", "2", "--fixtures", "1", "--peak-seconds", "0.01"]
SMALL += ["--decode-seconds", "0.1", "--decode-threads", "1,2", "--decode-size", "64,96"]
TRACKED = [f"sam2v_nano, {case}, eager" for case in ("1 object, 1 video", "2 objects, 1 video", "1 object, 2 videos")]


def in_this_process(job: dict[str, Any], seconds: float) -> dict[str, Any]:
    """A case without the seconds that starting a process takes."""
    return gpu_case.KINDS[job["kind"]]({**job, "started": 0.0})


def results(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "gpu.json").read_text())["cases"]


def test_every_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(gpu, "peer_is_installed", lambda: False)
    gpu.main([*SMALL, "--out", str(tmp_path), "--budget-minutes", "0"])
    cut = results(tmp_path)
    assert [name for name, found in cut.items() if "left_out" in found] == [
        "machine", "fixtures, eager", *TRACKED[:2], "decode", TRACKED[2]
    ]  # fmt: skip
    assert "pip install rf-sam-2" in cut["sam2v_nano, 1 object, 1 video, sam2"]["failure"]
    monkeypatch.setattr(gpu, "_child", in_this_process)
    gpu.main([*SMALL, "--out", str(tmp_path)])
    found = results(tmp_path)
    assert len(found["fixtures, eager"]["checked"]) == 1
    assert found["machine"]["product_gflop_per_s"] > 0
    assert found["decode"]["frames_per_s"].keys() == {"1", "2"}
    for name in TRACKED:
        assert found[name]["frames_per_s"] > 0 and len(found[name]["times_ms"]) == 2
    assert found[TRACKED[1]]["gflop"] > found[TRACKED[0]]["gflop"] > 0
    printed = capsys.readouterr().out
    assert all(f"| {name} |" in printed for name in TRACKED)
    # what is known is not measured again, whether or not there is time
    monkeypatch.setattr(gpu, "_child", None)
    gpu.main([*SMALL, "--out", str(tmp_path)])
    assert results(tmp_path) == found


def test_a_case_in_a_process_of_its_own() -> None:
    """Its answer, a failure as one, and its end."""
    job = {"kind": "machine", "dtype": "float32", "device": "cpu", "seconds": 0.01}
    assert gpu._child(job, 100)["product_gflop_per_s"] > 0
    assert gpu._child({**job, "dtype": "float33"}, 100)["failure"].startswith("AttributeError")
    assert "left_out" in gpu._child(job, 0.05)


@pytest.mark.parametrize("changes", [["--modes", "quick"], ["--objects", "0"], ["--device", "cuda"]])
def test_bad_arguments(changes: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu.torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as left:
        gpu.parsed([*SMALL, *changes, "--out", str(tmp_path)])
    assert left.value.code == 2
    assert not list(tmp_path.iterdir())
