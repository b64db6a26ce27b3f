"""Every data set's reader on a small tree written by rule."""

import json
import pickle
import shutil

import data.made_trees as made
import numpy as np
import pytest
from data.made_trees import LATER, labels, picture, square
from PIL import Image

import sam2v.data as sd
from sam2v.data.readers.folder import write_pair
from sam2v.masks.png import write_binary, write_label_map


def check(record, annotated, objects=None):
    """All masks and frames of a record are those that were written; objects: record's id -> square's."""
    objects = objects or {1: 1, 2: 2}
    assert record.annotated == tuple(annotated)
    assert record.size == (made.HEIGHT, made.WIDTH)
    for index in record.annotated:
        frame = int(record.frame_names[index])
        expected = {obj: square(which, frame) for obj, which in objects.items()}
        masks = record.masks(index)
        assert set(masks) == {obj for obj, mask in expected.items() if mask.any()}
        asked = record.masks(index, list(objects))
        for obj, mask in expected.items():
            assert np.array_equal(asked[obj], mask)
        assert record.areas(index) == {obj: int(mask.sum()) for obj, mask in expected.items() if mask.any()}
    again = pickle.loads(pickle.dumps(record))
    assert again.first_frame == record.first_frame


def test_davis_2017(tmp_path):
    made.write_davis(tmp_path, ["b", "a"], 2017)
    records = sd.davis(tmp_path)
    assert records.names == ("b", "a") and len(records) == 2  # the list's order
    record = records["a"]
    check(record, range(8))
    assert (record.fps, record.layout, len(record), record.scored) == (24.0, "labels", 8, tuple(range(8)))
    assert record.first_frame == {1: 0}  # what the first annotation shows is what is tracked
    assert record.void(3).sum() == 3 and 255 not in record.areas(3)
    assert np.array_equal(record.frame(3), picture(3))


def test_davis_knows_its_split_by_both_names(tmp_path):
    made.write_davis(tmp_path, ["b", "a"], 2017)
    assert sd.davis(tmp_path, split="valid").names == sd.davis(tmp_path, split="val").names


def test_davis_2016(tmp_path):
    made.write_davis(tmp_path, ["a"], 2016)
    record = sd.open_dataset("davis2016", tmp_path)[0]
    check(record, range(8), {1: 1})
    assert record.layout == "binary" and record.void(0) is None  # 255 is the object here
    assert record.first_frame == {1: 0}


def test_davis_without_lists_and_with_pairs(tmp_path):
    made.write_davis(tmp_path, ["a", "b"], 2016)
    listing = tmp_path / "ImageSets/2016/val.txt"
    pairs = [f"/JPEGImages/480p/b/{i:05d}.jpg /Annotations/480p/b/{i:05d}.png" for i in range(8)]
    listing.write_text("\n".join(pairs))
    assert sd.davis(tmp_path, 2016).names == ("b",)
    assert sd.davis(tmp_path, 2016, split=None).names == ("a", "b")
    listing.unlink()
    with pytest.raises(FileNotFoundError, match="no list of the split 'val'"):
        sd.davis(tmp_path, 2016)


def test_mose(tmp_path):
    made.write_split(tmp_path, "train", list(range(8)))
    made.write_split(tmp_path, "valid", [0])
    train = sd.mose(tmp_path, "train")["bb"]
    check(train, range(8))
    assert train.first_frame == {1: 0, 2: LATER}
    valid = sd.open_dataset("mose", tmp_path)[0]
    check(valid, [0])
    assert valid.first_frame == {1: 0} and len(valid) == 8
    assert sd.mose(tmp_path / "valid", "val").names == ("aa", "bb")  # the split's own folder will do


def test_lvos(tmp_path):
    made.write_split(tmp_path, "valid", list(range(0, 8, 2)), digits=8)
    record = sd.lvos(tmp_path, videos=["bb"])[0]
    check(record, range(0, 8, 2))
    assert record.frame_names[1] == "00000001" and record.fps == 6.0
    assert record.first_frame == {1: 0, 2: LATER}


def test_youtube_sparse(tmp_path):
    made.write_youtube(tmp_path)
    record = sd.youtube_vos(tmp_path)["v"]
    check(record, [0, 2])
    assert record.frame_names == ("00000", "00002", "00004", "00006", "00008")
    assert record.first_frame == {1: 0, 2: 2} and record.fps == 6.0
    assert record.scored == (0, 1, 2, 3, 4) and record.categories == {1: "cat", 2: "ball"}


