"""Synthetic clips: exact masks, reproducible, from nothing or from photographs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import data.made_trees as made
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from PIL import Image

from sam2v.data.synthetic import SyntheticClips, SyntheticConfig, load_sources
from sam2v.data.synthetic.effects import darken
from sam2v.data.synthetic.render import Sources, render_scenes
from sam2v.data.synthetic.scene import sample_scene, stack_scenes
from sam2v.data.synthetic.shapes import EXTENT, draw_silhouettes, sample_silhouettes

SMALL = SyntheticConfig(height=48, width=64, frames=3)


def test_a_clip_depends_on_seed_and_number_alone() -> None:
    one, two = SyntheticClips(SMALL, seed=3), SyntheticClips(SMALL, seed=3)
    alone, together = one[5], two.draw([2, 5])[1]
    assert torch.equal(alone.masks, together.masks)
    assert (alone.frames.int() - together.frames.int()).abs().max() <= 1  # sums may round differently
    assert alone.name == together.name
    assert not torch.equal(alone.frames, one[6].frames)
    assert not torch.equal(alone.frames, SyntheticClips(SMALL, seed=4)[5].frames)


@given(seed=st.integers(0, 2**31), frames=st.integers(1, 4), bodies=st.integers(1, 5), limbs=st.integers(0, 3))
@examples(max_examples=10)
def test_every_object_is_visible_first_and_owns_its_pixels(seed: int, frames: int, bodies: int, limbs: int) -> None:
    config = replace(SMALL, frames=frames, bodies=bodies, limbs=limbs, max_objects=3, min_area=0.01)
    clip = SyntheticClips(config, seed=seed)[0]
    assert clip.frames.shape == (frames, 3, 48, 64) and clip.frames.dtype == torch.uint8
    assert 1 <= clip.num_objects <= min(3, bodies)
    assert (clip.masks[0].flatten(1).sum(1) >= 0.01 * 48 * 64).all()
    assert clip.masks.sum(1).max() <= 1


def test_masks_are_exactly_where_the_object_is_drawn() -> None:
    config = replace(SMALL, bodies=3)
    rng = np.random.default_rng(0)
    scene = sample_scene(rng, config)
    for looks, colour in ((scene.looks, 1.0), (scene.ground, 0.0), (scene.clutter_looks, 0.0)):
        looks.base[:], looks.mix[:], looks.shade[:], looks.rim[:] = colour, 0.0, 0.0, 0.0
    effects = scene.effects
    effects.light[:], effects.cast[:], effects.spot[:], effects.blur[:] = 1.0, 1.0, 0.0, 0.0
    effects.streak[:], effects.shadow[:], effects.noise, effects.gamma = 0.0, 0.0, 0.0, 1.0
    frames, owners = render_scenes([scene], [rng], config, Sources(), torch.device("cpu"))
    shown = frames[0].float().mean(1) > 127.5  # white objects on black
    disagree = shown != (owners[0] >= 0)
    # two soft borders on top of each other may add up to more than half
    assert disagree.float().mean() < 0.003
    assert 0.02 < shown.float().mean() < 0.98


def test_things_move_and_leave() -> None:
    clips = SyntheticClips(replace(SMALL, frames=8, motion=2.0), seed=1).draw(range(24))
    seen = torch.cat([clip.visible for clip in clips], dim=1)
    assert not seen.all(), "in 24 clips some object leaves or is hidden"
    assert seen.float().mean() > 0.6
    change = torch.stack([(clip.masks[0] ^ clip.masks[-1]).float().mean() for clip in clips])
    assert (change > 0.005).float().mean() > 0.7


def test_silhouettes_stay_inside_their_atlas() -> None:
    rng = np.random.default_rng(2)
    shapes = stack_scenes([sample_silhouettes(rng, 40)], torch.device("cpu"))
    flat = type(shapes)(**{name: value[0] for name, value in vars(shapes).items()})
    flat.bend[..., 3:] = 0
    alpha, _ = draw_silhouettes(flat, torch.zeros(40, 64, 64))
    edge = torch.cat([alpha[:, 0], alpha[:, -1], alpha[:, :, 0], alpha[:, :, -1]], dim=1)
    assert EXTENT < 1 and edge.max() == 0
    assert (alpha.flatten(1).mean(1) > 0.02).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"height": 16}, "height=16"),
        ({"frames": 0}, "frames=0"),
        ({"motion": -1.0}, "motion"),
        ({"camouflage": 2.0}, "camouflage"),
    ],
)
def test_impossible_settings_are_named(change: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SyntheticConfig(**change)  # type: ignore[arg-type]


def test_clips_that_run_backwards_show_the_objects_of_their_first_frame() -> None:
    config = replace(SMALL, frames=6, motion=3.0, bodies=2, max_objects=1, leaving=0.0)
    forward, backward = (SyntheticClips(replace(config, reverse=share), seed=2) for share in (0.0, 1.0))
    assert all(clip.visible[0].all() for clip in backward.draw(range(16)))
    pairs = [(forward[k].frames, backward[k].frames) for k in range(4)]
    assert any(torch.equal(one, two.flip(0)) for one, two in pairs)
    both = SyntheticClips(replace(config, reverse=0.5), seed=2)
    turned = [torch.equal(both[k].frames, two) for k, (_, two) in enumerate(pairs)]
    assert True in turned and False in turned


def test_bodies_that_are_not_there_are_no_objects() -> None:
    clips = SyntheticClips(replace(SMALL, bodies=5, max_objects=5, min_area=0.0), seed=1).draw(range(8))
    assert all(clip.visible[0].all() for clip in clips)


def test_shadows_do_not_come_in_at_the_other_side() -> None:
    canvas, alpha = torch.ones(1, 1, 3, 32, 32), torch.zeros(1, 1, 32, 32)
    alpha[..., 24:, :] = 1
    shown = darken(canvas, alpha, torch.tensor([[0.0, 0.5, 0.5]]))
    assert (shown[..., :16, :] == 1).all()
    assert darken(canvas, alpha, torch.tensor([[0.0, -0.5, 0.5]]))[..., 18, :].min() < 0.7


def test_bad_numbers_are_refused() -> None:
    clips = SyntheticClips(SMALL, length=4)
    with pytest.raises(IndexError, match="clips 0 to 3"):
        clips[4]
    with pytest.raises(ValueError, match="at least 1"):
        SyntheticClips(SMALL, length=0)
    with pytest.raises(ValueError, match="lower it"):
        SyntheticClips(replace(SMALL, min_area=1.0))[0]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two pictures with a region map each: red with a green square, blue with a yellow one."""
    for name, ground, square in (("a", (200, 0, 0), (0, 200, 0)), ("b", (0, 0, 200), (200, 200, 0))):
        picture = np.full((60, 80, 3), ground, np.uint8)
        labels = np.ones((60, 80), np.uint8)
        picture[20:40, 30:60], labels[20:40, 30:60] = square, 2
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "regions").mkdir(exist_ok=True)
        Image.fromarray(picture).save(tmp_path / "images" / f"{name}.png")
        Image.fromarray(labels).save(tmp_path / "regions" / f"{name}_1.png")
    return tmp_path


