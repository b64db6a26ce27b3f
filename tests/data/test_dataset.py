"""Clips drawn from records, and mixes of data sets."""

import data.made_trees as made
import pytest
import torch
from torch.utils.data import DataLoader

import sam2v.data as sd
from sam2v.masks.png import write_label_map

NOTHING = sd.Augment()


@pytest.fixture
def records(tmp_path):
    return sd.mose(made.write_split(tmp_path / "mose", "train", list(range(8))), "train")


def test_clips_are_the_files(records):
    clip = sd.ClipDataset(records, frames=sd.FrameSampler(3, (2, 2), reverse=0), objects=2)[1]
    assert clip.frames.shape == (3, 3, made.HEIGHT, made.WIDTH) and clip.name.startswith("bb@")
    first = int(clip.name.split("@")[1])
    visible = 2 if first >= made.LATER else 1
    assert clip.num_objects == visible
    for place, frame in enumerate(range(first, first + 6, 2)):
        assert torch.equal(clip.frames[place], torch.from_numpy(made.picture(frame)).permute(2, 0, 1))
        union = torch.from_numpy(made.square(1, frame) | (made.square(2, frame) if visible == 2 else False))
        assert torch.equal(clip.masks[place].any(0), union)


def test_clips_depend_on_seed_pass_and_index_alone(records):
    first = sd.ClipDataset(records, 3, transforms=sd.ClipTransforms(16), seed=1)
    again = sd.ClipDataset(records, 3, transforms=sd.ClipTransforms(16), seed=1)
    other = sd.ClipDataset(records, 3, transforms=sd.ClipTransforms(16), seed=2)
    assert torch.equal(first.clip(1, 5).frames, again.clip(1, 5).frames)
    assert torch.equal(first.clip(0).frames, first[0].frames)
    for clip in (first.clip(1, 6), first.clip(0, 5), other.clip(1, 5)):
        assert not torch.equal(first.clip(1, 5).frames, clip.frames)


def test_time_goes_both_ways(records):
    data = sd.ClipDataset(records, frames=3, objects=1)
    clips = [data.clip(0, number) for number in range(20)]
    forward = [int(clip.frames[-1, 2, 0, 0]) > int(clip.frames[0, 2, 0, 0]) for clip in clips]
    assert 3 < sum(forward) < 17


def test_images_are_clips_of_one_frame(tmp_path):
    data = sd.ClipDataset(sd.sa1b(made.write_sa1b(tmp_path)), frames=1, objects=5)
    clip = data[0]
    assert clip.num_frames == 1 and clip.num_objects == 2


def test_sparse_video_files(tmp_path):
    pytest.importorskip("av")
    records = sd.sav(made.write_sav_train(tmp_path), "train")
    clip = sd.ClipDataset(records, frames=sd.FrameSampler(2, reverse=0))[0]
    assert clip.num_frames == 2 and clip.visible[0].all()


def test_a_loader_with_workers_gives_the_same_batches(records, tmp_path):
    images = sd.ClipDataset(sd.sa1b(made.write_sa1b(tmp_path / "sa1b")), 1, transforms=sd.ClipTransforms(16))
    videos = sd.ClipDataset(records, 3, transforms=sd.ClipTransforms(16))
    mix = sd.ClipMix([videos, images])

    def batches(workers, start=0):
        order = sd.MixedBatches(mix.lengths, 6, [2, 4], seed=4, start=start)
        return list(DataLoader(mix, batch_sampler=order, collate_fn=sd.collate, num_workers=workers))

    plain, workers, rest = batches(0), batches(2), batches(0, start=4)
    assert {batch.frames.shape[:2] for batch in plain} == {(2, 3), (4, 1)}
    assert all(torch.equal(a.frames, b.frames) for a, b in zip(plain, workers, strict=True))
    assert all(torch.equal(a.masks, b.masks) for a, b in zip(plain[4:], rest, strict=True))


def test_a_mix_fetches_batches_at_once_where_it_can():
    class Source:
        asked = []

        def __len__(self):
            return 4

        def __getitem__(self, index):
            raise AssertionError("one by one")

        def __getitems__(self, indices):
            self.asked.append(list(indices))
            frames = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
            return [sd.Clip(frames, torch.ones(1, 1, 4, 4, dtype=torch.bool), str(index)) for index in indices]

    source = Source()
    clips = sd.ClipMix([source]).__getitems__([(0, 0, 3), (0, 1, 1)])
    assert [clip.name for clip in clips] == ["3", "1"] and source.asked == [[3, 1]]


def test_a_rare_object_is_found_however_long_the_video(tmp_path):
    made.write_frames(tmp_path / "images/aa", range(60))
    (tmp_path / "masks/aa").mkdir(parents=True)
    for frame in range(60):
        write_label_map(tmp_path / f"masks/aa/{frame:05d}.png", made.labels(0) * (frame == 41))
    data = sd.ClipDataset(sd.folder_pair(tmp_path, style="ids"), frames=sd.FrameSampler(3))
    clips = [data.clip(0, number) for number in range(12)]
    assert {clip.name for clip in clips} == {"aa@00041"} and all(clip.visible[0].all() for clip in clips)


def test_errors_name_the_video(records, tmp_path):
    with pytest.raises(ValueError, match="the data set is empty"):
        sd.ClipDataset([])
    with pytest.raises(ValueError, match="at least one source"):
        sd.ClipMix([])
    with pytest.raises(IndexError, match="clips 0 to 1"):
        sd.ClipDataset(records)[2]
    with pytest.raises(ValueError, match=r"video aa: no object of at least 2000 pixels on any.*Annotations/aa"):
        sd.ClipDataset(records, objects=sd.ObjectSampler(min_area=2000))[0]
    masks = tmp_path / "mose/train/Annotations/aa"
    for path in masks.iterdir():
        write_label_map(path, made.labels(0)[:-4])
    with pytest.raises(ValueError, match=r"Annotations/aa/0000\d.png: masks of 20 x 32 pixels"):
        sd.ClipDataset(records)[0]
