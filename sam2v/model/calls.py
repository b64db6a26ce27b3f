"""The network's calls, whoever computes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sam2v.arrays import Array
from sam2v.model.values import ImageFeatures, Prediction, Prompts, TokenGroup, Wanted


class Calls(Protocol):
    """What a network offers, and every backend; `sam2v.model.network.Sam2Network` says what each call does."""

    def encode_image(self, images: Array) -> ImageFeatures:
        """Encode B x H x W x 3 images."""

    def without_memory(self, features: ImageFeatures) -> Array:
        """Features of a frame that has no memory yet."""

    def read_memory(self, features: ImageFeatures, memory: Sequence[TokenGroup]) -> Array:
        """Condition features on what N rows read."""

    def decode_prompts(
        self, features: ImageFeatures, conditioned: Array, prompts: Prompts, wanted: Wanted
    ) -> Prediction:
        """Turn N prompts into masks."""

    def point_to_mask(self, features: ImageFeatures, mask: Array) -> tuple[Array, Array]:
        """Object pointer and score of N masks that were given."""

    def write_memory(
        self, features: ImageFeatures, masks: Array, object_score: Array, binarize: bool | Array = False
    ) -> Array:
        """Encode N masks as memories."""
