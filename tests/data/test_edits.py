"""Edits of clips: whatever is moved, pasted or blurred, masks are exactly what can be seen."""

from __future__ import annotations

import data.made_trees as made
import numpy as np
import pytest
import torch

import sam2v.data as sd
from sam2v.data.clips import Clip
from sam2v.data.edits import ClipEdits, EditConfig, SpritePool, cut_sprite
from sam2v.data.edits.animate import animate
from sam2v.data.edits.blur import blur, streaked
from sam2v.data.edits.camera import move_camera
from sam2v.data.edits.fill import fill_holes, grow
from sam2v.data.edits.light import relight
from sam2v.data.edits.objects import add_union, keep_some
from sam2v.data.edits.paste import paste
from sam2v.data.edits.view import aspect_of, draw_camera, middle_of, share_at_border

RED, GREEN, BLUE = (torch.tensor(colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255)))


def discs(frames: int = 6, speed: float = 2.0, places: tuple[tuple[int, int], ...] = ((30, 32),)) -> Clip:
    """Red discs of radius 11 on green, 64 x 96 pixels; they move right by `speed` pixels a frame."""
    y, x = np.mgrid[:64, :96]
    masks = np.stack(
        [
            np.stack([(x - left - speed * t) ** 2 + (y - top) ** 2 < 11**2 for left, top in places])
            for t in range(frames)
        ]
    )
    owned = torch.from_numpy(masks)
    red = owned.any(1)[:, None]
    pictures = torch.where(red, RED.view(3, 1, 1), GREEN.view(3, 1, 1)).to(torch.uint8)
    return Clip(pictures, owned, "discs")


class BluePool(SpritePool):
    """Lends a blue square that stands still."""

    def __init__(self) -> None:
        frames = BLUE.view(1, 3, 1, 1).expand(1, 3, 40, 40).to(torch.uint8)
        mask = torch.zeros(1, 40, 40, dtype=torch.bool)
        mask[:, 8:32, 8:32] = True
        self.sprite = cut_sprite(frames, mask)

    def draw(self, rng, frames):
        return self.sprite


def agreement(clip: Clip, colour: torch.Tensor, masks: torch.Tensor) -> float:
    """IoU over all frames of pixels nearest to a colour, among the three, and T x H x W masks."""
    away = torch.stack([(clip.frames.float() - c.view(3, 1, 1)).square().sum(1) for c in (colour, RED, GREEN, BLUE)])
    nearest = away[0] <= away[1:].amin(0)
    return float((nearest & masks).sum() / (nearest | masks).sum().clamp_min(1))


def rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_holes_are_filled_from_around_them():
    ramp = torch.linspace(0, 1, 64).expand(3, 48, 64).contiguous()
    hole = torch.zeros(48, 64, dtype=torch.bool)
    hole[16:32, 24:40] = True
    filled = fill_holes(ramp * ~hole + 9.0 * hole, hole)
    assert torch.equal(filled[:, ~hole], ramp[:, ~hole])
    assert (filled - ramp)[:, hole].abs().max() < 0.15
    assert (fill_holes(ramp, torch.ones_like(hole)) == 0.5).all()
    assert grow(hole, 2).sum() == 20 * 20 and torch.equal(grow(hole, 0), hole)


def test_cut_outs_follow_the_object_and_hold_all_of_it():
    clip = discs()
    masks = clip.masks[:, 0].clone()
    masks[3] = False
    sprite = cut_sprite(clip.frames, masks)
    alpha = sprite.frames[:, 3].float() / 255
    window = 2 * sprite.size * 32  # pixels of the original
    area = alpha.mean(dim=(1, 2)) * window**2
    torch.testing.assert_close(area, masks.flatten(1).sum(1).float(), rtol=0.03, atol=0)
    assert alpha[3].max() == 0
    middle = (alpha[0].sum(0) * torch.arange(alpha.shape[2])).sum() / alpha[0].sum()
    assert abs(float(middle) - alpha.shape[2] / 2) < 2
    assert cut_sprite(clip.frames, torch.zeros_like(masks)) is None


