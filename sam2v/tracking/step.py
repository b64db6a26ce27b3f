"""What happens to a frame, as functions of arrays: tracking, prompting with points, prompting with masks.

Inference and training both go through these. None of them keeps anything, switches gradients off, or decides what the
object score means: the answers are the network's own (see `gate_by_score`).
"""

from __future__ import annotations

from sam2v.arrays import Array, clamp, device_of, floats, namespace, resized
from sam2v.model.calls import Calls
from sam2v.model.values import PADDING, ImageFeatures, Prediction, Prompts, Wanted

#: Previous mask logits are clamped to this before they serve as a prompt.
PROMPT_LOGIT_LIMIT = 32.0
#: Logits of a mask that was given rather than predicted.
GIVEN_LOGIT = 10.0
#: Masks that are brought to low resolution at a time: at the network's size they are large.
_MASKS = 16


def track_objects(calls: Calls, features: ImageFeatures, conditioned: Array, dynamic: bool = True) -> Prediction:
    """Find N rows' objects on a frame from memory alone.

    Args:
        calls: the network's. features: the frame's. conditioned: `read_memory`'s answer for N rows.
        dynamic: passed on.
    """
    # tracked frames are ambiguous: the released models take the best of the three masks there
    return calls.decode_prompts(features, conditioned, no_points(len(conditioned), conditioned), Wanted(True, dynamic))


def prompt_with_points(
    calls: Calls, features: ImageFeatures, conditioned: Array, points: Prompts, dynamic: bool = True
) -> Prediction:
    """Answer points on a frame.

    Args:
        calls: the network's. features: the frame's.
        conditioned: its stride-16 features after memory, or `without_memory(features)`.
        points: N x P points in network pixels (a box counts as two), and the logits of the objects' earlier answer on
            this frame as a mask, or None.
        dynamic: passed on.
    """
    mask = None if points.mask is None else clamp(points.mask, -PROMPT_LOGIT_LIMIT, PROMPT_LOGIT_LIMIT)
    prompts = with_padding(points.coords, points.labels)._replace(mask=mask)
    return calls.decode_prompts(features, conditioned, prompts, Wanted(points.labels.shape[1] <= 1, dynamic))


def prompt_with_mask(calls: Calls, features: ImageFeatures, mask: Array) -> Prediction:
    """Take N masks as they are: N x 1 x H x W booleans (or 0 and 1) at the network's input size. The answer has one
    mask of IoU 1 each."""
    pointer, score = calls.point_to_mask(features, mask)
    return Prediction(given_logits(mask), namespace(score).ones_like(score), pointer[:, None], score)


def given_logits(mask: Array) -> Array:
    """Low-resolution logits N x 1 x H/4 x W/4 of masks that were given, N x 1 x H x W booleans (or 0 and 1)."""
    low = (mask.shape[-2] // 4, mask.shape[-1] // 4)
    parts = [floats(mask[row : row + _MASKS]) for row in range(0, max(1, len(mask)), _MASKS)]
    lowered = [resized(part * (2 * GIVEN_LOGIT) - GIVEN_LOGIT, low, antialias=True) for part in parts]
    return namespace(mask).concat(lowered)


def with_padding(coords: Array, labels: Array) -> Prompts:
    """Points N x P with the padding point behind them that the released models expect: N x (P + 1)."""
    xp = namespace(coords)
    origin = xp.zeros((len(coords), 1, 2), dtype=coords.dtype, device=device_of(coords))
    padding = xp.full((len(coords), 1), PADDING, dtype=labels.dtype, device=device_of(labels))
    return Prompts(xp.concat([coords, origin], axis=1), xp.concat([labels, padding], axis=1))


def no_points(count: int, like: Array) -> Prompts:
    """What the released models see where there is no prompt: two padding points, for `count` rows; of the kind and on
    the device of an array."""
    xp, device = namespace(like), device_of(like)
    labels = xp.full((count, 2), PADDING, dtype=xp.int64, device=device)
    return Prompts(xp.zeros((count, 2, 2), dtype=xp.float32, device=device), labels)
