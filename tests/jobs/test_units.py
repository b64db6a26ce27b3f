"""Units: each becomes a folder once, whatever happens to workers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from jobs.counting import units_in, work_in

from sam2v.jobs.local import local_crew
from sam2v.jobs.units import Crew, Unit, UnitWork, run_units

Hire = Callable[[UnitWork], Crew]
CREWS = [
    partial(local_crew, workers=1),
    partial(local_crew, workers=2),
    partial(local_crew, workers=1, at_once=2),
    partial(local_crew, workers=2, at_once=2),
]
every = pytest.mark.parametrize("hire", CREWS, ids=["alone", "processes", "threads", "threads of processes"])


@every
def test_every_unit_becomes_a_folder(tmp_path: Path, hire: Hire) -> None:
    units = units_in(tmp_path, "a", "b", "c", "d")
    found = {o.unit.name: o for o in run_units(work_in(tmp_path), units, hire)}
    assert {name: o.facts for name, o in found.items()} == {n: {"square": k * k} for k, n in enumerate("abcd")}
    assert all(o.attempts == 1 and o.error == "" and o.seconds > 0 for o in found.values())
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == list("abcd")
    assert (tmp_path / "out" / "d" / "square").read_text() == "9"


@every
def test_what_is_done_is_not_done_again(tmp_path: Path, hire: Hire) -> None:
    list(run_units(work_in(tmp_path), units_in(tmp_path, "a", "b"), hire))
    (tmp_path / "out" / ".c.0123.tmp").mkdir()  # of a worker that was killed
    found = list(run_units(work_in(tmp_path), units_in(tmp_path, "a", "b", "c"), hire))
    assert {o.unit.name: o.facts for o in found}["a"] == {"square": 0} and len(found) == 3
    assert {path.name: path.read_text().count("\n") for path in (tmp_path / "log").iterdir()} == dict.fromkeys("abc", 1)
    assert not list((tmp_path / "out").glob(".*"))


@every
def test_failures_are_told_and_the_others_go_on(tmp_path: Path, hire: Hire) -> None:
    units = units_in(tmp_path, "bad", "odd", "c")
    found = {o.unit.name: o for o in run_units(work_in(tmp_path), units, hire)}
    assert found["bad"].facts is None and found["bad"].error == "bad cannot be decoded" and found["bad"].attempts == 1
    assert found["odd"].facts == {"square": 1} and found["odd"].attempts == 2
    assert found["c"].facts is not None and not (tmp_path / "out" / "bad").exists()


@every
def test_a_full_disk_ends_the_run(tmp_path: Path, hire: Hire) -> None:
    with pytest.raises(OSError, match="No space left"):
        list(run_units(work_in(tmp_path), units_in(tmp_path, "full"), hire))
    assert not list((tmp_path / "out").glob("*")) and not list((tmp_path / "out").glob(".*"))


@every
def test_workers_that_cannot_begin_end_the_run(tmp_path: Path, hire: Hire) -> None:
    with pytest.raises((RuntimeError, ValueError), match="no such model"):
        list(run_units(work_in(tmp_path, broken=True), units_in(tmp_path, "a", "b"), hire))


@pytest.mark.parametrize("at_once", [1, 2])
def test_a_worker_that_is_killed_is_replaced(tmp_path: Path, at_once: int) -> None:
    """Also one with several units, which are all tried again."""
    units = units_in(tmp_path, "killed1", "killed2", "a", "b", "c", "d")
    hire = partial(local_crew, workers=2, at_once=at_once)
    found = {o.unit.name: o for o in run_units(work_in(tmp_path), units, hire)}
    assert all(o.facts == {"square": o.unit.argument**2} for o in found.values()) and len(found) == 6
    assert all(2 <= found[name].attempts <= 1 + at_once for name in ("killed1", "killed2"))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(unit.name for unit in units)


class Meeting:
    """Units that end when two of them are there."""

    def start(self) -> threading.Barrier:
        return threading.Barrier(2)

    def do(self, tool: threading.Barrier, unit: Unit, folder: Path) -> dict[str, Any]:
        try:
            return {"met": tool.wait() >= 0}
        except threading.BrokenBarrierError:
            raise ValueError("stopped") from None

    def stop(self, tool: threading.Barrier) -> None:
        tool.abort()


def test_threads_do_units_at_once_and_can_be_stopped(tmp_path: Path) -> None:
    hire = partial(local_crew, at_once=2)
    outcomes = run_units(Meeting(), units_in(tmp_path, "a", "b", "c"), hire)
    assert {next(outcomes).unit.name, next(outcomes).unit.name} == {"b", "c"}  # the largest first
    outcomes.close()  # while the third one waits for a fourth
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["b", "c"]


def test_what_is_asked_is_checked(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a folder of its own"):
        list(run_units(work_in(tmp_path), units_in(tmp_path, "a", "a"), CREWS[0]))
    with pytest.raises(ValueError, match="workers must be 0 or more"):
        local_crew(work_in(tmp_path), -1)