@pytest.mark.parametrize("behind", [0.0, 1.0])
def test_pasted_objects_hide_and_are_hidden_exactly(behind):
    config = EditConfig(paste=1, pasted=1, again=0, behind=behind, leaving=0)
    met = 0
    for seed in range(16):
        before = discs(speed=6)
        clip = paste(before, config, BluePool(), rng(seed))
        if clip.num_objects == 1:
            continue
        own, other = clip.masks[:, 0], clip.masks[:, 1]
        assert not (own & other).any()
        hidden = int((before.masks[:, 0] & ~own).sum())
        assert behind == 0 or hidden == 0
        met += hidden > 0
        changed = ((clip.frames.int() - before.frames.int()).abs() > 60).any(1)
        if other.sum() > 2000:
            assert (changed & other).sum() / (changed | other).sum() > 0.85
        assert (changed & own).sum() <= 0.15 * own.sum()  # soft outlines
    assert behind == 1 or met > 2


def test_a_look_alike_is_the_clip_s_own_object_elsewhere():
    config = EditConfig(paste=1, pasted=1, again=1, behind=0, leaving=0)
    copies = [paste(discs(), config, BluePool(), rng(seed)) for seed in range(20)]
    copies = [clip for clip in copies if clip.num_objects == 2 and clip.masks[:, 1].sum() > 800]
    assert len(copies) > 5
    assert all(agreement(clip, RED, clip.masks.any(1)) > 0.8 for clip in copies)


def test_pasted_objects_leave_and_return():
    config = EditConfig(paste=1, pasted=1, again=0, behind=0, leaving=1)
    gone = 0
    for seed in range(16):
        clip = paste(discs(frames=12, speed=0), config, BluePool(), rng(seed))
        visible = clip.visible[:, -1].tolist()
        gone += visible[0] and visible[-1] and not all(visible)
    assert gone >= 2


def test_animated_photographs_keep_masks_on_their_objects():
    still = discs(frames=8, speed=0, places=((30, 20), (62, 44)))
    moved = 0.0
    for seed in range(8):
        clip = animate(still, EditConfig(animate=1, parallax=1, motion=2), rng(seed))
        assert clip.masks[0].any() and clip.num_frames == 8 and clip.num_objects == 2
        assert not (clip.masks[:, 0] & clip.masks[:, 1]).any()
        assert agreement(clip, RED, clip.masks.any(1)) > 0.85
        first, last = (middle_of(clip.masks[t, 0], aspect_of(clip.size)) for t in (0, -1))
        moved = max(moved, float(np.abs(first - last).max()))
    assert moved > 0.2


def test_animation_starts_from_the_photograph():
    still = discs(frames=3, speed=0, places=((30, 20), (62, 44)))
    clip = animate(still, EditConfig(animate=1, parallax=1, motion=0, zoom=1), rng(2))
    both = (clip.masks[0] & still.masks[0]).sum() / (clip.masks[0] | still.masks[0]).sum()
    assert both > 0.75  # it may be turned, and deformed, a little


def test_without_parallax_the_camera_alone_moves():
    still = discs(frames=4, speed=0, places=((30, 20), (62, 44)))
    clip = animate(still, EditConfig(animate=1, parallax=0), rng(3))
    assert agreement(clip, RED, clip.masks.any(1)) > 0.85
    assert not torch.equal(clip.frames[0], clip.frames[-1])


def test_what_is_mirrored_beyond_a_photograph_s_border_belongs_to_its_object():
    mask = torch.zeros(1, 1, 60, 80, dtype=torch.bool)
    mask[..., 15:50, :25] = True  # reaches the border
    pictures = torch.where(mask[0], RED.view(3, 1, 1), GREEN.view(3, 1, 1)).to(torch.uint8)
    still = Clip(pictures.expand(12, -1, -1, -1).clone(), mask.expand(12, -1, -1, -1).clone(), "border")
    shown = [animate(still, EditConfig(animate=1, parallax=0), rng(seed)) for seed in range(12)]
    assert min(agreement(clip, RED, clip.masks[:, 0]) for clip in shown) > 0.95


