"""Programs of torch.export: they are loaded where there is no sam2v."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from export.exported import Exported
from golden.noise import noise
from models import pictures

from sam2v.model.network import Sam2Network
from sam2v.model.values import Prompts, TokenGroup, Wanted

#: Runs every program of a folder on the inputs in a file, and writes what comes out.
ALONE = """
import sys
sys.modules["sam2v"] = None  # importing it fails
import torch
folder, given, out = sys.argv[1:]
runs = torch.load(given)
answers = []
loaded = {}
for name, inputs in runs:
    if name not in loaded:
        loaded[name] = torch.export.load(f"{folder}/{name}.pt2").module()
    answer = loaded[name](*inputs)
    answers.append([answer] if isinstance(answer, torch.Tensor) else list(answer))
torch.save(answers, out)
"""


@pytest.fixture(scope="module")
def programs(export: Callable[..., Exported]) -> Exported:
    return export("--format", "torch")


@torch.no_grad()
def test_without_sam2v(programs: Exported, network: Sam2Network, tmp_path: Path) -> None:
    width, channels = network.config.memory.mem_dim, network.config.hidden_dim
    images = pictures(1, 2, 96, 160)
    several = network.encode_image(images)
    plain = several.select(0)
    runs = [("encode_image", (images.float(),)), ("without_memory", (plain.stride16,))]
    expected = [list(several), [network.without_memory(plain)]]
    for rows, memories, pointers, points in ((1, 1, 0, 2), (3, 8, 16, 1)):
        tokens, time = noise(1, rows, memories, 60, width), torch.arange(rows * memories).reshape(rows, memories) % 7
        bias, scale = torch.zeros(rows, memories), torch.ones(rows, memories)
        shown, distance = noise(2, rows, pointers, channels // width, width), noise(3, rows, pointers).sigmoid()
        own = (torch.zeros(rows, pointers), torch.ones(rows, pointers))
        runs.append(("read_memory", (plain.stride16, tokens, time, bias, scale, shown, distance, *own)))
        groups = [TokenGroup(tokens, time, True), *[TokenGroup(shown, distance, False)] * (pointers > 0)]
        read = network.read_memory(plain, groups)
        expected.append([read])
        coords, labels = 96 * noise(4, rows, points, 2).sigmoid(), torch.ones(rows, points, dtype=torch.int32)
        mask = noise(5, rows, 1, 24, 40, scale=5)
        decode = (plain.stride8, plain.stride4, read, coords, labels, mask, torch.ones(rows, dtype=torch.bool))
        runs.append(("decode_prompts", decode))
        answer = network.decode_prompts(plain, read, Prompts(coords, labels, mask), Wanted(True))
        expected.append([answer.masks, answer.iou, answer.pointers, answer.object_score])
        given = noise(6, rows, 1, 96, 160) > 0
        runs.append(("point_to_mask", (plain.stride16, given)))
        expected.append(list(network.point_to_mask(plain, given)))
        flags = torch.arange(rows) % 2 == 0
        runs.append(("write_memory", (plain.stride16, mask, answer.object_score, flags)))
        expected.append([network.write_memory(plain, mask, answer.object_score, flags[:, None, None, None])])
    torch.save(runs, tmp_path / "given.pt")
    command = [sys.executable, "-c", ALONE, str(programs.folder), str(tmp_path / "given.pt"), str(tmp_path / "out.pt")]
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for (name, _), answers, wanted in zip(runs, torch.load(tmp_path / "out.pt"), expected, strict=True):
        for actual, tensor in zip(answers, wanted, strict=True):
            if name == "decode_prompts" and actual.shape != tensor.shape:
                actual = actual[:, 1:]  # all candidates come; these are those of an ambiguous prompt
            torch.testing.assert_close(actual, tensor, rtol=1e-4, atol=1e-4)


def test_manifest(programs: Exported) -> None:
    manifest = programs.manifest
    assert manifest["kind"] == "torch" and "weights" not in manifest
    shapes = {port["name"]: port["shape"] for port in manifest["graphs"]["decode_prompts"]["inputs"]}
    assert shapes["stride8"][0] == 1 and shapes["conditioned"][0] == shapes["mask"][0] == "rows"
    # every program has the weights that it uses, and no others
    total = sum(p.numel() for p in programs.network.parameters())
    sizes = {name: record["bytes"] for name, record in manifest["graphs"].items()}
    assert sizes["write_memory"] < total and sizes["without_memory"] < 1 << 20
