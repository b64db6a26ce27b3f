"""Networks that differ in what memories and pointers are: SAM 2's pointers have no time, memories may be averaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from export.exported import OVERRIDES
from golden.noise import noise
from models import loud_nano, pictures

from sam2v.backends.stand_in import stand_in
from sam2v.export.calls import call_specs
from sam2v.export.modules import GRAPH_KINDS
from sam2v.model.values import TokenGroup

pytest.importorskip("onnxscript")
ort: Any = pytest.importorskip("onnxruntime")


@torch.no_grad()
def test_averaged_memories_and_pointers_without_time(tmp_path: Path) -> None:
    from sam2v.export.onnx_format import write_graphs

    older = ["model.memory.no_obj_embed_spatial=false", "model.memory.obj_ptr_time_encoding=false"]
    network = loud_nano([*OVERRIDES, *older, "model.memory.pool=2"])
    specs = [spec for spec in call_specs(network.config, torch.float32) if spec.name in ("read_memory", "write_memory")]
    write_graphs(tmp_path, specs, stand_in(network, GRAPH_KINDS).eval(), lambda _: None)
    read, write = (ort.InferenceSession(str(tmp_path / f"{spec.name}.onnx")) for spec in specs)
    plain = network.encode_image(pictures(1, 1, 96, 160))
    masks, score, flags = noise(1, 2, 1, 24, 40, scale=5), torch.tensor([[1.0], [-1.0]]), torch.tensor([False])
    given = {"stride16": plain.stride16, "masks": masks, "object_score": score, "binarize": flags}
    (memory,) = (torch.from_numpy(x) for x in write.run(None, {key: value.numpy() for key, value in given.items()}))
    torch.testing.assert_close(memory, network.write_memory(plain, masks, score), rtol=1e-4, atol=1e-4)
    assert memory.shape == (2, 15, 32)
    pointers, zeros, ones = noise(2, 2, 3, 4, 32), torch.zeros(2, 3), torch.ones(2, 3)
    tokens, time = memory[:, None].repeat(1, 3, 1, 1), torch.tensor([[0, 1, 6]] * 2)
    given = {"stride16": plain.stride16, "memories": tokens, "memory_time": time, "memory_bias": zeros}
    given |= {"memory_scale": ones, "pointers": pointers, "pointer_time": ones, "pointer_bias": zeros}
    (actual,) = read.run(None, {key: value.numpy() for key, value in (given | {"pointer_scale": ones}).items()})
    groups = [TokenGroup(tokens, time, True), TokenGroup(pointers, ones, False)]
    torch.testing.assert_close(torch.from_numpy(actual), network.read_memory(plain, groups), rtol=1e-4, atol=1e-4)
