"""Calls as graphs of fixed shapes: the same masks, and one graph for every call and bucket.

Without a GPU the recordings are none, and everything else is the same: padding, places, copies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from drawn import drawn_clip
from golden.noise import noise
from golden.pictures import clip
from golden.replay import TIGHT, BesideAnother, Fixture, VideoReplay, answered, compare, golden_network
from models import memory_groups, nano_by_rule, pictures
from torch._dynamo import config as tracing

import sam2v
from sam2v.backends import base, graphs
from sam2v.backends.base import Backend
from sam2v.backends.fused import FUSED_KINDS
from sam2v.backends.fused.memory_attention import FusedMemoryAttentionLayer
from sam2v.backends.graphs import GraphsBackend, bucket_of, graph_network
from sam2v.backends.recorded import Recordings
from sam2v.model.values import Prompts, Wanted

TWINS = Path(__file__).parent.parent / "golden" / "videos"


def masks(predictor: sam2v.VideoPredictor, frames: np.ndarray) -> Iterator[np.ndarray]:
    """40 frames on which one object is tracked, and two more of them that come, are refined and go on the way."""
    state = predictor.init_state(frames)
    predictor.add_points(state, 0, 1, [(20, 20)])
    start = 0
    for length, change in ((10, "come"), (10, "refine"), (10, "go"), (10, "end")):
        for result in predictor.propagate_in_video(state, start, max_frame_num_to_track=length - 1):
            yield result.masks
        start += length
        if change == "come":
            for obj_id, place in ((2, (50, 40)), (3, (30, 30))):
                predictor.add_points(state, start, obj_id, [place])
        elif change == "refine":
            yield predictor.add_points(state, start - 1, 1, [(22, 22)], [0]).masks
        elif change == "go":
            for obj_id in (2, 3):
                predictor.remove_object(state, obj_id)


def test_objects_come_and_go_and_nothing_is_compiled_twice() -> None:
    """At most one graph for every call and bucket (of rows, memories and pointers); reading a full bank and
    one that fills are two calls."""
    network, frames, compiled = nano_by_rule("img-1-"), drawn_clip(40), []

    def count(module: torch.fx.GraphModule, _: Any) -> torch.fx.GraphModule:
        compiled.append(module)
        return module

    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    made = graph_network(network, compiler=partial(torch.compile, dynamic=False, fullgraph=True, backend=count))
    predictor = sam2v.VideoPredictor(made)
    found = list(masks(predictor, frames))
    recorded = made.calls.recordings.made
    assert len(compiled) == torch._dynamo.utils.counters["stats"]["unique_graphs"] == len(recorded)
    times = Counter((name, *bucket(name, shapes)) for name, *shapes in recorded)
    assert set(times.values()) == {1}
    assert {name for name, *_ in times} == set(graphs.CALLS) and {count for _, count, *_ in times} <= {1, 4}
    # a second prompted frame is one memory more than there are rows in the temporal table, and one pointer more
    read = {tuple(slots) for name, _, *slots in times if graphs.CALLS[name] == "read_memory"}
    assert read == {(7, 16), (11, 16), (11, 32)}
    with tracing.patch(error_on_recompile=True):
        list(masks(predictor, frames))
    assert made.calls.recordings.made == recorded
    for actual, expected in zip(found, masks(sam2v.VideoPredictor(network), frames), strict=True):
        np.testing.assert_allclose(actual, expected, atol=2e-3)


def bucket(name: str, shapes: list[Any]) -> tuple[int, ...]:
    """Rows of a recorded call (pictures, or what follows a picture's three levels); how many memories and pointers each
    of them reads."""
    if graphs.CALLS[name] == "read_memory":
        (rows, memories, *_), (_, pointers, *_) = shapes[3][0], shapes[8][0]
        return rows, memories, pointers
    return (shapes[0 if name == "encode_image" else 3][0][0],)


#: A quick choice; all others are asked for with -m full.
TELLING = {
    "sam2.1_hiera_tiny_v_add_and_remove_object": ["as here", "as on CUDA"],
    "sam2_hiera_tiny_ii_two_objects_refine": ["as on CUDA"],
}


@pytest.mark.parametrize(
    ("path", "everything"),
    [
        pytest.param(
            *(path, way == "as on CUDA"),
            id=f"{path.stem}-{way}",
            marks=[] if way in TELLING.get(path.stem, ()) else [pytest.mark.full],
        )
        for path in sorted(TWINS.glob("*.npz"))
        for way in ("as here", "as on CUDA")
    ],
)
def test_recorded_answers(path: Path, everything: bool, device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the reference implementation, by graphs: of the device's own calls; and of a GPU's, of whose two ways of
    attention the first is slow, while four frames are encoded at once and another video is in the same batches."""
    fixture = Fixture(path)
    meta = fixture.meta
    network = golden_network(meta["config"], meta["salt"], meta["image_size"], device)
    if everything:
        monkeypatch.setattr(base, "kinds_for", lambda _: FUSED_KINDS)
        monkeypatch.setattr(FusedMemoryAttentionLayer, "wide", FusedMemoryAttentionLayer.narrow)
        replay = BesideAnother(fixture, graph_network(network), clip(meta["frames"]), frames_per_encoding=4)
    else:
        replay = VideoReplay(fixture, graph_network(network), clip(meta["frames"]))
    for k, _, results in answered(replay, meta["ops"]):
        for t, result in enumerate(results):
            recorded = {name: fixture[f"op{k}/{name}"][t] for name in ("video_masks", "area", "score", "iou")}
            compare(result, recorded, meta["video_stride"], TIGHT, f"call {k}, result {t}")


def answers(backend: Backend, rows: int, hidden: bool, pointers: bool, of_videos: bool = False) -> list[torch.Tensor]:
    """What the calls make of some rows that are tracked, on one picture or each on one of its own."""
    device = backend.device
    features = backend.encode_image(pictures(rows, rows if of_videos else 1, 96, 96).to(device))
    times = torch.tensor([[6, 0, -1 if hidden and n % 2 else 1] for n in range(rows)])
    distances = noise(7, rows, 2).sigmoid()
    groups = memory_groups(noise(1, rows, 3, 36, 32), times, noise(2, rows, 2, 128), distances)
    groups = [
        group._replace(**{k: v.to(device) for k, v in group._asdict().items() if hasattr(v, "to")}) for group in groups
    ]
    conditioned = backend.read_memory(features, groups if pointers else groups[:1])
    labels = torch.full((rows, 2), -1, device=device)
    answer = backend.decode_prompts(
        features, conditioned, Prompts(torch.zeros(rows, 2, 2, device=device), labels), Wanted(True)
    )
    written = backend.write_memory(features, answer.pick().mask, answer.object_score)
    return [*features, conditioned, *answer, written]


@pytest.mark.parametrize("of_videos", [False, True])
@pytest.mark.parametrize(("rows", "hidden", "pointers"), [(1, False, True), (3, True, True), (3, False, False)])
def test_padding_changes_nothing(
    rows: int, hidden: bool, pointers: bool, of_videos: bool, device: torch.device
) -> None:
    network = nano_by_rule().to(device)
    both = (answers(made, rows, hidden, pointers, of_videos) for made in (graph_network(network), Backend(network)))
    for found, expected in zip(*both, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_several_videos_need_one_more_graph_for_every_call_and_bucket() -> None:
    """Videos that end one after the other, with objects that come: rows on one picture, and rows on several."""
    made = graph_network(nano_by_rule())
    predictor = sam2v.VideoPredictor(made)
    states = [predictor.init_state(drawn_clip(length, seed=length)) for length in (20, 14, 8)]
    for state in states:
        predictor.add_points(state, 0, 1, [(20, 20)])
    for index, result in predictor.propagate_in_videos(states):
        if (index, result.frame_idx) == (1, 9):
            predictor.add_prompts(states[1], 9, {i: sam2v.Prompt([(10 * i, 30)]) for i in (2, 3)})
    assert len(set(made.calls.recordings.made)) == len(made.calls.recordings.made)
    kinds = Counter(kind(signature) for signature in made.calls.recordings.made)
    assert {rows for name, rows, pictures in kinds if name == "decode_prompts" and pictures > 1} == {2, 4}
    assert all(pictures in (1, rows) for _, rows, pictures in kinds)
    assert all(times == 1 or (name == "read_memory" and times == 2) for (name, *_), times in kinds.items())


def kind(signature: tuple[Any, ...]) -> tuple[str, int, int]:
    """A recording's call, its rows and its pictures; of what is encoded both are pictures."""
    name, (stride16, _) = signature[0], signature[1]
    return name, stride16[0] if name == "encode_image" else signature[4][0][0], stride16[0]


def test_many_rows_run_one_bucket_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "BUCKETS", (1, 2))
    network = nano_by_rule()
    made = graph_network(network)
    for found, expected in zip(answers(made, 5, True, True), answers(Backend(network), 5, True, True), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert {bucket(name, shapes)[0] for name, *shapes in made.calls.recordings.made} <= {1, 2}


def test_answers_are_the_caller_s_own(device: torch.device) -> None:
    """What is recorded writes to the same place every time; earlier answers and arguments stay as they are."""
    recordings, x = Recordings(device), torch.ones(3, device=device)
    first = recordings.run("double", lambda x: (2 * x, None), x)[0]
    x += 1
    second = recordings.run("double", lambda x: (2 * x, None), x)[0]
    assert first.tolist() == [2, 2, 2] and second.tolist() == [4, 4, 4] and x.tolist() == [2, 2, 2]
    assert len(recordings.made) == 1


def test_recordings_are_bounded(device: torch.device) -> None:
    recordings = Recordings(device, most=2)
    for length in (1, 2, 1, 3, 1):
        assert recordings.run("sum", lambda x: x.sum(), torch.ones(length, device=device)).item() == length
    assert len(recordings.made) == 3  # of the three lengths the one that was used last is kept


def test_new_weights_are_recorded_anew() -> None:
    network = nano_by_rule()
    made, images = GraphsBackend(network), pictures(0, 1, 96, 96)
    made.encode_image(images)
    network.load_state_dict(nano_by_rule("other-").state_dict())
    torch.testing.assert_close(made.encode_image(images).stride4, Backend(network).encode_image(images).stride4)


def test_getting_ready() -> None:
    made = graph_network(nano_by_rule(), objects=(2,), progress=False)
    known = list(made.calls.recordings.made)
    answers(made, 2, False, True)
    assert {signature[0] for signature in known} == set(graphs.CALLS)
    assert {signature[0] for signature in made.calls.recordings.made[len(known) :]} <= {"read_filling_memory"}
    with pytest.raises(ValueError, match="at least 1"):
        graph_network(nano_by_rule(), objects=(0,))


def test_buckets() -> None:
    assert [bucket_of(rows) for rows in (1, 2, 3, 5, 9, 16, 17, 33, 65, 128)] == [1, 2, 4, 8, 16, 16, 32, 64, 128, 128]