def test_videos_keep_their_own_motion():
    edits = ClipEdits(EditConfig(animate=1), 2)
    assert torch.equal(edits(discs(), rng(0)).frames, discs().frames)
    still = discs(speed=0)
    assert not torch.equal(edits(still, rng(0)).frames, still.frames)


def test_cameras_stay_inside_the_picture_and_show_their_target():
    aspect = aspect_of((64, 96))
    assert aspect.tolist() == [1.5, 1.0]
    for seed in range(40):
        target = np.array([1.2, -0.8])
        path = draw_camera(rng(seed), 12, aspect, 1.6, 2.0, target)
        seen = aspect.numpy() * np.exp(-path[:, 2:3])
        assert (np.abs(path[:, :2]) + seen <= np.maximum(aspect.numpy(), seen) + 1e-6).all()
        assert (np.abs(target - path[0, :2]) <= seen[0] + 0.05).all()


def test_a_moved_camera_keeps_masks_on_their_objects():
    for seed in range(6):
        clip = move_camera(discs(), EditConfig(camera=1), rng(seed))
        assert clip.masks[0].any() and agreement(clip, RED, clip.masks[:, 0]) > 0.85
    gone = Clip(discs().frames, torch.zeros_like(discs().masks), "gone")
    assert move_camera(gone, EditConfig(camera=1), rng(0)) is gone


def test_streaks_run_along_the_motion_and_keep_the_light():
    frames = torch.zeros(2, 3, 32, 32)
    frames[:, :, 16, 16] = 90
    out = streaked(frames, np.array([[8.0, 0.0], [0.0, 0.0]]))
    assert torch.equal(out[1], frames[1])
    assert out[0].sum() == pytest.approx(float(frames[0].sum()))
    lit = out[0, 0].nonzero()
    assert set(lit[:, 0].tolist()) == {16} and len(lit) == 9


def test_blur_softens_pictures_and_leaves_masks():
    clip = discs(speed=5)
    blurred = [blur(clip, rng(seed)) for seed in range(16)]
    assert all(torch.equal(item.masks, clip.masks) for item in blurred)
    softer = [int(((item.frames[:, 0] > 8) & (item.frames[:, 0] < 247)).sum()) for item in blurred]
    assert sum(count > 200 for count in softer) > 8


