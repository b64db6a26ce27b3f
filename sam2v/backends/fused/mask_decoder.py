"""The mask decoder in fewer operations: the heads of all tokens at once."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam2v.model.mask_decoder import MaskDecoder
from sam2v.nn.layers import MLP


class FusedMaskDecoder(MaskDecoder):
    """The decoder, whose heads differ in their weights alone: they are one batch of products."""

    constants = ("own_tokens", "places")

    def prepare(self) -> None:
        """Stack the heads' layers in the order of their tokens; narrower answers are filled up with zeros."""
        kernels = cast("list[MLP]", list(self.output_hypernetworks_mlps))
        heads = [self.pred_obj_score_head, self.iou_prediction_head, *kernels]
        stacked = []
        for layers in zip(*[cast("list[nn.Linear]", list(head.layers)) for head in heads], strict=True):
            width = max(layer.out_features for layer in layers)
            weights = [F.pad(layer.weight, (0, 0, 0, width - layer.out_features)).T for layer in layers]
            biases = [F.pad(cast("Tensor", layer.bias), (0, width - layer.out_features)) for layer in layers]
            stacked.append((torch.stack(biases)[:, None], torch.stack(weights)))
        self._heads, self._kernel = stacked, kernels[0].layers[-1].out_features

    def heads(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `MaskDecoder.heads`."""
        x, (*hidden, last) = tokens.transpose(0, 1), self._heads
        for bias, weight in hidden:
            x = torch.baddbmm(bias, x, weight).relu_()
        x = torch.baddbmm(last[0], x, last[1])  # tokens x B x widest
        return x[2:, :, : self._kernel].transpose(0, 1), x[1, :, : len(x) - 2].sigmoid(), x[0, :, :1]
