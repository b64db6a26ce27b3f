"""Exemplars: an object's memories as a file, to find it in another video with."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from models import nano_by_rule

from sam2v import VideoPredictor
from sam2v.memory import Policy
from sam2v.model.network import Sam2Network

FRAMES = 8
POLICIES = ["recent", "tree", "robust"]


def test_merged_objects_are_saved(predictor: VideoPredictor, clip: np.ndarray, tmp_path: Path) -> None:
    """Their union was not encoded yet."""
    state = predictor.init_state(clip)
    predictor.add_points(state, 0, 1, [(20, 20)])
    predictor.add_points(state, 0, 2, [(40, 30)])
    list(predictor.track_frames(state, range(3)))
    predictor.merge_objects(state, 1, 2)
    predictor.save_exemplar(state, 1, tmp_path / "both.safetensors")
    assert found(predictor, clip, tmp_path / "both.safetensors").shape[0] == FRAMES


@pytest.fixture(scope="module")
def file(predictor: VideoPredictor, clip: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first object of the clip, clicked on two frames of which one was not tracked yet."""
    path = tmp_path_factory.mktemp("exemplars") / "object.safetensors"
    state = predictor.init_state(clip)
    predictor.add_points(state, 0, 1, [(20, 20)])
    list(predictor.track_frames(state, range(3)))
    predictor.add_points(state, 2, 1, [(30, 30)], [0])
    before = state.to_bytes()
    predictor.save_exemplar(state, 1, path)
    assert state.to_bytes() == before, "saving changes nothing"
    return path


def found(video: VideoPredictor, source: object, file: Path, **how: str) -> torch.Tensor:
    state = video.init_state(source, **how)  # type: ignore[arg-type]
    video.add_exemplar(state, 4, file)
    results = list(video.propagate_in_video(state))
    assert [r.frame_idx for r in results] == list(range(FRAMES)) and results[0].obj_ids == [4]
    return torch.stack([r.masks for r in results])


def test_memories_are_read_as_prompted_ones(predictor: VideoPredictor, clip: np.ndarray, file: Path) -> None:
    state = predictor.init_state(clip)
    predictor.add_points(state, 0, 1, [(20, 20)])
    list(predictor.track_frames(state, range(3)))
    predictor.add_points(state, 2, 1, [(30, 30)], [0])
    predictor.engine.remember_prompts(state)
    predictor.add_exemplar(state, 2, file)
    own, elsewhere = state.tracks[1].bank.conditioning.values(), state.tracks[2].bank.exemplars
    assert len(elsewhere) == 2
    for a, b in zip(own, elsewhere, strict=True):
        assert torch.equal(a.memory, b.memory) and torch.equal(a.pointer, b.pointer) and torch.equal(a.mask, b.mask)


@pytest.mark.parametrize("name", POLICIES)
def test_every_way_of_tracking_finds_the_same(
    network: Sam2Network, clip: np.ndarray, file: Path, tmp_path: Path, name: str
) -> None:
    video = VideoPredictor(network, policy=name)
    masks = found(video, clip, file)
    assert torch.equal(found(video, clip, file, history="window"), masks)
    live = video.init_state(None, num_frames=FRAMES)
    video.add_exemplar(live, 4, file)
    for number, frame in enumerate(clip):
        torch.testing.assert_close(video.track(live, frame).masks, masks[number], atol=1e-5, rtol=0)
    state = video.init_state(clip)
    video.add_exemplar(state, 4, file)
    list(video.track_frames(state, range(4)))
    video.save_session(state, tmp_path / "a.session")
    again = video.load_session(tmp_path / "a.session", clip)
    rest = torch.stack([r.masks for r in video.track_frames(again, range(4, FRAMES))])
    assert torch.equal(rest, masks[4:])
    backwards = video.init_state(clip[::-1].copy())
    video.add_exemplar(backwards, 4, file)
    mirrored = list(video.propagate_in_video(backwards, start_frame_idx=FRAMES - 1, reverse=True))
    assert torch.equal(torch.stack([r.masks for r in mirrored]), masks)


