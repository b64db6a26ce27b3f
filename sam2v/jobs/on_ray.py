"""A crew of Ray actors, on one machine or many. They share the disk that units become folders on."""

from __future__ import annotations

import logging
import warnings
from typing import Any

from sam2v.jobs.units import Reply, Unit, UnitWork, do_unit

#: Seconds without any worker after which that is said.
_PATIENCE = 60.0


class _Actor:
    """A worker: one tool, made when the first unit comes."""

    def __init__(self, work: UnitWork) -> None:
        self._work = work
        self._tool: Any = None

    def is_here(self) -> bool:
        """Answered once the cluster has found a place for this worker."""
        return True

    def do(self, unit: Unit) -> Reply | str:
        """The reply; why this worker cannot begin, if it cannot."""
        if self._tool is None:
            try:
                self._tool = self._work.start()
            except Exception as error:
                return f"{type(error).__name__}: {error}"
        return do_unit(self._work, self._tool, unit)


class RayCrew:
    """Actors, one unit at a time each; another takes the place of one that died.

    Those for which the cluster has no place wait for one; the others do the work meanwhile.

    Args:
        work: what they do. workers: how many; None: one per GPU of the cluster if the work needs one, else per core.
        address: of the cluster; None: the one of RAY_ADDRESS, or one that is begun on this machine.
        gpus: that each needs; may be a part of one.

    Raises:
        ImportError: Ray is not installed. ConnectionError: no cluster there. ValueError: fewer than one worker.
    """

    def __init__(
        self, work: UnitWork, workers: int | None = None, address: str | None = None, gpus: float = 0.0
    ) -> None:
        if workers is not None and workers < 1:
            raise ValueError(f"the number of workers must be 1 or more, got {workers}")
        try:
            import ray
        except ImportError:
            raise ImportError("--ray needs a package: pip install 'sam2v[ray]'") from None
        self._ray = ray
        self._began = not ray.is_initialized()
        if self._began:
            own: dict[str, Any] = {"include_dashboard": False} if address is None else {}
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **own)
        there = ray.cluster_resources()
        count = workers or max(1, int(there.get("GPU", 0) / gpus if gpus else there.get("CPU", 1)))
        options = {"max_restarts": 0, "max_task_retries": 0, "num_cpus": 1, "num_gpus": gpus}
        self._actor, self._work = ray.remote(_Actor).options(scheduling_strategy="SPREAD", **options), work
        self._idle: list[Any] = []
        self._busy: dict[Any, tuple[Unit, Any]] = {}
        self._coming: dict[Any, Any] = {}
        for _ in range(count):
            self._come(self._actor.remote(work))

    def free(self) -> bool:
        while not self._idle and not self._busy:
            ready, _ = self._ray.wait(list(self._coming), timeout=_PATIENCE)
            self._idle += map(self._coming.pop, ready)
            if ready:
                break
            there = {name: count for name, count in self._ray.cluster_resources().items() if name in ("CPU", "GPU")}
            warnings.warn(f"no worker has found a place in the Ray cluster, which has {there}: waiting", stacklevel=2)
        return bool(self._idle)

    def submit(self, unit: Unit) -> None:
        actor = self._idle.pop()
        self._busy[actor.do.remote(unit)] = unit, actor

    def wait(self) -> list[tuple[Unit, Reply]]:
        if not self._busy:
            return []
        ready, _ = self._ray.wait([*self._busy, *self._coming])
        replies = []
        for reference in ready:
            if reference in self._coming:
                self._idle.append(self._coming.pop(reference))
                continue
            unit, actor = self._busy.pop(reference)
            reply = self._reply(reference)
            if reply is not None:
                self._idle.append(actor)
            else:  # a new one: an actor that is being restarted refuses what comes meanwhile
                self._ray.kill(actor)
                actor = self._actor.remote(self._work)
                if self._coming:  # of which one may have its place
                    self._come(actor)
                else:
                    self._idle.append(actor)
            replies.append((unit, reply or Reply(None, "the worker died", retry=True)))
        return replies

    def close(self) -> None:
        for actor in [*self._idle, *self._coming.values(), *(actor for _, actor in self._busy.values())]:
            self._ray.kill(actor)
        if self._began:
            self._ray.shutdown()

    def _come(self, actor: Any) -> None:
        """Have a worker wait for a place."""
        self._coming[actor.is_here.remote()] = actor

    def _reply(self, reference: Any) -> Reply | None:
        """What a worker said, None if it died."""
        try:
            found = self._ray.get(reference)
        except self._ray.exceptions.RayError:
            return None
        if isinstance(found, str):
            raise RuntimeError(f"a worker cannot begin: {found}")
        return found
