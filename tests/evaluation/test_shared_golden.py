"""Every recorded case of real sequences: values per frame and per sequence, through Python and the command
line.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sam2v.cli.main import main
from sam2v.evaluation import evaluate_folders

EVERY = bool(os.environ.get("SAM2V_ALL_GOLDEN"))  # otherwise two sequences
Masks = list[np.ndarray]


def shifted(mask: np.ndarray, dx: int, dy: int) -> np.ndarray:
    height, width = mask.shape
    padded = np.pad(mask, 64)
    return padded[64 - dy : 64 - dy + height, 64 - dx : 64 - dx + width]


def dilated(mask: np.ndarray, size: int) -> np.ndarray:
    for axis in (0, 1):
        padded = np.pad(mask, [(size, size) if a == axis else (0, 0) for a in (0, 1)])
        ends = [padded.take(range(k, k + mask.shape[axis]), axis) for k in range(2 * size + 1)]
        mask = np.logical_or.reduce(ends)
    return mask


RULES: dict[str, Callable[[Masks], Masks]] = {
    "identity": lambda gt: gt,
    "dilate_2": lambda gt: [dilated(mask, 2) for mask in gt],
    "erode_3": lambda gt: [~dilated(~mask, 3) for mask in gt],
    "first_copy": lambda gt: [gt[0]] * len(gt),
    "empty": lambda gt: [np.zeros_like(mask) for mask in gt],
    "empty_from_half": lambda gt: [mask & (t < len(gt) // 2) for t, mask in enumerate(gt)],
    "drift_t_over_2": lambda gt: [shifted(mask, t // 2, 0) for t, mask in enumerate(gt)],
    **{
        f"shift_{dx}_{dy}": lambda gt, dx=dx, dy=dy: [shifted(mask, dx, dy) for mask in gt]  # type: ignore[misc]
        for dx, dy in ((3, 0), (0, -5), (-7, 4))
    },
}


@pytest.fixture(scope="module")
def cases(shared_dir: Path) -> list[dict[str, Any]]:
    found = json.loads((shared_dir / "golden/J_F/public.json").read_text())["cases"]
    wanted = {case["sequence"] for case in found} if EVERY else {"kite-surf", "libby"}
    return [c for c in found if c["num_objects"] == 1 and c["perturbation"] in RULES and c["sequence"] in wanted]


@pytest.mark.parametrize("perturbation", RULES)
def test_recorded_numbers(perturbation: str, cases: list[dict[str, Any]], shared_dir: Path, tmp_path: Path) -> None:
    wanted = {case["sequence"]: case for case in cases if case["perturbation"] == perturbation}
    annotations = shared_dir / "data/davis-dev/Annotations/480p"
    for name in wanted:
        files = sorted((annotations / name).iterdir())
        masks = RULES[perturbation]([np.asarray(Image.open(file)) > 0 for file in files])
        (tmp_path / "pred" / name).mkdir(parents=True)
        for file, mask in zip(files, masks, strict=True):
            Image.fromarray(np.uint8(255) * mask).save(tmp_path / "pred" / name / file.name, compress_level=1)

    every = evaluate_folders(tmp_path / "pred", annotations, protocol="all-frames", sequences=list(wanted), workers=0)
    options = ["--sequences", ",".join(wanted), "--json", str(tmp_path / "a.json"), "--quiet"]
    assert main(["eval", "score", str(tmp_path / "pred"), str(annotations), *options]) == 0
    inner = json.loads((tmp_path / "a.json").read_text())
    for name, case in wanted.items():
        scores = every.sequences[name].objects["1"]
        assert scores.j == pytest.approx(case["J_per_frame"], abs=1e-6)
        assert scores.f == pytest.approx(case["F_per_frame"], abs=1e-6)
        recorded = {key: value for key, value in case["all_frames"].items() if key != "num_frames"}
        assert scores.to_dict() == pytest.approx(recorded, abs=1e-6)
        recorded = {key: value for key, value in case["exclude_first_last"].items() if key != "num_frames"}
        assert inner["sequences"][name]["objects"]["1"] == pytest.approx(recorded, abs=1e-6)
