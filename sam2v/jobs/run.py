"""How a protocol is run: processes, ranks, progress, resuming. None of it changes a result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sam2v.jobs import pool
from sam2v.jobs.parts import Parts, fingerprint
from sam2v.jobs.units import Hire


@dataclass(frozen=True)
class Run:
    """How the work is done; no setting changes a result.

    workers: processes, each with its own predictor (0 or 1: this one). parts: folder that keeps finished
    videos of a run under way; `key` says which predictor they are from. distributed: share the videos among
    torchrun's ranks, all of which must make the call. hire: makes other workers than processes, such as actors
    of Ray (`sam2v.jobs.on_ray.RayCrew`), which must find the videos, and what is written, by the same paths.
    """

    workers: int = 0
    progress: bool = False
    parts: Path | None = None
    key: str = ""
    distributed: bool = True
    hire: Hire | None = None

    def jobs(self, jobs: Sequence[pool.Job[Any, Any, Any]]) -> list[Any]:
        """Run jobs that use torch."""
        return pool.run_jobs(
            jobs,
            workers=self.workers,
            progress=self.progress,
            distributed=self.distributed,
            forks=False,
            hire=self.hire,
        )

    def load(self, name: str, *values: Any) -> Any | None:
        """What an earlier run with the same key and values kept of a video."""
        return Parts(self.parts).load(name, fingerprint(self.key, *values)) if self.parts else None

    def save(self, name: str, content: Any, *values: Any) -> None:
        """Keep a finished video."""
        if self.parts:
            Parts(self.parts).save(name, fingerprint(self.key, *values), content)
