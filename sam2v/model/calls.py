"""The network's calls, whoever computes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from sam2v.model.values import ImageFeatures, Prediction, Prompts, TokenGroup

if TYPE_CHECKING:
    from torch import Tensor


class Calls(Protocol):
    """What a network offers, and every backend; `sam2v.model.network.Sam2Network` says what each call does."""

    def encode_image(self, images: Tensor) -> ImageFeatures:
        """Encode B x H x W x 3 images."""

    def without_memory(self, features: ImageFeatures) -> Tensor:
        """Features of a frame that has no memory yet."""

    def read_memory(self, features: ImageFeatures, memory: Sequence[TokenGroup]) -> Tensor:
        """Condition features on what N rows read."""

    def decode_prompts(
        self,
        features: ImageFeatures,
        conditioned: Tensor,
        prompts: Prompts,
        multimask: bool,
        dynamic: bool = True,
        least_iou: float = 0.0,
    ) -> Prediction:
        """Turn N prompts into masks."""

    def point_to_mask(self, features: ImageFeatures, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Object pointer and score of N masks that were given."""

    def write_memory(
        self, features: ImageFeatures, masks: Tensor, object_score: Tensor, binarize: bool | Tensor = False
    ) -> Tensor:
        """Encode N masks as memories."""
