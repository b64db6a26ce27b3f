"""What pages may ask to be changed: objects, prompts, verified frames. Every function takes a project and a message."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict

from sam2v.app.annotation import Annotation, Message
from sam2v.app.events import Event
from sam2v.app.mask_store import StoredMask
from sam2v.app.messages import about_object, flag, frame_prompt, wholes
from sam2v.app.segmenter import stored, union
from sam2v.app.state import FramePrompt, ProjectState


def change_object(annotation: Annotation, message: Message) -> Message:
    """Add an object, or say something else about one."""
    about = about_object(message)
    if message.get("id") is None:
        about = annotation.state.new_object(**about)
    else:
        about["id"] = annotation.object_of(message, "id")
    annotation.record("object", objects=[about])
    return {"id": about["id"]}


def view(annotation: Annotation, message: Message) -> Message:
    """Show, hide, lock or unlock objects."""
    changes = {key: flag(message, key) for key in ("visible", "locked") if key in message}
    if not changes:
        raise ValueError("say whether the objects are visible or locked")
    ids = wholes(message, "objects", annotation.state.objects, "object")
    if changes.get("locked"):
        annotation.run.leave(ids)
    annotation.record("view", objects=[{"id": obj_id, **changes} for obj_id in ids])
    return {}


def remove(annotation: Annotation, message: Message) -> Message:
    """Remove objects; the others stay as they are."""
    ids = wholes(message, "objects", annotation.state.objects, "object")
    annotation.check_unlocked(ids)
    annotation.run.halt()
    with annotation.history.changing(ids) as before:
        for obj_id in ids:
            annotation.segmenter.remove(obj_id)
        annotation.record("remove", before, objects=ids)
    return {}


def merge(annotation: Annotation, message: Message) -> Message:
    """Make several objects one: the union of their masks on every frame, and the prompts of all."""
    into = annotation.object_of(message, "into")
    others = [i for i in wholes(message, "objects", annotation.state.objects, "object") if i != into]
    if not others:
        raise ValueError("an object is merged with others, not with itself")
    annotation.check_unlocked([into, *others])
    annotation.run.halt()
    with annotation.history.changing([into, *others]) as before:
        annotation.segmenter.merge(into, others)
        event = annotation.record("merge", before, quiet=True, into=into, objects=others)
    write_masks(annotation, event, _merged(annotation, into, others))
    annotation.changed(reload=True)
    return {}


def _merged(annotation: Annotation, into: int, others: list[int]) -> Iterator[tuple[int, dict[int, StoredMask]]]:
    """(frame, mask of the one object) wherever others were that it was merged with."""
    size = annotation.source.size
    for frame in sorted({frame for other in others for frame in annotation.store.frames(other)}):
        known = list(annotation.store.frame(frame, [into, *others]).values())
        painted = all(mask.kind == "drawn" for mask in known if not mask.is_absent)
        own = None if painted else annotation.segmenter.result(frame, [into])
        yield frame, {into: stored(own.select([into]), "track")[into] if own is not None else union(known, size)}


def prompt(annotation: Annotation, message: Message) -> Message:
    """Say what an object is prompted with on a frame, everything at once; an empty prompt clears it.

    Without an object, one is added.
    """
    frame = annotation.frame_of(message)
    new = [annotation.state.new_object(**about_object(message))] if message.get("object") is None else []
    obj_id = new[0]["id"] if new else annotation.object_of(message, "object")
    known = annotation.state.prompts.get(frame, {}).get(obj_id, FramePrompt())
    prompt = frame_prompt(message.get("prompt"), annotation.source.size, known)
    annotation.check_free(frame, [] if new else [obj_id])
    annotation.run.halt()
    given = {obj_id: asdict(prompt)}
    with annotation.history.changing([obj_id]) as before:
        masks = annotation.answer(frame, {obj_id: prompt})
        event = annotation.record("prompt", before, quiet=True, frame=frame, objects=new, prompts=given)
    write_masks(annotation, event, [(frame, masks)])
    annotation.changed(frame, masks)
    return {"id": obj_id}


def auto(annotation: Annotation, message: Message) -> Message:
    """Find everything on a frame that no object covers yet, and add it as objects."""
    from sam2v.app.everything import find_everything

    frame = annotation.frame_of(message)
    annotation.check_free(frame, [])
    covered = annotation.store.frame(frame, annotation.state.objects)
    found = find_everything(annotation.segmenter.predictor.model, annotation.source[frame], covered.values())
    if not found:
        raise ValueError("nothing was found on this frame that no object covers yet")
    annotation.run.halt()
    new = [annotation.state.new_object()]
    while len(new) < len(found):
        number = new[-1]["id"] + 1
        new.append(ProjectState(next_id=number).new_object())
    prompts = {about["id"]: FramePrompt(mask=rle) for about, rle in zip(new, found, strict=True)}
    given = {obj_id: asdict(prompt) for obj_id, prompt in prompts.items()}
    with annotation.history.changing(prompts) as before:
        masks = annotation.answer(frame, prompts)
        event = annotation.record("prompt", before, quiet=True, frame=frame, objects=new, prompts=given)
    write_masks(annotation, event, [(frame, masks)])
    annotation.changed(frame, masks)
    return {"ids": list(prompts)}


def write_masks(
    annotation: Annotation, event: Event, masks: Iterable[tuple[int, Mapping[int, StoredMask | None]]]
) -> None:
    """Write the masks that the newest event made, frame by frame; when that fails, the event is undone.

    Raises:
        OSError: the disk refuses. Where it refuses to write the undoing as well, the event stays without these masks.
    """
    try:
        for frame, several in masks:
            annotation.store.write(frame, event["event"], several)
    except BaseException:
        with contextlib.suppress(OSError):
            annotation.undo()
        raise


def verify(annotation: Annotation, message: Message) -> Message:
    """Mark frames as good, or take that back: they are never overwritten, and tracking stops at them."""
    frames = wholes(message, "frames", range(annotation.length), "frame")
    annotation.record("verify", frames=frames, verified=flag(message, "verified"))
    annotation.segmenter.verify(annotation.state.verified)
    return {}
