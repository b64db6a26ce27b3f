"""What people do with videos: exported graphs answer as torch does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from sam2v import MaskletFrame, Prompt, VideoPredictor, runtime
from sam2v.backends import batched
from sam2v.memory import POLICIES
from sam2v.model.network import Sam2Network

Flow = Callable[[VideoPredictor, np.ndarray], Iterator[MaskletFrame]]


def assert_alike(ours: list[MaskletFrame], theirs: list[MaskletFrame], large: bool = True) -> None:
    """NumPy's results and torch's: frames and objects, logits (at the frames' size, or low), scores, and masks by their
    union."""
    both = any_of = 0
    assert [(r.frame_idx, r.obj_ids) for r in ours] == [(r.frame_idx, r.obj_ids) for r in theirs]
    for a, b in zip(ours, theirs, strict=True):
        assert isinstance(a.masks, np.ndarray) and a.masks.dtype == np.float32
        logits = (a.to_numpy(), b.to_numpy()) if large else (a.low_res, b.low_res.numpy())
        np.testing.assert_allclose(*logits, atol=2e-3, rtol=0, err_msg=f"frame {a.frame_idx}")
        np.testing.assert_allclose(a.iou, b.iou.numpy(), atol=1e-4)
        np.testing.assert_allclose(a.object_score, b.object_score.numpy(), atol=1e-3)
        both += int((a.binary() & b.binary()).sum())
        any_of += int((a.binary() | b.binary()).sum())
    assert any_of > 0 and both >= 0.999 * any_of


def refine(predictor: VideoPredictor, clip: np.ndarray) -> Iterator[MaskletFrame]:
    """Clicks on two objects, tracking, corrections of one of them, tracking again."""
    with predictor.init_state(clip) as state:
        yield predictor.add_points(state, 0, 1, [(20, 20)])
        yield predictor.add_points(state, 0, 5, [(45, 30), (5, 5)], [1, 0])
        yield predictor.add_points(state, 0, 1, [(24, 24)], clear_old_points=False)
        yield from predictor.propagate_in_video(state, max_frame_num_to_track=4)
        yield predictor.add_points(state, 3, 5, [(40, 25)])
        yield predictor.add_box(state, 2, 1, (10, 10, 40, 35))
        yield from predictor.propagate_in_video(state)
        yield predictor.result(state, 2)


def both_ways(predictor: VideoPredictor, clip: np.ndarray) -> Iterator[MaskletFrame]:
    with predictor.init_state(clip, history="window") as state:
        yield predictor.add_box(state, 4, 1, (8, 8, 40, 40))
        yield predictor.add_points(state, 2, 2, [(50, 40)])
        yield from predictor.propagate_in_video(state, start_frame_idx=4, direction="both")
        yield from predictor.propagate_in_video(state, start_frame_idx=6, reverse=True)


def several_at_once(predictor: VideoPredictor, clip: np.ndarray) -> Iterator[MaskletFrame]:
    """Videos of different lengths in one batch."""
    states = [predictor.init_state(part) for part in (clip, clip[:4], clip[2:])]
    for number, state in enumerate(states):
        predictor.add_points(state, 0, 1, [(20, 20)])
        predictor.add_points(state, number, 2, [(45, 30)])
    for _, result in predictor.propagate_in_videos(states):
        yield result


def comings_and_goings(predictor: VideoPredictor, clip: np.ndarray) -> Iterator[MaskletFrame]:
    """Objects are added in mid-track, removed, cleared, merged and verified."""
    with predictor.init_state(clip) as state:
        yield predictor.add_points(state, 0, 1, [(20, 20)])
        yield predictor.add_points(state, 0, 2, [(40, 30)])
        yield from predictor.propagate_in_video(state, max_frame_num_to_track=3)
        yield predictor.add_points(state, 3, 3, [(50, 12)])
        yield from predictor.propagate_in_video(state, start_frame_idx=3)
        yield from predictor.remove_object(state, 2)[1]
        yield predictor.verify(state, 5, 1)
        yield predictor.clear_all_prompts_in_frame(state, 3, 3)
        yield predictor.add_points(state, 4, 3, [(30, 30)])
        yield from predictor.propagate_in_video(state, start_frame_idx=6)
        predictor.unverify(state, 5)
        predictor.merge_objects(state, 1, 3)
        yield from (predictor.result(state, frame) for frame in range(len(clip)))
        yield from predictor.propagate_in_video(state, start_frame_idx=5)


def masks(predictor: VideoPredictor, clip: np.ndarray) -> Iterator[MaskletFrame]:
    """Masks, one of them refined by a click, and one that is empty."""
    rows, columns = np.mgrid[: clip.shape[1], : clip.shape[2]]
    disc = (rows - 24) ** 2 + (columns - 30) ** 2 < 150
    with predictor.init_state(clip) as state:
        yield predictor.add_mask(state, 0, 1, disc)
        yield predictor.add_mask(state, 0, 2, np.zeros_like(disc))
        yield predictor.add_mask(state, 0, 3, disc[::3, ::2])
        yield predictor.add_points(state, 0, 1, [(34, 28)], clear_old_points=False)
        yield predictor.add_prompts(state, 1, {4: Prompt(points=[(20, 20)], mask=disc)})
        yield from predictor.propagate_in_video(state)


def live(predictor: VideoPredictor, clip: np.ndarray) -> Iterator[MaskletFrame]:
    with predictor.init_state(None, window=3) as state:
        yield predictor.track(state, clip[0])
        yield predictor.add_points(state, 0, 1, [(20, 20)])
        predictor.add_points(state, 3, 2, [(40, 30)])  # held until it comes
        for number, frame in enumerate(clip[1:], 1):
            yield predictor.track(state, frame)
            if number == 5:
                yield predictor.add_points(state, 4, 1, [(25, 22)])


def many_objects(predictor: VideoPredictor, clip: np.ndarray) -> Iterator[MaskletFrame]:
    """Sixteen at once, on one frame and on eight."""
    places = {n: (6 + 13 * (n % 4), 6 + 10 * (n // 4)) for n in range(16)}
    with predictor.init_state(clip) as state:
        yield predictor.add_prompts(state, 0, {n: Prompt([place]) for n, place in places.items()})
        for frame in range(1, 8):
            yield predictor.add_points(state, frame, 3, [places[3]])
        yield from predictor.propagate_in_video(state, start_frame_idx=3)


FLOWS = (refine, both_ways, several_at_once, comings_and_goings, masks, live, many_objects)


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.__name__)
def test_flow(flow: Flow, on_graphs: VideoPredictor, on_torch: VideoPredictor, clip: np.ndarray) -> None:
    assert_alike(list(flow(on_graphs, clip)), list(flow(on_torch, clip)))


@pytest.mark.parametrize("policy", [name for name in POLICIES if name != "recent"])
def test_policies(policy: str, exported: runtime.ExportedModel, network: Sam2Network, clip: np.ndarray) -> None:
    pair = (runtime.VideoPredictor(exported, policy=policy), VideoPredictor(network, policy=policy))
    assert_alike(*(list(refine(predictor, clip)) for predictor in pair))


def test_options(exported: runtime.ExportedModel, network: Sam2Network, clip: np.ndarray) -> None:
    changes = {
        **{"non_overlap_masks": True, "fill_hole_area": 20, "remove_speck_area": 20, "max_cond_frames_in_attn": 2},
        **{"memory_temporal_stride_for_eval": 2, "dynamic_multimask_via_stability": False},
        **{"binarize_mask_from_pts_for_mem_enc": False, "add_all_frames_to_correct_as_cond": False},
    }
    pair = (
        runtime.VideoPredictor(exported, frames_per_encoding=3, **changes),
        VideoPredictor(network, **changes),
    )
    # where no two objects may overlap, rounding says which of two equal logits loses
    assert_alike(*(list(refine(predictor, clip)) for predictor in pair), large=False)


def test_rows_in_parts(
    on_graphs: VideoPredictor, on_torch: VideoPredictor, clip: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = list(many_objects(on_torch, clip))
    monkeypatch.setattr(batched, "_CPU_BYTES", 5 * 24 * 24 * 32 * 4)
    monkeypatch.setattr(batched, "_CPU_DECODE_BYTES", 3 * 24 * 24 * 32 * 4)
    assert_alike(list(many_objects(on_graphs, clip)), expected)


@pytest.mark.parametrize("first", ["graphs", "torch"])
def test_a_session_goes_on_elsewhere(
    first: str, on_graphs: VideoPredictor, on_torch: VideoPredictor, clip: np.ndarray, tmp_path: Path
) -> None:
    """What was saved with torch goes on with the exported model, and the other way round."""
    from PIL import Image

    for number, frame in enumerate(clip):
        Image.fromarray(frame).save(tmp_path / f"{number}.png")
    before, after = (on_graphs, on_torch) if first == "graphs" else (on_torch, on_graphs)
    with before.init_state(tmp_path) as state:
        before.add_points(state, 0, 1, [(20, 20)])
        before.add_mask(state, 0, 2, clip[0, ..., 0] > 128)
        list(before.propagate_in_video(state, max_frame_num_to_track=3))
        before.add_points(state, 2, 1, [(25, 25)])
        before.save_session(state, tmp_path / "saved")
        before.save_exemplar(state, 1, tmp_path / "known")
        data = state.to_bytes()
        expected = list(before.propagate_in_video(state))
    reopened = after.load_session(tmp_path / "saved")
    from sam2v.tracking.session import Session

    for state in (reopened, Session.from_bytes(data)):
        with state:
            found = list(after.propagate_in_video(state))
            assert_alike(*((expected, found) if first == "graphs" else (found, expected)))
    with after.init_state(clip) as state:
        after.add_exemplar(state, 9, tmp_path / "known")
        assert len(list(after.propagate_in_video(state))) == len(clip)


def test_a_session_of_other_weights_is_refused(
    on_graphs: VideoPredictor, network: Sam2Network, clip: np.ndarray, tmp_path: Path
) -> None:
    from copy import deepcopy

    import torch

    other = deepcopy(network)
    with torch.no_grad():
        other.no_obj_ptr += 1
    predictor = VideoPredictor(other)
    with predictor.init_state(clip) as state:
        predictor.add_points(state, 0, 1, [(20, 20)])
        predictor.save_session(state, tmp_path / "saved")
    with pytest.raises(ValueError, match="saved with other weights"):
        on_graphs.load_session(tmp_path / "saved", clip)


def test_what_memory_has_no_room_for(on_graphs: VideoPredictor, clip: np.ndarray) -> None:
    """Results go to a file and come back."""
    found = []
    with on_graphs.init_state(clip, memory_budget=1000) as state:
        on_graphs.add_points(state, 0, 1, [(20, 20)])
        for _ in range(2):
            found += on_graphs.propagate_in_video(state, start_frame_idx=0)
        assert state.pool.file_bytes > 0
    half = len(found) // 2
    for a, b in zip(found[:half], found[half:], strict=True):
        np.testing.assert_array_equal(a.low_res, b.low_res)
