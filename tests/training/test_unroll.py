"""Unrolled clips: the same numbers as the predictor, and gradients where they belong."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from training.small import NETWORK

from sam2v.config import load_model_config
from sam2v.data.clips import ClipBatch, collate
from sam2v.data.synthetic import SyntheticClips, SyntheticConfig
from sam2v.model.build import build_model
from sam2v.model.network import Sam2Network
from sam2v.model.values import BOX_END, BOX_START
from sam2v.predict import VideoPredictor
from sam2v.training.learner import ClipLearner
from sam2v.training.losses import LossConfig
from sam2v.training.prompting import BOX, CLICK, MASK, ClipPlan, PromptConfig, draw_numbers
from sam2v.training.unroll import unroll


@pytest.fixture(scope="module")
def network() -> Sam2Network:
    torch.manual_seed(0)
    made = build_model(load_model_config("sam2v_nano", [*NETWORK, "model.image_size=64"]))
    with torch.no_grad():  # so that masks depend on memory and on its order in time
        for name, parameter in made.named_parameters():
            if name.startswith(("maskmem_tpos_enc", "obj_ptr_tpos_proj.weight", "obj_ptr_proj.layers.2.weight")):
                parameter.mul_(50)
            elif name.startswith("memory_attention") and parameter.ndim == 2:
                parameter.mul_(3)
    return made


def _batch(frames: int, clips: int = 2) -> ClipBatch:
    return collate(
        SyntheticClips(SyntheticConfig(height=64, width=64, frames=frames, bodies=3), seed=5).draw(range(clips))
    )


def _draws(batch: ClipBatch, config: PromptConfig) -> list[torch.Tensor]:
    shape = batch.valid.shape[1], batch.frames.shape[1]
    return [draw_numbers(np.random.default_rng(k), *shape, config) for k in range(len(batch))]


def _plan(batch: ClipBatch, kinds: tuple[int, ...], **changes: object) -> ClipPlan:
    frames = batch.frames.shape[1]
    values = {
        "initial": (0,),
        "corrected": (),
        "kinds": kinds,
        "steps": (1,) * frames,
        "length": frames,
    }
    return ClipPlan(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(("frames", "initial"), [(4, (0,)), (9, (0, 3)), (18, (0,))])
def test_masks_equal_the_predictor_s(network: Sam2Network, frames: int, initial: tuple[int, ...]) -> None:
    clips = SyntheticClips(SyntheticConfig(height=64, width=64, frames=frames, bodies=3), seed=8).draw([0, 1])
    batch, config = collate(clips), PromptConfig()
    with torch.no_grad():
        got = unroll(network, batch, _plan(batch, (MASK, MASK), initial=initial), _draws(batch, config), config)
    predictor = VideoPredictor(network, fill_hole_area=0, dynamic_multimask_via_stability=False)
    row = 0
    for clip in clips:
        state = predictor.init_state(clip.frames.permute(0, 2, 3, 1).numpy())
        for t in initial:
            for number in range(clip.num_objects):
                predictor.add_mask(state, t, number, clip.masks[t, number].numpy())
        results = {frame_idx: masks for frame_idx, _, masks in predictor.propagate_in_video(state, start_frame_idx=0)}
        for t in range(frames):
            mine = F.interpolate(
                got.masks[t][row : row + clip.num_objects], (64, 64), mode="bilinear", align_corners=False
            )
            torch.testing.assert_close(mine, results[t], atol=1e-3, rtol=1e-3)
        row += clip.num_objects


@pytest.mark.parametrize("frames", [1, 3])
def test_a_still_picture_equals_the_predictor_s(network: Sam2Network, frames: int) -> None:
    clip = SyntheticClips(SyntheticConfig(height=64, width=64, frames=frames, bodies=3), seed=8)[0]
    batch, config = collate([clip]), PromptConfig()
    got = unroll(network, batch, _plan(batch, (MASK,)), _draws(batch, config), config, still=True).still
    assert got is not None
    step, masks = got
    torch.testing.assert_close(masks, clip.masks[0])
    predictor = VideoPredictor(network, fill_hole_area=0, dynamic_multimask_via_stability=False)
    picture = clip.frames[:1].permute(0, 2, 3, 1).numpy()
    state = predictor.init_state(np.concatenate([picture] * 2))
    for number in range(clip.num_objects):
        predictor.add_mask(state, 0, number, clip.masks[0, number].numpy())
    *_, (_, _, theirs) = predictor.propagate_in_video(state)
    best = step.iou.argmax(dim=1)
    mine = F.interpolate(step.masks[range(len(best)), best][:, None], (64, 64), mode="bilinear", align_corners=False)
    seen = step.score[:, 0] > 0
    assert seen.any()
    torch.testing.assert_close(mine[seen], theirs[seen], atol=1e-3, rtol=1e-3)
    network.zero_grad(set_to_none=True)
    step.masks.sum().backward()
    assert network.get_parameter("memory_encoder.mask_downsampler.encoder.0.weight").grad is not None


def test_a_still_picture_is_learnt_by_its_weight(network: Sam2Network) -> None:
    batch, prompts = _batch(2), PromptConfig()
    plan, draws = _plan(batch, (MASK, CLICK)), _draws(batch, prompts)
    without, half, whole = (
        ClipLearner(network, prompts, LossConfig(stride=2, still=weight)).measure(batch, plan, draws, 2.0).parts
        for weight in (0.0, 0.5, 1.0)
    )
    for name, base in vars(without).items():
        more = getattr(whole, name) - base
        assert more > 0
        torch.testing.assert_close(2 * (getattr(half, name) - base), more, atol=1e-4, rtol=1e-4)


def test_points_equal_the_predictor_s(network: Sam2Network) -> None:
    clip = SyntheticClips(SyntheticConfig(height=64, width=64, frames=3, bodies=2), seed=9)[0]
    batch, config = collate([clip]), PromptConfig(corrections=1, truth_share=0.0)
    draws = _draws(batch, config)
    with torch.no_grad():
        got = unroll(network, batch, _plan(batch, (CLICK,), corrected=(0,)), draws, config)
    predictor = VideoPredictor(network, fill_hole_area=0, dynamic_multimask_via_stability=False)
    from sam2v.training.prompting import click_in, correcting_click

    state = predictor.init_state(clip.frames.permute(0, 2, 3, 1).numpy())
    for number in range(clip.num_objects):
        truth = clip.masks[0, number][None]
        first = click_in(truth, draws[0][number, 0, 0, :1])
        _, _, masks = predictor.add_points(state, 0, number, first.numpy(), [1])
        more, label = correcting_click(masks[number : number + 1, 0] > 0, truth, draws[0][number, 0, 1][None], 0.0)
        predictor.add_points(state, 0, number, more[0].numpy(), label[0].numpy(), clear_old_points=False)
    for frame_idx, _, masks in predictor.propagate_in_video(state):
        mine = F.interpolate(got.masks[frame_idx], (64, 64), mode="bilinear", align_corners=False)
        torch.testing.assert_close(mine, masks, atol=1e-3, rtol=1e-3)


def test_a_clip_does_not_depend_on_its_neighbours(network: Sam2Network) -> None:
    batch, config = _batch(3), PromptConfig(corrections=2)
    draws = _draws(batch, config)
    plan = {"corrected": (0, 2)}
    with torch.no_grad():
        both = unroll(network, batch, _plan(batch, (BOX, MASK), **plan), draws, config)
        first = ClipBatch(batch.frames[:1], batch.masks[:1], batch.valid[:1])
        alone = unroll(network, first, _plan(first, (BOX,), **plan), draws[:1], config)
    rows = both.clip_of_row == 0
    for mine, theirs in zip(both.masks, alone.masks, strict=True):
        torch.testing.assert_close(mine[rows], theirs, atol=1e-4, rtol=1e-4)


def test_an_absent_object_gets_a_negative_click_for_a_click_and_for_a_box(
    network: Sam2Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch, config = _batch(3), PromptConfig(corrections=0)
    masks = batch.masks.clone()
    masks[:, 2, 0] = False
    batch = ClipBatch(batch.frames, masks, batch.valid)
    given = []
    real = network.decode_prompts
    monkeypatch.setattr(network, "decode_prompts", lambda *args: given.append(args[2][:2]) or real(*args))
    with torch.no_grad():
        unroll(network, batch, _plan(batch, (CLICK, BOX), initial=(0, 2)), _draws(batch, config), config)
    (_, here), (_, box), (_, gone), (place, no_box) = [part for part in given if part[1].shape[1] > 1][:4]
    assert here[0].tolist() == [1, -1] and gone[0].tolist() == [0, -1]
    assert box[0].tolist()[:2] == [BOX_START, BOX_END] and no_box[0].tolist()[:2] == [0, -1]
    x, y = place[0, 0].long().tolist()
    assert not masks[1, 2, 0, y, x]


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_lead_is_tracked_alike_and_not_learnt_from(network: Sam2Network, checkpointing: bool) -> None:
    batch, config = _batch(6), PromptConfig(corrections=1)
    draws, shared = _draws(batch, config), {"initial": (0, 4), "corrected": (0, 3)}
    with torch.no_grad():
        whole = unroll(network, batch, _plan(batch, (CLICK, MASK), **shared), draws, config)
    led = _plan(batch, (CLICK, MASK), **shared, steps=(1,) * 5, lead=2)  # of six frames, the last is left out
    got = unroll(network, batch, led, draws, config, checkpointing)
    assert [masks.requires_grad for masks in got.masks] == [True, False, False, True, True]
    for mine, theirs in zip(got.masks, whole.masks[:5], strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4)
    # clicks on frames 0 and 4, a correction on 0, frame 3 tracked and corrected; frames 1 and 2 tracked in the lead
    assert (len(whole.steps), len(got.steps)) == (8, 5)
    assert got.levels is not None and whole.levels is not None
    torch.testing.assert_close(got.levels.stride16, whole.levels.stride16[:, [0, 3, 4]], atol=1e-4, rtol=1e-4)
    network.zero_grad(set_to_none=True)
    got.masks[3].sum().backward()
    assert network.get_parameter("memory_attention.layers.0.linear1.weight").grad is not None


@pytest.mark.parametrize("checkpointing", [False, True])
def test_every_parameter_learns(network: Sam2Network, checkpointing: bool) -> None:
    batch, config = _batch(4), PromptConfig(corrections=2)
    network.zero_grad(set_to_none=True)
    got = unroll(
        network, batch, _plan(batch, (CLICK, MASK), corrected=(0, 2)), _draws(batch, config), config, checkpointing
    )
    total = sum(
        part.sum() for steps, _ in got.steps for step in steps for part in (step.masks.sigmoid(), step.iou, step.score)
    )
    total.backward()
    idle = [
        name for name, parameter in network.named_parameters() if parameter.grad is None or not parameter.grad.any()
    ]
    # absent objects do not occur here, boxes neither; the single mask's tokens are used after two clicks
    allowed = (
        "no_obj",
        "no_mem_pos_enc",
        "point_embeddings.",
        "mask_downsample.",
    )  # an absent object's pointer is a constant
    assert [name for name in idle if not name.removeprefix("sam_prompt_encoder.").startswith(allowed)] == []


def test_supervision_counts_every_prompt_step(network: Sam2Network) -> None:
    batch, config = _batch(3), PromptConfig(corrections=2)
    with torch.no_grad():
        got = unroll(network, batch, _plan(batch, (CLICK, MASK), corrected=(0, 2)), _draws(batch, config), config)
    points = int((got.clip_of_row == 0).sum())
    sizes = [(step.masks.shape[0], step.masks.shape[1]) for steps, _ in got.steps for step in steps]
    both = len(got.clip_of_row)
    # frame 0: a click and two corrections; frame 1: tracked; frame 2: tracked, then two corrections
    assert sizes == [(points, 3), (points, 1), (points, 1), (both, 3), (both, 3), (points, 3), (points, 1)]


def test_a_nearby_start_attends_to_the_same_place() -> None:
    from sam2v.model.values import ImageFeatures, TokenGroup
    from sam2v.training.auxiliary import look_nearby

    torch.manual_seed(1)
    fresh = build_model(load_model_config("sam2v_nano", [*NETWORK, "model.image_size=128"]))

    def reach() -> float:
        """How much of what a memory cell changes stays within one cell of it."""
        cells = torch.zeros(1, 1, 64, 16, requires_grad=True)
        time = torch.tensor([[fresh.config.memory.num_maskmem - 1]])
        memory = [TokenGroup(cells, time, True), TokenGroup(torch.zeros(1, 1, 2, 16), torch.zeros(1, 1), False)]
        features = ImageFeatures(torch.randn(1, 32, 8, 8), torch.zeros(1, 8, 16, 16), torch.zeros(1, 4, 32, 32))
        fresh.read_memory(features, memory)[0, :, 4, 4].square().sum().backward()
        assert cells.grad is not None
        share = cells.grad[0, 0].abs().sum(1).view(8, 8)
        return float(share[3:6, 3:6].sum() / share.sum())

    before = reach()
    look_nearby(fresh, 0.0)
    assert reach() == pytest.approx(before, abs=0.1)
    look_nearby(fresh, 3.0)
    assert reach() > 2 * before


@pytest.mark.parametrize(("length", "limit"), [(4, 4), (9, 9), (100, 16)])
def test_times_are_those_of_the_engine(
    network: Sam2Network, monkeypatch: pytest.MonkeyPatch, length: int, limit: int
) -> None:
    reads = []
    real = network.read_memory
    monkeypatch.setattr(network, "read_memory", lambda features, read: reads.append(read) or real(features, read))
    batch, config = _batch(4, clips=1), PromptConfig()
    plan = _plan(batch, (MASK,), steps=(7, 1, 2, 1), length=length)
    with torch.no_grad():
        unroll(network, batch, plan, _draws(batch, config), config)
    last = network.config.memory.num_maskmem - 1
    assert [maps.time[0].tolist() for maps, _ in reads] == [[last], [last, 0], [last, 1, 0]]
    distances = [[1], [3, 2], [4, 1, 3]]  # frames are told to lie at 0, 1, 3 and 4; the nearest come first
    for (_, pointers), wanted in zip(reads, distances, strict=True):
        got = (pointers.time[0] * (limit - 1)).tolist()
        # the pointer of a tracked frame beyond the limit is not read
        assert got == pytest.approx([d for k, d in enumerate(wanted) if k == 0 or d < limit])


def test_single_clicks_are_taught_with_what_else_lies_under_them(network: Sam2Network) -> None:
    batch, config = _batch(2), PromptConfig(corrections=2)
    masks = batch.masks.clone()
    masks[:, :, 1] = masks[:, :, 0]  # the same object twice: whatever is clicked, the other one is under it
    batch = ClipBatch(batch.frames, masks[:, :, :2], batch.valid[:, :2] | True)
    plan = _plan(batch, (CLICK, CLICK), corrected=(0, 1))
    got = unroll(network, batch, plan, _draws(batch, config), config)
    # a click and two corrections; the next frame as tracked and two corrections, which are never ambiguous
    assert [other is not None for other in got.others] == [True, *[False] * 5]
    assert got.others[0] is not None and torch.equal(got.others[0], got.truth[:, 0])
    boxes = unroll(network, batch, _plan(batch, (BOX, BOX)), _draws(batch, config), config)
    assert all(other is None for other in boxes.others)


def test_a_prompted_frame_learns_from_what_its_memory_is_good_for(network: Sam2Network) -> None:
    batch, config = _batch(2), PromptConfig()
    got = unroll(network, batch, _plan(batch, (CLICK, CLICK)), _draws(batch, config), config)
    (through,) = torch.autograd.grad(got.masks[1].sum(), [got.masks[0]])
    assert through.isfinite().all() and through.any()


@pytest.mark.parametrize("rounds", [1, 2])
def test_a_plan_says_how_many_corrections_follow(network: Sam2Network, rounds: int) -> None:
    batch, config = _batch(2), PromptConfig(corrections=2)
    plan = _plan(batch, (CLICK, CLICK), corrected=(0,), rounds=rounds)
    got = unroll(network, batch, plan, _draws(batch, config), config)
    assert len(got.steps) == 1 + rounds + 1
