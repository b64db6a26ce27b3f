"""Exported graphs: they answer what the network answers, for any number of objects, memories, pointers and points."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from export.exported import Exported
from golden.noise import noise
from models import pictures

from sam2v.model.network import Sam2Network
from sam2v.model.values import ImageFeatures, Prompts, TokenGroup, Wanted

CALLS = ("encode_image", "without_memory", "read_memory", "decode_prompts", "point_to_mask", "write_memory")
Run = Callable[..., list[torch.Tensor]]


@pytest.fixture(autouse=True)
def _no_grad() -> Iterator[None]:
    with torch.no_grad():
        yield


def assert_close(actual: torch.Tensor, expected: torch.Tensor) -> None:
    assert actual.shape == expected.shape
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


def features_of(network: Sam2Network, count: int) -> ImageFeatures:
    return network.encode_image(pictures(7, count, 96, 160))


def test_encode_image(network: Sam2Network, run_graph: Run) -> None:
    for count in (1, 3):
        images = pictures(count, count, 96, 160)
        for actual, expected in zip(run_graph("encode_image", images=images.float()), network.encode_image(images)):
            assert_close(actual, expected)


@pytest.mark.parametrize(
    ("rows", "features", "memories", "pointers"),
    [(1, 1, 1, 0), (1, 1, 8, 16), (2, 1, 3, 1), (2, 2, 7, 0), (16, 1, 8, 16), (3, 3, 11, 20)],
)
def test_read_memory(
    network: Sam2Network, run_graph: Run, rows: int, features: int, memories: int, pointers: int
) -> None:
    plain, width = features_of(network, features), network.config.memory.mem_dim
    tokens, time = noise(1, rows, memories, 60, width), torch.arange(rows * memories).reshape(rows, memories) % 7
    shown = noise(2, rows, pointers, network.config.hidden_dim // width, width)
    distance = noise(3, rows, pointers).sigmoid()
    bias, scale, pointer_bias = torch.zeros(rows, memories), torch.ones(rows, memories), torch.zeros(rows, pointers)
    if memories > 1:
        bias[-1, -1], bias[0, 0], scale[0, 0] = float("-inf"), 0.5, 0.8
    if pointers > 1:
        pointer_bias[-1, 1:] = float("-inf")
    groups = [TokenGroup(tokens, time, True, bias, scale)]
    if pointers:
        groups.append(TokenGroup(shown, distance, False, pointer_bias))
    (actual,) = run_graph(
        "read_memory",
        **{"stride16": plain.stride16, "memories": tokens, "memory_time": time, "memory_bias": bias},
        **{"memory_scale": scale, "pointers": shown, "pointer_time": distance, "pointer_bias": pointer_bias},
        pointer_scale=torch.ones(rows, pointers),
    )
    assert_close(actual, network.read_memory(plain, groups))


@pytest.mark.parametrize(
    ("rows", "features", "points", "masks"), [(1, 1, 2, 0), (1, 1, 0, 1), (2, 2, 1, 1), (3, 1, 20, 3), (16, 1, 2, 1)]
)
def test_decode_prompts(
    network: Sam2Network, run_graph: Run, rows: int, features: int, points: int, masks: int
) -> None:
    """With masks for no row, for all rows, and for every other row."""
    plain = features_of(network, features)
    conditioned = network.without_memory(plain)
    coords, labels = 160 * noise(1, rows, points, 2).sigmoid(), (noise(2, rows, points) * 3).int().clamp(-1, 3)
    mask, has_mask = noise(3, max(1, masks), 1, 24, 40, scale=5), torch.arange(max(1, masks)) % 2 < min(1, masks)
    assert_close(run_graph("without_memory", stride16=plain.stride16)[0], conditioned)
    actual = run_graph(
        "decode_prompts",
        **{"stride8": plain.stride8, "stride4": plain.stride4, "conditioned": conditioned},
        **{"coords": coords, "labels": labels, "mask": mask, "has_mask": has_mask},
    )
    for row in range(rows):
        own = row if features > 1 else 0
        given = row if masks > 1 else 0
        prompts = Prompts(coords[[row]], labels[[row]], mask[[given]] if has_mask[given] else None)
        picture = (plain.select(own), conditioned[[own]])
        several = network.decode_prompts(*picture, prompts, Wanted(True))
        single = network.decode_prompts(*picture, prompts, Wanted(False, dynamic=False))
        for answer, one, three in zip(actual[:3], single[:3], several[:3]):
            assert_close(answer[[row]], torch.cat([one, three], 1))
        assert_close(actual[3][[row]], several.object_score)


@pytest.mark.parametrize(("rows", "features"), [(1, 1), (3, 1), (2, 2)])
def test_given_masks_and_memories(network: Sam2Network, run_graph: Run, rows: int, features: int) -> None:
    plain = features_of(network, features)
    given = noise(1, rows, 1, 96, 160) > 0.5
    given[0] = False
    for actual, expected in zip(
        run_graph("point_to_mask", stride16=plain.stride16, mask=given), network.point_to_mask(plain, given)
    ):
        assert_close(actual, expected)
    masks, score = noise(2, rows, 1, 24, 40, scale=5), noise(3, rows, 1)
    for flags in (torch.tensor([True]), torch.tensor([False]), torch.arange(rows) % 2 == 0):
        (actual,) = run_graph("write_memory", stride16=plain.stride16, masks=masks, object_score=score, binarize=flags)
        assert_close(actual, network.write_memory(plain, masks, score, flags[:, None, None, None]))


def test_what_graphs_hold(onnx_export: Exported) -> None:
    """Operators of the standard alone, weights in one file, and nothing computed that depends on sizes alone."""
    import onnx

    length = (onnx_export.folder / "weights.bin").stat().st_size
    for name in CALLS:
        path = onnx_export.folder / f"{name}.onnx"
        onnx.checker.check_model(str(path), full_check=True)
        model = onnx.load(path, load_external_data=False)
        assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]
        assert not model.functions and not any(node.domain for node in model.graph.node)
        kinds = [node.op_type for node in model.graph.node]
        assert not {"Range", "Loop", "If", "Scan", "Constant", "Identity"} & set(kinds)
        # times of pointers and places of points are coded when they are known
        coded = name in ("read_memory", "decode_prompts", "point_to_mask")
        assert kinds.count("Sin") == kinds.count("Cos") == int(coded)
        used = {value for node in model.graph.node for value in node.input}
        for weight in model.graph.initializer:
            assert weight.name in used
            if weight.external_data:
                about = {entry.key: entry.value for entry in weight.external_data}
                assert about["location"] == "weights.bin"
                assert int(about["offset"]) % 64 == 0 and int(about["offset"]) + int(about["length"]) <= length


def test_weights_are_there_once(onnx_export: Exported) -> None:
    import onnx

    places, tensors = {}, {}
    data = (onnx_export.folder / "weights.bin").read_bytes()
    for name in CALLS:
        for weight in onnx.load(onnx_export.folder / f"{name}.onnx", load_external_data=False).graph.initializer:
            about = {entry.key: entry.value for entry in weight.external_data}
            if about:
                start, length = int(about["offset"]), int(about["length"])
                places[start] = length
                tensors.setdefault(hashlib.sha256(data[start : start + length]).hexdigest(), set()).add(start)
    assert len(data) - sum(places.values()) < 64 * len(places)
    assert all(len(starts) == 1 for starts in tensors.values())


def test_manifest(onnx_export: Exported, network: Sam2Network) -> None:
    manifest = onnx_export.manifest
    assert (manifest["format"], manifest["version"], manifest["kind"]) == ("sam2v-export", 1, "onnx")
    assert manifest["image_size"] == [96, 160] and manifest["config"]["hidden_dim"] == 128
    assert manifest["approximate"] is None and manifest["dtype"] == "float32" and manifest["opset"] == 18
    files = [manifest["weights"], manifest["constants"], *manifest["graphs"].values()]
    for record in files:
        data = (onnx_export.folder / record["file"]).read_bytes()
        assert record["bytes"] == len(data) and record["sha256"] == hashlib.sha256(data).hexdigest()
    assert {path.name for path in onnx_export.folder.iterdir()} == {"manifest.json", *(r["file"] for r in files)}
    assert tuple(manifest["graphs"]) == CALLS
    constants = np.load(onnx_export.folder / "constants.npz")
    assert np.array_equal(constants["no_obj_ptr"], network.no_obj_ptr.detach())


def test_ports_are_those_of_the_graphs(onnx_export: Exported) -> None:
    import onnx
    import onnxruntime

    for name, record in onnx_export.manifest["graphs"].items():
        session = onnxruntime.InferenceSession(str(onnx_export.folder / f"{name}.onnx"))
        for ports, found in ((record["inputs"], session.get_inputs()), (record["outputs"], session.get_outputs())):
            assert [port["name"] for port in ports] == [value.name for value in found]
            assert [port["shape"] for port in ports] == [value.shape for value in found]
        model = onnx.load(onnx_export.folder / f"{name}.onnx", load_external_data=False)
        for port, value in zip(record["inputs"], model.graph.input):
            kind = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
            assert port["dtype"] == kind.name


def test_what_the_command_says(onnx_export: Exported) -> None:
    lines = onnx_export.said.splitlines()
    assert lines[0].split() == ["call", "output", "difference"]
    assert {line.split()[0] for line in lines[1:-1]} == set(CALLS)
    assert all(float(line.split()[2]) < 1e-4 for line in lines[1:-1])
    assert "160 x 96 pictures" in lines[-1] and str(onnx_export.folder) in lines[-1]
