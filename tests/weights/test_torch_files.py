"""Torch's files: what is read and what is refused; neither runs code or takes memory that a file only declares."""

from __future__ import annotations

import contextlib
import datetime
import io
import pickle
import resource
import sys
import tracemalloc
import zipfile
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sam2v.weights.files import read_checkpoint

KINDS = [
    *(torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32, torch.int16, torch.int8),
    *(torch.uint8, torch.bool, torch.complex64, torch.float8_e4m3fn, torch.uint16),
]


@pytest.fixture(params=["zip", "legacy"])
def save(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Any], Path]:
    def write(content: Any) -> Path:
        torch.save(content, tmp_path / "w.pt", _use_new_zipfile_serialization=request.param == "zip")
        return tmp_path / "w.pt"

    return write


@pytest.mark.parametrize("dtype", KINDS, ids=str)
def test_tensors_come_back_as_torch_reads_them(save: Callable[[Any], Path], dtype: torch.dtype) -> None:
    grid = torch.arange(24).reshape(4, 6).to(dtype)
    content = {"whole": grid, "view": grid[1:, 2:4], "turned": grid.T, "none": grid[:0], "one": grid[3, 5]}
    path = save({**content, "again": grid})
    try:
        expected = torch.load(path, weights_only=True)
    except AttributeError:
        pytest.skip("the older layout has no place for this type")
    read = read_checkpoint(path)
    assert list(read) == list(expected)
    for name, value in expected.items():
        assert (read[name].dtype, read[name].shape, read[name].stride()) == (dtype, value.shape, value.stride())
        assert torch.equal(read[name].reshape(-1).view(torch.uint8), value.reshape(-1).view(torch.uint8)), name
    assert read["again"].data_ptr() == read["whole"].data_ptr()


def test_parameters_and_buffers_of_a_module(save: Callable[[Any], Path]) -> None:
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    marked = torch.nn.Parameter(torch.ones(2))
    marked.note = "mine"  # type: ignore[attr-defined]
    path = save({"model": module.state_dict() | dict(module.named_parameters()) | {"marked": marked}})
    read = read_checkpoint(path)
    assert read.keys() == module.state_dict().keys() | {"marked"}
    assert all(torch.equal(read[name], value) for name, value in module.state_dict().items())
    assert not any(value.requires_grad for value in read.values())


def test_harmless_values_beside_the_weights(save: Callable[[Any], Path]) -> None:
    beside = {
        "epoch": 3,
        "best_iou": np.float64(0.7),
        "flag": np.bool_(True),
        "array": np.arange(5),
        "objects": np.array([{"a": 1}], dtype=object),
        "records": np.zeros(2, dtype=[("x", "f4"), ("y", "i8")]),
        "random": np.random.default_rng(0).bit_generator.state,
        "legacy_random": np.random.RandomState(0).get_state(),
        "text": "run 7",
        "when": datetime.datetime(2024, 7, 29, tzinfo=datetime.timezone.utc),
        "where": Path("runs/7"),
        "sets": {1, 2},
        "counts": Counter("abc"),
        "defaults": defaultdict(list, {"a": [1]}),
        "shape": torch.Size([1, 2]),
        "device": torch.device("cpu"),
        "dtype": torch.bfloat16,
        "torch": torch.__version__,
        "nothing": None,
        "optimizer": {"state": {0: {"exp_avg": torch.ones(3), "step": torch.tensor(1.0)}}, "param_groups": [{"lr": 1}]},
    }
    state_dict = OrderedDict(x=torch.ones(3))
    assert list(read_checkpoint(save({"model": state_dict, **beside}))) == ["x"]


def test_a_state_beside_the_weights_is_not_read(tmp_path: Path) -> None:
    torch.save({"model": {"x": torch.ones(3)}, "optimizer": {"state": {0: {"m": torch.ones(1000)}}}}, tmp_path / "w.pt")
    data = (tmp_path / "w.pt").read_bytes()
    (tmp_path / "w.pt").write_bytes(data.replace(torch.ones(1000).numpy().tobytes(), b"\xff" * 4000))
    assert torch.equal(read_checkpoint(tmp_path / "w.pt")["x"], torch.ones(3)), "a damaged state harms nobody"


