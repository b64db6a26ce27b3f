"""The list of events: whatever is done, undone and redone, and whenever the program ends."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from sam2v.app.events import EventLog

STEPS = st.lists(st.sampled_from(["prompt", "object", "view", "undo", "redo"]), max_size=30)


@given(STEPS, st.integers(0, 60))
def test_undo_and_redo_are_a_stack_that_survives(steps: list[str], torn: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.jsonl"
        log, done, undone, aside = EventLog(path), [], [], []
        for step in steps:
            if step == "undo":
                event = log.undo()
                assert (event is None) == (not done)
                if event is not None:
                    assert event["event"] == done[-1]
                    undone.append(done.pop())
            elif step == "redo":
                event = log.redo()
                assert (event is None) == (not undone)
                if event is not None:
                    done.append(undone.pop())
            elif step == "view":
                aside.append(log.append(step)["event"])
            else:
                done.append(log.append(step)["event"])
                undone.clear()
            assert [event["event"] for event in log.live] == sorted(done + aside)
        log.close()
        if path.exists():  # a line that was being written when the program was killed
            with path.open("ab") as file:
                file.write(b'{"event":99999999,"do":"prompt","text":"'[:torn] if torn else b"")
        again = EventLog(path)
        assert again.live == log.live
        assert (again.to_undo, again.to_redo) == (log.to_undo, log.to_redo)
        again.append("prompt")
        assert EventLog(path).live == again.live
        again.close()
