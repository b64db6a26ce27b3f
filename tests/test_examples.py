"""The notebooks in examples/ run from the first cell to the last, on shortened clips."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sam2v.weights.load import embedded_checkpoint

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
LARGEST_BYTES = 200_000
SECONDS_PER_CELL = 300


def test_there_are_notebooks() -> None:
    expected = {
        "images",
        "video_refinement",
        "live_stream",
        "many_objects",
        "reading_and_writing",
        "everything",
        "annotate",
    }
    assert expected <= {path.stem for path in NOTEBOOKS}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_is_kept_without_results(path: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    assert path.stat().st_size < LARGEST_BYTES
    for cell in book.cells:
        if cell.cell_type == "code":
            assert not cell.outputs and cell.execution_count is None, "clear the notebook's outputs before keeping it"


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    if embedded_checkpoint("sam2v_nano") is None:
        pytest.skip("the notebooks use the embedded model, and checkpoints/sam2v_nano.safetensors is not there")
    monkeypatch.setenv("SAM2V_EXAMPLE_FRAMES", "8")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]))
    book = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(book, timeout=SECONDS_PER_CELL, resources=resources).execute()
    assert not any(tmp_path.iterdir()), "a notebook leaves nothing where it was started"
