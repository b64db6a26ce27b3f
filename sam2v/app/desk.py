"""What a person of a data engine's project has on their desk: a task, its folder, and the seconds they worked at it."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sam2v.data_engine.project import Project
from sam2v.data_engine.queue import Queue, Task, TaskTaken
from sam2v.data_engine.schema import TaskKind
from sam2v.data_engine.work import Work
from sam2v.files import read_json, write_text

TASKS, _CLOCK = "tasks", "worked.json"
_LONGEST_TOKEN = 100
_MOST_SECONDS = 1_000_000_000  # decades


@dataclass(frozen=True)
class Person:
    """Somebody who showed their token: the annotator's id and name."""

    id: int
    name: str


def task_name(task: Task) -> str:
    """What addresses and the folder of a task are called; a task that is handed out again has another one."""
    return f"{task.masklet_id}-{task.version}"


class Desk:
    """Tasks of the people of a project.

    Args:
        project: the data engine's.
    """

    def __init__(self, project: Project) -> None:
        self.project, self.queue = project, Queue(project)
        self._lock = threading.Lock()

    def person(self, token: str) -> Person | None:
        """Whose token it is, None if it is nobody's."""
        if not token or len(token) > _LONGEST_TOKEN:
            return None
        found = self.project.person(token)
        return None if found is None else Person(*found)

    def describe(self, person: Person) -> dict[str, Any]:
        """What a person's page needs: who they are, how many tasks wait for them, and the task they have."""
        task = self.queue.held(person.id)
        about = None if task is None else self.about(task)
        return {"person": person.name, "waiting": self.queue.waiting(person.id), "task": about}

    def about(self, task: Task) -> dict[str, Any]:
        """What a page says about a task."""
        about = {"id": task_name(task), "kind": task.kind, "video": task.video, "object": task.number}
        return {**about, "phase": self.project.settings.phase, "note": task.note, "seconds": self.work(task, 0.0)}

    def take(self, person: Person, kind: TaskKind) -> Task | None:
        """The task they have, whatever its kind, else the next one of a kind; None if there is none."""
        task = self.queue.held(person.id)
        task = task or self.queue.take(person.id, kind)
        if task is not None:
            self.work(task, 0.0)  # its time begins
        return task

    def current(self, person: Person, name: str) -> Task:
        """The task of a name.

        Raises:
            TaskTaken: it is not theirs, or not any more.
        """
        task = self.queue.held(person.id)
        if task is None or task_name(task) != name:
            raise TaskTaken("this task is not yours any more: it was taken back or handed in. Nothing was changed")
        return task

    def folder(self, task: Task) -> Path:
        """Where the annotator's project of a task is."""
        return self.project.file(f"{TASKS}/{task_name(task)}")

    def work(self, task: Task, seconds: float) -> float:
        """Add active seconds to a task, never more than have passed since they were added last; returns all of them."""
        path, now = self.folder(task) / _CLOCK, time.time()
        with self._lock:
            total, at = _read_clock(path) if path.exists() else (0.0, now)
            total += min(max(0.0, seconds), max(0.0, now - at))
            if seconds or not path.exists():
                write_text(path, json.dumps({"seconds": total, "at": now}) + "\n")
        return total

    def submit(self, task: Task, work: Work) -> None:
        """Hand in masks; raises as `Queue.submit`."""
        self.queue.submit(task, work)

    def settle(self, task: Task, do: str, seconds: float, note: str) -> None:
        """End a task without masks: "satisfactory", "unsatisfactory", "reject" or "release"; raises as `Queue`."""
        if do == "release":
            self.queue.give_back(task, seconds)
        elif do == "reject":
            self.queue.reject(task, seconds, note)
        elif do in ("satisfactory", "unsatisfactory"):
            self.queue.judge(task, do == "satisfactory", seconds, note)
        else:
            accepted = "submit, satisfactory, unsatisfactory, reject, release"
            raise ValueError(f"do must be one of {accepted}, got {do[:40]!r}")


def seconds_of(message: dict[str, Any]) -> float:
    """The seconds that a message reports.

    Raises:
        ValueError: they are no number, negative, or more than anybody works.
    """
    value = message.get("seconds", 0.0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MOST_SECONDS:
        raise ValueError(f"seconds must be a number from 0 to {_MOST_SECONDS}")
    return float(value)


def _read_clock(path: Path) -> tuple[float, float]:
    try:
        found = read_json(path)
        return float(found["seconds"]), float(found["at"])
    except (ValueError, OverflowError, KeyError, TypeError):
        raise ValueError(f"{path}: not the record of a task's time") from None
