"""Exported models against recorded answers of the reference implementation. Exporting takes minutes: all of these are
left out unless asked for; SAM2V_TEST_EXPORTS names a folder that keeps what was exported."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from golden.noise import block_noise
from golden.pictures import clip, photograph
from golden.replay import TIGHT, Fixture, VideoReplay, answered, assert_close, compare, golden_network, replay_real

from sam2v import VideoPredictor, load_model, runtime
from sam2v.model.network import Sam2Network

TWINS = sorted((Path(__file__).parent.parent / "golden" / "videos").glob("*.npz"))
#: Largest differences allowed, see `golden.replay`.
ALLOWED = {**TIGHT, "logits": 2e-3, "scores": 1e-3, "area": 80}
Exported = Callable[[str, str, int], runtime.ExportedModel]

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[], Sam2Network]], runtime.ExportedModel]:
    """Function (name, network) -> the network, exported once under that name."""
    from sam2v.export.run import export_model

    home = Path(os.environ.get("SAM2V_TEST_EXPORTS") or tmp_path_factory.mktemp("exports"))

    def export(name: str, network: Callable[[], Sam2Network]) -> runtime.ExportedModel:
        if not (home / name).is_dir():
            export_model(network(), home / name)
        return runtime.load_export(home / name)

    return export


@pytest.fixture(scope="module")
def exported_of(kept: Callable[..., runtime.ExportedModel]) -> Exported:
    """Function (configuration, salt, image size) -> the network with weights by rule, exported."""
    return lambda config, salt, size: kept(f"{config}_{salt}{size}", lambda: golden_network(config, salt, size))


@pytest.mark.parametrize("path", TWINS, ids=lambda path: path.stem)
def test_twin(path: Path, exported_of: Exported) -> None:
    """Drawn frames: refinement, reverse, adding and removing objects, masks, streams of options."""
    fixture = Fixture(path)
    meta = fixture.meta
    model = exported_of(meta["config"], meta["salt"], meta["image_size"])
    replay = VideoReplay(fixture, model, clip(meta["frames"]))
    for k, op, results in answered(replay, meta["ops"]):
        assert [[r.frame_idx, r.obj_ids] for r in results] == op["returned"], f"call {k}"
        for t, result in enumerate(results):
            recorded = {name: fixture[f"op{k}/{name}"][t] for name in ("video_masks", "area", "score", "iou")}
            compare(result, recorded, meta["video_stride"], ALLOWED, f"call {k}, result {t}")


@pytest.mark.parametrize("kind", ["video32_sam2.1", "video32_sam2_", "real_sam2"])
def test_real_frames(kind: str, shared_dir: Path, exported_of: Exported) -> None:
    for path in sorted((shared_dir / "golden" / "public").glob(f"{kind}*.npz")):
        replay_real(shared_dir, path.stem, exported_of, ALLOWED)


def test_photograph(exported_of: Exported) -> None:
    fixture = Fixture(Path(__file__).parent.parent / "golden" / "images" / "sam2.1_hiera_tiny.npz")
    predictor = runtime.ImagePredictor(exported_of(fixture.meta["config"], fixture.meta["salt"], 1024))
    predictor.set_image(photograph())
    low_res: dict[str, np.ndarray] = {}
    names = ("point_coords", "point_labels", "box", "multimask_output", "normalize_coords")
    for case in fixture.meta["cases"]:
        arguments = {name: case[name] for name in names if name in case}
        if "mask_input_from" in case:
            source, index = case["mask_input_from"]
            arguments["mask_input"] = low_res[source][case.get("mask_input_index", index)][None]
        answer = predictor.predict(return_logits=True, **arguments)
        low_res[case["name"]] = low = answer.low_res_logits
        step = low.shape[-1] // fixture[f"{case['name']}/low_res"].shape[-1]
        assert_close(low[..., ::step, ::step], fixture[f"{case['name']}/low_res"], 2e-3, case["name"])
        assert_close(answer.iou, fixture[f"{case['name']}/ious"], 1e-3, case["name"])


@pytest.mark.parametrize("config", ["sam2.1_hiera_large", "sam2_hiera_tiny"])
def test_encoder(config: str, golden_dir: Path, exported_of: Exported) -> None:
    """Features of noise at 256 pixels, as recorded; those of strides 4 and 8 come as the decoder wants them."""
    fixture = Fixture(golden_dir / "encoders_256" / f"{config}.npz")
    meta: dict[str, Any] = fixture.meta
    steps = meta.get("strides_256_level012_c_h_w") or [meta["strides_256_all_levels_c_h_w"]] * 3
    model = exported_of(config, meta["salt"], 256)
    # what is recorded is of pictures that are normalised already
    mean, std = (torch.tensor(x).view(1, 3, 1, 1) for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    images = (block_noise(meta["input_seed"], 256) * std + mean).permute(0, 2, 3, 1).numpy()
    features = model.encode_image(images)
    thinned = tuple(slice(None, None, step) for step in steps[2])
    fixture.check("size256/fpn2", features.stride16[0][thinned], 2e-3)


def test_the_largest_tracks_as_on_torch(exported_of: Exported) -> None:
    """A click, a box, and frames tracked from them at 512 pixels: logits and scores."""
    network = golden_network("sam2.1_hiera_large", "", 512)
    found = []
    for predictor in (runtime.VideoPredictor(exported_of("sam2.1_hiera_large", "", 512)), VideoPredictor(network)):
        with predictor.init_state(clip(range(6))) as state:
            predictor.add_points(state, 0, 1, [(160, 90)])
            predictor.add_box(state, 0, 2, (40, 30, 150, 120))
            results = list(predictor.propagate_in_video(state))
        found.append([[np.asarray(x) for x in (r.low_res, r.object_score, r.iou)] for r in results])
    for t, (ours, theirs) in enumerate(zip(*found, strict=True)):
        for actual, expected, most in zip(ours, theirs, (2e-3, 1e-3, 1e-3), strict=True):
            assert_close(actual, expected, most, f"frame {t}")


@pytest.mark.parametrize("harden", [False, True])
def test_trained_weights_on_real_frames(
    harden: bool, kept: Callable[..., runtime.ExportedModel], shared_dir: Path
) -> None:
    """Masks of trained weights are torch's; logits too, but for pixels of a prompted mask near 0: where
    masks are hardened before they are remembered, rounding says on which side they lie."""
    from PIL import Image

    files = sorted((shared_dir / "data" / "bedroom").glob("*.jpg"))[:20]
    frames = np.stack([np.asarray(Image.open(file).convert("RGB")) for file in files])
    network, found = load_model("sam2v_nano", device="cpu"), []
    for kind, model in ((runtime.VideoPredictor, kept("sam2v_nano", lambda: network)), (VideoPredictor, network)):
        predictor = kind(model, binarize_mask_from_pts_for_mem_enc=harden)
        with predictor.init_state(frames) as state:
            predictor.add_points(state, 0, 1, [(210, 350), (250, 220)])
            predictor.add_box(state, 0, 2, (300, 0, 500, 400))
            results = list(predictor.propagate_in_video(state))
        found.append((np.stack([r.binary() for r in results]), np.stack([np.asarray(r.low_res) for r in results])))
    (ours, our_logits), (theirs, their_logits) = found
    assert (ours & theirs).sum() >= 0.999 * (ours | theirs).sum() > 0
    assert abs(our_logits - their_logits).max() <= (1.0 if harden else 2e-3)