def test_youtube_all_frames(tmp_path):
    made.write_youtube(tmp_path)
    for with_meta in (True, False):  # without it the annotations and the sparse folder tell the same
        record = sd.open_dataset("youtube-vos", tmp_path, all_frames=True)[0]
        check(record, [0, 4])
        assert (len(record), record.fps) == (10, 30.0)
        assert record.first_frame == {1: 0, 2: 4} and record.scored == (0, 2, 4, 6, 8)
        if with_meta:
            (tmp_path / "valid/meta.json").unlink()


def test_youtube_object_listed_before_its_annotation(tmp_path):
    path = made.write_youtube(tmp_path) / "valid/meta.json"
    path.write_text(path.read_text().replace('"frames": ["00004"', '"frames": ["00002", "00004"'))
    assert sd.youtube_vos(tmp_path)[0].first_frame == {1: 0, 2: 2}


def test_youtube_object_listed_where_another_is_annotated(tmp_path):
    path = made.write_youtube(tmp_path) / "valid/meta.json"
    path.write_text(path.read_text().replace('"frames": ["00004"', '"frames": ["00002", "00004"'))
    write_label_map(tmp_path / "valid/Annotations/v/00002.png", labels(2))
    assert 2 not in sd.youtube_vos(tmp_path)[0].masks(1)
    assert sd.youtube_vos(tmp_path)[0].first_frame == {1: 0, 2: 2}


@pytest.mark.parametrize(
    "objects", [5, [1], {"one": {}}, {"1": 5}, {"1": {"frames": 5}}, {"1": {"frames": [[]]}}], ids=repr
)
def test_youtube_objects_that_are_none(tmp_path, objects):
    made.write_youtube(tmp_path)
    (tmp_path / "valid/meta.json").write_text(json.dumps({"videos": {"v": {"objects": objects}}}))
    with pytest.raises(ValueError, match=r"meta\.json: the objects of 'v'"):
        sd.youtube_vos(tmp_path)[0]


def test_a_list_of_videos_stays_in_the_data_set(tmp_path):
    made.write_davis(tmp_path, ["a", "b"], 2017)
    for name in ("../480p/a", str(tmp_path / "JPEGImages/480p/a"), "x/../b"):
        (tmp_path / "ImageSets/2017/val.txt").write_text(f"b\n{name}\n")
        with pytest.raises(ValueError, match="is not the name of a video"):
            sd.davis(tmp_path)


def test_what_two_videos_are_called_is_not_guessed(tmp_path):
    made.write_sa1b(tmp_path / "sa1b")
    shutil.copytree(tmp_path / "sa1b/sa_000000", tmp_path / "sa1b/copy")
    with pytest.raises(ValueError, match=r"sa_1\.json and .*told apart by their names"):
        sd.sa1b(tmp_path / "sa1b")
    made.write_sav_train(tmp_path / "sav")
    shutil.copytree(tmp_path / "sav/sav_train/sav_000", tmp_path / "sav/copy")
    with pytest.raises(ValueError, match=r"sav_000007_manual\.json and .*told apart by their names"):
        sd.sav(tmp_path / "sav", "train")
    made.write_frames(tmp_path / "pair/images/x", range(2))
    made.write_labels(tmp_path / "pair/masks/x", [0])
    assert len(sd.folder_pair(tmp_path / "pair")[0]) == 2
    (tmp_path / "pair/images/x.mp4").write_bytes(b"")
    with pytest.raises(ValueError, match="which of them has the masks"):
        sd.folder_pair(tmp_path / "pair")


def test_what_two_frames_are_called_is_not_guessed(tmp_path):
    made.write_frames(tmp_path / "images/x", range(2))
    made.write_labels(tmp_path / "masks/x", [0])
    Image.fromarray(picture(0)).save(tmp_path / "images/x/00000.jpg")
    with pytest.raises(ValueError, match="two frames are called 00000"):
        sd.folder_pair(tmp_path)[0]
    (tmp_path / "images/x/00000.jpg").unlink()
    shutil.copy(tmp_path / "masks/x/00000.png", tmp_path / "masks/x/00000.PNG")
    with pytest.raises(ValueError, match=r"00000\.png: both are of frame 00000|00000\.PNG: both are"):
        sd.folder_pair(tmp_path)[0]


def test_sav_val(tmp_path):
    made.write_sav_val(tmp_path)
    for root in (tmp_path, tmp_path / "sav_val"):
        record = sd.sav(root)[0]
        check(record, [0, 4, 8], {0: 1, 1: 2})
        assert (record.name, record.layout, record.fps) == ("sav_7", "objects", 24.0)
        assert record.first_frame == {0: 0, 1: LATER} and record.scored == (0, 4, 8)
        assert [record.object_name(obj) for obj in record.first_frame] == ["000", "001"]