def test_damaged_values_are_noticed(tmp_path: Path) -> None:
    torch.save({"x": torch.ones(1000)}, tmp_path / "w.pt")
    data = (tmp_path / "w.pt").read_bytes()
    (tmp_path / "w.pt").write_bytes(data.replace(torch.ones(1000).numpy().tobytes(), b"\xff" * 4000))
    with pytest.raises(ValueError, match="damaged"):
        read_checkpoint(tmp_path / "w.pt")


class _Forger(pickle._Pickler):
    """Writes pickles as torch does, with storages of whatever size is claimed."""

    def persistent_id(self, obj: object) -> object:
        return ("storage", torch.FloatStorage, obj.key, "cpu", obj.count) if isinstance(obj, Claim) else None


class Claim:
    def __init__(self, key: str, count: int) -> None:
        self.key, self.count = key, count


class Call:
    """Has a function called when it is unpickled the careless way."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.function, self.arguments


def tensor(claim: Claim, offset: Any, shape: Any, stride: Any) -> Call:
    return Call(torch._utils._rebuild_tensor_v2, claim, offset, shape, stride, False, OrderedDict())


def forge(path: Path, content: Any, method: int = zipfile.ZIP_STORED, **storages: bytes) -> Path:
    """A torch file around any pickle."""
    pickled = io.BytesIO()
    _Forger(pickled, 2).dump(content)
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("w/data.pkl", pickled.getvalue())
        archive.writestr("w/byteorder", "little")
        for key, data in storages.items():
            archive.writestr(f"w/data/{key}", data)
    return path


@pytest.fixture
def little_memory() -> Iterator[None]:
    """Whoever asks for another 4 GB gets an error."""
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + (4 << 30), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


HUGE = 1 << 40
FEW = b"\0" * 16


@pytest.mark.skipif(sys.platform != "linux", reason="limits the memory of this process")
@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"x": tensor(Claim("a", HUGE), 0, (HUGE,), (1,))}, "declares more bytes"),
        ({"x": tensor(Claim("a", 5), 0, (5,), (1,))}, "damaged or incomplete"),
        ({"x": tensor(Claim("a", 4), 0, (HUGE,), (0,))}, "bytes is declared over 16"),
        ({"x": tensor(Claim("a", 4), 0, (4,), (2,))}, "bytes is declared over 16"),
        ({"x": tensor(Claim("a", 4), 1, (4,), (1,))}, "bytes is declared over 16"),
        ({"x": tensor(Claim("a", 4), -1, (2,), (1,))}, "whole numbers"),
        ({"x": tensor(Claim("a", 4), 0, (2, -1), (1, 1))}, "whole numbers"),
        ({"x": tensor(Claim("a", 4), 0, (2, 2), (1,))}, "whole numbers"),
        ({"x": tensor(Claim("a", 4), 0, (True,), (1,))}, "whole numbers"),
        ({"x": tensor(Claim("a", -4), 0, (1,), (1,))}, "not plain"),
        ({"x": tensor(Claim("b", 4), 0, (4,), (1,))}, "damaged or incomplete"),
        ({"x": tensor(Claim("../a", 4), 0, (4,), (1,))}, "damaged or incomplete"),
        ({"x": Call(bytearray, HUGE)}, "entries that are not tensors"),
        ({"x": Call(torch.Tensor, HUGE)}, "entries that are not tensors"),
        ({"x": Call(np.dtype, f"V{HUGE}"), "y": Call(np.zeros, HUGE)}, "entries that are not tensors"),
        ({"x": Call(eval, "1")}, r"names __builtin__\.eval, and could run code"),
        ({"x": Call(getattr, Call(np.dtype, "f4"), "type")}, r"names __builtin__\.getattr"),
        ({"x": Call(torch.load, "w.pt")}, r"names torch\.serialization\.load"),
        ({"x": Call(torch.nn.init.zeros_, 1)}, r"names torch\.nn\.init\.zeros_"),
        (tensor(Claim("a", 4), 0, (4,), (1,)), "holds a tensor"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_a_file_only_declares(tmp_path: Path, content: Any, words: str) -> None:
    path = forge(tmp_path / "w.pt", content, a=FEW)
    with pytest.raises(ValueError, match=words) as error:
        read_checkpoint(path)
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)


def test_a_forged_file_can_be_sound(tmp_path: Path) -> None:
    path = forge(tmp_path / "w.pt", {"x": tensor(Claim("a", 4), 0, (2, 2), (2, 1))}, a=FEW)
    assert torch.equal(read_checkpoint(path)["x"], torch.zeros(2, 2))


def test_zip_bombs(tmp_path: Path) -> None:
    """Bytes that unpack to many, in the values and in the pickle."""
    zeros = bytes(1 << 24)
    content = {"x": tensor(Claim("a", 1 << 22), 0, (1 << 22,), (1,))}
    assert forge(tmp_path / "w.pt", content, zipfile.ZIP_DEFLATED, a=zeros).stat().st_size < 1 << 16
    with pytest.raises(ValueError, match="is compressed, or longer than the file"):
        read_checkpoint(tmp_path / "w.pt")
    with pytest.raises(ValueError, match="is compressed, or longer than the file"):
        read_checkpoint(forge(tmp_path / "w.pt", {"x": " " * (1 << 24)}, zipfile.ZIP_DEFLATED))


def test_many_entries_over_the_same_bytes(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    keys = [str(k) for k in range(50)]
    content = {key: tensor(Claim(key, 4096), 0, (4096,), (1,)) for key in keys}
    forge(path, content, **{"0": bytes(4 * 4096)})
    with zipfile.ZipFile(path, "a") as archive:
        only = archive.getinfo("w/data/0")
        for key in keys[1:]:
            twin = zipfile.ZipInfo(f"w/data/{key}")
            twin.header_offset, twin.file_size, twin.compress_size, twin.CRC = (
                only.header_offset, only.file_size, only.compress_size, only.CRC)  # fmt: skip
            archive.filelist.append(twin)
            archive.NameToInfo[twin.filename] = twin
        archive._didModify = True  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="declares more bytes of values than"):
        read_checkpoint(path)


def test_nothing_of_this_process_can_be_changed(tmp_path: Path) -> None:
    """A pickle may set attributes on what it names; here that is forgotten."""
    for named in (b"ctorch._utils\n_rebuild_tensor_v2\n", b"ccollections\nOrderedDict\n", b"cnumpy\ndtype\n"):
        state = b"}X\x07\x00\x00\x00poison!K\x01s"
        data = b"\x80\x02}" + b"X\x01\x00\x00\x00x" + named + state + b"b" + b"s."
        with zipfile.ZipFile(tmp_path / "w.pt", "w") as archive:
            archive.writestr("w/data.pkl", data)
        with pytest.raises(ValueError, match="not tensors"):
            read_checkpoint(tmp_path / "w.pt")
    from sam2v.weights import pickles

    assert not any(hasattr(thing, "poison!") for thing in (pickles._tensor, pickles.Beside, pickles._Mapping))


def test_memo_indices_cost_nothing(tmp_path: Path) -> None:
    """The unpickler in C would make a table of four billion entries."""
    data = b"\x80\x02}r\xfe\xff\xff\xff."
    with zipfile.ZipFile(tmp_path / "w.pt", "w") as archive:
        archive.writestr("w/data.pkl", data)
    with pytest.raises(ValueError, match="no entries"):
        read_checkpoint(tmp_path / "w.pt")


def peak_of(path: Path, data: bytes) -> int:
    """The most bytes that reading a file around a pickle takes at once, beyond the pickle."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("w/data.pkl", data)
        archive.writestr("w/data/a", FEW)
    tracemalloc.start()
    try:
        with contextlib.suppress(ValueError):
            read_checkpoint(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


NUMBERS = b"(" + b"K\x00" * 20_000  # of a list or a tuple
STORAGE = (
    b"ctorch._utils\n_rebuild_tensor_v2\nq\x01(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0aX\3\0\0\0cpuK\x04tQq\x02"
)
ENTRIES = b"}(" + b"".join(b"J" + k.to_bytes(4, "little") + b"N" for k in range(20_000)) + b"uq\x00"


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x05\x96" + (300_000_000).to_bytes(8, "little") + b".",
        b"\x80\x05]" + b"\x96\x00\x00\x00\x02\x00\x00\x00\x00a" * 30 + b".",
        b"\x80\x02" + ENTRIES + b"(" + b"ccollections\nOrderedDict\nh\x00\x85R" * 100 + b"l.",
        b"\x80\x02" + STORAGE + NUMBERS + b"lq\x03(" + b"h\x01(h\x02K\x00h\x03h\x03NNtR" * 200 + b"l.",
        b"\x80\x02]q\x00"
        + b"h\x00h\x00\x86q\x00" * 22
        + b"0(NctORCH\nFloatStorage\nh\x00NK\x01tQ.".replace(b"tORCH", b"torch"),
        b"\x80\x02)q\x00" + b"h\x00h\x00\x86q\x00" * 21 + b"0}h\x00Ns.",
    ],
    ids=["a bytearray", "bytearrays", "copies of a dictionary", "copies of a shape", "a storage's name", "a key"],
)
def test_small_files_take_little_memory(data: bytes, tmp_path: Path) -> None:
    """What a pickle only declares, and what it names again and again."""
    assert peak_of(tmp_path / "w.pt", data) < 16 << 20


