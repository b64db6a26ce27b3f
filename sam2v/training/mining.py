"""Where a model errs on its own training data, and how often to draw each record because of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from sam2v.data.records import ImageRecord, VideoRecord
from sam2v.masks.clicks import central_click
from sam2v.model.network import Sam2Network


def video_errors(
    network: Sam2Network, records: Sequence[VideoRecord], prompts: Sequence[str] = ("mask",)
) -> dict[str, float]:
    """Name -> 1 - J&F of every video, averaged over kinds of prompts ("mask", "box", "clicks:3").

    Videos without a frame to score (of their annotated ones the first and the last do not count) are left out.
    """
    from sam2v.evaluation.vos import evaluate_vos
    from sam2v.jobs.run import Run
    from sam2v.predict import VideoPredictor

    predictor, scores = VideoPredictor(network), dict[str, float]()
    for prompt in prompts:
        found = evaluate_vos(predictor, records, prompt=prompt, run=Run(distributed=False))
        for name, sequence in found.sequences.items():
            if frames := sequence.by_frame().values():
                scores[name] = scores.get(name, 0.0) + sum(frames) / len(frames) / len(prompts)
    return {name: 1 - score for name, score in scores.items()}


def photograph_errors(
    network: Sam2Network, records: Sequence[ImageRecord], clicks: Sequence[int] = (1, 3)
) -> dict[str, float]:
    """Name -> 1 - IoU of every photograph, averaged over its objects and over numbers of clicks."""
    from sam2v.predict import ImagePredictor

    predictor, errors = ImagePredictor(network), {}
    for record in records:
        predictor.set_image(record.image())
        found = [clicked_ious(predictor, truth, max(clicks)) for truth in record.masks().values()]
        if found:
            errors[record.name] = 1 - float(np.mean([[ious[count - 1] for count in clicks] for ious in found]))
    return errors


def clicked_ious(predictor: object, truth: np.ndarray, clicks: int) -> list[float]:
    """IoU after each of so many simulated clicks on the image that a predictor was given; truth is H x W bool."""
    points: list[list[int]] = []
    labels: list[int] = []
    shown, low, ious = None, None, []
    for k in range(clicks):
        click = central_click(truth, shown)
        if click is not None:
            points.append([click.x, click.y])
            labels.append(click.label)
            answer = predictor.predict(  # type: ignore[attr-defined]
                np.array(points, np.float32), np.array(labels), mask_input=low, multimask_output=k == 0
            )
            best = int(answer.iou.argmax())
            shown, low = answer.masks[best], answer.low_res_logits[best : best + 1]
        ious.append(float((shown & truth).sum() / max(1, (shown | truth).sum())))
    return ious


def weights_of(errors: Mapping[str, float], smallest: float = 0.5, largest: float = 3.0) -> dict[str, float]:
    """Name -> weight: the error over the mean error, within limits."""
    mean = float(np.mean(list(errors.values()))) if errors else 1.0
    return {name: float(np.clip(error / max(mean, 1e-9), smallest, largest)) for name, error in errors.items()}
