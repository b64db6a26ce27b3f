"""What a history of everything keeps, and that what it lets go is made again bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sam2v import Pool, Prompt, Session, VideoPredictor
from sam2v.config import load_model_config
from sam2v.memory import MemoryBank
from sam2v.model.network import Sam2Network

FRAMES = 40


def tracked(video: VideoPredictor, source: object) -> Session:
    state = video.init_state(source)
    video.add_prompts(state, 0, {1: Prompt([(20, 20)]), 2: Prompt(box=(30, 10, 60, 40))})
    for _ in video.propagate_in_video(state):
        pass
    return state


def refined(video: VideoPredictor, state: Session) -> torch.Tensor:
    """Corrections far back, the way on from there, and the way back from the end."""
    video.add_points(state, 12, 1, [(40, 30)], [0])
    video.add_points(state, 25, 2, [(45, 20)])
    masks = [result.masks for result in video.propagate_in_video(state, 12)]
    masks += [result.masks for result in video.propagate_in_video(state, 30, reverse=True)]
    return torch.stack(masks)


@pytest.mark.parametrize("pool", [{}, {"host_bytes": 0}])
def test_what_was_let_go_is_made_again_bit_for_bit(
    network: Sam2Network, clip: np.ndarray, monkeypatch: pytest.MonkeyPatch, pool: dict
) -> None:
    video = VideoPredictor(network, pool=Pool(**pool))
    state = tracked(video, clip)
    history = state.tracks[1].bank.history
    assert len(history) == FRAMES - 1 and sum(entry.encoded is not None for entry in history.values()) <= 7
    got = refined(video, state)
    with monkeypatch.context() as patch:
        patch.setattr(MemoryBank, "prune", lambda *args, **named: None)
        everything = VideoPredictor(network)
        kept = tracked(everything, clip)
        assert all(entry.encoded is not None for entry in kept.tracks[1].bank.history.values())
        assert torch.equal(refined(everything, kept), got)


def test_an_object_costs_its_mask_pointer_and_scores(network: Sam2Network, clip: np.ndarray) -> None:
    video = VideoPredictor(network)
    before = video.pool.held_bytes["host"]
    state = tracked(video, clip)
    side, pointer, memory = 24, 128, 36 * 32
    one = 4 * (side * side + pointer + 2)
    cost = video.pool.held_bytes["host"] - before
    assert cost <= 2 * (FRAMES * one + 8 * 4 * memory)  # and the memories in reach: 7 and the prompted frame's
    state.close()
    assert video.pool.held_bytes["host"] == before


def test_the_released_models_stay_below_the_bound() -> None:
    """0.3 MB per object and frame at 1024 pixels in float32."""
    config = load_model_config("sam2.1_hiera_tiny")
    h, w = (side // 4 for side in config.input_size)
    assert 4 * (h * w + config.hidden_dim + 2) < 0.3e6


def test_a_stream_with_its_whole_history_keeps_its_memories(network: Sam2Network, clip: np.ndarray) -> None:
    """Its frames are gone: there is nothing to encode again from."""
    video = VideoPredictor(network)
    state = video.init_state(iter(clip), history="full")
    video.add_points(state, 0, 1, [(20, 20)])
    for _ in video.propagate_in_video(state):
        pass
    assert all(entry.encoded is not None for entry in state.tracks[1].bank.history.values())
