"""Objects that are known from other videos."""

from __future__ import annotations

from pathlib import Path

from sam2v.memory import MemoryPolicy
from sam2v.predict.annotating import Annotating
from sam2v.tracking.exemplar import MOST_MEMORIES, load_exemplar, save_exemplar
from sam2v.tracking.origin import Origin
from sam2v.tracking.prompts import check_index
from sam2v.tracking.session import Session
from sam2v.tracking.tracks import ObjectTrack


class WithExemplars(Annotating):
    """The part of `VideoPredictor` that keeps objects, and finds them again elsewhere."""

    policy: MemoryPolicy

    @property
    def origin(self) -> Origin:
        """What sessions of this predictor are made with."""
        raise NotImplementedError

    def save_exemplar(self, state: Session, obj_id: int, path: str | Path) -> None:
        """Write what is known of an object to a file, with which `add_exemplar` finds it in another video.

        That are its memories of prompted frames and of the frames that the policy keeps for good; a file holds 64 at
        most, the latest ones. It has no pictures in it, but masks.

        Raises:
            KeyError: no such object. ValueError: it was not prompted on any frame yet.
            OSError: the file cannot be written; nothing is, then.
        """
        with state.lock:
            index = self._ours(state).track(obj_id).obj_id
            entries = self.engine.memories_of(state, index)
            if not entries:
                raise ValueError(f"object {index} has no prompt: there is nothing to keep of it")
            save_exemplar(path, entries[-MOST_MEMORIES:], self.origin, state.input_size)

    def add_exemplar(self, state: Session, obj_id: int, path: str | Path) -> None:
        """Let an object be found as what another video showed: its memories are read on every frame, as those of
        prompted frames are.

        It needs no prompt, and may have some: tracking starts at the first frame then, and the object is absent until
        it is found. An object may have several exemplars.

        Args:
            obj_id: a new object or a known one. path: what `save_exemplar` wrote, with this model and a network input
                of the same size.

        Raises:
            FileNotFoundError: no such file. ValueError, TypeError: it is no exemplar, is damaged, or was made with
                another model, other weights or another input size. The session is unchanged.
        """
        with state.lock:
            index = check_index(obj_id, "obj_id")
            size, backend = self._ours(state).expected_input, self.engine.backend
            entries = load_exemplar(path, self.origin, backend.config, size, state.pool, backend.no_obj_ptr)
            state.tracks.setdefault(index, ObjectTrack(index)).recognise(entries, self.policy)
