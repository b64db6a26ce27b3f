"""How far sam2v is from the reference (package `sam2`) and from transformers: same weights, same pictures.

    python -m benchmarks.fidelity [--images PHOTO ...] [--models NAME ...] [--frames N]

Weights are drawn from their names (tests/golden/weights.py), so that nothing is downloaded and every module counts.
Reported is the largest difference of the low-resolution mask logits. Needs `pip install rf-sam-2 transformers`; run
it from a checkout, since the weights' rule and the drawn pictures stand beside the tests.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common import machine, table
from benchmarks.programs import build_ported, keep_float32, network_input
from sam2v import ImagePredictor, VideoPredictor
from sam2v.config import load_model_config
from sam2v.model.build import build_model
from sam2v.model.network import Sam2Network

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

SIDE, SALT, LIMIT = 1024, "img-1-", 32.0

#: Prompts as fractions of the picture's width and height; `multimask` asks for three masks.
CASES: dict[str, dict[str, Any]] = {
    "one click, three masks": {"points": [[0.3, 0.55]], "labels": [1], "multimask": True},
    "three clicks": {"points": [[0.3, 0.55], [0.62, 0.4], [0.1, 0.12]], "labels": [1, 1, 0]},
    "box": {"box": [0.2, 0.3, 0.75, 0.8]},
    "box and a negative click": {"box": [0.2, 0.3, 0.75, 0.8], "points": [[0.5, 0.35]], "labels": [0]},
    "clicks on an earlier mask": {"points": [[0.3, 0.55], [0.7, 0.7]], "labels": [1, 0], "refine": True},
}

Answer = Callable[[dict[str, Any], np.ndarray | None], np.ndarray]


# -- the three implementations on an image -----------------------------------------------------------------------------


def official(predictor: Any, picture: np.ndarray) -> Answer:
    """An image predictor, of sam2v or of `sam2`: they share their interface. Gives C x 256 x 256 logits."""
    height, width = picture.shape[:2]
    predictor.set_image(picture)

    def answer(case: dict[str, Any], earlier: np.ndarray | None) -> np.ndarray:
        arguments: dict[str, Any] = {"multimask_output": case.get("multimask", False), "return_logits": True}
        if "points" in case:
            arguments["point_coords"] = np.array(case["points"], dtype=np.float32) * [width, height]
            arguments["point_labels"] = np.array(case["labels"])
        if "box" in case:
            arguments["box"] = np.array(case["box"], dtype=np.float32) * [width, height, width, height]
        return predictor.predict(mask_input=earlier, **arguments)[2]

    return answer


def ported(model: Any, picture: np.ndarray) -> Answer:
    """transformers' `Sam2Model` on the network input that sam2v makes."""
    pixels = network_input(picture, SIDE, photograph=True)
    encoded = model(pixel_values=pixels, input_points=torch.zeros(1, 1, 1, 2)).image_embeddings

    def answer(case: dict[str, Any], earlier: np.ndarray | None) -> np.ndarray:
        arguments: dict[str, Any] = {}
        if "points" in case:
            arguments["input_points"] = torch.tensor(case["points"])[None, None] * SIDE
            arguments["input_labels"] = torch.tensor(case["labels"])[None, None]
        if "box" in case:
            arguments["input_boxes"] = torch.tensor(case["box"])[None, None] * SIDE
        if earlier is not None:
            arguments["input_masks"] = torch.from_numpy(earlier)[None]
        out = model(image_embeddings=encoded, multimask_output=case.get("multimask", False), **arguments)
        return out.pred_masks[0, 0].clamp(-LIMIT, LIMIT).numpy()

    return answer


def compare_images(pictures: dict[str, np.ndarray], own: Sam2Network, peers: dict[str, Any]) -> list[list[str]]:
    """Rows (picture, prompt, spread of the logits, largest difference to each peer)."""
    rows = []
    for name, picture in pictures.items():
        mine = official(ImagePredictor(own), picture)
        others = [official(peer, picture) if kind == "sam2" else ported(peer, picture) for kind, peer in peers.items()]
        first: np.ndarray | None = None
        for title, case in CASES.items():
            earlier = first[:1] if case.get("refine") and first is not None else None
            expected = mine(case, earlier)
            first = expected if first is None else first
            apart = [f"{abs(other(case, earlier) - expected).max():.1e}" for other in others]
            rows.append([name, title, f"{expected.std():.1f}", *apart])
    return rows


