"""The entry store is a dictionary whose memory is bounded."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sam2v.memory import EntryStore, MemoryEntry


def entry(seed: int, with_memory: bool = True) -> MemoryEntry:
    generator = torch.Generator().manual_seed(seed)
    make = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
    return MemoryEntry(make(4, 4), make(()), make(()), make(8), make(2, 3, 3).bfloat16() if with_memory else None)


def same(a: MemoryEntry, b: MemoryEntry) -> bool:
    mine, other = a.tensors(), b.tensors()
    return mine.keys() == other.keys() and all(
        mine[k].dtype == other[k].dtype and torch.equal(mine[k], other[k]) for k in mine
    )


@given(
    budget=st.sampled_from([0, 200, 1000, None]),
    steps=st.lists(st.tuples(st.sampled_from(["put", "delete"]), st.integers(0, 5), st.booleans()), max_size=30),
)
def test_a_store_is_a_dictionary(budget: int | None, steps: list[tuple[str, int, bool]]) -> None:
    store, plain = EntryStore(budget), {}
    for number, (step, key, with_memory) in enumerate(steps):
        if step == "put":
            store[key] = plain[key] = entry(number, with_memory)
        elif key in plain:
            del store[key], plain[key]
        else:
            with pytest.raises(KeyError):
                del store[key]
    assert len(store) == len(plain) and set(store) == set(plain)
    assert all(same(store[key], plain[key]) for key in plain)
    assert store.held_bytes == sum(e.nbytes() for k, e in plain.items() if k in store._held)


def test_memory_stays_below_the_budget_and_the_file_is_reused() -> None:
    size = entry(0).nbytes()
    store = EntryStore(budget=3 * size)
    for round_ in range(5):
        for key in range(20):
            store[key] = entry(20 * round_ + key)
            assert store.held_bytes <= 3 * size
    assert store.spilled_count == 17
    assert store._file is not None and store._file.seek(0, 2) < 30 * 4000  # not 5 rounds x 17 records
    assert same(store[0], entry(80))


def test_a_view_of_a_batch_is_spilled_without_the_batch() -> None:
    batch = torch.randn(100, 4, 4)
    store = EntryStore(budget=0)
    for row in range(2):
        store[row] = MemoryEntry(batch[row], batch[row, 0, 0], batch[row, 0, 1], batch[row, 0])
    assert store._file is not None and store._file.seek(0, 2) < 6000
    assert torch.equal(store[0].mask, batch[0])  # type: ignore[arg-type]


def test_a_missing_key_and_a_negative_budget() -> None:
    with pytest.raises(KeyError):
        EntryStore()["nobody"]
    with pytest.raises(ValueError, match="must not be negative"):
        EntryStore(-1)
