"""Records the twins: what the reference (package `sam2`, pip name rf-sam-2) answers on pictures drawn by rule.

    PYTHONPATH=tests python tests/golden/record.py [--only encoders images automatic videos] [--cases ...] [--out DIR]

One array per recorded quantity, sampled coarsely; a file's `meta` is JSON with everything needed to repeat it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from golden.noise import block_noise
from golden.pictures import checksum, clip, photograph
from golden.reference import Arrays, ReferenceVideo, build_nano, build_reference, mask_generator
from golden.weights import manifests

HERE = Path(__file__).parent
VIDEO_STRIDE = 15
LOW_RES_STRIDE, FULL_RES_STRIDE = 8, 50


def save(folder: Path, name: str, meta: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
    """Write a fixture; arrays are stored as float32, or int64 when they are whole numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / f"{name}.npz", meta=np.array(json.dumps(meta)), **arrays)
    print(f"{folder.name}/{name}: {(folder / f'{name}.npz').stat().st_size / 1024:.0f} KiB")


def record_encoder(config: str, out: Path) -> None:
    """The feature maps of one configuration at 256 pixels."""
    salt, seed, strides = "twin-", 7000, [11, 5, 5]
    model = build_reference(config, salt, 256)
    levels = model.image_encoder(block_noise(seed, 256))["backbone_fpn"]
    a, b, c = strides
    arrays = {f"size256/fpn{i}": level[0, ::a, ::b, ::c].numpy() for i, level in enumerate(levels)}
    meta = {"config": config, "salt": salt, "image_sizes": [256], "input_seed": seed}
    meta["strides_256_all_levels_c_h_w"] = strides
    save(out / "encoders_256", config, meta, arrays)


# -- images ------------------------------------------------------------------------------------------------------------


def record_images(config: str, out: Path) -> None:
    """The image predictor's answers on one drawn picture at 1024 pixels."""
    from sam2.sam2_image_predictor import SAM2ImagePredictor

    salt, picture = "img-1-", photograph()
    predictor = SAM2ImagePredictor(build_reference(config, salt))
    predictor.set_image(picture)
    arrays: Arrays = {"image_embed": predictor.get_image_embedding()[0, ::11, ::9, ::9].numpy()}
    cases, low = json.loads((HERE / "image_cases.json").read_text()), {}
    for case in cases:
        arguments = {k: v for k, v in case.items() if k not in ("name", "mask_input_from")}
        for key in ("point_coords", "point_labels", "box"):
            if key in arguments:
                arguments[key] = np.array(arguments[key], dtype=np.float32)
        if "mask_input_from" in case:
            source, index = case["mask_input_from"]
            arguments["mask_input"] = low[source][index][None]
        masks, ious, low[case["name"]] = predictor.predict(return_logits=True, **arguments)
        s, f, name = LOW_RES_STRIDE, FULL_RES_STRIDE, case["name"]
        arrays[f"{name}/low_res"] = low[name][..., ::s, ::s]
        arrays[f"{name}/full_res"] = masks[..., ::f, ::f]
        arrays[f"{name}/ious"] = ious
        arrays[f"{name}/area"] = (masks > 0).sum((-1, -2))
        print(name, "iou", ious.ravel().round(3), "area", arrays[f"{name}/area"].ravel())
    meta = {"config": config, "salt": salt, "cases": cases, "picture": checksum(picture)}
    meta |= {"low_res_stride": s, "full_res_stride": f}
    save(out / "images", config, meta, arrays)


# -- automatic masks ---------------------------------------------------------------------------------------------------


def record_automatic(out: Path) -> None:
    """What the reference's generator finds on one drawn picture, with the sizes of sam2v_nano."""
    from models import nano_by_rule

    spec = json.loads((HERE / "automatic_cases.json").read_text())
    side, picture = spec["image_size"], photograph(*spec["picture"])
    for case in spec["cases"]:
        weights = nano_by_rule(case["salt"], [f"model.image_size={side}"]).state_dict()
        options = {"output_mode": "coco_rle", **case["options"]}
        if options.get("point_grids"):
            options["point_grids"] = [np.array(grid) for grid in options["point_grids"]]
        case["masks"] = mask_generator(build_nano(weights, side), **options).generate(picture)
        print(case["name"], len(case["masks"]), "areas", [mask["area"] for mask in case["masks"]])
    spec["checksum"] = checksum(picture)
    (out / "automatic.json").write_text(json.dumps(spec, separators=(",", ":")) + "\n")


