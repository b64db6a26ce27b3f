"""A pool holds tensors within a budget and gives back what it was given."""

from __future__ import annotations

import copy
import errno
import gc
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sam2v.memory import Kept, Pool
from sam2v.memory import pool as module


def tensors(seed: int) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(4, 4, generator=generator), torch.randn(9, generator=generator).bfloat16(), torch.zeros(())


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was used in an earlier step may be moved."""
    monkeypatch.setattr(module, "_STEPS", 1)


@given(
    budget=st.sampled_from([0, 100, 300, None]),
    steps=st.lists(st.tuples(st.sampled_from(["keep", "drop", "get"]), st.integers(0, 5)), max_size=30),
)
def test_a_pool_gives_back_what_it_was_given(budget: int | None, steps: list[tuple[str, int]]) -> None:
    pool, kept, plain = Pool(host_bytes=budget), {}, {}
    for number, (step, key) in enumerate(steps):
        for _ in range(module._STEPS):
            pool.advance()
        if step == "keep":
            kept[key], plain[key] = pool.keep(*tensors(number)), tensors(number)
        elif key in kept and step == "drop":
            del kept[key], plain[key]
        elif key in kept:
            for mine, other in zip(kept[key].get(), plain[key], strict=True):
                assert mine.dtype == other.dtype and mine.shape == other.shape and torch.equal(mine, other)
        held = [k for k in kept.values() if k.place == "host"]
        assert pool.held_bytes["host"] == sum(k.nbytes for k in held)
        assert budget is None or len(held) <= 1 or pool.held_bytes["host"] <= budget


def test_memory_stays_below_the_budget_and_the_file_is_reused(impatient: None) -> None:
    size = pool_bytes(tensors(0))
    pool = Pool(host_bytes=3 * size)
    for round_ in range(5):
        kept = []
        for key in range(20):
            pool.advance()
            kept.append(pool.keep(*tensors(20 * round_ + key)))
            assert pool.held_bytes["host"] <= 3 * size
        assert sum(k.place == "file" for k in kept) == 17
    assert pool.file_bytes == 17 * size, "not five times as much"
    assert torch.equal(kept[0].get()[0], tensors(80)[0])


def pool_bytes(values: tuple[torch.Tensor, ...]) -> int:
    return sum(value.numel() * value.element_size() for value in values)


def test_what_steps_still_use_stays_whatever_the_budget() -> None:
    pool = Pool(host_bytes=0)
    kept = [pool.keep(*tensors(n)) for n in range(20)]
    assert {k.place for k in kept} == {"host"}, "a session reads all of them in every step"
    for _ in range(module._STEPS):
        pool.advance()
        for one in kept[:10]:
            one.get()
    pool.advance()
    newest = pool.keep(*tensors(30))
    assert {k.place for k in kept[10:]} == {"file"} and {k.place for k in kept[:10]} == {"host"}
    assert newest.place == "host" and kept[15].get()[0].equal(tensors(15)[0])


def test_a_view_is_kept_without_its_batch() -> None:
    batch = torch.randn(100, 4, 4)
    pool = Pool()
    kept = pool.keep(batch[3], batch[4, 0, 1])
    assert pool.held_bytes["host"] == kept.nbytes == 17 * 4
    assert [t.untyped_storage().nbytes() for t in kept.get()] == [64, 4]


def test_two_sessions_share_a_budget(impatient: None) -> None:
    pool = Pool(host_bytes=4 * pool_bytes(tensors(0)))
    idle = [pool.keep(*tensors(n)) for n in range(4)]
    for n in range(4):
        pool.advance()
        busy = pool.keep(*tensors(10 + n))
        del busy
    busy = [pool.keep(*tensors(20 + n)) for n in range(4)]
    assert {k.place for k in busy} == {"host"} and {k.place for k in idle} == {"file"}
    assert all(torch.equal(k.get()[0], tensors(n)[0]) for n, k in enumerate(idle))


def test_nothing_is_left_behind() -> None:
    pool = Pool()
    kept = pool.keep(*tensors(0))
    assert pool.held_bytes["host"] > 0
    del kept
    gc.collect()
    assert pool.held_bytes == {"device": 0, "host": 0}


def test_a_full_disk_loses_nothing(impatient: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One clear error, the same for every further step, until there is room again."""
    pool = Pool(host_bytes=0, folder=tmp_path)
    kept = []
    for n in range(3):
        pool.advance()
        kept.append(pool.keep(*tensors(n)))
    free = type("Usage", (), {"free": 1000})()
    monkeypatch.setattr(module.shutil, "disk_usage", lambda folder: free)
    for _ in range(2):
        pool.advance()
        with pytest.raises(OSError, match=f"cannot keep more results: No space left on device in {tmp_path}") as caught:
            pool.keep(*tensors(9))
        assert caught.value.errno == errno.ENOSPC and "history='window'" in str(caught.value)
        assert all(torch.equal(k.get()[0], tensors(n)[0]) for n, k in enumerate(kept))
    free.free = 1 << 30
    pool.advance()
    kept.append(pool.keep(*tensors(3)))
    assert all(torch.equal(k.get()[0], tensors(n)[0]) for n, k in enumerate(kept))


def test_room_that_comes_free_while_something_is_written_is_left_alone(
    impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The collector may run at any time, and give back what was written before."""
    pool = Pool(host_bytes=0)
    alive = [pool.keep(*tensors(number)) for number in range(2)]
    pool.advance(), pool.advance()
    alive.append(pool.keep(*tensors(2)))
    assert alive[0].place == "file"
    usage = module.shutil.disk_usage

    def collecting(folder: Path) -> object:
        if len(alive) > 3:
            del alive[0]
        return usage(folder)

    monkeypatch.setattr(module.shutil, "disk_usage", collecting)
    for number in range(3, 9):
        pool.advance(), pool.advance()
        alive.append(pool.keep(*tensors(number)))
    for kept, number in zip(reversed(alive), range(8, -1, -1)):
        for mine, other in zip(kept.get(), tensors(number), strict=True):
            assert torch.equal(mine, other)


def test_the_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert Pool(folder=tmp_path).folder == tmp_path
    monkeypatch.setenv("SAM2V_SPILL_DIR", str(tmp_path))
    assert Pool().folder == tmp_path
    with pytest.raises(FileNotFoundError, match="no folder"):
        Pool(folder=tmp_path / "none")


@pytest.mark.parametrize("name", ["device_bytes", "host_bytes"])
def test_a_negative_budget_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must not be negative"):
        Pool(**{name: -1})


def test_devices_have_a_budget_of_their_own(impatient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Moved from the device to the host first, then to the file (a device is pretended here)."""
    pool = Pool(device_bytes=0, host_bytes=pool_bytes(tensors(0)))
    kept = []
    for n in range(3):
        pool.advance()
        one = Kept(pool, tensors(n))
        one.home = one.place = "device"
        pool._hold(one)
        pool._make_room()
        kept.append(one)
    pool.advance()
    pool._make_room()
    assert [k.place for k in kept] == ["file", "file", "host"]
    assert copy.copy(kept[0].get())[0].equal(tensors(0)[0]) and kept[0].place == "device"
