"""Help for training from random weights: a start that looks near, and features that tell objects apart."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from sam2v.model.network import Sam2Network
from sam2v.model.values import ImageFeatures

_QUERIES, _KEYS = 128, 384  # cells compared per pair of frames


@torch.no_grad()
def look_nearby(network: Sam2Network, strength: float) -> None:
    """Start memory attention with a preference for the same place.

    Queries and keys are turned by their place's rotary code. A constant part in both makes their product a function of
    the distance alone, highest at distance 0; random weights attend to everything alike instead, and what the memory
    knows of places is lost in the mean.

    Args:
        strength: the constant, 0 leaves the network as it is; 5 prefers a neighbouring cell about ten times less.
    """
    if strength == 0:
        return
    for name, bias in network.memory_attention.named_parameters():
        if name.endswith(("q_proj.bias", "k_proj.bias")):
            bias.zero_()
            bias[0::2] = strength


def contrast_loss(levels: ImageFeatures, masks: Tensor, temperature: float = 0.1) -> Tensor:
    """Make a frame's cells resemble cells of the same object on the frame before (InfoNCE, van den Oord et al. 2018).

    Args:
        levels: features B x T x C x h x w; the coarsest and the finest level are compared.
        masks: B x T x M x H x W bool. Cells that no object fills by half, nor leaves empty, are left out.
        temperature: of the cosine similarities.

    Returns:
        A scalar, averaged over levels and neighbouring frames; 0 for single frames.
    """
    pairs = masks.shape[1] - 1
    total = masks.new_zeros((), dtype=torch.float32)
    for features in (levels.stride16, levels.stride4):
        owner = _owners(masks, features.shape[-1])  # B T cells
        unit = F.normalize(features.float().flatten(3).transpose(2, 3), dim=-1)  # B T cells C
        for t in range(pairs):
            query = torch.randperm(owner.shape[2], device=owner.device)[:_QUERIES]
            key = torch.randperm(owner.shape[2], device=owner.device)[:_KEYS]
            similarity = unit[:, t + 1, query] @ unit[:, t, key].transpose(1, 2) / temperature
            total = total + _same_owner_loss(similarity, owner[:, t + 1, query], owner[:, t, key])
    return total / (2 * max(1, pairs))


def _owners(masks: Tensor, side: int) -> Tensor:
    """B x T x cells: 1 to M for an object's cell, 0 for background, -1 for a mixed cell."""
    cover = F.avg_pool2d(masks.float().flatten(0, 2)[:, None], masks.shape[-1] // side)
    cover = cover.reshape(*masks.shape[:3], -1)
    most, who = cover.max(dim=2)
    return torch.where(most > 0.5, who + 1, torch.where(most < 0.05, 0, -1))


def _same_owner_loss(similarity: Tensor, queries: Tensor, keys: Tensor, background: float = 0.3) -> Tensor:
    """Mean over object cells, and with less weight over background cells, of -log p(a key of the same owner)."""
    usable = (keys >= 0)[:, None]
    same = (queries[..., None] == keys[:, None]) & usable
    logs = similarity.masked_fill(~usable, -1e4).log_softmax(dim=-1)
    found = torch.logsumexp(logs.masked_fill(~same, -1e4), dim=-1)
    known = same.any(dim=-1)
    total = similarity.new_zeros(())
    for rows, weight in (((queries > 0) & known, 1.0), ((queries == 0) & known, background)):
        total = total - weight * torch.where(rows, found, 0.0).sum() / rows.sum().clamp_min(1)
    return total
