"""Every effect against a drawn clip with exact masks: what it does, and that it does nothing elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from effects.scenes import FRAMES, SIZE, scene
from hypothesis import given
from hypothesis import strategies as st

import sam2v
from sam2v.effects import (
    EFFECTS,
    Blur,
    CutOut,
    Desaturate,
    Duplicate,
    Edit,
    Enlarge,
    Erase,
    Fill,
    Outline,
    Pixelate,
    Recolour,
    Spotlight,
    Trail,
    parse_effect,
)
from sam2v.effects.base import Effect
from sam2v.masks import colour_of
from sam2v.masks.grow import grown

CLIP, MASKS, EMPTY = scene()
T = 6
FRAME, DISC, SQUARE = CLIP[T], MASKS[T][1], MASKS[T][2]


def shifted(mask: np.ndarray, right: int, down: int = 0) -> np.ndarray:
    moved = np.zeros_like(mask)
    moved[max(0, down) :, max(0, right) :] = mask[: SIZE[0] - max(0, down), : SIZE[1] - max(0, right)]
    return moved


def edit(*effects: str, masks: list = MASKS, clip: np.ndarray = CLIP) -> np.ndarray:
    """Frame T of the clip with effects."""
    return Edit(clip, lambda index: masks[index], effects)[T]


# text -> pixels of frame T that it may change, given the masks; drawn with every option away from its default too
REACH = {
    "1:spotlight=0.5": ~DISC,
    "background:spotlight": DISC | SQUARE,
    "1:blur=3": DISC,
    "background:blur=20": ~(DISC | SQUARE),
    "objects:pixelate=7": DISC | SQUARE,
    "background:desaturate=0.5": ~(DISC | SQUARE),
    "2:recolour=red,strength=1": SQUARE,
    "objects:recolour": DISC | SQUARE,
    "background:fill=#00ff00": ~(DISC | SQUARE),
    "1:outline=white,width=3": grown(DISC, 3) & ~DISC,
    "background:outline=white,width=2": DISC | SQUARE,
    "1:erase=3": grown(DISC, 3),
    "2:duplicate=-30,y=-20": np.roll(SQUARE, (-20, -30), (0, 1)) & ~SQUARE,
    "1:duplicate=7,behind=no": shifted(DISC, 7),
    "1:trail=3,step=2": np.logical_or.reduce([MASKS[T - k][1] for k in (2, 4, 6)]) & ~DISC,
    "2:enlarge=1.6": grown(SQUARE, 8),
}


@pytest.mark.parametrize("text", REACH)
def test_nothing_changes_where_an_effect_does_not_act(text: str) -> None:
    before = FRAME.copy()
    picture = edit(text)
    assert picture.shape == FRAME.shape and picture.dtype == np.uint8
    np.testing.assert_array_equal(picture[~REACH[text]], FRAME[~REACH[text]])
    assert (picture != FRAME).any(axis=2)[REACH[text]].mean() > 0.3, "it does something"
    np.testing.assert_array_equal(CLIP[T], before)


def test_every_effect_is_among_those() -> None:
    assert {text.partition(":")[2].partition("=")[0] for text in REACH} | {"cutout"} == set(EFFECTS)


@given(st.integers(0, 255), st.sampled_from([Blur(5), Pixelate(6), Desaturate(), Blur(40)]))
def test_a_grey_object_of_one_colour_takes_nothing_from_around_it(grey: int, effect: sam2v.effects.Effect) -> None:
    frame = np.where(DISC[..., None], np.uint8(grey), 255 - FRAME).astype(np.uint8)
    np.testing.assert_array_equal(effect(frame, DISC), frame)


def test_blur_is_the_weighted_mean_of_the_mask() -> None:
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    cy, cx = 30, 52
    assert DISC[cy, cx]
    weight = np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * 3.0**2)) * DISC
    exact = (FRAME * weight[..., None]).sum((0, 1)) / weight.sum()
    np.testing.assert_allclose(Blur(3)(FRAME, DISC)[cy, cx], exact, atol=1.5)
    flat = Blur(300)(FRAME, DISC)[DISC]
    np.testing.assert_allclose(flat, np.broadcast_to(FRAME[DISC].mean(0), flat.shape), atol=3)


def test_pixels_of_a_square_are_their_mean() -> None:
    picture = Pixelate(8)(FRAME, DISC)
    part = np.s_[24:32, 48:56]
    assert DISC[part].all()
    np.testing.assert_allclose(picture[part], np.broadcast_to(FRAME[part].mean((0, 1)).round(), (8, 8, 3)), atol=1)


def test_spotlight_and_fill_give_exact_colours() -> None:
    np.testing.assert_array_equal(Spotlight(0.5)(FRAME, DISC)[~DISC], np.round(FRAME[~DISC] * 0.5).astype(np.uint8))
    assert (Spotlight(1.0)(FRAME, DISC)[~DISC] == 0).all()
    assert (Fill("blue")(FRAME, DISC)[DISC] == (0, 0, 255)).all() and (
        Fill((1, 2, 3))(FRAME, DISC)[DISC] == (1, 2, 3)
    ).all()


def test_grey_and_recoloured_pixels_keep_their_brightness() -> None:
    brightness = [0.299, 0.587, 0.114]
    grey, red = Desaturate()(FRAME, SQUARE)[SQUARE], Recolour("#b03030", 1.0)(FRAME, SQUARE)[SQUARE]
    assert (grey == grey[:, :1]).all()
    for pixels in (grey, red):
        np.testing.assert_allclose(pixels @ brightness, FRAME[SQUARE] @ brightness, atol=1.5)
    assert (red[:, 0] >= red[:, 1]).all()


def test_an_outline_has_the_objects_colour_and_the_width_asked_for() -> None:
    picture = edit("1:outline=,width=4".replace("=,", "=white,"), "2:outline")
    assert (picture[grown(DISC, 4) & ~DISC & ~grown(SQUARE, 2)] == 255).all()
    assert (picture[grown(SQUARE, 2) & ~SQUARE] == colour_of(2)).all()


def test_cutting_out() -> None:
    one, both = edit("1:cutout"), edit("1:cutout", "2:cutout")
    assert one.shape == (*SIZE, 4)
    np.testing.assert_array_equal(one[..., 3], np.where(DISC, 255, 0))
    np.testing.assert_array_equal(one[DISC, :3], FRAME[DISC])
    assert (one[~DISC] == 0).all()
    np.testing.assert_array_equal(both[..., 3] > 0, DISC | SQUARE)
    np.testing.assert_array_equal(both, edit("objects:cutout"))
    np.testing.assert_array_equal(edit("background:cutout")[..., 3] > 0, ~(DISC | SQUARE))
    np.testing.assert_array_equal(CutOut()(FRAME, DISC), one)


def test_what_is_drawn_after_cutting_out_is_seen_and_what_was_before_is_not() -> None:
    line = grown(DISC, 3) & ~DISC
    after, before = edit("1:cutout", "1:outline=white,width=3"), edit("1:outline=white,width=3", "1:cutout")
    np.testing.assert_array_equal(after[..., 3] > 0, DISC | line)
    assert (after[line] == 255).all()
    np.testing.assert_array_equal(before[..., 3] > 0, DISC)
    faint = edit("1:cutout", "1:trail=1,step=4,opacity=0.5")
    ghost = MASKS[T - 4][1] & ~DISC
    assert set(np.unique(faint[ghost, 3])) == {128}
    np.testing.assert_array_equal(faint[ghost, :3], CLIP[T - 4][ghost])  # its own colour, none of black


@pytest.mark.parametrize("pan", [0, 2])
def test_what_another_frame_shows_fills_an_erased_object(pan: int) -> None:
    clip, masks, empty = scene(pan)
    picture = Edit(clip, lambda index: masks[index], ["1:erase"])[T]
    gone = grown(masks[T][1], 2)
    np.testing.assert_array_equal(picture[gone], empty[T][gone])
    np.testing.assert_array_equal(picture[~gone], clip[T][~gone])


def test_erasing_all_objects_and_effects_after_it() -> None:
    np.testing.assert_array_equal(edit("objects:erase"), EMPTY[T])
    np.testing.assert_array_equal(edit("1:outline", "objects:erase"), EMPTY[T])  # what is gone has no outline
    grey = edit("background:desaturate", "objects:erase")
    assert (grey == grey[..., :1]).all()


def test_a_frame_that_shows_something_else_fills_nothing() -> None:
    other = np.random.default_rng(5).integers(0, 255, FRAME.shape, np.uint8)
    none = np.zeros(SIZE, bool)
    alone = Erase()(FRAME, DISC)
    np.testing.assert_array_equal(Erase()(FRAME, DISC, [(other, none)]), alone)
    assert (Erase()(FRAME, DISC, [(other, none), (EMPTY[T], none)]) != alone).any()


def test_a_frame_without_known_masks_never_fills_an_erased_object() -> None:
    clip = np.stack([FRAME] * 4)  # the object rests: what surrounds it agrees everywhere
    known = {1: {1: DISC}, 3: {}}
    erased = Edit(clip, lambda index: known.get(index) if index != 3 else None, ["1:erase"])[1]
    np.testing.assert_array_equal(erased, Erase()(FRAME, DISC))
    assert (erased[DISC] != FRAME[DISC]).any(axis=1).mean() > 0.9


def test_diffusion_is_smooth() -> None:
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    plane = np.stack([x * 2, y * 3, x + y], axis=2).astype(np.uint8)  # Laplace's equation has such planes as solutions
    frame = np.where(DISC[..., None], np.uint8(0), plane)
    np.testing.assert_allclose(Erase(grow=0)(frame, DISC).astype(int), plane, atol=2)
    everything = np.ones(SIZE, bool)
    assert Erase()(FRAME, everything).shape == FRAME.shape  # nothing is left to fill it from


def test_other_objects_stay_whole_and_give_no_colours() -> None:
    left, right = np.zeros((2, *SIZE), bool)
    left[20:40, 20:40], right[20:40, 40:60] = True, True
    frame = np.full((*SIZE, 3), 90, np.uint8)
    frame[left], frame[right] = (250, 0, 0), (0, 0, 250)
    picture = Edit(frame[None], lambda index: {1: left, 2: right}, ["1:erase"])[0]
    np.testing.assert_array_equal(picture, np.where(right[..., None], frame, np.uint8(90)))


def test_light_that_changes_leaves_no_seam() -> None:
    brighter = (EMPTY[T].astype(int) + 10).clip(0, 255).astype(np.uint8)
    filled = Erase(grow=0)(FRAME, DISC, [(brighter, np.zeros(SIZE, bool))])
    np.testing.assert_allclose(filled[DISC].astype(int), EMPTY[T][DISC], atol=1)


def test_a_duplicate_lies_where_it_is_asked_for() -> None:
    picture = Duplicate(x=30, y=8)(FRAME, SQUARE)
    place = shifted(SQUARE, 30, 8)
    source = np.roll(FRAME, (8, 30), (0, 1))
    np.testing.assert_array_equal(picture[place], source[place])
    np.testing.assert_array_equal(Duplicate(x=500)(FRAME, SQUARE), FRAME)
    over, behind = Duplicate(x=5, behind=False)(FRAME, SQUARE), Duplicate(x=5)(FRAME, SQUARE)
    assert (over[SQUARE] != FRAME[SQUARE]).any() and (behind[SQUARE] == FRAME[SQUARE]).all()


def test_a_trail_fades() -> None:
    black = [(np.zeros_like(FRAME), MASKS[T - k][1]) for k in (3, 6)]
    picture = Trail(length=2, step=3, opacity=0.8)(FRAME, DISC, black)
    newest, oldest = MASKS[T - 3][1] & ~DISC, MASKS[T - 6][1] & ~MASKS[T - 3][1] & ~DISC
    np.testing.assert_allclose(picture[newest & ~MASKS[T - 6][1]], FRAME[newest & ~MASKS[T - 6][1]] * 0.2, atol=1)
    np.testing.assert_allclose(picture[oldest], FRAME[oldest] * 0.6, atol=1)
    np.testing.assert_array_equal(Trail()(FRAME, DISC), FRAME)
    white = [black[0], (np.full_like(FRAME, 255), MASKS[T - 6][1])]
    both = MASKS[T - 3][1] & MASKS[T - 6][1] & ~DISC  # the newer one lies over the older one
    picture = Trail(length=2, step=3, opacity=0.8)(FRAME, DISC, white)
    np.testing.assert_allclose(picture[both], (FRAME[both] * 0.6 + 255 * 0.4) * 0.2, atol=1.5)
    assert both.any()


def test_enlarged_objects_are_acted_on_as_they_are_now() -> None:
    picture = Enlarge(2.0)(FRAME, SQUARE)
    changed = (picture != FRAME).any(axis=2)
    columns = np.nonzero(SQUARE)[1]
    assert np.ptp(np.nonzero(changed)[1]) + 1 == pytest.approx(2 * (np.ptp(columns) + 1), abs=2)
    grey = edit("2:enlarge=2", "2:fill=black")
    black = (grey == 0).all(axis=2)
    assert black.sum() == pytest.approx(4 * SQUARE.sum(), rel=0.15) and black[SQUARE].all()
    np.testing.assert_array_equal(Enlarge(1.0)(FRAME, SQUARE), FRAME)


@pytest.mark.parametrize("hidden", ["1:fill=black", "1:blur=9", "1:pixelate=9", "objects:fill=black", "1:erase"])
def test_a_trail_shows_nothing_that_was_hidden_before_it(hidden: str) -> None:
    for trail in ("1:trail=1,step=2,opacity=1", "objects:trail=1,step=2,opacity=1"):
        picture = edit(hidden, trail)
        if hidden == "1:erase":
            np.testing.assert_array_equal(picture[~SQUARE & ~MASKS[T - 2][2]], edit(hidden)[~SQUARE & ~MASKS[T - 2][2]])
            continue
        bare = MASKS[T - 2][1] & ~DISC & ~SQUARE & ~MASKS[T - 2][2]
        np.testing.assert_array_equal(picture[bare], Edit(CLIP, lambda index: MASKS[index], [hidden])[T - 2][bare])
        assert bare.any() and (picture[bare] != CLIP[T - 2][bare]).any()


def test_frames_are_counted_from_the_end_as_well() -> None:
    for effects in (["1:trail"], ["2:erase"], ["1:fill"]):
        known = Edit(CLIP, lambda index: MASKS[index] if index >= 0 else {}, effects)
        np.testing.assert_array_equal(known[-1], known[FRAMES - 1])
    with pytest.raises(IndexError):
        known[-FRAMES - 1]
    np.testing.assert_array_equal(known[np.int64(3)], known[3])


def test_a_frame_is_the_same_whatever_was_asked_before() -> None:
    effects = ["2:erase", "1:trail", "background:blur=4", "2:recolour", "1:trail=2,step=1"]
    through = list(Edit(CLIP, lambda index: MASKS[index], effects))
    jump = Edit(CLIP, lambda index: MASKS[index], effects)
    assert len(through) == FRAMES
    for index in (9, 2, 9, 0):
        np.testing.assert_array_equal(jump[index], through[index])


def test_an_absent_object_and_an_empty_frame_change_nothing() -> None:
    nothing: list[dict[int, np.ndarray]] = [{} for _ in MASKS]
    for text in REACH:
        if not text.startswith("background") and "spotlight" not in text:
            np.testing.assert_array_equal(edit(text, masks=nothing), FRAME)


def test_how_effects_are_written() -> None:
    assert parse_effect("background:blur=12") == ("background", Blur(12))
    assert parse_effect(" 12 : duplicate = x=80 , y=-10".replace(" = ", "=")) == (12, Duplicate(80, -10))
    assert parse_effect("1:Recolor=red,strength=0.5") == (1, Recolour("red", 0.5))
    assert parse_effect("objects:cut-out") == ("objects", CutOut())
    assert parse_effect("3:outline=width=4") == (3, Outline(width=4))


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("blur", "expected TARGET:EFFECT"),
        ("1:blur=", "expected TARGET:EFFECT"),
        ("1:glow", "unknown effect 'glow'; accepted: spotlight, blur"),
        ("cat:blur", "a target is an object's id, objects or background, got 'cat'"),
        ("-1:blur", "a target is"),
        ("1:blur=wide", "radius is a number, got 'wide'"),
        ("1:blur=nan", "radius must be above 0"),
        ("1:blur=0", "radius must be above 0"),
        ("1:pixelate=2.5", "size is a whole number"),
        ("1:blur=3,4", "'4' has no key; accepted: radius"),
        ("1:blur=3,radius=4", "radius is given twice"),
        ("1:blur=sigma=4", "unknown option 'sigma'; accepted: radius"),
        ("1:cutout=3", "'3' has no key; accepted: none"),
        ("1:outline=reddish", "a colour is a name such as red, or #rrggbb, got 'reddish'"),
        ("1:fill=#ff000080", "a colour is a name such as red, or #rrggbb, got '#ff000080'"),
        ("1:duplicate=3,behind=maybe", "behind is yes or no"),
        ("1:spotlight=2", r"strength must be in \[0, 1\]"),
        ("1:trail=0", "length must be at least 1"),
        ("background:erase", "erase is done to objects, not to the background"),
    ],
)
def test_what_cannot_be_read_as_an_effect(text: str, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        parse_effect(text)


def test_wrong_frames_masks_and_effects_are_named() -> None:
    with pytest.raises(TypeError, match="a frame is uint8, got float64"):
        Blur()(FRAME / 2, DISC)
    with pytest.raises(TypeError, match="a mask is bool"):
        Blur()(FRAME, DISC.astype(np.uint8))
    with pytest.raises(ValueError, match="masks have the frame's size"):
        Blur()(FRAME, DISC[1:])
    with pytest.raises(ValueError, match="no effect given"):
        Edit(CLIP, lambda index: {}, [])
    with pytest.raises(TypeError, match="effects are a list, got the text"):
        Edit(CLIP, lambda index: {}, "1:blur")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="trail looks at other frames"):
        Edit(iter(CLIP), lambda index: {}, ["1:trail"])
    with pytest.raises(TypeError, match="an effect is one of"):
        Edit(CLIP, lambda index: {}, [(1, "blur")])  # type: ignore[list-item]
    for wrong in ((1, Fill(), 3), (1,), 7, Fill()):
        with pytest.raises(TypeError, match=r"or a pair \(target, effect\), got"):
            Edit(CLIP, lambda index: {}, [wrong])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="a target is an object's id"):
        Edit(CLIP, lambda index: {}, [(1.5, Fill())])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("kind", "option", "value"),
    [
        (Pixelate, "size", 2.5),
        (Pixelate, "size", "9"),
        (Duplicate, "x", 2.5),
        (Duplicate, "y", [1]),
        (Outline, "width", 1.5),
        (Erase, "grow", True),
        (Erase, "grow", 1.5),
        (Trail, "length", 1.5),
        (Trail, "step", 1.5),
    ],
)
def test_whole_numbers_are_whole(kind: type, option: str, value: object) -> None:
    with pytest.raises(TypeError, match=f"{option} must be a whole number, got"):
        kind(**{option: value})


def test_effects_of_ones_own_and_numbers_of_numpy() -> None:
    class Mine(Fill):
        pass

    class Other(Effect):
        takes_background = False

    mixed = [(np.int64(1), Mine("red")), (2, Pixelate(np.int64(4)))]
    found = Edit(CLIP, lambda index: MASKS[index], mixed)  # type: ignore[arg-type]
    assert [(applied.target, applied.name) for applied in found.effects] == [(1, "fill"), (2, "pixelate")]
    assert type(found.effects[0].target) is int and (found[T][DISC] == (255, 0, 0)).all()
    with pytest.raises(ValueError, match="Other is done to objects, not to the background"):
        Edit(CLIP, lambda index: {}, [("background", Other())])


def test_the_package_has_the_effects_at_hand() -> None:
    assert sam2v.effects.Blur is Blur
