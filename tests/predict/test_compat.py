"""Scripts of the reference package run on `sam2v.compat` after a change of imports."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from drawn import drawn_clip
from golden.reference import components
from golden.weights import manifests, weights_by_rule
from models import nano_by_rule
from PIL import Image

import sam2v
from sam2v import compat

FRAMES, HEIGHT, WIDTH = 6, 48, 64
NANO = ("sam2v_nano", ["++model.image_size=96"])
TINY = ("configs/sam2.1/sam2.1_hiera_t.yaml", ["++model.image_size=256"])


@pytest.fixture(scope="module")
def clip() -> np.ndarray:
    return drawn_clip(FRAMES, HEIGHT, WIDTH)


@pytest.fixture(scope="module")
def video_dir(clip: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder of frames; the endings are what the reference looks for, the pixels are exact."""
    folder = tmp_path_factory.mktemp("video")
    for index, frame in enumerate(clip):
        Image.fromarray(frame).save(folder / f"{index:05d}.jpg", format="PNG")
    return str(folder)


@pytest.fixture(scope="module")
def nano_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("weights") / "nano.pt"
    return str(sam2v.save_checkpoint(nano_by_rule(), path, "official"))


# -- the scripts, as they are written for the reference ----------------------------------------------------------------


def image_script(package: Any, config: str, overrides: list[str], checkpoint: str, clip: np.ndarray) -> Iterator[Any]:
    """Clicks, refinement, boxes and batches of images; yields everything that comes back."""
    sam2_model = package.build_sam2(config, checkpoint, device="cpu", hydra_overrides_extra=overrides)
    predictor = package.SAM2ImagePredictor(sam2_model)
    predictor.set_image(Image.fromarray(clip[0]))

    input_point, input_label = np.array([[20, 20]]), np.array([1])
    masks, scores, logits = predictor.predict(point_coords=input_point, point_labels=input_label, multimask_output=True)
    sorted_ind = np.argsort(scores)[::-1]
    masks, scores, logits = masks[sorted_ind], scores[sorted_ind], logits[sorted_ind]
    yield masks, scores, logits

    mask_input = logits[np.argmax(scores), :, :]
    yield predictor.predict(
        point_coords=np.array([[20, 20], [50, 30]]),
        point_labels=np.array([1, 0]),
        mask_input=mask_input[None, :, :],
        multimask_output=False,
    )
    yield predictor.predict(
        point_coords=input_point,
        point_labels=np.array([0]),
        box=np.array([10, 5, 40, 40]),
        multimask_output=False,
    )
    input_boxes = np.array([[5, 5, 30, 30], [20, 10, 60, 40], [1, 1, 63, 47]])
    yield predictor.predict(point_coords=None, point_labels=None, box=input_boxes, multimask_output=False)

    predictor.set_image_batch([clip[0], clip[3, :40, :50]])
    boxes_batch = [input_boxes[:2], np.array([[3, 3, 30, 30]])]
    yield from zip(*predictor.predict_batch(None, None, box_batch=boxes_batch, multimask_output=False))
    pts_batch = [np.array([[[20, 20]], [[40, 30]]]), np.array([[[10, 30]]])]
    labels_batch = [np.array([[1], [1]]), np.array([[1]])]
    yield from zip(*predictor.predict_batch(pts_batch, labels_batch, box_batch=None, multimask_output=True))


def video_script(package: Any, config: str, overrides: list[str], checkpoint: str, video_dir: str) -> Iterator[Any]:
    """Clicks, refinement, boxes, several objects, masks and removal; yields (what, ids, mask logits)."""
    predictor = package.build_sam2_video_predictor(config, checkpoint, device="cpu", hydra_overrides_extra=overrides)
    inference_state = predictor.init_state(video_path=video_dir)
    assert (inference_state["num_frames"], inference_state["video_height"], inference_state["video_width"]) == (
        FRAMES,
        HEIGHT,
        WIDTH,
    )

    def click(frame: int, obj_id: int, points: list, labels: list, **options: Any) -> tuple:
        answer = predictor.add_new_points_or_box(
            inference_state=inference_state,
            frame_idx=frame,
            obj_id=obj_id,
            points=np.array(points, dtype=np.float32),
            labels=np.array(labels, np.int32),
            **options,
        )
        return (f"click on {answer[0]}", *answer[1:])

    def propagate(**options: Any) -> Iterator[tuple]:
        for out_frame_idx, out_obj_ids, out_mask_logits in predictor.propagate_in_video(inference_state, **options):
            yield f"frame {out_frame_idx} {options}", out_obj_ids, out_mask_logits

    yield click(0, 1, [[20, 20]], [1])
    yield click(0, 1, [[20, 20], [50, 40]], [1, 0])
    yield from propagate()
    yield click(3, 1, [[24, 22]], [0])
    yield from propagate()

    predictor.reset_state(inference_state)
    _, out_obj_ids, out_mask_logits = predictor.add_new_points_or_box(
        inference_state=inference_state, frame_idx=1, obj_id=4, box=np.array([10, 5, 40, 40], dtype=np.float32)
    )
    yield "box", out_obj_ids, out_mask_logits
    yield click(1, 4, [[20, 20]], [1], box=np.array([10, 5, 40, 40], dtype=np.float32))
    yield click(1, 2, [[50, 30]], [1])
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[10:30, 30:55] = True
    answer = predictor.add_new_mask(inference_state=inference_state, frame_idx=1, obj_id=3, mask=mask)
    yield "mask", *answer[1:]
    yield from propagate(start_frame_idx=1, max_frame_num_to_track=3)
    yield from propagate(start_frame_idx=1, reverse=True)
    obj_ids, updated = predictor.remove_object(inference_state, 2)
    assert obj_ids == [4, 3] == inference_state["obj_ids"]
    for frame, masks in updated:
        yield f"removed, frame {frame}", obj_ids, masks
    yield from propagate(start_frame_idx=1, max_frame_num_to_track=2)
    answer = predictor.clear_all_prompts_in_frame(inference_state, 1, 3)
    assert list(answer[1]) == [4, 3]
    assert predictor.clear_all_prompts_in_frame(inference_state, 1, 4, need_output=False) is None


