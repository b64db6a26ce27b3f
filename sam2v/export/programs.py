"""Calls as programs of torch.export in a folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sam2v.export.calls import FEATURES, ONE_OR_ROWS, ROWS, CallSpec, Port
from sam2v.export.check import Runner
from sam2v.export.manifest import call_record, versions
from sam2v.export.traced import quiet, trace
from sam2v.model.network import Sam2Network


def for_programs(specs: Sequence[CallSpec]) -> list[CallSpec]:
    """The same calls for one picture at a time: programs cannot have a side that is one or as many as there are rows,
    so features are one picture's, and what else could be one for all is given for each row."""

    def settled(port: Port, first: bool) -> Port:
        one: str | int = 1 if first or FEATURES in port.shape else ROWS
        return port._replace(shape=tuple(one if side in ONE_OR_ROWS else side for side in port.shape))

    made = []
    for spec in specs:
        first = not any(ROWS in port.shape for port in spec.inputs)
        inputs, outputs = (tuple(settled(port, first) for port in ports) for ports in (spec.inputs, spec.outputs))
        made.append(spec._replace(inputs=inputs, outputs=outputs))
    return made


def write_programs(
    folder: Path, specs: Sequence[CallSpec], network: Sam2Network, step: Callable[[str], None]
) -> dict[str, Any]:
    """Write every call as NAME.pt2.

    Args:
        folder: where to.
        specs: the calls.
        network: a stand-in by `sam2v.export.modules.PROGRAM_KINDS`.
        step: told what is being done.

    Returns:
        The manifest's entries.
    """
    records = {}
    for spec in specs:
        step(spec.name)
        path = folder / f"{spec.name}.pt2"
        with quiet():
            torch.export.save(trace(spec, network), path)
        records[spec.name] = call_record(path, spec)
    return {"made_with": versions("torch"), "graphs": records}


def program_runner(folder: Path) -> Runner:
    """Runs the folder's programs."""
    loaded: dict[str, Any] = {}

    def run(spec: CallSpec, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        if spec.name not in loaded:
            with quiet():
                loaded[spec.name] = torch.export.load(folder / f"{spec.name}.pt2").module()
        answer = loaded[spec.name](*inputs)
        return (answer,) if isinstance(answer, Tensor) else answer

    return run
