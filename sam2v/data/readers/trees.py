"""What a data set's folders must look like: the expected trees, and the errors that show them."""

from __future__ import annotations

from pathlib import Path

TREES = {
    "DAVIS": """\
root/
  ImageSets/2017/val.txt            names of the videos (or ImageSets/val.txt; without: every video)
  JPEGImages/480p/VIDEO/00000.jpg   or Full-Resolution for 480p
  Annotations/480p/VIDEO/00000.png  2016: 0 and 255; 2017: ids by palette""",
    "MOSE": """\
root/
  train/JPEGImages/VIDEO/00000.jpg
  train/Annotations/VIDEO/00000.png  ids by palette; valid: the first frame only
  valid/...""",
    "LVOS": """\
root/
  train/JPEGImages/VIDEO/00000001.jpg
  train/Annotations/VIDEO/00000001.png  ids by palette
  valid/...  test/...""",
    "YouTube-VOS": """\
root/
  valid/meta.json                           the objects and their frames (may be absent)
  valid/JPEGImages/VIDEO/00000.jpg          every fifth frame
  valid/Annotations/VIDEO/00000.png         ids by palette; valid: where an object appears first
  valid_all_frames/JPEGImages/VIDEO/00000.jpg  for all_frames=True (or all_frames/valid_all_frames/...)
  train/...""",
    "SA-V val or test": """\
root/
  sav_val/sav_val.txt                                names of the videos (without: every video)
  sav_val/JPEGImages_24fps/VIDEO/00000.jpg
  sav_val/Annotations_6fps/VIDEO/OBJECT/00000.png    one binary PNG per object, every fourth frame""",
    "SA-V train": """\
root/
  sav_000/ID.mp4            any depth of folders up to two (sav_train/sav_000/...), or none
  sav_000/ID_manual.json    masklets="manual" or "both"
  sav_000/ID_auto.json      masklets="auto" or "both\"""",
    "SA-1B": """\
root/
  sa_000000/sa_1.jpg    one level of folders, or none
  sa_000000/sa_1.json   image and annotations with COCO RLE""",
    "data engine's project": """\
root/
  project.json    and the database that it names; sam2v data-engine init makes both""",
    "folder pair": """\
root/
  images/VIDEO/frame.jpg         (or images/VIDEO.mp4; or images/frame.jpg for a single video)
  masks/VIDEO/frame.png          one label map or binary mask a frame, named after it (video file: 00000.png ...)
  masks/VIDEO/OBJECT/frame.png   or one folder of binary masks per object, OBJECT a number""",
}


def wrong_layout(tree: str, problem: str) -> FileNotFoundError:
    """The error for a folder that is not what a reader expects; its message ends with the expected tree."""
    return FileNotFoundError(f"{problem}\nexpected layout ({tree}):\n{TREES[tree]}")


def need_folder(path: Path, tree: str) -> Path:
    """The path itself. Raises FileNotFoundError, showing the tree, if it is no folder."""
    if not path.is_dir():
        raise wrong_layout(tree, f"{path}: no such folder")
    return path


def split_names(split: str) -> tuple[str, ...]:
    """The names under which a data set may know a split."""
    return {"val": ("val", "valid"), "valid": ("valid", "val")}.get(split, (split,))


def split_root(root: Path, split: str, tree: str, folder: str = "JPEGImages") -> Path:
    """`root/split` where that exists ("val" and "valid" mean the same), else root if it holds `folder` itself."""
    for name in split_names(split):
        if (root / name).is_dir():
            return root / name
    if (root / folder).is_dir():
        return root
    raise wrong_layout(tree, f"{root}: no folder {split!r} in it")


def subfolders(path: Path) -> list[str]:
    """Names of the folders in a folder, in order."""
    return sorted(entry.name for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))
