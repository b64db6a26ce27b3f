"""Simulated clicks, boxes and plans."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from sam2v.model.values import BOX_END, BOX_START
from sam2v.training.prompting import (
    BOX,
    CLICK,
    MASK,
    PromptConfig,
    click_in,
    correcting_click,
    jittered_boxes,
    plan_clips,
)


def _masks(seed: int, count: int = 4, side: int = 12) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).uniform(size=(count, side, side + 3)) < 0.2)


@given(st.integers(0, 1000))
def test_clicks_fall_into_their_region(seed: int) -> None:
    region = _masks(seed)
    share = torch.from_numpy(np.random.default_rng(seed).uniform(size=4)).float()
    x, y = click_in(region, share).long().unbind(1)
    hit = region[torch.arange(4), y, x]
    assert (hit | ~region.flatten(1).any(1)).all()


def test_clicks_are_uniform() -> None:
    region = torch.zeros(1, 4, 5, dtype=torch.bool)
    region[0, 1, 1] = region[0, 2, 3] = region[0, 3, 4] = True
    clicks = [tuple(click_in(region, torch.tensor([share]))[0].tolist()) for share in np.linspace(0, 0.999, 30)]
    assert clicks == [(1, 1)] * 10 + [(3, 2)] * 10 + [(4, 3)] * 10


@given(st.integers(0, 1000))
def test_corrections_hit_errors_with_the_right_sign(seed: int) -> None:
    guess, truth = _masks(seed), _masks(seed + 1)
    draws = torch.from_numpy(np.random.default_rng(seed).uniform(size=(4, 2))).float()
    coords, labels = correcting_click(guess, truth, draws, 0.0)
    x, y = coords[:, 0].long().unbind(1)
    rows = torch.arange(4)
    assert (guess[rows, y, x] != truth[rows, y, x]).all()
    assert (labels[:, 0].bool() == truth[rows, y, x]).all()


def test_a_perfect_mask_is_confirmed() -> None:
    truth = _masks(3)
    coords, labels = correcting_click(truth, truth, torch.full((4, 2), 0.5), 0.0)
    x, y = coords[:, 0].long().unbind(1)
    assert truth[torch.arange(4), y, x].all() and labels.all()
    nothing = torch.zeros(1, 5, 5, dtype=torch.bool)
    assert correcting_click(nothing, nothing, torch.full((1, 2), 0.5), 0.1)[1].item() == 0


@given(st.integers(0, 1000))
def test_boxes_move_by_a_tenth_and_twenty_pixels_at_most(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x0, y0 = rng.integers(0, 200, 2)
    w, h = rng.integers(1, 300, 2)
    truth = torch.zeros(1, 512, 512, dtype=torch.bool)
    truth[0, y0 : y0 + h, x0 : x0 + w] = True
    coords, labels = jittered_boxes(truth, torch.from_numpy(rng.uniform(size=(1, 4))), 0.1, 20.0)
    away = (coords.view(-1) - torch.tensor([x0, y0, x0 + w, y0 + h])).abs()
    assert (away <= torch.tensor([w, h, w, h]).mul(0.1).clamp(max=20) + 1e-4).all()
    assert labels.tolist() == [[BOX_START, BOX_END]]


def test_plans_have_the_recipe_s_shares() -> None:
    config = PromptConfig()
    rng = np.random.default_rng(0)
    plans = [plan_clips(rng, [np.random.default_rng([k, j]) for j in range(4)], 8, config) for k in range(600)]
    kinds = np.array([plan.kinds for plan in plans])
    assert abs((kinds == MASK).mean() - 0.5) < 0.04
    assert abs((kinds == BOX).mean() - 0.25) < 0.04
    assert abs((kinds == CLICK).mean() - 0.25) < 0.04
    assert {len(plan.initial) for plan in plans} == {1, 2} and all(plan.initial[0] == 0 for plan in plans)
    assert {len(plan.corrected) for plan in plans} == {1, 2}
    assert all(set(plan.initial) & set(plan.corrected) for plan in plans), "initial frames are corrected first"
    single = [plan_clips(rng, [np.random.default_rng(k)], 1, config) for k in range(50)]
    assert all(plan.kinds[0] != MASK and plan.initial == (0,) for plan in single)
    pair = [plan_clips(rng, [np.random.default_rng(k)], 2, config) for k in range(50)]
    assert all(plan.initial == (0,) for plan in pair), "something is left to track"


def test_a_lead_gets_no_prompts() -> None:
    rng = np.random.default_rng(1)
    plans = [plan_clips(rng, [rng], 8, PromptConfig(max_corrected=5), max_lead=3) for _ in range(200)]
    assert {plan.lead for plan in plans} == {0, 1, 2, 3}
    for plan in plans:
        assert len(plan.learnt) == 5 and plan.learnt[-1] == len(plan.steps) - 1
        assert {*plan.initial, *plan.corrected} <= set(plan.learnt)


def test_numbers_of_corrections_are_drawn_in_turn() -> None:
    config = PromptConfig(corrections=4, rounds=[0, 2, 4])
    plans = [plan_clips(np.random.default_rng(k), [np.random.default_rng(k)], 4, config) for k in range(30)]
    assert {plan.rounds for plan in plans} == {0, 2, 4}
    plain = [plan_clips(np.random.default_rng(k), [np.random.default_rng(k)], 4, PromptConfig()) for k in range(30)]
    assert {plan.rounds for plan in plain} == {None}
    assert all(bool(plan.corrected) == (plan.rounds != 0) for plan in plans)
    assert [plan.initial for plan in plans] == [plan.initial for plan in plain]
