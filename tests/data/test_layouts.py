"""Folders that are not what a reader expects: errors that name the file and show the expected tree."""

import shutil

import data.made_trees as made
import numpy as np
import pytest

import sam2v.data as sd
from sam2v.masks.png import write_binary

WRONG = [
    ("davis2017", {}, "JPEGImages/480p/VIDEO"),
    ("davis2016", {}, "Annotations/480p/VIDEO"),
    ("mose", {}, "train/JPEGImages/VIDEO"),
    ("lvos", {"split": "test"}, "00000001.png"),
    ("youtube-vos", {}, "meta.json"),
    ("sav", {}, "Annotations_6fps/VIDEO/OBJECT/00000.png"),
    ("sav", {"split": "train"}, "ID_manual.json"),
    ("sa1b", {}, "sa_000000/sa_1.json"),
    ("folder", {}, "masks/VIDEO/frame.png"),
]


@pytest.mark.parametrize("kind, options, tree", WRONG)
def test_errors_show_the_expected_tree(tmp_path, kind, options, tree):
    (tmp_path / "something").mkdir()
    for root in (tmp_path, tmp_path / "absent"):
        with pytest.raises(FileNotFoundError) as caught:
            sd.open_dataset(kind, root, **options)
        assert str(tmp_path) in str(caught.value).splitlines()[0]
        assert "expected layout" in str(caught.value) and tree in str(caught.value)


def test_unknown_names():
    with pytest.raises(ValueError, match=r"no data set named 'davis'.*davis2016"):
        sd.open_dataset("davis", ".")
    with pytest.raises(TypeError, match=r"no option 'all_frames'.*split"):
        sd.open_dataset("mose", ".", all_frames=True)
    with pytest.raises(TypeError, match="no option 'split'"):
        sd.open_dataset("folder", ".", "val")
    with pytest.raises(ValueError, match="2016 or 2017"):
        sd.davis(".", 2018)
    with pytest.raises(ValueError, match="train, val or test"):
        sd.sav(".", "validation")
    with pytest.raises(ValueError, match="manual, auto or both"):
        sd.sav(".", "train", masklets="all")
    with pytest.raises(ValueError, match="ids, binary or auto"):
        sd.folder_pair(".", style="palette")


def test_listed_but_absent(tmp_path):
    made.write_davis(tmp_path / "davis", ["a", "b"], 2017)
    shutil.rmtree(tmp_path / "davis/Annotations/480p/b")
    with pytest.raises(FileNotFoundError, match=r"Annotations/480p/b: no such folder, but .*val.txt lists it"):
        sd.davis(tmp_path / "davis")
    made.write_split(tmp_path / "mose", "valid", [0])
    shutil.rmtree(tmp_path / "mose/valid/JPEGImages/aa")
    with pytest.raises(FileNotFoundError, match=r"JPEGImages/aa: no such folder"):
        sd.mose(tmp_path / "mose")
    made.write_sav_val(tmp_path / "sav")
    with (tmp_path / "sav/sav_val/sav_val.txt").open("a") as listing:
        listing.write("sav_8\n")
    with pytest.raises(FileNotFoundError, match=r"sav_8: no such folder, but .*sav_val.txt"):
        sd.sav(tmp_path / "sav")


def test_absent_video_file(tmp_path):
    made.write_sav_train(tmp_path)
    (tmp_path / "sav_train/sav_000/sav_000007.mp4").unlink()
    with pytest.raises(FileNotFoundError, match=r"sav_000007.mp4: no such video"):
        sd.sav(tmp_path, "train")
    record = sd.sav(tmp_path, "train", need_videos=False)[0]
    assert record.masks(0)[0].any()
    with pytest.raises(FileNotFoundError, match=r"sav_000007.mp4"):
        record.frame(0)


def test_absent_image(tmp_path):
    made.write_sa1b(tmp_path)
    (tmp_path / "sa_000000/sa_2.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"sa_2.jpg: no such image"):
        sd.sa1b(tmp_path)


def test_empty_folders(tmp_path):
    made.write_davis(tmp_path, ["a"], 2017)
    for path in (tmp_path / "Annotations/480p/a").iterdir():
        path.unlink()
    with pytest.raises(FileNotFoundError, match=r"Annotations/480p/a: no PNG"):
        sd.davis(tmp_path)[0]
    (tmp_path / "ImageSets/2017/val.txt").write_text("\n")
    with pytest.raises(FileNotFoundError, match="the data set is empty"):
        sd.davis(tmp_path)
    (tmp_path / "ImageSets/2017/val.txt").write_text("a\n")
    for path in (tmp_path / "JPEGImages/480p/a").iterdir():
        path.unlink()
    with pytest.raises(FileNotFoundError, match=r"JPEGImages/480p/a: no image"):
        sd.davis(tmp_path)[0]


def test_annotation_without_frame(tmp_path):
    made.write_davis(tmp_path, ["a"], 2017)
    (tmp_path / "JPEGImages/480p/a/00005.png").unlink()
    with pytest.raises(ValueError, match=r"a/00005.png: an annotation without a frame 00005"):
        sd.davis(tmp_path)[0]


def test_folders_of_objects(tmp_path):
    made.write_sav_val(tmp_path)
    masks = tmp_path / "sav_val/Annotations_6fps/sav_7"
    write_binary(masks / "1/00000.png", made.square(1, 0))
    with pytest.raises(ValueError, match="the same object as"):
        sd.sav(tmp_path)[0]
    shutil.rmtree(masks / "1")
    write_binary(masks / "cat/00000.png", made.square(1, 0))
    with pytest.raises(ValueError, match="cat: folders of objects are named by their number"):
        sd.sav(tmp_path)[0]


def test_masks_without_video(tmp_path):
    (tmp_path / "images/a").mkdir(parents=True)
    made.write_labels(tmp_path / "masks/b", [0])
    with pytest.raises(FileNotFoundError, match="masks/b: masks of a video that is not in"):
        sd.folder_pair(tmp_path)


def test_frames_without_annotation(tmp_path):
    made.write_split(tmp_path, "valid", [0])
    record = sd.mose(tmp_path)[0]
    with pytest.raises(ValueError, match="video aa: frame 3 carries no annotation, these do: 0"):
        record.masks(3)
    with pytest.raises(IndexError, match="frames 0 to 7, not 8"):
        record.frame(8)
    (record.source / "00002.png").write_bytes(b"")
    with pytest.raises((OSError, ValueError), match=r"00002.png"):
        record.frame(2)
    assert np.array_equal(record.frame(1), made.picture(1))
