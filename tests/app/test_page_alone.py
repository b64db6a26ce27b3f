"""The page in a real browser, with a server that the test plays: what happens when answers come late, or never."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from app.played import ADDRESS, FRAMES, SIZE, Played

from sam2v.app.bundle import bundled
from sam2v.masks.rle import decode_rle


@pytest.fixture
def played(browser: Any) -> Iterator[Callable[..., Played]]:
    """Opens pages; nothing in their logs may be an error."""
    pages: list[Played] = []

    def start(**options: Any) -> Played:
        pages.append(Played(browser, **options))
        return pages[-1]

    yield start
    for page in pages:
        assert not page.complaints
        page.context.close()


def test_clicks_before_the_first_is_answered_are_for_what_was_selected_then(played: Callable[..., Played]) -> None:
    page = played()
    page.start()
    page.click(20, 20)
    page.click(24, 24)  # the same new object
    page.keys("n")
    page.click(100, 60)  # another one
    for number, id in enumerate((None, 1, None), 1):
        message = page.until(number)[-1]
        assert message["object"] == id
        page.answer(message)
    page.row(2).wait_for()
    page.page.wait_for_selector('.objects li.chosen[data-object="2"]')
    page.click(104, 64)
    assert page.until(4)[-1]["object"] == 2
    page.keys("1")  # selects the other one while that is not answered
    page.click(28, 28)
    page.answer(page.asked[-1])
    assert page.until(5)[-1]["object"] == 1


def test_no_stroke_is_lost_before_the_one_before_is_answered(played: Callable[..., Played]) -> None:
    page = played()
    page.start()
    page.keys("r")
    page.drag(20, 20, 60, 20)
    page.drag(20, 70, 60, 70)
    page.answer(page.until(1)[0])
    counts = page.until(2)[1]["prompt"]["mask"]
    assert page.asked[1]["object"] == 1
    mask = decode_rle({"size": list(SIZE), "counts": counts})
    assert mask[20, 40] and mask[70, 40] and not mask[45, 40]


def test_what_was_told_to_be_lost_does_not_happen_later(played: Callable[..., Played]) -> None:
    page = played()
    page.start()
    page.online = False
    page.socket.close()
    page.page.wait_for_selector(".toast.error")
    page.keys("Control+z", "t", "Delete")
    page.page.wait_for_timeout(1000)
    page.online = True
    page.page.wait_for_selector(".toast.error", state="detached", timeout=15_000)
    assert page.until(0) == []
    page.keys("v")
    assert [message["do"] for message in page.until(1)] == ["verify"]


def test_nothing_happens_before_the_project_is_there(played: Callable[..., Played]) -> None:
    page = played(held=("describe",))
    page.page.goto(ADDRESS)
    page.page.wait_for_selector(".timeline-canvas")
    box = page.page.locator(".timeline").bounding_box()
    page.page.mouse.click(box["x"] + 400, box["y"] + 10)
    for name in ("Play", "Verified: never overwrite this frame", "New object: the next click makes one"):
        at = page.page.locator(f'button[aria-label="{name}"]').bounding_box()
        page.page.mouse.click(at["x"] + 8, at["y"] + 8)
    page.held.clear()
    page.socket.close()  # and asks again
    page.at_frame(0)
    assert page.until(0) == []


def test_playing_keeps_to_the_range(played: Callable[..., Played]) -> None:
    page = played()
    page.start()
    timeline = page.page.locator(".timeline-canvas").bounding_box()
    step = (timeline["width"] - 148 - 12) / FRAMES

    def at(frame: int) -> tuple[float, float]:
        return timeline["x"] + 148 + (frame + 0.5) * step, timeline["y"] + 12

    page.page.keyboard.down("Shift")
    page.page.mouse.move(*at(8))
    page.page.mouse.down()
    page.page.mouse.move(*at(FRAMES - 1), steps=4)
    page.page.mouse.up()
    page.page.keyboard.up("Shift")
    page.at_frame(FRAMES - 1)
    page.page.evaluate(
        """() => {
          window.seen = [];
          const note = () => window.seen.push(Number(document.querySelector(".frame-number").value));
          window.noting = setInterval(note, 20);
        }"""
    )
    page.page.locator(".stage-canvas").focus()
    page.keys("Space")
    page.page.wait_for_timeout(900)
    page.keys("Space")
    seen = set(page.page.evaluate("() => (clearInterval(window.noting), window.seen)"))
    assert len(seen) > 2 and min(seen) >= 8


def test_a_click_while_tracked_frames_are_shown_counts(played: Callable[..., Played]) -> None:
    page = played(held=("prompt", "track"))
    page.start()
    page.keys("t")
    page.answer(page.until(1)[0])
    page.page.mouse.move(*page.on_screen(30, 30))
    page.page.mouse.down()
    page.tell(type="tracked", frame=3, masks={3: {}}, left=8)
    page.page.wait_for_timeout(200)
    page.page.mouse.up()
    assert (page.until(2)[1]["do"], page.asked[1]["frame"]) == ("prompt", 0)


def test_effects_can_be_changed_with_keys(played: Callable[..., Played]) -> None:
    page = played()
    page.start()
    page.keys("f")
    page.page.get_by_role("button", name="Add an effect").click()
    slider = page.page.locator(".effects input[type=range]").first
    slider.focus()
    before = float(slider.input_value())
    for number in (1, 2, 3):
        page.keys("ArrowRight")
        page.until(1 + number)
    assert float(slider.input_value()) > before + 2
    assert page.page.get_by_label("Frame", exact=True).input_value() == "0"


def test_an_export_that_fails_can_be_tried_again(played: Callable[..., Played]) -> None:
    page = played()
    page.start()
    page.keys("x")
    button = page.page.locator('button[data-format="png"]')
    button.click()
    page.until(1)
    assert button.is_disabled()
    page.tell(type="exported", format="png", file=None)
    page.page.wait_for_selector('button[data-format="png"]:not([disabled])')
    assert not page.page.locator(".formats progress, .formats a").count()


def test_a_name_that_is_refused_is_not_shown(played: Callable[..., Played]) -> None:
    page = played(held=("object",))
    page.start()
    page.click(20, 20)
    name = page.row(1).get_by_label("Name", exact=True)
    name.fill("x\u200b")
    page.keys("Enter")
    page.tell(type="reply", ask=page.until(2)[1]["ask"], error="name must be a text")
    page.page.wait_for_selector(".toast.error")
    assert name.input_value() == "Object 1"


def test_two_views_of_a_widget_keep_their_answers_apart(browser: Any) -> None:
    """And one that is gone hears nothing any more."""
    context = browser.new_context()
    page = context.new_page()
    page.goto("about:blank")
    found = page.evaluate(
        """async (source) => {
          const widget = await import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
          const heard = new Set();
          const asked = [];
          const model = {
            on: (name, listener) => name === "msg:custom" && heard.add(listener),
            off: (name, listener) => heard.delete(listener),
            get: (name) => ({ ready: true, embedded: true, formats: {}, rendered: {}, effects: [], about: "" })[name],
            send: (message) => asked.push(message.ask),
          };
          const views = [0, 1].map(() => {
            const el = document.body.appendChild(document.createElement("div"));
            return { el, remove: widget.render({ model, el }) };
          });
          const suppressed = views[0].el.querySelector("[data-lm-suppress-shortcuts]") !== null;
          views.forEach(({ remove }) => remove());
          return { different: new Set(asked).size === 2, suppressed, left: heard.size };
        }""",
        bundled(),
    )
    assert found == {"different": True, "suppressed": True, "left": 0}
    context.close()


def test_objects_that_come_back_are_where_their_key_says(played: Callable[..., Played]) -> None:
    page = played(held=())
    page.start()
    for number in (1, 2, 3):
        page.keys("n")
        page.click(20 * number, 20)
        page.row(number).wait_for()
    page.keys("1", "Delete")
    page.row(1).wait_for(state="detached")
    page.keys("Control+z")
    page.row(1).wait_for()
    rows = page.page.locator(".objects li")
    assert [rows.nth(i).get_attribute("data-object") for i in range(3)] == ["1", "2", "3"]


def test_a_server_that_wants_another_token_says_so(played: Callable[..., Played]) -> None:
    page = played()
    page.start()
    page.online, page.denied = False, "the token is missing or wrong"
    page.socket.close()
    assert page.page.get_by_role("alert").filter(has_text=page.denied).inner_text() == page.denied
    page.complaints = [text for text in page.complaints if "403" not in text]


def test_keys_that_are_held_and_brackets_that_take_alt(played: Callable[..., Played]) -> None:
    page = played()
    page.start()
    for _ in range(3):  # the second and the third are repetitions
        page.page.keyboard.down("v")
    page.page.keyboard.up("v")
    assert len(page.until(1)) == 1
    for _ in range(3):
        page.page.keyboard.down("ArrowRight")
    page.page.keyboard.up("ArrowRight")
    page.at_frame(3)
    event = {"key": "]", "altKey": True, "ctrlKey": True, "bubbles": True}  # AltGr+9 on a German keyboard
    page.page.locator(".stage-canvas").dispatch_event("keydown", event)
    assert page.page.wait_for_selector(".toast.note").inner_text().startswith("Brush of 31 pixels")


def test_a_video_that_is_too_large_is_refused_before_it_is_sent(played: Callable[..., Played], tmp_path: Path) -> None:
    page = played()
    page.chosen = False
    page.page.goto(ADDRESS)
    large = tmp_path / "large.mp4"
    large.write_bytes(bytes(2**20 + 1))
    for _ in range(2):  # the same file again is another try
        page.page.locator("input[type=file]").set_input_files(large)
        said = page.page.get_by_role("alert").filter(has_text="large.mp4: larger than 1 MiB")
        said.wait_for()
        assert page.page.locator("input[type=file]").evaluate("(input) => input.files.length") == 0
    assert not page.posted
