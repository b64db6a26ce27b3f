"""What a session was made with, so that it goes on with nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from typing import Any

from sam2v.memory import MemoryPolicy


@dataclass
class Origin:
    """The model, the options and the policy of a session.

    Attributes:
        model: the model's configuration. dtype: of its weights.
        options: how masks and memories are handled. policy: name and values of the memory policy.
        find_weights: gives a checksum of the weights, found out once and only where it is needed.
    """

    model: dict[str, Any]
    dtype: str
    options: dict[str, Any]
    policy: dict[str, Any]
    find_weights: Callable[[], str]

    @cached_property
    def weights(self) -> str:
        """Checksum of the weights."""
        return self.find_weights()

    def record(self) -> dict[str, Any]:
        """Everything as JSON holds it."""
        parts = {"model": self.model, "options": self.options, "policy": self.policy}
        return {**parts, "dtype": self.dtype, "weights": self.weights}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Origin:
        """Inverse of `record`.

        Raises:
            KeyError, TypeError: something that is no such record.
        """
        weights = str(record["weights"])
        if not all(isinstance(record[part], dict) for part in ("model", "options", "policy")):
            raise TypeError("parts of a record are objects")
        options = {"resize": "host", **record["options"]}  # what is older than this option knows no other way
        return cls(record["model"], record["dtype"], options, record["policy"], lambda: weights)

    def check(self, now: Origin, thing: str = "session", parts: Sequence[str] = ("model", "options", "policy")) -> None:
        """Raise ValueError, naming the difference, unless a thing from here can go on with what is there now; its
        `parts` and the weights matter."""
        for what in parts:
            before, after = getattr(self, what), getattr(now, what)
            changed = [key for key in {**before, **after} if before.get(key) != after.get(key)]
            if changed:
                values = ", ".join(f"{key} ({before.get(key)!r}, now {after.get(key)!r})" for key in changed)
                raise ValueError(f"the {thing} was saved with other {what}: {values} differ")
        # memories of another precision are read all the same
        if self.dtype == now.dtype and self.weights != now.weights:
            raise ValueError(f"the {thing} was saved with other weights of this model")


def describe_policy(policy: MemoryPolicy) -> dict[str, Any]:
    """Name and values of a policy, and of the parts that it is put together from."""
    described: dict[str, Any] = _described(policy)
    return described if isinstance(described, dict) else {"name": type(policy).__name__}


def _described(part: Any) -> Any:
    """Name and values of a dataclass' value; anything else as it is."""
    if not is_dataclass(part) or isinstance(part, type):
        return part
    return {"name": type(part).__name__, **{f.name: _described(getattr(part, f.name)) for f in fields(part)}}
