"""Memory policies on drawn clips on which identity is easily lost.

    python -m benchmarks.identity --policies recent robust --groups crossing return --seeds 0 20 --json identity.json

The object is prompted with its mask on the first frame and tracked forward. All policies go through a clip side by
side, and its frames are encoded once for all of them. What the JSON file holds already, with the same model and length,
is not run again: a run that was cut off goes on, and ranges of seeds can be run one after the other.
`python -m benchmarks.identity_cost` measures what the policies cost.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.common import add_model_arguments, model_from, table
from benchmarks.identity_clips import GROUPS, IdentityClip, identity_clip
from sam2v import VideoPredictor
from sam2v.backends.base import Backend
from sam2v.evaluation.metrics import boundary_accuracy, region_similarity
from sam2v.evaluation.pictures import figure
from sam2v.files import write_text
from sam2v.memory import POLICIES, check_policy_name
from sam2v.model.values import ImageFeatures

#: A frame is lost where J is below this; a visible object covers at least so many pixels.
_LOST, _VISIBLE = 0.1, 20
_COLUMNS = ("jf", "switches", "after_return", "lost")


class EncodedOnce(Backend):
    """A backend for several predictors that go through a clip side by side: the newest frame is encoded once."""

    _newest: tuple[Tensor, ImageFeatures] | None = None

    def encode_image(self, images: Tensor) -> ImageFeatures:
        """See `Sam2Network.encode_image`."""
        if self._newest is None or not torch.equal(self._newest[0], images):
            self._newest = images, super().encode_image(images)
        return self._newest[1]


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model_arguments(parser)
    parser.add_argument("--policies", nargs="+", default=list(POLICIES), metavar="NAME")
    parser.add_argument("--groups", nargs="+", default=list(GROUPS), choices=list(GROUPS))
    parser.add_argument("--seeds", nargs=2, type=int, default=(0, 20), metavar=("FROM", "TO"), help="TO not included")
    parser.add_argument("--frames", type=int, help="frames of a clip (default: the group's)")
    parser.add_argument("--json", type=Path, help="where results are kept, and looked up")
    parser.add_argument("--report", action="store_true", help="run nothing: tell of the clips that all policies have")
    parser.add_argument("--plot", type=Path, help="draw how far J&F is from the first policy's")
    args = parser.parse_args()
    for name in args.policies:
        check_policy_name(name)
    known: dict[str, dict[str, float]] = json.loads(args.json.read_text()) if args.json and args.json.exists() else {}
    backend = None
    for seed, group in () if args.report else product(range(*args.seeds), args.groups):
        missing = [name for name in args.policies if _key(args, group, seed, name) not in known]
        if not missing:
            continue
        backend = backend or EncodedOnce(model_from(args))
        found = measured(
            {name: VideoPredictor(backend, policy=name, keep_aspect=True) for name in missing},
            identity_clip(group, seed, args.frames),
        )
        known |= {_key(args, group, seed, name): scores for name, scores in found.items()}
        if args.json:
            write_text(args.json, json.dumps(known, indent=1) + "\n")
    results = Results.of(args, known)
    print(results.table())
    print(f"\n{args.model}, seeds {args.seeds[0]} to {args.seeds[1] - 1}")
    if args.plot:
        results.draw(args.plot)


def measured(predictors: Mapping[str, VideoPredictor], clip: IdentityClip) -> dict[str, dict[str, float]]:
    """Scores of the first object of a clip, by the predictors' names; they go through it side by side."""
    ways = []
    for predictor in predictors.values():
        state = predictor.init_state(clip.frames, history="window")
        predictor.add_mask(state, 0, 1, clip.masks[0, 0])
        ways.append(predictor.propagate_in_video(state))
    found = np.stack([[result.masks[0, 0].numpy() > 0 for result in results] for results in zip(*ways, strict=True)])
    return {name: scored(found[1:, n], clip.masks[1:]) for n, name in enumerate(predictors)}


