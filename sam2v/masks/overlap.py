"""The optional rule that a pixel belongs to one object at most."""

import torch


def non_overlapping(logits: torch.Tensor, loser: float = -10.0) -> torch.Tensor:
    """Keep, at every pixel, only the object with the highest logit.

    Args:
        logits: N x 1 x H x W mask logits, one row per object.
        loser: the other objects' logits are clamped to at most this value (sigmoid(-10) is 4.5e-5).

    Returns:
        New logits, same shape; with one object or none, the tensor itself. A tie goes to the first object.
    """
    if len(logits) <= 1:
        return logits
    best = logits.argmax(dim=0, keepdim=True)  # 1 x 1 x H x W
    rank = torch.arange(len(logits), device=logits.device)[:, None, None, None]
    return torch.where(best == rank, logits, logits.clamp(max=loser))
