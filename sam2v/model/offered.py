"""Which of the decoder's masks are offered, and what the object score says of them: functions of arrays, whoever
computed these."""

from __future__ import annotations

from sam2v.arrays import Array, floats, gathered, namespace
from sam2v.config import DecoderConfig
from sam2v.model.values import Prediction, Wanted

#: Logits of masks that were not painted: those of an object that is not there.
ABSENT_LOGIT = -1024.0


def offered_masks(
    masks: Array, iou: Array, tokens: Array, wanted: Wanted, config: DecoderConfig
) -> tuple[Array, Array, Array]:
    """The masks that are wanted of all that the decoder has (Kirillov et al. 2023).

    Args:
        masks: N x 4 x 4h x 4w logits: mask 0 answers a clear prompt, the others an ambiguous one.
        iou: N x 4 predicted IoU. tokens: N x 4 x C: what pointers are made of, or the pointers.
        wanted: which masks. config: from which stability a single mask is given.

    Returns:
        Masks N x M, their IoUs, and the tokens N x M x C: those of the masks, but a single mask's own also where
        another one replaces it.
    """
    if wanted.multimask:
        return masks[:, 1:], iou[:, 1:], tokens[:, 1:]
    single, single_iou, own = masks[:, :1], iou[:, :1], tokens[:, :1]
    if not wanted.dynamic:
        return single, single_iou, own
    xp = namespace(masks)
    stable = stability_score(single, config.stability_delta) >= config.stability_thresh  # N x 1
    pick = xp.argmax(iou[:, 1:], axis=1, keepdims=True)
    other = gathered(masks[:, 1:], pick[:, :, None, None], 1)
    other_iou = gathered(iou[:, 1:], pick, 1)
    return xp.where(stable[:, :, None, None], single, other), xp.where(stable, single_iou, other_iou), own


def stability_score(logits: Array, delta: float) -> Array:
    """Overlap of a mask cut slightly above and slightly below zero (Kirillov et al. 2023).

    Args:
        logits: ... x H x W.
        delta: offset of the two cuts in logits.

    Returns:
        ... in [0, 1]: pixels above +delta per pixel above -delta, 1 where there is none.
    """
    xp = namespace(logits)
    inner, outer = (floats(xp.sum(xp.astype(logits > cut, xp.int64), axis=(-2, -1))) for cut in (delta, -delta))
    some = outer > 0
    return xp.where(some, inner / xp.where(some, outer, 1.0), 1.0)


def gate_by_score(prediction: Prediction) -> Prediction:
    """Set the mask logits of absent objects (score <= 0) to ABSENT_LOGIT, as tracking does."""
    present = (prediction.object_score > 0)[..., None, None]
    return prediction._replace(masks=namespace(present).where(present, prediction.masks, ABSENT_LOGIT))
