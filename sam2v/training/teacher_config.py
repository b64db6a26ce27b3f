"""Settings of distillation, apart from the network so that recipes are read without it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional


@dataclass
class TeacherConfig:
    """A trained network to learn from.

    Attributes:
        weight: of the loss against its masks, 0: no teacher.
        model, overrides, checkpoint: the network, as for `sam2v.load_model`.
        image_size: side of the square frames that it sees, in pixels; 0: the size it is configured for.
    """

    weight: float = 0.0
    model: str = "sam2v_nano"
    overrides: list[str] = field(default_factory=list)
    checkpoint: Optional[str] = None  # noqa: UP045 - OmegaConf reads these annotations
    image_size: int = 0
