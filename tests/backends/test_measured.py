"""The fastest of several ways."""

from __future__ import annotations

import math

import torch

from sam2v.backends.fused.measured import Fastest, milliseconds

CPU = torch.device("cpu")
WAYS = {"first": lambda x: x + 1, "second": lambda x: 1 + x}


def test_the_fastest_is_found_once_for_every_kind() -> None:
    took = {"first": [2.0, 1.0], "second": [1.0, math.inf]}  # of the second kind one way fails
    asked = iter([took["first"][0], took["second"][0], took["first"][1], took["second"][1]])
    fastest = Fastest(WAYS, lambda call, device: next(asked))
    for _ in range(2):
        assert fastest.run("one", CPU, torch.ones(1)).item() == fastest.run("other", CPU, torch.ones(1)).item() == 2
    assert fastest.chosen == {"one": "second", "other": "first"}


def test_where_nothing_can_be_measured_it_is_the_first() -> None:
    assert milliseconds(lambda: torch.ones(1), CPU) is None
    fastest = Fastest({"first": lambda x: x, "second": lambda x: -x})
    assert fastest.run("one", CPU, torch.ones(1)).item() == 1 and fastest.chosen == {}
