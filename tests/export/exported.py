"""What the tests of exports export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from sam2v.model.network import Sam2Network

#: A rectangle, of which windows are no divisor, and one layer of everything: exporters take their time.
OVERRIDES = (
    "model.image_size=[96,160]",
    "model.trunk.stages=[1,1,1,1]",
    "model.trunk.global_blocks=[2]",
    "model.memory.num_layers=1",
    "model.decoder.depth=1",
)


class Exported(NamedTuple):
    """A folder, the network that it is of, and what the command said."""

    folder: Path
    network: Sam2Network
    said: str

    @property
    def manifest(self) -> dict[str, Any]:
        record: dict[str, Any] = json.loads((self.folder / "manifest.json").read_text())
        return record