# -- videos ------------------------------------------------------------------------------------------------------------


def record_video(case: str, config: str, spec: Mapping[str, Any], out: Path) -> dict[str, float]:
    """One sequence of calls on the reference's video predictor at 256 pixels; returns its decision margins."""
    frames, salt = clip(spec["frames"]), spec["salts"][config]
    predictor = build_reference(config, salt, 256, video=True, options=spec["options"])
    video = ReferenceVideo(predictor, frames)
    arrays: Arrays = {}
    ops = [dict(op) for op in spec["ops"]]
    for k, op in enumerate(ops):
        try:
            results = [_sample(video, result) for result in video.call(op)]
        except (RuntimeError, AttributeError) as error:
            if op.get("raised") != type(error).__name__:
                raise
            continue
        if "raised" in op:
            raise RuntimeError(f"{case} {config}: call {k} should have raised {op['raised']}")
        op["returned"] = [[frame, obj_ids] for frame, obj_ids, _ in results]
        for name in ("video_masks", "area", "score", "iou") if results else ():
            arrays[f"op{k}/{name}"] = np.stack([sampled[name] for _, _, sampled in results])
    margins = _score_range(arrays) | {name: gap for name, gap in predictor.margins.items() if np.isfinite(gap)}
    meta = {"case": case, "config": config, "salt": salt, "image_size": 256, "frames": spec["frames"]}
    meta |= {"options": spec["options"], "pictures": checksum(frames), "video_stride": VIDEO_STRIDE}
    meta |= {"ops": ops, "decision_margins": margins}
    save(out / "videos", f"{config}_{case}", meta, arrays)
    return margins


def _sample(video: ReferenceVideo, result: tuple[int, list[int], torch.Tensor]) -> tuple[int, list[int], Arrays]:
    frame, obj_ids, masks = result
    scores = [video.scores(frame, obj_id) for obj_id in obj_ids]
    sampled = {
        "video_masks": masks[:, 0, ::VIDEO_STRIDE, ::VIDEO_STRIDE].numpy(),
        "area": (masks[:, 0] > 0).sum((1, 2)).numpy(),
        "score": np.array([score for score, _ in scores], dtype=np.float32),
        "iou": np.array([max(ious) for _, ious in scores], dtype=np.float32),
    }
    return frame, list(obj_ids), sampled


def _score_range(arrays: Mapping[str, np.ndarray]) -> dict[str, float]:
    """The object scores' range, and the one closest to the decision at 0."""
    scores = np.concatenate([values.ravel() for name, values in arrays.items() if name.endswith("/score")])
    scores = scores[~np.isnan(scores)].astype(float)
    ends = {"lowest_score": scores.min(), "highest_score": scores.max(), "least_abs_score": abs(scores).min()}
    return {name: float(value) for name, value in ends.items()}


def main(argv: Sequence[str] | None = None) -> None:
    """Record everything, or the kinds named by `--only`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=["encoders", "images", "automatic", "videos"])
    parser.add_argument("--cases", nargs="+", help="of the videos, only these")
    parser.add_argument("--out", type=Path, default=HERE)
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    with torch.inference_mode():
        if "encoders" in arguments.only:
            for config in manifests():
                record_encoder(config, arguments.out)
        if "images" in arguments.only:
            record_images("sam2.1_hiera_tiny", arguments.out)
        if "automatic" in arguments.only:
            record_automatic(arguments.out)
        if "videos" in arguments.only:
            for case, spec in json.loads((HERE / "video_cases.json").read_text()).items():
                for config in spec["salts"] if case in (arguments.cases or [case]) else ():
                    margins = record_video(case, config, spec, arguments.out)
                    print("   ", {name: round(value, 4) for name, value in margins.items()})


if __name__ == "__main__":
    main()
