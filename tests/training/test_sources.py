"""Sources of a recipe: their records, their changes, and what they lend each other."""

from __future__ import annotations

from pathlib import Path

import data.made_trees as made
import pytest
import torch
from training.small import small_recipe

from sam2v.data.edits import EditConfig
from sam2v.training.config import SourceConfig, StageConfig, load_train_config
from sam2v.training.data import open_pool, open_source
from sam2v.training.loop import train

CPU = torch.device("cpu")


@pytest.fixture
def sources(tmp_path: Path) -> list[SourceConfig]:
    """A data set of videos and one of photographs, both changed in every way; both lend."""
    videos, photographs = made.write_split(tmp_path / "v", "train", list(range(8))), made.write_sa1b(tmp_path / "p")
    return [
        SourceConfig(
            kind="mose", root=str(videos), split="train", strides=[1, 2], lend=True, per_clip={"degrees": 5.0},
            edits=EditConfig(camera=0.5, paste=1.0, blur=0.5, light=0.5),
        ),
        SourceConfig(
            kind="sa1b", root=str(photographs), without=["*2"], lend=True,
            edits=EditConfig(animate=1.0, paste=0.5, union=0.5),
        ),
    ]  # fmt: skip


def test_a_run_learns_from_edited_clips(tmp_path: Path, sources: list[SourceConfig]) -> None:
    stages = [StageConfig(steps=4, image_size=64, frames=4, lead=1, batch=2, objects=2)]
    result = train(small_recipe(tmp_path / "run", sources=sources, stages=stages), progress=False)
    assert result.steps == 4


def test_photographs_become_clips_of_the_stage_s_length(tmp_path: Path, sources: list[SourceConfig]) -> None:
    stage, pool = StageConfig(image_size=64, frames=5, objects=2), open_pool(sources)
    data = open_source(sources[1], stage, 1, CPU, pool)
    assert len(data) == 1 and data[0].num_frames == 5  # type: ignore[index]
    single = open_source(SourceConfig(kind="sa1b", root=sources[1].root, images=True), stage, 1, CPU)
    assert single[0].num_frames == 1  # type: ignore[index]


def test_who_lends_nothing_gets_nothing_pasted(sources: list[SourceConfig]) -> None:
    stage = StageConfig(image_size=64, frames=3)
    for source in sources:
        source.lend = False
    assert open_pool(sources) is None
    with pytest.raises(ValueError, match="data sets to take objects from"):
        open_source(sources[0], stage, 1, CPU, open_pool(sources))


def test_changes_that_do_not_exist_are_named(sources: list[SourceConfig]) -> None:
    sources[0].per_clip = {"degree": 5.0}
    with pytest.raises(ValueError, match=r"per_clip=\{'degree': 5\.0\}.*degree"):
        open_source(sources[0], StageConfig(image_size=64, frames=3), 1, CPU, open_pool(sources))
    sources[0].augment = False
    assert open_source(sources[0], StageConfig(image_size=64, frames=3), 1, CPU, open_pool(sources))


def test_recipes_hold_edits(tmp_path: Path) -> None:
    config = load_train_config("nano_real", ["sources.0.edits.paste=0.25"])
    assert config.sources[0].edits.paste == 0.25 and config.sources[0].edits.active
    with pytest.raises(ValueError, match=r"edits\.paste=7"):
        load_train_config("nano_real", ["sources.0.edits.paste=7"])


def test_photographs_of_the_real_recipe_are_named_once() -> None:
    config = load_train_config("nano_real", ["sources.0.root=V", "sources.1.root=P", "sources.2.root=Q"])
    assert [source.root for source in config.sources] == ["V", "P", "Q", "P", "Q", None]
    moved = load_train_config("nano_real", ["sources.1.root=P", "sources.3.root=R"])
    assert [source.root for source in moved.sources] == [None, "P", None, "R", None, None]