def test_regions_are_cut_out_of_photographs(pictures: Path) -> None:
    sources = load_sources(pictures / "images", pictures / "regions", side=64)
    assert sources.photographs is not None and sources.photographs.shape == (2, 3, 64, 64)
    assert sources.cutouts is not None and sources.cutouts.shape == (2, 4, 64, 64)
    colour = {tuple(cut[:3, 32, 32].tolist()) for cut in sources.cutouts}
    assert colour == {(0, 200, 0), (200, 200, 0)}
    cover = (sources.cutouts[:, 3] > 127).float().mean((1, 2))
    assert torch.allclose(cover, torch.tensor(0.82 * 0.82 * 2 / 3), atol=0.03), (
        "a 30 x 20 region, its longer side at 0.82"
    )
    config = replace(SMALL, photographs=1.0, cutouts=1.0, bodies=2, limbs=0, camouflage=0.0)
    clip = SyntheticClips(config, sources=sources, seed=1)[0]
    plain = SyntheticClips(config, seed=1)[0]
    assert not torch.equal(clip.frames, plain.frames)


def test_pictures_with_transparency_are_cutouts_by_themselves(pictures: Path) -> None:
    rgba = np.zeros((50, 120, 4), np.uint8)
    rgba[10:40, 20:80] = (10, 20, 250, 255)
    Image.fromarray(rgba).save(pictures / "regions" / "sticker.png")
    sources = load_sources(pictures / "images", pictures / "regions", side=64)
    assert sources.cutouts is not None and sources.cutouts.shape == (3, 4, 64, 64)
    (sticker,) = (cut for cut in sources.cutouts if cut[2, 32, 32] == 250)
    solid = sticker[3] > 127
    rows, columns = solid.any(1).nonzero().flatten(), solid.any(0).nonzero().flatten()
    assert (int(columns[0]), int(columns[-1]), len(rows)) == (6, 57, 26), "30 x 60 pixels, the longer side at 0.82"
    Image.fromarray(np.zeros_like(rgba)).save(pictures / "regions" / "sticker.png")
    with pytest.raises(ValueError, match=r"sticker\.png: nothing in this picture is opaque"):
        load_sources(pictures / "images", pictures / "regions")