# -- beside sam2v's own interface --------------------------------------------------------------------------------------


def test_images(nano_checkpoint: str, clip: np.ndarray) -> None:
    answers = list(image_script(compat, *NANO, nano_checkpoint, clip))
    shapes = [masks.shape for masks, _, _ in answers]
    size, small = (HEIGHT, WIDTH), (40, 50)
    assert shapes == [
        (3, *size), (1, *size), (1, *size), (3, 1, *size), (2, 1, *size), (1, *small), (2, 3, *size), (3, *small),
    ]  # fmt: skip
    assert all(masks.dtype == np.float32 and set(np.unique(masks)) <= {0, 1} for masks, _, _ in answers)
    predictor = sam2v.ImagePredictor(nano_by_rule())
    predictor.set_image(clip[0])
    masks, iou, _ = predictor.predict([[20, 20]], [1])
    np.testing.assert_allclose(answers[0][1], np.sort(iou)[::-1], atol=1e-6)
    assert np.array_equal(answers[0][0], masks[np.argsort(iou)[::-1]])


def test_videos(nano_checkpoint: str, clip: np.ndarray, video_dir: str) -> None:
    answers = list(video_script(compat, *NANO, nano_checkpoint, video_dir))
    assert all(masks.shape == (len(ids), 1, HEIGHT, WIDTH) for _, ids, masks in answers)
    assert len(answers) == 2 + FRAMES + 1 + FRAMES + 4 + 4 + 2 + 1 + 3
    predictor = sam2v.VideoPredictor(nano_by_rule(), add_all_frames_to_correct_as_cond=False)
    state = predictor.init_state(clip)
    predictor.add_points(state, 0, 1, [[20, 20]], [1])
    predictor.add_points(state, 0, 1, [[20, 20], [50, 40]], [1, 0])
    for (_, ids, masks), result in zip(answers[2 : 2 + FRAMES], predictor.propagate_in_video(state), strict=True):
        assert ids == [1]
        torch.testing.assert_close(masks, result.masks, atol=1e-4, rtol=0)


# -- beside the reference ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("weights") / "tiny.pt"
    torch.save({"model": weights_by_rule(manifests()["sam2.1_hiera_tiny"], "compat-")}, path)
    return str(path)


