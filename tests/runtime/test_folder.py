"""Folders that are no exports, or whose maker meant ill; providers and threads."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sam2v import runtime
from sam2v.runtime.constants import read_constants
from sam2v.runtime.graph_check import check_graph
from sam2v.runtime.manifest import NotAnExport, read_manifest
from sam2v.runtime.providers import open_graph

Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """An export that a test may spoil."""
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def change(folder: Path, how: Change) -> None:
    """Change a manifest."""
    path = folder / "manifest.json"
    record = json.loads(path.read_text())
    how(record)
    path.write_text(json.dumps(record))


def replace(folder: Path, name: str, data: bytes) -> None:
    """Replace a file, and what the manifest says of it."""
    (folder / name).write_bytes(data)

    def note(record: dict[str, Any]) -> None:
        for entry in (*record["graphs"].values(), record["weights"], record["constants"]):
            if entry["file"] == name:
                entry.update(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())

    change(folder, note)


def test_no_export(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no folder"):
        runtime.VideoPredictor(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"is no exported model: it has no manifest\.json"):
        runtime.VideoPredictor(tmp_path)
    for text in ("", "{", "[" * 100_000, "[]", '{"format": "other"}', "\xff"):
        (tmp_path / "manifest.json").write_bytes(text.encode("latin-1"))
        with pytest.raises(NotAnExport, match=r"manifest\.json: not"):
            runtime.load_export(tmp_path)


BAD: dict[str, tuple[Change, str]] = {
    "a newer version": (
        lambda r: r.update(version=2),
        "exported by a newer sam2v .format 2, this one reads 1.: update",
    ),
    "a strange version": (lambda r: r.update(version="1"), "version '1' is no version"),
    "programs": (lambda r: r.update(kind="torch"), "programs of kind 'torch'; the runtime takes those of .* onnx"),
    "a size": (lambda r: r.update(image_size=[64, 100]), r"image_size \[64, 100\] must be .* multiples of 32"),
    "a large size": (lambda r: r.update(image_size=[64, 1 << 20]), "exceeds 4096"),
    "two sizes": (lambda r: r.update(image_size=[96, 96]), "and that of its config, .* differ"),
    "a precision": (lambda r: r.update(dtype="float8"), "dtype 'float8' is none of float32, float16"),
    "a missing graph": (lambda r: r["graphs"].pop("read_memory"), "the manifest names no graph read_memory"),
    "a path": (lambda r: r["weights"].update(file="../weights.bin"), "'../weights.bin' is no name of a file"),
    "a hidden file": (lambda r: r["constants"].update(file=".."), "'..' is no name of a file"),
    "a large file": (lambda r: r["weights"].update(bytes=1 << 50), "more than .* or none"),
    "a graph of another format": (
        lambda r: r["graphs"]["encode_image"].update(file="encode_image.ort"),
        r"encode_image\.ort is no name of a graph, which ends in \.onnx",
    ),
    "no digest": (lambda r: r["weights"].update(sha256="x"), "has no SHA-256"),
    "other inputs": (
        lambda r: r["graphs"]["point_to_mask"]["inputs"].pop(),
        "takes stride16 instead of stride16, mask",
    ),
    "no config": (lambda r: r.pop("config"), "damaged, lacks 'config'"),
    "an unknown key": (lambda r: r["config"].update(more=1), "config must have the keys name, image_size"),
    "a wrong type": (lambda r: r["config"]["memory"].update(pool="1"), "config.memory.pool is '1'"),
    "a wrong value": (lambda r: r["config"]["memory"].update(pool=3), "model.memory.pool=3: must be 1, 2 or 4"),
    "many memories": (
        lambda r: r["config"]["memory"].update(num_maskmem=1 << 40),
        "memory.num_maskmem .* exceeds 4096",
    ),
    "many pointers": (lambda r: r["config"]["memory"].update(max_obj_ptrs=9999), "memory.max_obj_ptrs 9999 exceeds"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_manifests(name: str, copy: Path) -> None:
    how, message = BAD[name]
    change(copy, how)
    with pytest.raises(NotAnExport, match=message):
        runtime.load_export(copy)


@settings(max_examples=200)
@given(st.data())
def test_no_manifest_does_harm(folder: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Whatever stands in the place of one of its values."""
    record = json.loads((folder / "manifest.json").read_text())
    at: Any = record
    while True:
        key = data.draw(st.sampled_from(list(at) if isinstance(at, dict) else list(range(len(at)))))
        if not isinstance(at[key], dict | list) or not at[key] or data.draw(st.booleans()):
            break
        at = at[key]
    at[key] = data.draw(
        st.sampled_from([None, True, -1, 0, 1, 2**70, 1e300, "", "x", "../x", [], {}, [1, 2], {"a": 1}])
    )
    where = tmp_path_factory.mktemp("manifest")
    (where / "manifest.json").write_text(json.dumps(record))
    try:
        manifest = read_manifest(where)
    except NotAnExport:
        return
    assert max(manifest.config.input_size) <= 4096


