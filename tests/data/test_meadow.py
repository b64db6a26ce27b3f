"""The drawn scene: its story, and that its masks are exact."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sam2v.data.meadow.camera import Camera, Grid
from sam2v.data.meadow.clip import MeadowClip
from sam2v.data.meadow.figures import FOX_STRIDE, bird, child, fox
from sam2v.data.meadow.moods import BIRDS, DRESSES, FOXES, MOODS
from sam2v.data.meadow.skeleton import bent, step
from sam2v.data.meadow.solids import Body, Part
from sam2v.data.synthetic import demo_clip

SMALL = (96, 160)
ANGLES = st.floats(-math.pi, math.pi, allow_subnormal=False)


def test_the_story() -> None:
    clip = demo_clip(SMALL, frames=24)
    assert clip.frames.shape == (24, 3, *SMALL) and clip.num_objects == 3
    area = clip.masks.flatten(2).sum(2)  # 24 x 3
    assert (area[0] > 100).all() and (area[-1] > 100).all()
    assert (area[11:15, 2] == 0).all(), "object 2 leaves and returns"
    assert area[:, :2].min() > 100
    middles = [(clip.masks[t, 0].nonzero().float().mean(0)[1]) for t in (0, -1)]
    assert middles[1] > middles[0] + 60, "object 0 crosses the picture"
    assert area[12, 1] < 0.7 * area[0, 1], "and hides part of object 1 on its way"
    assert clip.masks.sum(1).max() == 1
    change = (clip.frames[1:].float() - clip.frames[:-1].float()).abs().mean((1, 2, 3))
    assert change.min() > 1, "the camera moves, and everything with it"


def test_a_clip_depends_on_its_seed_alone() -> None:
    one, two, other = demo_clip(SMALL, 3, seed=5), demo_clip(SMALL, 3, seed=5), demo_clip(SMALL, 3, seed=6)
    assert torch.equal(one.frames, two.frames) and torch.equal(one.masks, two.masks)
    assert not torch.equal(one.frames, other.frames)
    assert torch.equal(demo_clip(SMALL, 5).frames[0], demo_clip(SMALL, 3).frames[0]), "a longer one starts alike"


@pytest.mark.parametrize("number", [0, 7, 10])
def test_masks_are_what_is_half_covered(number: int) -> None:
    """Against the same picture drawn six times as large."""
    low, high = (MeadowClip((96 * zoom, 160 * zoom), 16, 2).frame(number)[1] for zoom in (1, 6))
    share = torch.nn.functional.avg_pool2d(high.float(), 6)
    clear = (share - 0.5).abs() > 0.2  # nearer to half, blades of grass that cross in a pixel are an approximation
    assert (low == (share >= 0.5))[clear].all()
    assert clear[low].float().mean() > 0.8


def test_masks_are_where_the_figures_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures that shine are brighter than anything else exactly where a mask is."""
    from sam2v.data.meadow import clip as module

    monkeypatch.setattr(module, "shade", lambda surface, light, colour: torch.full_like(colour, 40.0))
    scene = MeadowClip(SMALL, 16, 1)  # at noon, under a blue sky
    monkeypatch.setattr(scene, "_developed", lambda canvas, number: canvas)
    for number in (0, 8):
        canvas, masks = scene.frame(number)
        assert torch.equal(canvas.amin(0) > 20, masks.any(0)) or (
            ((canvas.amin(0) > 20) ^ masks.any(0)).float().mean() < 0.002
        )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"frames": 1}, "at least 2 frames"),
        ({"seed": -1}, "seed=-1"),
        ({"size": (31, 200)}, "sides of at least 32"),
    ],
)
def test_impossible_clips(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        demo_clip(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(32, 32), (200, 64), (33, 150)])
def test_other_shapes(size: tuple[int, int]) -> None:
    clip = demo_clip(size, 2)
    assert clip.size == size
    assert clip.masks[0, 0].any() and clip.masks[0, 1].any()


def test_there_is_one_of_each_for_every_hour() -> None:
    assert len(MOODS) == len(FOXES) == len(DRESSES) == len(BIRDS) == 3