@pytest.fixture
def reference(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The reference's names; it keeps float32 memories and fills holes without its CUDA extension."""
    pytest.importorskip("sam2")
    import sam2.sam2_video_predictor as video
    import sam2.utils.misc as misc
    from sam2.build_sam import build_sam2, build_sam2_video_predictor
    from sam2.sam2_image_predictor import SAM2ImagePredictor

    names = {name: getattr(torch, name) for name in dir(torch) if not name.startswith("__")}
    monkeypatch.setattr(video, "torch", SimpleNamespace(**{**names, "bfloat16": torch.float32}))
    monkeypatch.setattr(misc, "get_connected_components", components)

    def image_predictor(model: Any) -> Any:
        predictor = SAM2ImagePredictor(model)
        predictor._bb_feat_sizes = [(model.image_size // stride,) * 2 for stride in (4, 8, 16)]  # fixed to 1024 there
        return predictor

    return SimpleNamespace(
        build_sam2=build_sam2,
        build_sam2_video_predictor=build_sam2_video_predictor,
        SAM2ImagePredictor=image_predictor,
    )


@pytest.mark.peers
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_images_are_those_of_the_reference(reference: SimpleNamespace, tiny_checkpoint: str, clip: np.ndarray) -> None:
    theirs = image_script(reference, *TINY, tiny_checkpoint, clip)
    ours = image_script(compat, *TINY, tiny_checkpoint, clip)
    for number, (peer, own) in enumerate(zip(theirs, ours, strict=True)):
        assert [part.shape for part in own] == [part.shape for part in peer], number
        assert [part.dtype for part in own] == [part.dtype for part in peer], number
        assert abs(own[0] - peer[0]).mean() < 1e-3, number
        np.testing.assert_allclose(own[1], peer[1], atol=1e-4)
        np.testing.assert_allclose(own[2], peer[2], atol=2e-3)


@pytest.mark.peers
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_videos_are_those_of_the_reference(reference: SimpleNamespace, tiny_checkpoint: str, video_dir: str) -> None:
    theirs = video_script(reference, *TINY, tiny_checkpoint, video_dir)
    ours = video_script(compat, *TINY, tiny_checkpoint, video_dir)
    for (what, peer_ids, peer), (own_what, own_ids, own) in zip(theirs, ours, strict=True):
        assert (own_what, list(own_ids)) == (what, list(peer_ids))
        torch.testing.assert_close(own, peer, atol=2e-3, rtol=0, msg=lambda text, what=what: f"{what}: {text}")


# -- builders ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ("configs/sam2.1/sam2.1_hiera_b+.yaml", "sam2.1_hiera_base_plus"),
        ("configs/sam2/sam2_hiera_s.yaml", "sam2_hiera_small"),
        ("sam2_hiera_l.yaml", "sam2_hiera_large"),
        ("sam2.1_hiera_t", "sam2.1_hiera_tiny"),
        ("sam2v_nano", "sam2v_nano"),
    ],
)
def test_configuration_names(config: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(compat, "load_model", lambda *args, **kwargs: asked.append(args) or nano_by_rule())
    compat.build_sam2(config, "weights.pt", device="cpu")
    assert asked == [(name, "weights.pt", "cpu", None, [])]


def test_options_of_the_builders(nano_checkpoint: str) -> None:
    overrides = ["++model.image_size=96", "++model.non_overlap_masks=true", "model.max_cond_frames_in_attn=4"]
    predictor = compat.build_sam2_video_predictor(
        "sam2v_nano", nano_checkpoint, "cpu", hydra_overrides_extra=overrides, apply_postprocessing=False
    )
    options = predictor._video.options
    assert options.non_overlap_masks and options.max_cond_frames_in_attn == 4 and options.fill_hole_area == 0
    assert not options.binarize_mask_from_pts_for_mem_enc and not options.dynamic_multimask_via_stability
    assert not options.add_all_frames_to_correct_as_cond
    assert predictor.device == torch.device("cpu") and not predictor.model.training
    with pytest.raises(
        ValueError, match=r"override '\+\+model.colour=red' has no counterpart; known: model.image_size"
    ):
        compat.build_sam2("sam2v_nano", hydra_overrides_extra=["++model.colour=red"])
    for build in (compat.build_sam2, compat.build_sam2_video_predictor):
        with pytest.raises(TypeError, match="takes no argument 'colour'"):
            build("sam2v_nano", colour="red")
    with pytest.raises(TypeError, match="takes no argument 'colour'"):
        compat.SAM2ImagePredictor(predictor.model, colour="red")
    assert compat.build_sam2("sam2v_nano", device="cpu", mode="train").training


def test_hub_builders(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load_model(name: str, checkpoint: str, device: str, dtype: None, overrides: list[str]) -> Any:
        asked.append((name, checkpoint, device))
        return nano_by_rule()

    monkeypatch.setattr(compat, "load_model", load_model)
    for build in (compat.SAM2VideoPredictor, compat.SAM2ImagePredictor):
        assert isinstance(build.from_pretrained("facebook/sam2.1-hiera-tiny", device="cpu"), build)
    compat.build_sam2_hf("facebook/sam2.1-hiera-tiny", device="cpu")
    assert asked == [("facebook/sam2.1-hiera-tiny", "auto", "cpu")] * 3
    plain = compat.SAM2VideoPredictor.from_pretrained("sam2v_nano", apply_postprocessing=False, vos_optimized=True)
    assert plain._video.options.fill_hole_area == 0
    filled = compat.build_sam2_video_predictor_hf("sam2v_nano", hydra_overrides_extra=["++model.fill_hole_area=7"])
    assert filled._video.options.fill_hole_area == 7
    assert compat.build_sam2_hf("sam2v_nano", mode="train").training
    assert compat.SAM2ImagePredictor.from_pretrained("sam2v_nano", max_hole_area=5.0).max_hole_area == 5
    assert filled.to("cpu").eval() is filled and next(filled.parameters()) is next(filled.model.parameters())


def test_unknown_keys_of_a_state(nano_checkpoint: str, video_dir: str) -> None:
    predictor = compat.build_sam2_video_predictor(NANO[0], nano_checkpoint, "cpu", hydra_overrides_extra=NANO[1])
    state = predictor.init_state(Path(video_dir), offload_video_to_cpu=True, async_loading_frames=True)
    with pytest.raises(KeyError, match="images"):
        state["images"]
    assert "images" not in state and "num_frames" in state and state.get("video_width") == WIDTH