@pytest.mark.parametrize("folder", ["", "sav_000", "sav_train/sav_000"])
def test_sav_train(tmp_path, folder):
    made.write_sav_train(tmp_path / "root", folder)
    record = sd.sav(tmp_path / "root", "train")["sav_000007"]
    check(record, [0, 4, 8], {0: 1, 1: 2})
    assert (len(record), record.fps, record.first_frame) == (9, 24.0, {0: 0, 1: LATER})
    auto = sd.sav(tmp_path / "root", "train", masklets="auto")[0]
    check(auto, [0, 4, 8], {0: 2, 1: 1})
    both = sd.sav(tmp_path / "root", "train", masklets="both")[0]
    check(both, [0, 4, 8], {0: 1, 1: 2, 2: 2, 3: 1})
    areas = {obj: [a[obj] for i in both.annotated if obj in (a := both.areas(i))] for obj in range(4)}
    assert {obj: np.mean(area) for obj, area in areas.items()} == both.annotations.mean_areas


def test_sav_train_reads_its_video(tmp_path):
    pytest.importorskip("av")
    made.write_sav_train(tmp_path)
    record = sd.sav(tmp_path, "train")[0]
    for index in (8, 0, 4):
        frame = record.frame(index)
        assert frame.shape == (made.HEIGHT, made.WIDTH, 3)
        assert frame[square(1, index)][:, 0].mean() > 150 > frame[~square(1, index)][:, 0].mean() + 100
    assert pickle.loads(pickle.dumps(record)).frame(4).shape == frame.shape


def test_a_video_that_is_shorter_than_its_annotation(tmp_path):
    pytest.importorskip("av")
    folder = made.write_sav_train(tmp_path) / "sav_train/sav_000"
    document = made.sav_document("manual", frames=17)
    del document["masklet_size_abs"]
    (folder / "sav_000007_manual.json").write_text(json.dumps(document))
    record = sd.sav(tmp_path, "train")[0]
    with pytest.raises(ValueError, match=r"sav_000007\.mp4: has no frame 12, though it should have 17"):
        record.frame(12)
    with pytest.raises(ValueError, match=r"manual\.json: masklet_size_abs"):
        record.annotations.mean_areas  # noqa: B018


def test_sa1b(tmp_path):
    made.write_sa1b(tmp_path)
    records = sd.sa1b(tmp_path)
    assert records.names == ("sa_1", "sa_2")
    record = records["sa_2"]
    assert record.size == (made.HEIGHT, made.WIDTH)
    masks = record.masks()
    assert set(masks) == {501, 502} and np.array_equal(masks[501], square(1, LATER + 2))
    assert record.masks([502]).keys() == {502} and record.areas()[502] == square(2, LATER + 2).sum()
    assert np.abs(record.image().astype(int) - picture(LATER + 2)).mean() < 20
    assert record.as_video().annotated == (0,)
    assert sd.open_dataset("sa1b", tmp_path / "sa_000000").names == records.names
    assert sd.sa1b(tmp_path, folders=["sa_000000"]).names == records.names


def test_a_clip_that_is_written_as_a_folder_pair_is_read(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (2, 12, 16, 3), np.uint8)
    masks = np.zeros((2, 3, 12, 16), bool)
    masks[:, 0, 2:6, 2:6] = masks[1, 2, 4:9, 4:9] = True
    write_pair(tmp_path, "clip", frames, masks)
    write_pair(tmp_path, "empty", frames, masks[:, :0])
    record = sd.folder_pair(tmp_path, videos=["clip"])[0]
    assert record.annotated == (0, 1) and record.frame_names == ("00000", "00001")
    covered = masks[1, 0] & ~masks[1, 2]  # the last one has what both cover
    for index, expected in enumerate(({1: masks[0, 0]}, {1: covered, 3: masks[1, 2]})):
        found = record.masks(index)
        assert set(found) == set(expected)
        assert all(np.array_equal(found[obj], mask) for obj, mask in expected.items())
    assert sd.folder_pair(tmp_path, videos=["empty"])[0].masks(1) == {}


def test_folder_pair(tmp_path):
    made.write_frames(tmp_path / "images/x", range(6))
    made.write_labels(tmp_path / "masks/x", [1, 5])
    record = sd.folder_pair(tmp_path, fps=10)[0]
    check(record, [1, 5])
    assert record.fps == 10 and record.first_frame == {1: 1, 2: 5}
    assert sd.folder_pair(tmp_path, "images/x", "masks/x")[0].annotated == (1, 5)  # a single video