def test_beside_prompts_and_corrections(predictor: VideoPredictor, clip: np.ndarray, file: Path) -> None:
    state = predictor.init_state(clip)
    predictor.add_points(state, 0, 1, [(20, 20)])
    alone = torch.stack([r.masks for r in predictor.track_frames(state, range(FRAMES))])
    predictor.add_exemplar(state, 1, file)
    predictor.add_exemplar(state, 2, file)
    predictor.add_points(state, 5, 2, [(40, 30)])
    both = torch.stack([r.masks for r in predictor.propagate_in_video(state)])
    assert both.shape[:2] == (FRAMES, 2) and not torch.equal(both[:, :1], alone)
    torch.testing.assert_close(both[0, :1], alone[0], msg="the prompted frame keeps its answer")
    predictor.save_exemplar(state, 2, file.with_name("more.safetensors"))
    predictor.add_exemplar(state, 3, file.with_name("more.safetensors"))
    assert len(state.tracks[3].bank.exemplars) == 3


# -- bad files ---------------------------------------------------------------------------------------------------------


def changed(file: Path, path: Path, **record: object) -> Path:
    """A copy with another record."""
    data = file.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    about = json.loads(header["__metadata__"]["sam2v"])
    header["__metadata__"]["sam2v"] = json.dumps({**about, **record})
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])
    return path


def test_strangers_files_are_refused(predictor: VideoPredictor, clip: np.ndarray, file: Path, tmp_path: Path) -> None:
    state, data = predictor.init_state(clip), file.read_bytes()
    predictor.save_session(state, tmp_path / "a.session")
    (tmp_path / "cut").write_bytes(data[:-10])
    (tmp_path / "large").write_bytes(data + bytes(64 << 20))
    origin = predictor.origin.record()
    nan = bytearray(data)
    nan[-4:] = b"\xff\xff\xff\xff"
    (tmp_path / "nan").write_bytes(nan)
    cases = {
        tmp_path / "none": "no exemplar file",
        tmp_path / "cut": "not an exemplar .*damaged",
        tmp_path / "a.session": "not an exemplar of this version",
        tmp_path / "large": "too large for an exemplar",
        tmp_path / "nan": "something else than finite numbers",
        changed(file, tmp_path / "many", memories=9): "lacks 2.mask",
        changed(file, tmp_path / "endless", memories=10**9): "1 to 64 are accepted",
        changed(file, tmp_path / "size", input=[96, 64]): "network input of 96 x 64, this video's is 96 x 96",
        changed(file, tmp_path / "kind", kind="session"): "not an exemplar of this version",
        changed(file, tmp_path / "list", origin=[]): "not an exemplar of this version",
        changed(file, tmp_path / "model", origin={**origin, "model": 5}): "not an exemplar of this version",
        changed(file, tmp_path / "infinity", memories=math.inf): "not an exemplar of this version",
        changed(file, tmp_path / "infinite", input=[math.inf, 96]): "not an exemplar of this version",
    }
    for path, message in cases.items():
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            predictor.add_exemplar(state, 1, path)
    with pytest.raises(TypeError, match="obj_id must be an integer"):
        predictor.add_exemplar(state, "a", file)  # type: ignore[arg-type]
    assert state.obj_ids == []
    with pytest.raises(KeyError, match="unknown object 3; known: none yet"):
        predictor.save_exemplar(state, 3, tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_damaged_files_are_refused(predictor: VideoPredictor, clip: np.ndarray, file: Path, tmp_path: Path) -> None:
    """Whatever a stranger changes in the record: an exemplar, or one error."""
    state, data, rng = predictor.init_state(clip), file.read_bytes(), np.random.default_rng(0)
    length = int.from_bytes(data[:8], "little")
    for _ in range(40):
        wrong = bytearray(data)
        for place in rng.integers(8, 8 + length, 3):
            wrong[place] = int(rng.integers(32, 127))
        (tmp_path / "wrong").write_bytes(wrong)
        try:
            predictor.add_exemplar(state, 1, tmp_path / "wrong")
        except ValueError as error:
            assert str(error)


def test_another_models_exemplar_is_refused(network: Sam2Network, clip: np.ndarray, file: Path) -> None:
    other = VideoPredictor(nano_by_rule("other-"), policy=Policy())
    with pytest.raises(ValueError, match="the exemplar was saved with other weights of this model"):
        other.add_exemplar(other.init_state(clip), 1, file)
    larger = VideoPredictor(nano_by_rule(overrides=["model.image_size=128"]))
    with pytest.raises(ValueError, match="the exemplar was saved with other model: image_size"):
        larger.add_exemplar(larger.init_state(clip), 1, file)
    wide = VideoPredictor(network, keep_aspect=True)
    with pytest.raises(ValueError, match="no frame has arrived yet"):
        wide.add_exemplar(wide.init_state(None), 1, file)
    with pytest.raises(ValueError, match="network input of 96 x 96, this video's is 64 x 96"):
        wide.add_exemplar(wide.init_state(clip[:, :40]), 1, file)
