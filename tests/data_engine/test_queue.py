"""The queue: every task is done once, nothing is overwritten, everything is written down."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path

import pytest
from data_engine.made import handed_in, made_up, square, work
from sqlalchemy import func, select, text, update
from sqlalchemy.exc import OperationalError

from sam2v.data.masklet_file import MaskletMasks
from sam2v.data_engine.database import pairs
from sam2v.data_engine.project import Project
from sam2v.data_engine.queue import Queue, TaskTaken, proposal_priority
from sam2v.data_engine.schema import UNREADABLE, ActRow, Event, Masklet, Revision, Video
from sam2v.data_engine.status import status_of
from sam2v.data_engine.work import Act, Work


def states(project: Project) -> dict[str, int]:
    rows = select(Masklet.state, func.count()).group_by(Masklet.state)
    return project.database.read(lambda session: pairs(session, rows))


def test_a_masklet_goes_its_way(tmp_path: Path) -> None:
    with made_up(tmp_path, 1) as project:
        queue, ann, ben = Queue(project), project.annotator("ann"), project.annotator("ben")
        task = queue.take(ann, "annotate")
        assert task is not None and task.load() is None and states(project) == {"assigned": 1}
        assert queue.take(ann, "annotate") == task  # who comes back gets their own
        assert queue.take(ben, "annotate") is None
        queue.submit(task, work())
        assert queue.take(ann, "verify") is None  # nobody verifies their own work
        check = queue.take(ben, "verify")
        assert check is not None and check.load() == square()
        queue.judge(check, False, 1.5, "leaks into the ground")
        again = queue.take(ann, "annotate")
        assert again is not None and again.note == "leaks into the ground"
        queue.submit(again, work(at=2))
        check = queue.take(ben, "verify")
        assert check is not None and check.load() == square(2)
        queue.judge(check, True, 1.0)
        assert states(project) == {"verified": 1}
        _check_history(project)


def _check_history(project: Project) -> None:
    """Revisions stay, events tell who, when and how long, and status sums it up."""

    def look(session) -> None:  # type: ignore[no-untyped-def]
        revisions = session.scalars(select(Revision).order_by(Revision.number)).all()
        assert [r.number for r in revisions] == [1, 2]
        assert [(r.frames, r.edited, r.clicks, r.active_seconds) for r in revisions] == [(3, 1, 2, 2.5)] * 2
        assert len({r.masks for r in revisions}) == 2 and all(project.file(r.masks).is_file() for r in revisions)
        events = session.scalars(select(Event).order_by(Event.id)).all()
        assert [e.after for e in events] == [
            *("assigned", "annotated", "assigned", "proposed"),
            *("assigned", "annotated", "assigned", "verified"),
        ]
        assert [e.seconds for e in events] == [0, 2.5, 0, 1.5, 0, 2.5, 0, 1.0]
        assert [a.at for a in events] == sorted(a.at for a in events)
        assert session.scalar(select(func.count()).select_from(ActRow)) == 4

    project.database.read(look)
    status = status_of(project)
    assert status.people == {"ann": (2, 5.0), "ben": (2, 2.5)}
    assert (status.phases[3].edited_share, status.phases[3].clicks_per_edited_frame) == (1 / 3, 2.0)
    assert any("33.3 %" in line for line in status.lines())


def test_one_object_of_a_video_is_looked_for_at_a_time(tmp_path: Path) -> None:
    with made_up(tmp_path, 2, objects=2) as project:
        queue = Queue(project)
        first, second = (queue.take(project.annotator(name), "annotate") for name in "ab")
        assert first is not None and second is not None and {first.video, second.video} == {"v00000", "v00001"}
        assert queue.take(project.annotator("c"), "annotate") is None
        queue.submit(first, work())
        third = queue.take(project.annotator("c"), "annotate")
        assert third is not None and (third.video, third.number) == (first.video, 2)


def test_what_was_taken_back_cannot_be_handed_in(tmp_path: Path) -> None:
    with made_up(tmp_path, 1) as project:
        queue, ann, ben = Queue(project), project.annotator("ann"), project.annotator("ben")
        task = queue.take(ann, "annotate")
        assert task is not None and queue.release(3600) == 0 and queue.release(0) == 1
        other = queue.take(ben, "annotate")
        assert other is not None
        for late in (lambda: queue.submit(task, work()), lambda: queue.reject(task), lambda: queue.give_back(task)):
            with pytest.raises(TaskTaken, match="not yours any more"):
                late()
        assert not list((tmp_path / "project" / "masks").rglob("*.json"))
        queue.reject(other, 3.0, "no clear boundary")
        assert states(project) == {"rejected": 1} and queue.take(ann, "annotate") is None
        with pytest.raises(TaskTaken):
            queue.submit(other, work())


def test_a_task_that_is_given_back_comes_last(tmp_path: Path) -> None:
    with made_up(tmp_path, 2) as project:
        queue, ann = Queue(project), project.annotator("ann")
        task = queue.take(ann, "annotate")
        assert task is not None
        queue.give_back(task)
        following = queue.take(ann, "annotate")
        assert following is not None and following.video != task.video
        with pytest.raises(ValueError, match="handed out to annotate, not to verify"):
            queue.judge(following, True)


def test_the_order_of_tasks(tmp_path: Path) -> None:
    """What was sent back, objects that nobody found, proposals, and what was given back after all of them."""
    assert {proposal_priority({"iou_low": iou}) for iou in (-1.0, 0.0, 1.0)} == {1.0, 0.0}
    with made_up(tmp_path, 2, objects=100) as project:
        queue, ann, ben = Queue(project), project.annotator("ann"), project.annotator("ben")
        task, check = handed_in(queue, ann, ben)
        queue.judge(check, False)
        found = project.database.read(lambda s: s.scalars(select(Masklet.priority)).all())
        assert min(found) > 1.0 and max(found) > 2.0
        again = queue.take(ann, "annotate")
        assert again is not None and again.masklet_id == task.masklet_id
        queue.give_back(again)
        lowest = select(Masklet.id).order_by(Masklet.priority).limit(1)
        assert project.database.read(lambda s: s.scalar(lowest)) == task.masklet_id


def test_what_was_given_back_or_taken_back_is_nobody_s_work(tmp_path: Path) -> None:
    with made_up(tmp_path, 1) as project:
        queue, ann, ben = Queue(project), project.annotator("ann"), project.annotator("ben")
        for kind, who in (("annotate", ann), ("verify", ben)):
            task = queue.take(who, kind)
            assert task is not None
            queue.give_back(task, 4.0)
            assert queue.take(who, kind) is not None and queue.release(0) == 1
            again = queue.take(who, kind)
            assert again is not None
            queue.submit(again, work()) if kind == "annotate" else queue.judge(again, True, 1.0)
        assert status_of(project).people == {"ann": (1, 6.5), "ben": (1, 5.0)}


def test_tasks_of_videos_that_cannot_be_read_do_not_wait(tmp_path: Path) -> None:
    with made_up(tmp_path, 2) as project:
        spoil = update(Video).where(Video.id == 1).values(status=UNREADABLE)
        project.database.write(lambda session: session.execute(spoil).rowcount)
        ann = project.annotator("ann")
        assert status_of(project).to_annotate == Queue(project).waiting(ann)["annotate"] == 1


def test_several_annotators_at_once_do_everything_once(tmp_path: Path) -> None:
    made_up(tmp_path, 12, objects=2).close()
    done: Counter[int] = Counter()
    errors: list[BaseException] = []

    def annotate(name: str) -> None:
        try:
            with Project.open(tmp_path / "project") as project:
                queue, who = Queue(project), project.annotator(name)
                while (task := queue.take(who, "annotate")) is not None:
                    queue.submit(task, work())
                    done[task.masklet_id] += 1
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=annotate, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and max(done.values()) == 1
    with Project.open(tmp_path / "project") as project:
        queue, last = Queue(project), project.annotator("last")
        while (task := queue.take(last, "annotate")) is not None:  # of a video that somebody else was in
            queue.submit(task, work())
        assert states(project) == {"annotated": 24}


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_answer_that_got_lost_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    """The connection breaks in the middle of a commit; the call is made again by itself."""
    from sqlalchemy.orm import Session

    with made_up(tmp_path, 1) as project:
        queue, ann = Queue(project), project.annotator("ann")
        breaks = iter([True] * 1)
        real = Session.commit

        def commit(session: Session) -> None:
            broken = next(breaks, False)
            if when == "after" or not broken:
                real(session)
            if broken:
                raise OperationalError("COMMIT", None, Exception("server closed the connection"))

        monkeypatch.setattr(Session, "commit", commit)
        task = queue.take(ann, "annotate")
        assert task is not None
        breaks = iter([True])
        revision = queue.submit(task, work())
        check = queue.take(project.annotator("ben"), "verify")
        assert check is not None and check.revision_id == revision
        breaks = iter([True])
        queue.judge(check, True)
        count = select(func.count()).select_from(Revision)
        assert states(project) == {"verified": 1} and project.database.read(lambda s: s.scalar(count)) == 1


def test_a_full_disk_leaves_the_task_to_be_handed_in_again(tmp_path: Path) -> None:
    with made_up(tmp_path, 1) as project:
        queue, ann = Queue(project), project.annotator("ann")
        task = queue.take(ann, "annotate")
        assert task is not None
        pages = project.database.read(lambda s: s.scalar(text("PRAGMA page_count")))

        def fill(connection, _):  # type: ignore[no-untyped-def]
            connection.execute(f"PRAGMA max_page_count={pages}")

        from sqlalchemy import event

        project.database.close()
        event.listen(project.database._engine, "connect", fill)
        much = [Act(0, "click", 1.0, 1.0) for _ in range(5000)]
        with pytest.raises(OSError, match="full") as caught:
            queue.submit(task, Work(square(), much))
        assert "engine.sqlite" in str(caught.value)
        event.remove(project.database._engine, "connect", fill)
        project.database.close()
        assert states(project) == {"assigned": 1}
        queue.submit(task, work())
        assert states(project) == {"annotated": 1}


def test_masks_are_not_looked_at_while_others_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction that writes keeps everybody else from writing, and long videos take seconds."""
    with made_up(tmp_path, 1) as project:
        queue, ann = Queue(project), project.annotator("ann")
        task = queue.take(ann, "annotate")
        assert task is not None
        looked_at, real = [], MaskletMasks.areas

        def areas(masks: MaskletMasks) -> list[int]:
            Project.open(project.folder, patience=0.0).annotator(f"somebody {len(looked_at)}")
            looked_at.append(masks)
            return real(masks)

        monkeypatch.setattr(MaskletMasks, "areas", areas)
        queue.submit(task, work())
        assert looked_at


def test_work_is_checked() -> None:
    with pytest.raises(ValueError, match="frame 5 was edited"):
        Work(square(), [Act(5, "click")])
    with pytest.raises(ValueError, match="an act is one of click, stroke, mask"):
        Act(0, "kick")  # type: ignore[arg-type]


def test_people_have_tokens(tmp_path: Path) -> None:
    with made_up(tmp_path, 1) as project:
        token = project.new_token("Ann")
        found = project.person(token)
        assert found is not None and found[1] == "Ann" and project.person("other") is None
        second = project.new_token("Ann")
        assert project.person(token) is None and project.person(second) == found
        with pytest.raises(ValueError, match="is a person annotator already"):
            project.annotator("Ann")
        content = (tmp_path / "project" / "engine.sqlite").read_bytes()
        assert second.encode() not in content
