"""The annotator in a notebook."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("anywidget")
from app.opened import FRAMES, a_click

import sam2v
from sam2v.data.clips import Clip
from sam2v.widget import Annotator


@pytest.fixture
def annotate(predictor: sam2v.VideoPredictor) -> Iterator[Callable[..., Annotator]]:
    made: list[Annotator] = []

    def make(source: Any, out: Path | None = None) -> Annotator:
        made.append(Annotator(predictor, source, out))
        return made[-1]

    yield make
    for widget in made:
        widget.close()


def frames_of(clip: Clip) -> np.ndarray:
    return clip.frames.permute(0, 2, 3, 1).numpy()


def ask(widget: Annotator, do: str, **message: Any) -> tuple[dict[str, Any], list[bytes]]:
    """What the page would do: a message, and its answer."""
    answers: list[tuple[dict[str, Any], list[bytes]]] = []
    send = widget.send
    widget.send = lambda content, buffers=None: answers.append((content, buffers or []))
    try:
        widget._handle_custom_msg({"do": do, "ask": 7, **message}, [])
        widget._worker.submit(lambda: None).result(60)
        for _ in range(200):
            found = [given for given in answers if given[0].get("ask") == 7]
            if found:
                return found[0]
            widget._worker.submit(lambda: None).result(60)
        raise AssertionError("no answer")
    finally:
        widget.send = send


def test_what_was_done_is_there_as_values(annotate: Callable[..., Annotator], clip: Clip, tmp_path: Path) -> None:
    widget = annotate(frames_of(clip), tmp_path / "project")
    ask(widget, "prompt", frame=0, prompt={"points": [a_click(clip, 0)]}, name="Fox")
    assert widget.add_prompt(0, sam2v.Prompt(box=[40, 20, 70, 80]), name="Child", label="person") == 2
    mask = np.zeros(clip.size, bool)
    mask[4:20, 4:20] = True
    widget.add_prompt(0, sam2v.Prompt(mask=mask), 2)
    assert np.array_equal(widget.prompts[0][2].mask, mask)
    ask(widget, "undo")
    assert widget.prompts[0][2].box == [40, 20, 70, 80]
    widget.track()
    assert widget.objects[1]["name"] == "Fox"
    assert widget.prompts[0][1].points == [a_click(clip, 0)[:2]]
    results = list(widget.results())
    tracked = [
        r.binary()
        for r in sam2v.track(
            frames_of(clip), widget.prompts, model=widget._project.annotation.segmenter.predictor.model
        )
    ]
    assert all(np.array_equal(result.binary(), mask) for result, mask in zip(results, tracked, strict=True))
    assert widget.session.obj_ids == [1, 2]
    answer, buffers = ask(widget, "frame", frame=3)
    assert buffers[0][:3] == b"\xff\xd8\xff"
    answer, _ = ask(widget, "frame", frame=FRAMES)
    assert answer["error"].startswith("frame must be a whole number")
    widget.close()
    again = annotate(frames_of(clip), tmp_path / "project")
    assert again.objects[1]["name"] == "Fox"
    assert np.array_equal(again.result(5).binary(), results[5].binary())


def test_prompts_from_python_are_checked_and_applied(annotate: Callable[..., Annotator], clip: Clip) -> None:
    widget = annotate(frames_of(clip))
    box = sam2v.Prompt(box=[40, 20, 70, 80])
    assert widget.add_prompt(np.int64(0), box, name="Fox") == 1  # type: ignore[arg-type]
    assert widget.add_prompt(np.int32(1), box, np.uint8(1), name="Wolf", label="animal") == 1  # type: ignore[arg-type]
    assert (widget.objects[1]["name"], widget.objects[1]["label"]) == ("Wolf", "animal")
    assert widget.add_prompt(1, box, 1, label="pet") == 1
    assert (widget.objects[1]["name"], widget.objects[1]["label"]) == ("Wolf", "pet")
    known, objects = widget.prompts, widget.objects
    painted = np.zeros(clip.size, bool)
    painted[:9, :9] = True
    wrong: list[tuple[Any, sam2v.Prompt, dict[str, Any], str]] = [
        (0, sam2v.Prompt(mask=painted.T), {}, "height x width, 96 x 160, got \\(160, 96\\)"),
        (0, sam2v.Prompt(mask=painted[:-1]), {"obj_id": 1}, "height x width"),
        (0, sam2v.Prompt([[1, 1], [2, 2]], [1]), {}, "2 points need as many labels, got 1"),
        (0, box, {"obj_id": 1, "name": "x" * 300}, "at most 200"),
        (0, box, {"obj_id": 9, "name": "x"}, "there is no object 9"),
        (0.0, box, {}, "frame_idx must be an integer"),
        (0, box, {"obj_id": True}, "obj_id must be an integer"),
    ]
    for frame, prompt, options, text in wrong:
        with pytest.raises((ValueError, TypeError), match=text):
            widget.add_prompt(frame, prompt, **options)
    assert widget.objects == objects
    assert widget.prompts.keys() == known.keys() and set(widget.prompts[0]) == {1}
    widget.track(np.int64(1))  # type: ignore[arg-type]
    assert widget.result(np.int64(2)).obj_ids == [1]  # type: ignore[arg-type]


def test_a_folder_is_of_one_video(annotate: Callable[..., Annotator], clip: Clip, tmp_path: Path) -> None:
    annotate(frames_of(clip), tmp_path / "project").close()
    with pytest.raises(ValueError, match="the video: not the video that the project in"):
        annotate(frames_of(clip)[:-1], tmp_path / "project")
    annotate(frames_of(clip), tmp_path / "project").close()


def test_a_stream_cannot_be_annotated(annotate: Callable[..., Annotator], clip: Clip) -> None:
    with pytest.raises(ValueError, match="can go back"):
        annotate(iter(frames_of(clip)))


PAGE = """
async (esm) => {
    const module = await import(URL.createObjectURL(new Blob([esm], { type: "text/javascript" })));
    const listeners = {};
    const values = { ready: true, embedded: true, formats: {}, rendered: {}, effects: [], about: "cpu" };
    window.tell = ([message, buffers]) => (listeners["msg:custom"] ?? []).forEach((listener) => listener(message,
        buffers.map((text) => new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer))));
    const model = {
        get: (name) => values[name],
        on: (name, listener) => (listeners[name] ??= []).push(listener),
        send: (message) => window.kernel(message).then((answers) => answers.forEach(window.tell)),
    };
    module.default.render({ model, el: document.body });
}
"""


def test_the_page_runs_on_a_widgets_model(annotate: Callable[..., Annotator], clip: Clip, browser: Any) -> None:
    """The bundle, in a real browser, with this process as the kernel."""
    widget = annotate(frames_of(clip))
    page = browser.new_page(viewport={"width": 1100, "height": 760})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))

    def kernel(message: dict[str, Any]) -> list[Any]:
        told: list[Any] = []
        stop = widget._project.annotation.listen(lambda change: told.append([change, []]))
        content, buffers = ask(widget, message.pop("do"), **{**message, "ask": 7})
        stop()
        content["ask"] = message["ask"]
        return [*told, [content, [base64.b64encode(buffer).decode() for buffer in buffers]]]

    page.expose_function("kernel", kernel)
    page.set_content("<!doctype html><body></body>")
    page.add_style_tag(content=Annotator._css if isinstance(Annotator._css, str) else str(Annotator._css))
    page.evaluate(PAGE, str(Annotator._esm))
    page.wait_for_selector('.stage-canvas[data-frame="0"]', timeout=20_000)
    page.locator(".stage-canvas").click()
    page.wait_for_selector('.objects li[data-object="1"]', timeout=20_000)
    page.keyboard.press("ArrowRight")
    page.wait_for_selector('.stage-canvas[data-frame="1"]', timeout=20_000)
    assert not errors
    assert list(widget.objects) == [1]
    page.close()


def test_a_widget_that_was_closed_says_so(annotate: Callable[..., Annotator], clip: Clip) -> None:
    widget = annotate(frames_of(clip))
    widget.close()
    for use in (lambda: widget.objects, lambda: widget.track(), lambda: widget.result(0), lambda: widget.session):
        with pytest.raises(ValueError, match="the annotator was closed"):
            use()
    widget.close()


def test_a_widget_that_cannot_save_closes(
    annotate: Callable[..., Annotator], clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    widget = annotate(frames_of(clip))
    folder = widget.folder

    def full(*_: Any, **__: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(widget._project.annotation.segmenter, "save", full)
    with pytest.raises(OSError, match="no space left"):
        widget.close()
    assert not folder.exists() and widget.comm is None