def scored(found: np.ndarray, masks: np.ndarray) -> dict[str, float]:
    """What T x H x W masks are worth, the first frame's, which was given, left out.

    Args:
        found: the masks. masks: T x 2 x H x W, what is visible of the object and of its look-alike.

    Returns:
        jf: mean of J and F; switches: how often the mask went over to the look-alike; after_return: mean J from the
        first return of an object that was hidden (nan without one); lost: share of frames on which the visible object
        is lost, or the hidden one has a mask.
    """
    truth, other = masks[:, 0], masks[:, 1]
    j = np.array([region_similarity(mask, true) for mask, true in zip(found, truth, strict=True)])
    f = np.array([boundary_accuracy(mask, true) for mask, true in zip(found, truth, strict=True)])
    visible = truth.sum(axis=(1, 2)) >= _VISIBLE
    back = np.flatnonzero(visible & (np.cumsum(~visible) > 0))
    return {
        "jf": float((j + f).mean() / 2),
        "switches": float(_switches(found, truth, other)),
        "after_return": float(j[back[0] :].mean()) if len(back) else float("nan"),
        "lost": float((j < _LOST).mean()),
    }


def _switches(found: np.ndarray, truth: np.ndarray, other: np.ndarray) -> int:
    """How often a mask that lay on the object lies on the look-alike instead."""
    own, wrong = ((found & masks).sum(axis=(1, 2)) for masks in (truth, other))
    size = np.maximum(found.sum(axis=(1, 2)), 1)
    on = np.where(own > size / 2, 1, np.where(wrong > size / 2, -1, 0))
    on = on[on != 0]
    return int(((on[1:] == -1) & (on[:-1] == 1)).sum() + (len(on) > 0 and on[0] == -1))


def _key(args: argparse.Namespace, group: str, seed: int, policy: str) -> str:
    """The name of one clip's result with one policy."""
    parts = (args.model, args.checkpoint, args.image_size, group, args.frames or GROUPS[group], seed, policy)
    return " ".join(map(str, parts))


@dataclass(frozen=True)
class Results:
    """Means over clips that all policies have gone through.

    Attributes:
        clips: how many there are, by group.
        means: by group and policy, one for every one of `_COLUMNS`; of the group "all" the means of the groups' means.
    """

    clips: dict[str, int]
    means: dict[tuple[str, str], dict[str, float]]

    @classmethod
    def of(cls, args: argparse.Namespace, known: Mapping[str, Mapping[str, float]]) -> Results:
        """Of the clips and policies that the arguments name."""
        clips, means = {}, {}
        for group in args.groups:
            keys = [[_key(args, group, seed, policy) for policy in args.policies] for seed in range(*args.seeds)]
            complete = [row for row in keys if all(key in known for key in row)]
            clips[group] = len(complete)
            for policy, column in zip(args.policies, zip(*complete, strict=True), strict=False):
                means[group, policy] = {name: _mean(known[key][name] for key in column) for name in _COLUMNS}
        for policy in args.policies:
            every = [means[group, policy] for group in args.groups if clips[group]]
            means["all", policy] = {name: _mean(one[name] for one in every) for name in _COLUMNS}
        return cls({**clips, "all": sum(clips.values())}, means)

    def table(self) -> str:
        """As Markdown."""
        rows = [
            [group, str(self.clips[group]), policy, f"{100 * scores['jf']:.1f}", f"{scores['switches']:.2f}"]
            + [f"{100 * scores[name]:.1f}" for name in _COLUMNS[2:]]
            for (group, policy), scores in self.means.items()
        ]
        return table(["group", "clips", "policy", "J&F", "switches", "J after return", "lost %"], rows, words=3)

    def draw(self, path: Path) -> None:
        """A bar for every group and policy: J&F above or below the first policy's, in points."""
        groups = list(dict.fromkeys(group for group, _ in self.means))
        usual, *others = dict.fromkeys(policy for _, policy in self.means)
        drawn = figure(9, 3.6)
        axes = drawn.subplots()
        for number, policy in enumerate(others):
            gains = [100 * (self.means[g, policy]["jf"] - self.means[g, usual]["jf"]) for g in groups]
            places = [place + (number - (len(others) - 1) / 2) * 0.8 / len(others) for place in range(len(groups))]
            axes.bar(places, gains, 0.8 / len(others), label=policy)
        axes.axhline(0, color="black", linewidth=0.8)
        axes.set_xticks(range(len(groups)), [f"{g}\n{self.clips[g]} clips" for g in groups])
        axes.set_ylabel(f"J&F above `{usual}`, points")
        axes.legend(frameon=False, ncols=len(others), fontsize="small")
        drawn.savefig(path, dpi=110)


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
