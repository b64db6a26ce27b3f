"""What is measured while training: J&F of the predictor that users get, on clips or on a data set."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from sam2v.data import open_dataset
from sam2v.data.clips import Clip
from sam2v.data.records import ImageRecord
from sam2v.data.samplers import draw_seed
from sam2v.data.selection import select_records
from sam2v.data.synthetic import SyntheticClips, SyntheticConfig
from sam2v.model.network import Sam2Network
from sam2v.training.config import TrainConfig, ValidationConfig

_OTHER_CLIPS = 9  # part of the seed that no training stage uses


def make_validator(config: TrainConfig) -> Any:
    """A function (network, step) -> values from a recipe's `validation` entries, in their order.

    It is called when a run is saved, every `save_every` steps; an entry is due at the first save in each of its
    periods, and at the end. Entries that are not due are NaN; with none due, there are no values.

    Raises:
        ValueError, FileNotFoundError: an entry without its root; an empty or missing data set, or one that has no frame
            to measure on: photographs, or videos annotated only where objects enter.
    """
    data = [_load(entry, draw_seed(config.seed, _OTHER_CLIPS, k)) for k, entry in enumerate(config.validation)]

    from sam2v.evaluation.vos import own_protocol

    kinds = [entry.kind for entry in config.validation]
    names = [kind if kinds.count(kind) == 1 else f"{kind}{k}" for k, kind in enumerate(kinds)]

    def validate(network: Sam2Network, step: int) -> dict[str, float]:
        before = max(0, step - config.save_every)
        due = [step // e.every > before // e.every or step >= config.total_steps for e in config.validation]
        if not any(due):
            return {}
        values: dict[str, float] = {}
        for name, entry, items, now in zip(names, config.validation, data, due, strict=True):
            if not now:
                values[f"{name}_J&F"] = math.nan
            elif entry.kind == "synthetic":
                values[f"{name}_J&F"] = clips_jf(network, items)
            else:
                values[f"{name}_J&F"] = records_jf(network, items, own_protocol(entry.kind, items))
        return values

    return validate


def _load(entry: ValidationConfig, seed: int) -> Sequence[Any]:
    if entry.kind == "synthetic":
        side = entry.image_size
        clips = SyntheticClips(SyntheticConfig(height=side, width=side, frames=entry.frames), seed=seed)
        return clips.draw(range(entry.limit or 32))
    from sam2v.evaluation.protocol import get_protocol
    from sam2v.evaluation.vos import own_protocol, scored_frames

    if entry.root is None:
        raise ValueError(f"train.validation: kind {entry.kind!r} needs a root folder")
    records: Any = select_records(open_dataset(entry.kind, entry.root, entry.split), entry.only, entry.without)
    records = records[: entry.limit] if entry.limit else records
    if isinstance(records[0], ImageRecord):
        raise ValueError(f"train.validation: kind {entry.kind!r} holds photographs, but tracking is measured on videos")
    protocol = get_protocol(own_protocol(entry.kind, records))
    if not any(scored_frames(record, protocol) for record in records):
        raise ValueError(f"train.validation: {entry.root} annotates only the frames where objects enter")
    return records


@torch.inference_mode()
def clips_jf(network: Sam2Network, clips: Sequence[Clip]) -> float:
    """Mean J&F in percent over the objects of clips, tracked from their first frame's masks; that frame is not scored.

    Raises:
        ValueError: a clip of a single frame.
    """
    from sam2v.evaluation.metrics import frame_scores
    from sam2v.predict import VideoPredictor

    predictor = VideoPredictor(network)
    totals: list[float] = []
    for clip in clips:
        if clip.num_frames < 2:
            raise ValueError(f"clip {clip.name}: tracking needs at least 2 frames to be measured")
        state = predictor.init_state(clip.frames.permute(0, 2, 3, 1).cpu().numpy())
        for number in range(clip.num_objects):
            predictor.add_mask(state, 0, number, clip.masks[0, number].cpu().numpy())
        for frame_idx, objects, masks in predictor.propagate_in_video(state):
            if frame_idx == 0:
                continue
            for number, mask in zip(objects, masks, strict=True):
                truth = clip.masks[frame_idx, number].cpu().numpy()
                totals.append(sum(frame_scores((mask[0] > 0).cpu().numpy(), truth)) / 2)
    return 100 * sum(totals) / len(totals)


@torch.inference_mode()
def records_jf(network: Sam2Network, records: Any, protocol: str = "davis") -> float:
    """J&F in percent on a data set by a protocol of `sam2v.evaluation`, first masks given."""
    from sam2v.evaluation.vos import evaluate_vos
    from sam2v.jobs.run import Run
    from sam2v.predict import VideoPredictor

    # the other processes are busy elsewhere: this one measures alone
    found = evaluate_vos(VideoPredictor(network), records, protocol=protocol, run=Run(distributed=False))
    return 100 * found.mean["J&F"]