@pytest.mark.parametrize("name", ["encode_image.onnx", "weights.bin", "constants.npz"])
def test_missing_and_altered_files(name: str, copy: Path) -> None:
    path = copy / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(NotAnExport, match=f"{name} was altered, it has another digest"):
        runtime.load_export(copy)
    path.write_bytes(data[:-1])
    with pytest.raises(NotAnExport, match=f"{name} was altered, it has .* bytes"):
        runtime.load_export(copy)
    path.unlink()
    with pytest.raises(NotAnExport, match=f"{name} is missing"):
        runtime.load_export(copy)


def test_links_lead_nowhere(copy: Path, tmp_path: Path) -> None:
    (copy / "weights.bin").rename(tmp_path / "elsewhere")
    (copy / "weights.bin").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotAnExport, match=r"weights\.bin is a link to somewhere else"):
        runtime.load_export(copy)


# -- graphs ------------------------------------------------------------------------------------------------------------


def graph(nodes: list[Any], **more: Any) -> Any:
    """An ONNX model of nodes that make `masks` of a scalar."""
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    ports = [helper.make_tensor_value_info("stride16", kind, None), helper.make_tensor_value_info("mask", kind, None)]
    out = [helper.make_tensor_value_info("pointer", kind, None), helper.make_tensor_value_info("score", kind, None)]
    made = helper.make_graph(nodes, "g", ports, out, more.pop("initializer", []))
    domains = more.pop("domains", [""])
    opsets = [helper.make_opsetid(domain, 18 if domain == "" else 1) for domain in domains]
    return helper.make_model(made, opset_imports=opsets, ir_version=9, **more)


def hostile() -> dict[str, Callable[[], tuple[Any, str]]]:
    """Models that may not be run, and why."""

    def other_domain() -> tuple[Any, str]:
        onnx = pytest.importorskip("onnx")
        node = onnx.helper.make_node("Evil", ["stride16"], ["pointer"], domain="com.evil")
        return graph([node], domains=["", "com.evil"]), "needs operators of 'com.evil'"

    def loop() -> tuple[Any, str]:
        onnx = pytest.importorskip("onnx")
        body = graph([onnx.helper.make_node("Identity", ["stride16"], ["pointer"])]).graph
        node = onnx.helper.make_node("If", ["stride16"], ["pointer"], then_branch=body, else_branch=body)
        return graph([node]), "graphs within graphs"

    def functions() -> tuple[Any, str]:
        onnx = pytest.importorskip("onnx")
        node = onnx.helper.make_node("Identity", ["stride16"], ["pointer"])
        opset = onnx.helper.make_opsetid("", 18)
        function = onnx.helper.make_function("", "F", ["stride16"], ["pointer"], [node], [opset])
        return graph([node], functions=[function]), "functions of its own"

    def elsewhere(location: str, offset: str = "0", length: str = "4") -> tuple[Any, str]:
        onnx = pytest.importorskip("onnx")
        tensor = onnx.TensorProto(name="w", data_type=1, dims=[1], data_location=1)
        for key, value in (("location", location), ("offset", offset), ("length", length)):
            tensor.external_data.add(key=key, value=value)
        node = onnx.helper.make_node("Identity", ["w"], ["pointer"])
        what = "takes weights from" if location != "weights.bin" else "weights"
        return graph([node], initializer=[tensor]), what

    return {
        "another domain": other_domain,
        "graphs within": loop,
        "functions": functions,
        "weights elsewhere": lambda: elsewhere("/etc/passwd"),
        "weights beside": lambda: elsewhere("../weights.bin"),
        "weights behind the end": lambda: elsewhere("weights.bin", "1", str(1 << 60)),
        "weights nowhere": lambda: elsewhere("weights.bin", "-1"),
    }


