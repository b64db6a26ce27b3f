"""Jobs in chunks: by this process, by others, and by workers that are hired."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from sam2v.jobs.local import local_crew
from sam2v.jobs.parts import Parts
from sam2v.jobs.pool import Job, run_jobs
from sam2v.jobs.units import Alone


@dataclass
class Squares(Job[tuple[int, str, Path], int, list[int]]):
    """Squares numbers, each a chunk; what happens at the number 3 is told by its trouble."""

    name: str
    place: Path
    trouble: str = ""
    size: int = 4

    def chunks(self) -> list[tuple[tuple[int, str, Path], int]]:
        return [((number, self.trouble, self.place), 1) for number in range(self.size)]

    @staticmethod
    def work(argument: tuple[int, str, Path]) -> int:
        number, trouble, place = argument
        if number == 3 and trouble == "wrong":
            raise KeyError("no object 3")
        if number == 3 and trouble and not (place / "died").exists():
            (place / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if number == 3 and trouble == "fatal":
            os.kill(os.getpid(), signal.SIGKILL)
        return number**2

    def finish(self, results: list[int]) -> list[int]:
        return results


WAYS = [{"workers": 1}, {"workers": 2}, {"workers": 2, "forks": False}, {"hire": Alone}]


@pytest.mark.parametrize("way", WAYS, ids=["alone", "forked", "spawned", "hired"])
def test_results_come_in_order(tmp_path: Path, way: dict[str, object]) -> None:
    jobs = [Squares("a", tmp_path), Squares("b", tmp_path, size=2)]
    assert run_jobs(jobs, **way) == [[0, 1, 4, 9], [0, 1]]  # type: ignore[arg-type]


@pytest.mark.parametrize("way", WAYS, ids=["alone", "forked", "spawned", "hired"])
def test_an_error_arrives_as_it_is(tmp_path: Path, way: dict[str, object]) -> None:
    with pytest.raises(KeyError, match="no object 3") as caught:
        run_jobs([Squares("a", tmp_path, "wrong")], **way)  # type: ignore[arg-type]
    assert way == WAYS[0] or "in a worker" in str(caught.value.__cause__)


def test_a_chunk_whose_worker_is_killed_is_done_again(tmp_path: Path) -> None:
    hire = partial(local_crew, workers=2)
    assert run_jobs([Squares("a", tmp_path, "killed")], hire=hire) == [[0, 1, 4, 9]]
    assert (tmp_path / "died").exists()
    with pytest.raises(RuntimeError, match=r"a: the worker died \(code -9\), 3 times"):
        run_jobs([Squares("a", tmp_path, "fatal")], workers=2)


def test_nothing_to_do_hires_nobody() -> None:
    def hire(_: object) -> Alone:
        raise AssertionError

    assert run_jobs([], hire=hire) == []


@pytest.mark.parametrize("name", ["../out", "a/../../out", "/out"])
def test_what_a_data_set_calls_its_videos_leads_nowhere(tmp_path: Path, name: str) -> None:
    parts = Parts(tmp_path / "parts")
    for use in (lambda: parts.load(name, "key"), lambda: parts.save(name, "key", 1)):
        with pytest.raises(ValueError, match="leads out of the folder"):
            use()
    assert not list(tmp_path.iterdir())