def test_folder_pair_of_objects_and_binary_masks(tmp_path):
    for name in ("objects", "binary"):
        made.write_frames(tmp_path / "images" / name, range(6))
    for frame in range(6):
        write_binary(tmp_path / f"masks/objects/1/{frame:05d}.png", square(1, frame))
        write_binary(tmp_path / f"masks/objects/02/{frame:05d}.png", square(2, frame))
        write_binary(tmp_path / f"masks/binary/{frame:05d}.png", square(2, frame))  # empty until LATER
    records = sd.open_dataset("folder", tmp_path)
    check(records["objects"], range(6))
    assert records["objects"].layout == "objects" and records["objects"].object_name(2) == "02"
    check(records["binary"], range(6), {1: 2})
    assert records["binary"].layout == "binary"
    forced = sd.folder_pair(tmp_path, style="ids")["binary"]
    assert forced.areas(5) == {} and forced.void(5).sum() == square(2, 5).sum()


def test_folder_pair_of_video_files(tmp_path):
    pytest.importorskip("av")
    (tmp_path / "images").mkdir()
    made.write_video(tmp_path / "images/clip.mp4", 6)
    made.write_labels(tmp_path / "masks/clip", [0, 5])
    record = sd.folder_pair(tmp_path)[0]
    check(record, [0, 5])
    assert len(record) == 6 and record.fps == 24.0


def test_records_are_a_sequence(tmp_path):
    records = sd.davis(made.write_davis(tmp_path, ["a", "b", "c"], 2016), 2016)
    assert [record.name for record in records[1:]] == ["b", "c"]
    assert records[-1].name == "c" and records.select(["c", "a"]).names == ("c", "a")
    with pytest.raises(IndexError):
        records[3]
    with pytest.raises(KeyError, match="nobody"):
        records["nobody"]
    with pytest.raises(ValueError, match=r"nobody.*a, b, c"):
        sd.davis(tmp_path, 2016, videos=["nobody"])
    assert sd.davis(tmp_path, 2016, videos="b").names == ("b",)
    assert pickle.loads(pickle.dumps(records))["b"].name == "b"


def test_opening_reads_one_picture_at_most(tmp_path, monkeypatch):
    made.write_davis(tmp_path, ["a"], 2017)
    opened = []
    plain = Image.open
    monkeypatch.setattr(Image, "open", lambda path, formats: opened.append(path) or plain(path, formats=formats))
    record = sd.davis(tmp_path)[0]
    assert record.annotated[-1] == 7 and not opened
    assert record.size == record.size == (made.HEIGHT, made.WIDTH) and len(opened) == 1


def test_sav_example(shared_dir):
    """Areas of the decoded masklets are those that the record itself states."""
    folder = shared_dir / "data" / "sav-example"
    for masklets, count in (("manual", 5), ("auto", 9), ("both", 14)):
        record = sd.sav(folder, "train", masklets=masklets, need_videos=False)[0]
        sizes = {obj: [] for obj in record.first_frame}
        for index in record.annotated:
            for obj, mask in record.masks(index).items():
                sizes[obj].append(mask.sum())
        stated = record.annotations.mean_areas
        assert len(sizes) == count and len(record.annotated) == 121
        assert {obj: np.mean(area) for obj, area in sizes.items()} == pytest.approx(stated, abs=1e-6)


def test_davis_dev(shared_dir):
    records = sd.open_dataset("davis2016", shared_dir / "data" / "davis-dev")
    assert len(records) == 8 and records["cows"].size == (480, 854)
    assert all(len(record) == len(record.annotated) >= 40 for record in records)
    assert set(records["cows"].masks(50)) == {1}


def test_json_is_checked(tmp_path):
    made.write_sav_train(tmp_path)
    path = tmp_path / "sav_train/sav_000/sav_000007_manual.json"
    document = made.sav_document("manual")
    document["masklet"][1][0]["counts"] = "00"
    path.write_text(json.dumps(document))
    with pytest.raises(ValueError, match=r"sav_000007_manual.json: masklet 0: runs"):
        sd.sav(tmp_path, "train")[0].masks(4)
    del document["masklet_id"]
    path.write_text(json.dumps(document))
    with pytest.raises(ValueError, match=r"sav_000007_manual.json.*lacks masklet_id"):
        sd.sav(tmp_path, "train")[0]
    path.write_text("{")
    with pytest.raises(ValueError, match=r"sav_000007_manual.json: not valid JSON"):
        sd.sav(tmp_path, "train")[0]


def test_masks_of_another_size(tmp_path):
    made.write_davis(tmp_path, ["a"], 2017)
    write_label_map(tmp_path / "Annotations/480p/a/00003.png", labels(3)[:-2])
    record = sd.davis(tmp_path)[0]
    with pytest.raises(ValueError, match=r"00003.png: masks of 22 x 32 pixels.*24 x 32"):
        record.masks(3)
