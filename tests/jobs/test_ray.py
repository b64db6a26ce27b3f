"""A cluster of two nodes on this machine."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from jobs.counting import units_in, work_in

from sam2v.jobs.local import local_crew
from sam2v.jobs.on_ray import RayCrew
from sam2v.jobs.units import run_units

ray = pytest.importorskip("ray")


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Its address; workers find the tests' modules."""
    import sys

    from ray.cluster_utils import Cluster

    size = {"num_cpus": 1, "object_store_memory": 80 << 20}
    made = Cluster(initialize_head=True, head_node_args=size)
    made.add_node(**size)
    paths = ":".join(path for path in sys.path if path)
    environment = {"env_vars": {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}}
    ray.init(made.address, log_to_driver=False, logging_level="ERROR", runtime_env=environment)
    yield made.address
    ray.shutdown()
    made.shutdown()


@pytest.mark.slow
def test_two_nodes_do_what_one_process_does(cluster: str, tmp_path: Path) -> None:
    """Units go to both nodes; a worker that is killed in mid-run is begun anew, and every unit is there once."""
    names = ["together", *(f"slow{number}" for number in range(7)), "killed", "bad"]
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    plain = [name.replace("killed", "kiled").replace("together", "alone") for name in names]
    one, two = tmp_path / "one", tmp_path / "two"
    alone = {o.unit.argument: o for o in run_units(work_in(one), units_in(one, *plain), local_crew)}
    found = {o.unit.argument: o for o in run_units(work_in(two), units_in(two, *names), partial(RayCrew, workers=2))}
    assert {key: o.facts for key, o in found.items()} == {key: o.facts for key, o in alone.items()}
    assert found[8].attempts == 2 and found[9].error == "bad cannot be decoded"
    assert len({node["NodeID"] for node in ray.nodes() if node["Alive"]}) == 2
    first, second = (tmp_path / "two" / "log" / "killed").read_text().split()
    assert first != second
    for number, name in enumerate(names[:8]):
        assert (tmp_path / "two" / "out" / name / "square").read_text() == str(number**2)


@pytest.mark.slow
def test_workers_for_which_there_is_no_place(cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of four find one, and do everything; a run that finds none says so and waits."""
    found = list(run_units(work_in(tmp_path), units_in(tmp_path, *"abcdef"), partial(RayCrew, workers=4)))
    assert len(found) == 6 and all(o.facts is not None for o in found)
    monkeypatch.setattr("sam2v.jobs.on_ray._PATIENCE", 0.5)
    crew = RayCrew(work_in(tmp_path), 1, gpus=1)
    with pytest.raises(UserWarning, match="no worker has found a place"), warnings.catch_warnings():
        warnings.simplefilter("error")
        crew.free()
    crew.close()


@pytest.mark.slow
def test_workers_that_cannot_begin(cluster: str, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no such model"):
        list(run_units(work_in(tmp_path, broken=True), units_in(tmp_path, "a"), partial(RayCrew, workers=1)))


def test_the_number_of_workers_is_checked(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="1 or more"):
        RayCrew(work_in(tmp_path), 0)