# -- video -------------------------------------------------------------------------------------------------------------


def compare_videos(config: str, own: Sam2Network, count: int) -> list[list[str]]:
    """Rows (frame, spread of the logits, largest difference to each peer): one click, tracked, memories in float32."""
    from golden.pictures import clip
    from golden.reference import ReferenceVideo, build_reference

    frames = clip(range(count))
    click = {"op": "add_new_points_or_box", "frame_idx": 0, "obj_id": 1, "points": [[160, 90]], "labels": [1]}
    predictor = VideoPredictor(own, fill_hole_area=0, add_all_frames_to_correct_as_cond=False)
    session = predictor.init_state(frames)
    predictor.add_points(session, 0, 1, [[160, 90]])
    mine = [result.masks[0, 0] for result in predictor.propagate_in_video(session)]
    ports = track_ported(own, frames)
    reference = ReferenceVideo(build_reference(config, SALT, SIDE, video=True), frames)
    list(reference.call(click))
    theirs = [masks[0, 0] for _, _, masks in reference.call({"op": "propagate"})]
    rows = []
    for t, masks in enumerate(mine):
        apart = [f"{(other[t] - masks).abs().max():.1e}" for other in (theirs, ports)]
        rows.append([str(t), f"{masks.std():.1f}", *apart])
    return rows


def track_ported(own: Sam2Network, frames: np.ndarray) -> list[torch.Tensor]:
    """The same click through transformers' `Sam2VideoModel`; logits at the video's size."""
    import transformers
    from transformers.models.sam2_video import modeling_sam2_video as module

    keep_float32(module)
    model = build_ported("Sam2VideoModel", own.config, own.state_dict())
    height, width = frames.shape[1:3]
    pixels = torch.cat([network_input(frame, SIDE) for frame in frames])
    session = module.Sam2VideoInferenceSession(pixels, height, width, dtype=torch.float32)
    processor = transformers.Sam2VideoProcessor(
        transformers.Sam2ImageProcessor(), transformers.Sam2VideoVideoProcessor()
    )
    processor.add_inputs_to_inference_session(session, 0, 1, input_points=[[[[160.0, 90.0]]]], input_labels=[[[1]]])
    model(session, frame_idx=0)
    out = [result.pred_masks for result in model.propagate_in_video_iterator(session)]
    resize = torch.nn.functional.interpolate
    return [resize(masks, (height, width), mode="bilinear", align_corners=False)[0, 0] for masks in out]


# -- building ----------------------------------------------------------------------------------------------------------


def build_own(config: str) -> Sam2Network:
    """sam2v's network with weights by rule."""
    from golden.weights import manifests, weights_by_rule

    network = build_model(load_model_config(config), device="meta")
    network.load_state_dict(weights_by_rule(manifests()[config], SALT), assign=True)
    return network.eval()


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, nargs="*", default=[], help="photographs, beside the drawn picture")
    parser.add_argument("--models", nargs="+", default=["sam2.1_hiera_tiny"])
    parser.add_argument("--frames", type=int, default=4, help="length of the drawn clip; 0 leaves video out")
    args = parser.parse_args()
    from golden.pictures import photograph
    from golden.reference import build_reference
    from PIL import Image
    from sam2.sam2_image_predictor import SAM2ImagePredictor

    pictures = {"drawn": photograph()}
    pictures |= {path.stem: np.asarray(Image.open(path).convert("RGB")) for path in args.images}
    print(machine())
    for config in args.models:
        own = build_own(config)
        with torch.inference_mode():
            peers = {
                "sam2": SAM2ImagePredictor(build_reference(config, SALT)),
                "transformers": build_ported("Sam2Model", own.config, own.state_dict()),
            }
            rows = compare_images(pictures, own, peers)
            print(f"\n{config}\n\n{table(['picture', 'prompt', 'std', *peers], rows)}", flush=True)
            if args.frames:
                rows = compare_videos(config, own, args.frames)
                print(f"\n{config}, video\n\n{table(['frame', 'std', 'sam2', 'transformers'], rows)}", flush=True)


if __name__ == "__main__":
    main()
