"""NumPy archives of masks, and those that a stranger made."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib import format as npy

from sam2v.data.archives import Archives
from sam2v.data.results import open_masks
from sam2v.video.sources import open_source

SIZE = (20, 30)


def npy_of(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def header(shape: tuple[int, ...], descr: str = "|b1") -> bytes:
    file = io.BytesIO()
    npy.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    return file.getvalue()


MASKS = npy_of(np.ones((2, *SIZE), bool))
IDS = npy_of(np.array([4, 7]))


def written(path: Path, method: int = zipfile.ZIP_STORED, **members: bytes) -> Archives:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("_npy", ".npy"), data)
    return Archives({0: path}, SIZE)


def test_orders_and_kinds_of_arrays(tmp_path: Path) -> None:
    masks = np.zeros((3, *SIZE), bool)
    masks[0, 3], masks[2, :, 4] = True, True
    for known, ids in ((masks, np.array([9, 1, 300])), (np.asfortranarray(masks), np.array([9, 1, 300], np.uint16))):
        np.savez_compressed(tmp_path / "0.npz", masks=known, obj_ids=ids, more=np.ones(3))
        found = Archives({0: tmp_path / "0.npz"}, SIZE).masks(0)
        assert list(found) == [9, 300] and all(type(obj_id) is int for obj_id in found)
        assert np.array_equal(found[9], masks[0]) and np.array_equal(found[300], masks[2])
    np.savez(tmp_path / "0.npz", masks=np.zeros((0, 0, 0), bool), obj_ids=np.zeros(0, int))
    assert Archives({0: tmp_path / "0.npz"}, SIZE).masks(0) == {}


BAD: dict[str, tuple[dict[str, bytes], str]] = {
    "no ids": ({"masks_npy": MASKS}, "no item named 'obj_ids.npy'"),
    "objects": ({"masks_npy": npy_of(np.array([{"a": 1}], object)), "obj_ids_npy": IDS}, "kind 'O', not N x H x W"),
    "logits": ({"masks_npy": npy_of(np.ones((2, *SIZE))), "obj_ids_npy": IDS}, "kind 'f', not N x H x W of bool"),
    "names": ({"masks_npy": MASKS, "obj_ids_npy": npy_of(np.array(["a", "b"]))}, "kind 'U', not 2 integers"),
    "more ids": ({"masks_npy": MASKS, "obj_ids_npy": npy_of(np.arange(3))}, r"obj_ids has shape \(3,\) .*not 2 integ"),
    "a terabyte": ({"masks_npy": header((1 << 20, 1 << 10, 1 << 10)), "obj_ids_npy": IDS}, "holds 1048576 masks, of"),
    "large masks": ({"masks_npy": header((2, 1 << 20, 1 << 20)), "obj_ids_npy": IDS}, "different sizes, 1048576 x"),
    "many ids": (
        {"masks_npy": header((200_000, 0, 0)), "obj_ids_npy": npy_of(np.zeros(200_000, np.uint8))},
        "masks holds 200000 masks, of which 0 to 65535 are accepted",
    ),
    "no pixels": ({"masks_npy": header((2, 0, 0)), "obj_ids_npy": IDS}, "different sizes, 0 x 0 and 30 x 20"),
    "less than none": ({"masks_npy": header((-1, *SIZE)), "obj_ids_npy": IDS}, "holds -1 masks"),
    "a short member": ({"masks_npy": MASKS[:200], "obj_ids_npy": IDS}, "no archive of masks"),
    "another version": ({"masks_npy": MASKS[:6] + b"\2" + MASKS[7:], "obj_ids_npy": IDS}, "another version than 1.0"),
    "a damaged header": ({"masks_npy": MASKS[:10] + b"{'descr': '''" + MASKS[23:], "obj_ids_npy": IDS}, "no archive"),
    "no header": ({"masks_npy": MASKS[:10] + b"\n  (" + MASKS[14:], "obj_ids_npy": IDS}, "no archive of masks"),
    "the same id": (
        {"masks_npy": MASKS, "obj_ids_npy": npy_of(np.array([4, 4]))},
        r"stands twice in obj_ids, \[4, 4\]",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_archives_of_a_stranger(name: str, tmp_path: Path) -> None:
    members, words = BAD[name]
    known = written(tmp_path / "00000.npz", zipfile.ZIP_DEFLATED, **members)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=words) as error:
            known.masks(0)
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()
    assert str(error.value).startswith(f"{known.file(0)}: ") and len(str(error.value)) < 600
    with pytest.raises(ValueError, match=words):
        open_masks(tmp_path, open_source(np.zeros((1, *SIZE, 3), np.uint8)))


def test_a_second_member_is_not_taken_for_the_masks(tmp_path: Path) -> None:
    """`numpy.load` prefers a member without the ending, which nobody looked at."""
    other = npy_of(np.zeros((1, 5000, 5000), bool))
    known = written(tmp_path / "0.npz", zipfile.ZIP_DEFLATED, masks_npy=MASKS, obj_ids_npy=IDS, masks=other)
    assert {obj_id: mask.shape for obj_id, mask in known.masks(0).items()} == {4: SIZE, 7: SIZE}


def test_a_long_list_of_ids_is_cut(tmp_path: Path) -> None:
    np.savez(tmp_path / "0.npz", masks=np.ones((2000, *SIZE), bool), obj_ids=np.zeros(2000, int))
    with pytest.raises(ValueError, match=r"twice in obj_ids, \[0, 0, 0, 0, 0, 0, 0, 0, \.\.\.\]$"):
        Archives({0: tmp_path / "0.npz"}, SIZE).masks(0)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions(method: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"0\.npz: no archive of masks \(masks is compressed in a way that NumPy"):
        written(tmp_path / "0.npz", method, masks_npy=MASKS, obj_ids_npy=IDS).masks(0)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damage_is_one_error(method: int, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Bits that turned, encryption's among them: the masks, or a ValueError that names the file."""
    path = tmp_path_factory.getbasetemp() / f"damaged{method}.npz"
    known = written(path, method, masks_npy=MASKS, obj_ids_npy=IDS)
    whole = bytearray(path.read_bytes())
    places = st.integers(0, 200) | st.integers(len(whole) - 160, len(whole) - 1) | st.integers(0, len(whole) - 1)
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(places) % len(whole)] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(whole)
    try:
        assert all(mask.shape == SIZE for mask in known.masks(0).values())
    except ValueError as error:
        assert str(error).startswith(f"{path}: ")