@pytest.mark.parametrize("place", [(48, 32), (4, 60), (76, 4)])
def test_an_object_s_blur_costs_what_is_around_it_and_is_the_whole_frame_s(place, monkeypatch):
    clip = discs(frames=3, speed=4, places=(place,))
    noise = torch.randint(0, 256, clip.frames.shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    clip = Clip(noise, clip.masks, "")
    rows, columns = (index.unique() for index in clip.masks.any(dim=(0, 1)).nonzero(as_tuple=True))
    far = torch.ones(64, 96, dtype=torch.bool)
    far[max(0, int(rows[0]) - 5) : int(rows[-1]) + 6, max(0, int(columns[0]) - 5) : int(columns[-1]) + 6] = False
    seeds = [seed for seed in range(24) if rng(seed).choice(3, p=[0.4, 0.4, 0.2]) == 1][:3]
    blurred = [blur(clip, rng(seed)).frames for seed in seeds]
    monkeypatch.setattr("sam2v.data.edits.blur.around", lambda mask, margin: (slice(0, 64), slice(0, 96)))
    for seed, frames in zip(seeds, blurred, strict=True):
        changed = (frames != clip.frames).any(dim=1)
        assert changed.any() and not (changed & far).any()
        assert torch.equal(frames, blur(clip, rng(seed)).frames)


def test_light_changes_colours_alone():
    clip = discs()
    lit = relight(clip, rng(1))
    assert torch.equal(lit.masks, clip.masks) and not torch.equal(lit.frames, clip.frames)
    assert (lit.frames[:, 2] == 0).all()
    greens = np.array([[float(frame[1].max()) for frame in relight(clip, rng(seed)).frames] for seed in range(12)])
    assert greens.mean(axis=1).std() > 15 and (greens.std(axis=1) > 0).sum() > 6


def test_objects_that_touch_count_as_one_beside_their_parts():
    near, apart = discs(places=((30, 32), (51, 32))), discs(places=((20, 32), (70, 32)))
    clip = add_union(near, rng(0))
    assert clip.num_objects == 3 and torch.equal(clip.masks[:, 0], near.masks.any(1))
    assert add_union(near, rng(0), parts=False).num_objects == 1
    assert add_union(apart, rng(0)) is apart


def test_a_few_visible_objects_are_kept():
    clip = discs(places=((20, 32), (45, 32), (70, 32)))
    hidden = clip.masks.clone()
    hidden[0, 1] = False
    clip = Clip(clip.frames, hidden, "hidden")
    kept = [keep_some(clip, 2, rng(seed)) for seed in range(10)]
    assert all(item.num_objects == 2 and item.visible[0].all() for item in kept)
    assert len({tuple(item.masks[0].flatten(1).int().argmax(1).tolist()) for item in kept}) == 2
    own = [keep_some(clip, 1, rng(seed), first=1) for seed in range(60)]
    assert 40 < sum(torch.equal(item.masks[:, 0], clip.masks[:, 0]) for item in own) < 60
    gone = Clip(clip.frames, torch.zeros_like(hidden), "gone")
    assert keep_some(gone, 1, rng(0)) is gone


def test_masks_cut_off_by_the_border_are_told_apart():
    mask = torch.zeros(20, 30, dtype=torch.bool)
    assert share_at_border(mask) == 0
    mask[10:, 5:15] = True
    assert share_at_border(mask) == pytest.approx(10 / 40)


def test_edits_are_a_function_of_seed_pass_and_index(tmp_path):
    records = sd.mose(made.write_split(tmp_path / "mose", "train", list(range(8))), "train")
    config = EditConfig(camera=0.5, paste=1, pasted=2, blur=0.5, light=0.5, union=0.5)

    def data() -> sd.ClipDataset:
        edits = ClipEdits(config, 2, SpritePool([records]))
        return sd.ClipDataset(records, sd.FrameSampler(4), sd.ObjectSampler(4), sd.ClipTransforms(32), 3, edits)

    one, two = data(), data()
    for number in range(6):
        clip, again = one.clip(0, number), two.clip(0, number)
        assert torch.equal(clip.frames, again.frames) and torch.equal(clip.masks, again.masks)
        assert clip.num_objects <= 2 and clip.masks[0].any()
    assert not torch.equal(one.clip(0, 0).frames, one.clip(0, 1).frames)


def test_photographs_make_clips_of_several_frames(tmp_path):
    records = sd.sa1b(made.write_sa1b(tmp_path))
    edits = ClipEdits(EditConfig(animate=1, parallax=1, motion=3), 2)
    data = sd.ClipDataset(records, sd.FrameSampler(5), 2, None, 1, edits)
    clips = [data.clip(0, number) for number in range(4)]
    assert all(clip.num_frames == 5 for clip in clips)
    assert any(not torch.equal(clip.frames[0], clip.frames[-1]) for clip in clips)
    one = sd.ClipDataset(records, sd.FrameSampler(1), 2, None, 1, edits)[0]
    assert one.num_frames == 1


def test_impossible_settings_are_named():
    with pytest.raises(ValueError, match=r"edits\.blur=2"):
        EditConfig(blur=2)
    with pytest.raises(ValueError, match=r"zoom=0\.5"):
        EditConfig(zoom=0.5)
    with pytest.raises(ValueError, match="data sets to take objects from"):
        ClipEdits(EditConfig(paste=1), 1)
    with pytest.raises(ValueError, match="none of them empty"):
        SpritePool([])
    assert not EditConfig().active and EditConfig(light=0.1).active
