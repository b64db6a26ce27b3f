"""Records chosen by patterns of their names."""

import data.made_trees as made
import pytest

import sam2v.data as sd
from sam2v.data.selection import select_names, select_records

NAMES = ["bear", "mallard-fly", "mallard-water", "000017", "000021"]


def test_patterns_choose_and_leave_out_in_order():
    assert select_names(NAMES) == NAMES
    assert select_names(NAMES, ["mallard-*", "bear"]) == NAMES[:3]
    assert select_names(NAMES, [], ["*7", "bear"]) == ["mallard-fly", "mallard-water", "000021"]
    assert select_names(NAMES, ["0*"], ["*7"]) == ["000021"]


def test_patterns_that_fit_nothing_are_named():
    with pytest.raises(ValueError, match=r"'bearr' matches none of 5 names, which are like 'bear'"):
        select_names(NAMES, [], ["bearr"])
    with pytest.raises(ValueError, match="leaves none"):
        select_names(NAMES, ["bear"], ["b*"])


def test_records_keep_their_kind(tmp_path):
    records = sd.mose(made.write_split(tmp_path / "mose", "train", [0, 1]), "train")
    assert select_records(records, without=["aa"]).names == ("bb",)
    assert select_records(records) is records
