"""What holds in a project: objects, prompts and verified frames, as they follow from its events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from sam2v.app.events import Event
from sam2v.app.ranges import Leg
from sam2v.masks.draw import colour_of
from sam2v.masks.rle import union_rle


@dataclass
class ObjectInfo:
    """What people say about an object.

    Attributes:
        id: its number. name: what it is called. label: its class, "" for none.
        colour: "#rrggbb". visible: whether its masks are shown. locked: whether nothing may change its masks.
    """

    id: int
    name: str
    label: str
    colour: str
    visible: bool = True
    locked: bool = False


@dataclass
class FramePrompt:
    """Everything that an object was prompted with on a frame.

    Attributes:
        points: [x, y, label] each, in pixels of the video.
        box: [x0, y0, x1, y1] or None. mask: a COCO RLE, or None.
    """

    points: list[list[float]] = field(default_factory=list)
    box: list[float] | None = None
    mask: dict[str, Any] | None = None

    def __bool__(self) -> bool:
        return bool(self.points) or self.box is not None or self.mask is not None


@dataclass
class Tracking:
    """The newest run of tracking.

    Attributes:
        event: its event. legs: which frames, see `sam2v.app.ranges`. objects: which objects.
        at: the last frame that was reached, None for none. done: whether it came to its end.
    """

    event: int
    legs: list[Leg]
    objects: list[int]
    at: int | None = None
    done: bool = False


@dataclass
class ProjectState:
    """Everything that follows from the events. Prompts are by frame and object; effects are texts."""

    objects: dict[int, ObjectInfo] = field(default_factory=dict)
    prompts: dict[int, dict[int, FramePrompt]] = field(default_factory=dict)
    verified: set[int] = field(default_factory=set)
    tracking: Tracking | None = None
    effects: list[str] = field(default_factory=list)
    next_id: int = 1

    @classmethod
    def of(cls, events: Iterable[Event]) -> ProjectState:
        """The state after events.

        Raises:
            ValueError: something that is no event of a project.
        """
        state = cls()
        for event in events:
            try:
                state.take(event)
            except (KeyError, TypeError, AttributeError):
                raise ValueError(f"event {event.get('event')} of the project cannot be read") from None
        return state

    def take(self, event: Event) -> None:
        """Go on by one event."""
        do = event["do"]
        if do in ("object", "view"):
            for about in event["objects"]:
                if do == "object" or about["id"] in self.objects:
                    self._describe(about)
        elif do == "remove":
            for obj_id in event["objects"]:
                self._forget(obj_id)
        elif do == "merge":
            self._merge(event["into"], event["objects"])
        elif do in ("prompt", "import"):
            for about in event["objects"]:
                self._describe(about)
            for frame, several in prompts_of(event):
                for obj_id, prompt in several.items():
                    self._prompt(frame, obj_id, prompt)
        elif do == "effects":
            self.effects = list(event["effects"])
        elif do == "verify":
            (self.verified.update if event["verified"] else self.verified.difference_update)(event["frames"])
        elif do == "track":
            self.tracking = Tracking(event["event"], event["legs"], event["objects"])
        elif do == "tracked" and self.tracking is not None and self.tracking.event == event["of"]:
            self.tracking.at, self.tracking.done = event["reached"], event["done"]

    def effects_there(self) -> list[str]:
        """The effects but for those of objects that are gone, which come back when the object does."""
        targets = [(text, text.partition(":")[0].strip()) for text in self.effects]
        return [text for text, target in targets if not target.isdecimal() or int(target) in self.objects]

    def new_object(self, **about: Any) -> dict[str, Any]:
        """What an event says about a new object, with what was left open filled in."""
        number = self.next_id
        return asdict(ObjectInfo(number, f"Object {number}", "", hex_colour(number))) | about

    def _describe(self, about: dict[str, Any]) -> None:
        known = self.objects.get(about["id"])
        self.objects[about["id"]] = ObjectInfo(**({} if known is None else asdict(known)) | about)
        self.next_id = max(self.next_id, about["id"] + 1)

    def _forget(self, obj_id: int) -> None:
        self.objects.pop(obj_id, None)
        for frame in [frame for frame, several in self.prompts.items() if obj_id in several]:
            self._prompt(frame, obj_id, FramePrompt())

    def _merge(self, into: int, others: list[int]) -> None:
        for frame, several in list(self.prompts.items()):
            found = [several[obj_id] for obj_id in (into, *others) if obj_id in several]
            if found:
                points = [point for prompt in found for point in prompt.points]
                boxes = [prompt.box for prompt in found if prompt.box is not None]
                masks = [prompt.mask for prompt in found if prompt.mask is not None]
                self._prompt(frame, into, FramePrompt(points, _around(boxes), _union(masks)))
        for other in others:
            self._forget(other)

    def _prompt(self, frame: int, obj_id: int, prompt: FramePrompt) -> None:
        several = self.prompts.setdefault(frame, {})
        several.pop(obj_id, None)
        if prompt:
            several[obj_id] = prompt
        if not several:
            del self.prompts[frame]


def prompts_of(event: Event) -> Iterator[tuple[int, dict[int, FramePrompt]]]:
    """(frame, prompts by object) of an event that gives prompts: of one frame, or of many that were imported."""
    by_frame = event["prompts"] if event["do"] == "import" else {event["frame"]: event["prompts"]}
    for frame, several in by_frame.items():
        yield int(frame), {int(obj_id): FramePrompt(**parts) for obj_id, parts in several.items()}


def _around(boxes: list[list[float]]) -> list[float] | None:
    """The smallest box around boxes, None around none."""
    if not boxes:
        return None
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    return [min(x0), min(y0), max(x1), max(y1)]


def _union(masks: list[dict[str, Any]]) -> dict[str, Any] | None:
    """What any of some run-length masks covers, None of none."""
    if len(masks) < 2:
        return masks[0] if masks else None
    return union_rle(masks)


def hex_colour(obj_id: int) -> str:
    """The colour of an object as the page writes it."""
    return "#" + "".join(f"{part:02x}" for part in colour_of(obj_id))
