"""Memory policies on drawn clips on which identity is easily lost.

    python -m benchmarks.identity --policies recent robust --groups crossing return --seeds 0 20 --json identity.json

The object is prompted with its mask on the first frame and tracked forward. What the JSON file holds already, with
the same model and length, is not run again: ranges of seeds can be run one after the other.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common import add_model_arguments, machine, model_from, table
from benchmarks.identity_clips import GROUPS, IdentityClip, identity_clip
from sam2v import VideoPredictor
from sam2v.evaluation.metrics import boundary_accuracy, region_similarity
from sam2v.memory import POLICIES, check_policy_name

#: A frame is lost where J is below this; a visible object covers at least so many pixels.
_LOST, _VISIBLE = 0.1, 20
_COLUMNS = ("jf", "switches", "after_return", "lost", "ms")


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model_arguments(parser)
    parser.add_argument("--policies", nargs="+", default=list(POLICIES), metavar="NAME")
    parser.add_argument("--groups", nargs="+", default=list(GROUPS), choices=list(GROUPS))
    parser.add_argument("--seeds", nargs=2, type=int, default=(0, 20), metavar=("FROM", "TO"), help="TO not included")
    parser.add_argument("--frames", type=int, help="frames of a clip (default: the group's)")
    parser.add_argument("--json", type=Path, help="where results are kept, and looked up")
    args = parser.parse_args()
    for name in args.policies:
        check_policy_name(name)
    known: dict[str, dict[str, float]] = json.loads(args.json.read_text()) if args.json and args.json.exists() else {}
    network = None
    for key, group, seed, policy in _runs(args):
        if key in known:
            continue
        network = network or model_from(args)
        known[key] = measured(VideoPredictor(network, policy=policy), identity_clip(group, seed, args.frames))
        if args.json:
            args.json.write_text(json.dumps(known, indent=1) + "\n")
    print(_summary(args, known))
    print(f"\n{args.model}, seeds {args.seeds[0]} to {args.seeds[1] - 1}; {machine()}")


def measured(predictor: VideoPredictor, clip: IdentityClip) -> dict[str, float]:
    """Scores of the first object of a clip.

    Returns:
        jf: mean of J and F over the frames after the first; switches: how often the mask went over to the look-alike;
        after_return: mean J from the first return of an object that was hidden (nan without one); lost: share of
        frames on which the visible object is lost, or the hidden one has a mask; ms: per frame.
    """
    state = predictor.init_state(clip.frames, history="window")
    predictor.add_mask(state, 0, 1, clip.masks[0, 0])
    start = time.perf_counter()
    found = np.stack([result.masks[0, 0].numpy() > 0 for result in predictor.propagate_in_video(state)])
    milliseconds = 1000 * (time.perf_counter() - start) / len(found)
    truth, other = clip.masks[1:, 0], clip.masks[1:, 1]
    found = found[1:]
    j = np.array([region_similarity(mask, true) for mask, true in zip(found, truth, strict=True)])
    f = np.array([boundary_accuracy(mask, true) for mask, true in zip(found, truth, strict=True)])
    visible = truth.sum(axis=(1, 2)) >= _VISIBLE
    back = np.flatnonzero(visible & (np.cumsum(~visible) > 0))
    return {
        "jf": float((j + f).mean() / 2),
        "switches": float(_switches(found, truth, other)),
        "after_return": float(j[back[0] :].mean()) if len(back) else float("nan"),
        "lost": float((j < _LOST).mean()),
        "ms": milliseconds,
    }


def _switches(found: np.ndarray, truth: np.ndarray, other: np.ndarray) -> int:
    """How often a mask that lay on the object lies on the look-alike instead."""
    own, wrong = ((found & masks).sum(axis=(1, 2)) for masks in (truth, other))
    size = np.maximum(found.sum(axis=(1, 2)), 1)
    on = np.where(own > size / 2, 1, np.where(wrong > size / 2, -1, 0))
    on = on[on != 0]
    return int(((on[1:] == -1) & (on[:-1] == 1)).sum() + (len(on) > 0 and on[0] == -1))


def _runs(args: argparse.Namespace) -> Iterator[tuple[str, str, int, str]]:
    for group in args.groups:
        for seed in range(*args.seeds):
            for policy in args.policies:
                parts = (
                    args.model,
                    args.checkpoint,
                    args.image_size,
                    group,
                    args.frames or GROUPS[group],
                    seed,
                    policy,
                )
                yield " ".join(map(str, parts)), group, seed, policy


def _summary(args: argparse.Namespace, known: dict[str, dict[str, float]]) -> str:
    """Means by group and policy, and over all groups."""
    runs = list(_runs(args))
    rows: list[Any] = []
    for group in [*args.groups, "all"]:
        for policy in args.policies:
            chosen = [known[key] for key, at, _, by in runs if by == policy and group in (at, "all")]
            rows.append([group, policy, *(f"{_mean(m[name] for m in chosen):.3f}" for name in _COLUMNS)])
    return table(["group", "policy", "J&F", "switches", "J after return", "lost", "ms a frame"], rows, words=2)


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