def test_camouflaged_cutouts_take_on_the_background(pictures: Path) -> None:
    """The mean colour of a cut-out comes closer to what surrounds it, and its shape stays."""
    given = load_sources(pictures / "images", pictures / "regions", side=64)
    # one uniform background, so that every place of it has the same colour
    sources = Sources(torch.full((1, 3, 64, 64), 90, dtype=torch.uint8), given.cutouts)
    config = replace(SMALL, photographs=1.0, cutouts=1.0, bodies=2, limbs=0, clutter=0, frames=1, look_alike=0.0)
    distance = {0.0: [], 1.0: []}
    shapes = {0.0: [], 1.0: []}
    for seed in range(8):
        for share in distance:
            rng = np.random.default_rng(seed)
            scene = sample_scene(rng, replace(config, camouflage=share), *sources.counts())
            frames, owners = render_scenes([scene], [rng], config, sources, torch.device("cpu"))
            ground, body = (frames[0, 0].float()[:, part].mean(1) for part in (owners[0, 0] < 0, owners[0, 0] >= 0))
            distance[share].append(float((ground - body).norm()))
            shapes[share].append(owners)
    assert np.mean(distance[1.0]) < 0.8 * np.mean(distance[0.0])
    assert all(torch.equal(a, b) for a, b in zip(shapes[0.0], shapes[1.0], strict=True))


def test_cutouts_also_lie_in_the_background(pictures: Path) -> None:
    sources = load_sources(pictures / "images", pictures / "regions", side=64)
    config = replace(SMALL, cutouts=1.0, clutter=8, look_alike=1.0)
    strewn = 0
    for seed in range(10):
        scene = sample_scene(np.random.default_rng(seed), config, *sources.counts())
        lying = scene.clutter_cutout[scene.clutter_cutout >= 0]
        assert set(lying) <= set(scene.cutout[scene.cutout >= 0]), "look-alikes are twins of what moves"
        strewn += len(lying)
    assert 20 < strewn < 60, "about half of 80"
    plain = sample_scene(np.random.default_rng(0), config)
    assert (plain.clutter_cutout == -1).all() and (plain.blend == 0).all()


def test_unusable_folders_are_named(pictures: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no folder"):
        load_sources(pictures / "nowhere")
    (pictures / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no pictures"):
        load_sources(pictures / "empty")
    with pytest.raises(FileNotFoundError, match="no region maps"):
        load_sources(pictures / "images", pictures / "empty")
    Image.fromarray(np.ones((10, 10), np.uint8)).save(pictures / "regions" / "b_1.png")
    with pytest.raises(ValueError, match=r"b_1\.png"):
        load_sources(pictures / "images", pictures / "regions")


def test_videos_lend_their_frames_as_textures(tmp_path):
    pytest.importorskip("av")
    made.write_video(tmp_path / "a.mp4", 9)
    textures = load_sources(tmp_path, side=32).photographs
    assert textures.shape == (8, 3, 32, 32) and len({texture.sum().item() for texture in textures}) > 1