@given(
    phase=st.floats(0, 1, allow_subnormal=False),
    stride=st.floats(0.1, 1, allow_subnormal=False),
    standing=st.floats(0.3, 0.8, allow_subnormal=False),
)
def test_a_foot_on_the_ground_does_not_slide(phase: float, stride: float, standing: float) -> None:
    x, up = step(phase, stride, 0.1, standing)
    first, _ = step(0, stride, 0.1, standing)
    if phase < standing:
        assert up == 0 and math.isclose(x + stride * phase, first, abs_tol=1e-9)
    else:
        assert up >= 0 and abs(x) <= abs(first) + 1e-9


@given(
    angle=ANGLES,
    share=st.floats(0.2, 0.98, allow_subnormal=False),
    upper=st.floats(0.1, 1, allow_subnormal=False),
    lower=st.floats(0.1, 1, allow_subnormal=False),
)
def test_bones_keep_their_length(angle: float, share: float, upper: float, lower: float) -> None:
    span = abs(upper - lower) + share * (upper + lower - abs(upper - lower))
    tip = (span * math.cos(angle), span * math.sin(angle), 0.2)
    x, y, z = bent((0, 0, 0), tip, upper, lower, 1.0)
    assert math.isclose(math.hypot(x, y), upper, rel_tol=1e-4)
    assert math.isclose(math.hypot(tip[0] - x, tip[1] - y), lower, rel_tol=1e-3)
    assert z == 0.1


def test_an_outline_is_a_distance() -> None:
    body = Body([Part((0, 0, 0), (1, 0, 0), (0.5, 0.25), (1, 1, 1))])
    grid = Grid((120, 200), 60, 60, 100)
    inside = body.outline(grid)
    assert inside[60, 60] == pytest.approx(0.5, abs=0.01) and inside[60, 160] == pytest.approx(0.25, abs=0.01)
    assert inside[5, 60] == pytest.approx(-0.05, abs=0.01)
    assert inside[60, 190] == pytest.approx(-0.055, abs=0.01)
    assert torch.equal(body.surface(grid).inside, inside)


def test_figures_stand_on_the_ground_and_face_right() -> None:
    for body in (fox(0.0, FOXES[0]), child(0.0, DRESSES[0])):
        lowest = min(min(part.start[1] - part.radii[0], part.end[1] - part.radii[1]) for part in body.parts)
        assert -0.02 < lowest < 0.03
        assert min(part.start[0] for part in body.parts) < 0 < max(part.start[0] for part in body.parts)
    assert fox(0.3, FOXES[0]).disc() != fox(0.6, FOXES[0]).disc()
    assert fox(0.25, FOXES[0]).disc() == pytest.approx(fox(1.25, FOXES[0]).disc(), abs=1e-6)
    assert bird(0.1, BIRDS[0]).disc() != bird(0.5, BIRDS[0]).disc()
    assert 0.3 < FOX_STRIDE < 1.2


@given(
    x=st.floats(-2, 2, allow_subnormal=False),
    y=st.floats(-1, 2, allow_subnormal=False),
    roll=st.floats(-0.1, 0.1, allow_subnormal=False),
    side=st.sampled_from([-1, 1]),
)
def test_a_camera_sees_points_where_its_pixels_look(x: float, y: float, roll: float, side: int) -> None:
    camera = Camera((360, 640), 0.2, 0.9, 512.0, 160.0, roll)
    plane = camera.plane(0.5, 4.0, side, 0.3)
    column, row = plane.place(x, y)
    whole = slice(math.floor(row), math.floor(row) + 1), slice(math.floor(column), math.floor(column) + 1)
    seen_x, seen_y = (float(part) for part in plane.points(*whole))
    assert math.hypot(seen_x - x, seen_y - y) < 0.8 / plane.scale
    rows, columns = plane.window(x, y, 0.1)
    cut = plane.cut(rows, columns)
    assert cut.place(x, y) == pytest.approx((column - columns.start, row - rows.start))