def test_files_of_python_2_and_bytearrays(tmp_path: Path) -> None:
    """Python 2 gives an OrderedDict its entries at once; protocol 5 has bytearrays of its own."""
    pairs = [["x", tensor(Claim("a", 4), 0, (4,), (1,))]]
    path = forge(tmp_path / "w.pt", {"model": Call(OrderedDict, pairs), "other": OrderedDict(y=1)}, a=FEW)
    assert torch.equal(read_checkpoint(path)["x"], torch.zeros(4))
    torch.save({"x": torch.ones(2), "b": bytearray(b"abc"), "c": "c"}, tmp_path / "w.pt", pickle_protocol=5)
    assert list(read_checkpoint(tmp_path / "w.pt")) == ["x"]


def test_programs_and_big_endian_files(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "program.pt", "w") as archive:
        archive.writestr("program/data.pkl", b"\x80\x02}.")
        archive.writestr("program/constants.pkl", b"\x80\x02).")
    with pytest.raises(ValueError, match="a TorchScript program, not a checkpoint"):
        read_checkpoint(tmp_path / "program.pt")
    torch.save({"x": torch.ones(2)}, tmp_path / "w.pt")
    with zipfile.ZipFile(tmp_path / "w.pt") as archive, zipfile.ZipFile(tmp_path / "big.pt", "w") as other:
        for info in archive.infolist():
            other.writestr(info.filename, b"big" if info.filename.endswith("byteorder") else archive.read(info))
    with pytest.raises(ValueError, match="big-endian"):
        read_checkpoint(tmp_path / "big.pt")


def test_tensors_that_are_not_plain(save: Callable[[Any], Path]) -> None:
    values = torch.ones(3, dtype=torch.complex64)
    for odd in (values.conj(), values.conj().imag, torch.eye(2).to_sparse()):
        with pytest.raises(ValueError, match=r"not plain|names torch\._utils\._rebuild_sparse_tensor"):
            read_checkpoint(save({"x": odd}))


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_all_protocols(tmp_path: Path, protocol: int) -> None:
    state_dict = {"x": torch.arange(4.0)}
    content = {"model": state_dict, "a": np.float32(1), "b": np.arange(3), "c": np.asfortranarray(np.eye(3))}
    torch.save(content, tmp_path / "w.pt", pickle_protocol=protocol)
    assert same(read_checkpoint(tmp_path / "w.pt"), state_dict)
