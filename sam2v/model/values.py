"""What goes into the network's four calls and comes out of them."""

from __future__ import annotations

from typing import NamedTuple

from sam2v.arrays import Array, gathered, namespace

#: Point labels: padding (not a point), negative click, positive click, top-left and bottom-right corner of a box.
PADDING, NEGATIVE, POSITIVE, BOX_START, BOX_END = -1, 0, 1, 2, 3


class ImageFeatures(NamedTuple):
    """Features of B images.

    Attributes:
        stride16: B x C x h x w. stride8: B x C/4 x 2h x 2w. stride4: B x C/8 x 4h x 4w.
    """

    stride16: Array
    stride8: Array
    stride4: Array

    def select(self, index: int) -> ImageFeatures:
        """The features of one image, batch 1."""
        return ImageFeatures(*(level[index : index + 1] for level in self))

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w), the cells of the stride-16 level."""
        return self.stride16.shape[-2], self.stride16.shape[-1]


class TokenGroup(NamedTuple):
    """Tokens of one kind that N rows read: T slots of L tokens each.

    Attributes:
        tokens: N x T x L x Cm.
        time: N x T. With a grid: rows of the temporal table (0 = the frame before, the last row = conditioning frames),
            int64. Without: distances in frames over the pointer limit less one, float32.
        has_grid: whether a slot's tokens are the cells of a memory, row by row; otherwise they have no place in the
            image (object pointers).
        bias: N x T, added to the attention logits of a slot's tokens (-inf hides them), or None.
        scale: N x T, factor on the keys of a slot's tokens, or None.
    """

    tokens: Array
    time: Array
    has_grid: bool
    bias: Array | None = None
    scale: Array | None = None


class Prompts(NamedTuple):
    """N prompts on one image, or on N images.

    Attributes:
        coords: N x P x 2 points (x, y) in pixels of the network input; P may be 0.
        labels: N x P, -1 padding, 0 negative, 1 positive, 2 and 3 a box's corners. The released models expect one
            padding point behind every set of points.
        mask: N x 1 x H x W mask logits as a prompt, or None.
    """

    coords: Array
    labels: Array
    mask: Array | None = None


class Wanted(NamedTuple):
    """Which masks are wanted of a prompt.

    Attributes:
        multimask: the three masks of an ambiguous prompt instead of one.
        dynamic: let the best of the three replace an unstable single mask.
        least_iou: masks whose predicted IoU is not above it need not be painted, and may be ABSENT_LOGIT all over.
    """

    multimask: bool
    dynamic: bool = True
    least_iou: float = 0.0


class Prediction(NamedTuple):
    """The answer to N prompts: M candidate masks each (3 for an ambiguous prompt, else 1).

    Attributes:
        masks: N x M x 4h x 4w logits. iou: N x M predicted IoU, in [0, 1]. pointers: N x M x C object pointers.
        object_score: N x 1 logits; above 0 the object is there.
    """

    masks: Array
    iou: Array
    pointers: Array
    object_score: Array

    def pick(self, choice: Array | None = None) -> Answer:
        """One candidate per row.

        Args:
            choice: N x 1 indices of candidates, int64; None takes the highest predicted IoU.
        """
        if choice is None:
            choice = namespace(self.iou).argmax(self.iou, axis=1, keepdims=True)
        return Answer(
            gathered(self.masks, choice[..., None, None], 1),
            gathered(self.iou, choice, 1),
            gathered(self.pointers, choice[..., None], 1)[:, 0],
            self.object_score,
        )


class Answer(NamedTuple):
    """One mask for each of N rows.

    Attributes:
        mask: N x 1 x 4h x 4w logits. iou: N x 1. pointer: N x C. object_score: N x 1 logits.
    """

    mask: Array
    iou: Array
    pointer: Array
    object_score: Array

    def select(self, rows: Array) -> Answer:
        """The answers of some rows, given as indices or booleans."""
        return Answer(*(part[rows] for part in self))