@pytest.mark.parametrize("name", hostile())
def test_graphs_that_may_not_be_run(name: str, copy: Path) -> None:
    model, message = hostile()[name]()
    replace(copy, "point_to_mask.onnx", model.SerializeToString())
    with pytest.raises(NotAnExport, match=f"point_to_mask.onnx: not a graph that may be run: .*{message}"):
        runtime.load_export(copy)


@pytest.mark.parametrize("data", [b"", b"no graph", b"\x3a\x7f", b"\xff" * 40])
def test_no_graphs(data: bytes, copy: Path) -> None:
    replace(copy, "point_to_mask.onnx", data)
    with pytest.raises(NotAnExport, match="not a graph that may be run"):
        runtime.load_export(copy)


@settings(max_examples=150)
@given(st.data())
def test_no_bytes_confuse_the_check(folder: Path, data: st.DataObject) -> None:
    whole = bytearray((folder / "without_memory.onnx").read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    del whole[data.draw(st.integers(1, len(whole))) :]
    try:
        check_graph(bytes(whole), "weights.bin", 1 << 20)
    except ValueError as error:
        assert str(error)


def test_a_graph_of_something_else(copy: Path, clip: np.ndarray) -> None:
    """Inputs and the shapes of what comes out are compared with what they should be."""
    onnx = pytest.importorskip("onnx")
    mask = np.ones(clip.shape[1:3], bool)
    nodes = [onnx.helper.make_node("Identity", ["stride16"], [name]) for name in ("pointer", "score")]
    replace(copy, "point_to_mask.onnx", graph(nodes).SerializeToString())
    predictor = runtime.VideoPredictor(copy)
    with predictor.init_state(clip) as state, pytest.raises((NotAnExport, RuntimeError), match="point_to_mask"):
        predictor.add_mask(state, 0, 1, mask)
    replace(copy, "point_to_mask.onnx", (copy / "without_memory.onnx").read_bytes())
    predictor = runtime.VideoPredictor(copy)
    with predictor.init_state(clip) as state, pytest.raises(NotAnExport, match="takes stride16, not stride16, mask"):
        predictor.add_mask(state, 0, 1, mask)


def test_memory_is_bounded(copy: Path, clip: np.ndarray) -> None:
    """A graph that asks for more than half of the machine's memory gets none of it."""
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto
    size = helper.make_tensor("size", kind.INT64, [2], [1 << 22, 1 << 22])
    one = helper.make_tensor("one", kind.FLOAT, [1], [1.0])
    nodes = [
        helper.make_node("Expand", ["one", "size"], ["large"]),
        helper.make_node("ReduceSum", ["large"], ["pointer"]),
        helper.make_node("Identity", ["mask"], ["score"]),
    ]
    replace(copy, "point_to_mask.onnx", graph(nodes, initializer=[size, one]).SerializeToString())
    predictor = runtime.VideoPredictor(copy)
    with predictor.init_state(clip) as state, pytest.raises((ValueError, RuntimeError), match="point_to_mask"):
        predictor.add_mask(state, 0, 1, np.ones(clip.shape[1:3], bool))


def test_graphs_are_read_in_the_format_that_was_checked(copy: Path) -> None:
    """onnxruntime would take a file for one of its own format by its ending, whatever the check found in it."""
    named = (copy / "without_memory.onnx").rename(copy / "without_memory.ort")
    assert [port.name for port in open_graph(named, "CPU", 1).get_inputs()] == ["stride16"]


# -- constants ---------------------------------------------------------------------------------------------------------


def npz(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return buffer.getvalue()


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


LARGE = (
    b"\x93NUMPY\x01\x00v\x00"
    + b"{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776,), }".ljust(117)
    + b"\n"
)
STRANGE: dict[str, bytes] = {
    "no archive": b"zip",
    "nothing inside": npz(),
    "objects": npz(no_obj_ptr=npy(np.array([{}], object))),
    "other numbers": npz(no_obj_ptr=npy(np.zeros(32))),
    "not finite": npz(no_obj_ptr=npy(np.full(32, np.nan, np.float32))),
    "a bomb": npz(no_obj_ptr=bytes(50 << 20)),
    "a large array": npz(no_obj_ptr=LARGE),
}


@pytest.mark.parametrize("name", STRANGE)
def test_strange_constants(name: str, tmp_path: Path) -> None:
    (tmp_path / "constants.npz").write_bytes(STRANGE[name])
    with pytest.raises(NotAnExport, match="not the constants of an exported model"):
        read_constants(tmp_path / "constants.npz", ("no_obj_ptr",))


def test_constants_of_another_width(copy: Path) -> None:
    three = npy(np.zeros(3, np.float32))
    replace(copy, "constants.npz", npz(no_obj_ptr=three, no_mem_embed=three))
    with pytest.raises(NotAnExport, match="are not of 32 channels"):
        runtime.load_export(copy)


# -- options -----------------------------------------------------------------------------------------------------------


def test_providers(folder: Path) -> None:
    with pytest.raises(
        ValueError, match="unknown execution provider 'TPU'; known: CPU, CUDA, CoreML, OpenVINO, DirectML"
    ):
        runtime.load_export(folder, "TPU")
    import onnxruntime

    there = onnxruntime.get_available_providers()
    missing = next(name for name, (long, _) in runtime.PROVIDERS.items() if long not in there)
    with pytest.raises(ValueError, match=f"provider {missing} is not there; this onnxruntime has CPU"):
        runtime.load_export(folder, missing.lower())
    assert repr(runtime.load_export(folder, "cpu")) == "ExportedModel(small, float32, CPU)"


def test_a_provider_that_does_not_start(folder: Path, monkeypatch: pytest.MonkeyPatch, clip: np.ndarray) -> None:
    """onnxruntime falls back to the CPU then; the runtime says so."""
    import onnxruntime

    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    predictor = runtime.ImagePredictor(folder, "CUDA")
    with pytest.raises((RuntimeError, ValueError), match="CUDA"):
        predictor.set_image(clip[0])


@pytest.mark.parametrize(("threads", "error"), [(0, ValueError), (-2, ValueError), (1.5, TypeError), (True, TypeError)])
def test_threads(threads: Any, error: type[Exception], folder: Path) -> None:
    with pytest.raises(error, match="threads must be"):
        runtime.load_export(folder, threads=threads)


def test_predictors_check_their_options_first(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    with pytest.raises(TypeError, match="unknown option 'fill_holes'"):
        runtime.VideoPredictor(nowhere, fill_holes=8)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="keep_aspect needs inputs of any size"):
        runtime.VideoPredictor(nowhere, keep_aspect=True)
    with pytest.raises(ValueError, match="resize='device' is for models on torch"):
        runtime.VideoPredictor(nowhere, resize="device")


def test_predictors_are_made_as_those_on_torch(folder: Path, exported: runtime.ExportedModel) -> None:
    predictor = runtime.VideoPredictor.from_pretrained(folder, threads=1, policy="quality")
    assert predictor.model.threads == 1 and predictor.model.config == exported.config
    assert runtime.ImagePredictor.from_pretrained(exported, mask_threshold=1.0).model is exported
