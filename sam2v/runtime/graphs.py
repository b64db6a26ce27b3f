"""The graphs of an exported folder, opened when they are first run, but for those that everybody runs."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sam2v.runtime.graph_check import check_graph
from sam2v.runtime.manifest import INPUTS, Manifest, NotAnExport
from sam2v.runtime.providers import open_graph

_TYPES: Mapping[str, Any] = {
    **{"float32": np.float32, "float16": np.float16, "int64": np.int64, "int32": np.int32},
    **{"uint8": np.uint8, "bool": np.bool_},
}
#: Graphs that are opened at once, beside what else happens before the first mask.
_FIRST = ("encode_image", "decode_prompts")


class Graphs:
    """Runs the graphs of a folder. Safe to use from several threads.

    Args:
        manifest: of the folder, whose files were checked. provider, threads: see `sam2v.runtime.load_export`.

    Raises:
        NotAnExport: (a ValueError) a graph that may not be run.
    """

    def __init__(self, manifest: Manifest, provider: str, threads: int) -> None:
        self.config, self._manifest = manifest.config, manifest
        self._provider, self._threads = provider, threads
        self._opened: dict[str, Any] = {}
        self._locks = {call: threading.Lock() for call in manifest.graphs}
        unknown = [kind for ports in manifest.inputs.values() for kind in ports.values() if kind not in _TYPES]
        if unknown:
            raise NotAnExport(f"{manifest.folder}: a graph takes numbers of type {unknown[0]!r}")
        for record in manifest.graphs.values():
            try:
                check_graph(record.path.read_bytes(), manifest.weights.path.name, manifest.weights.length)
            except ValueError as error:
                raise NotAnExport(f"{record.path}: not a graph that may be run: {error}") from None
        for call in _FIRST:
            threading.Thread(target=self._begin, args=(call,)).start()  # at exit waited for

    def takes(self, call: str, name: str) -> str:
        """The type of numbers that a graph takes."""
        return self._manifest.inputs[call][name]

    def run(self, call: str, given: Mapping[str, np.ndarray], shapes: Sequence[tuple[int, ...]]) -> list[np.ndarray]:
        """Run a graph.

        Args:
            call: its name. given: what goes in, brought to the types that it takes.
            shapes: what has to come out.

        Raises:
            NotAnExport: the graph takes or gives something else. RuntimeError: it fails, as where memory ends.
        """
        ports = self._manifest.inputs[call]
        inputs = {name: np.ascontiguousarray(given[name], _TYPES[kind]) for name, kind in ports.items()}
        session = self._session(call)
        try:
            found: list[np.ndarray] = session.run(None, inputs)
        except Exception as error:  # onnxruntime's errors have no class in common
            raise RuntimeError(f"{call} failed: {' '.join(str(error).split())[:300]}") from None
        if [getattr(array, "shape", None) for array in found] != list(shapes):
            got = [getattr(array, "shape", None) for array in found]
            raise NotAnExport(f"{self._path(call)}: gives arrays of shapes {got}, not {list(shapes)}")
        return found

    def _begin(self, call: str) -> None:
        with contextlib.suppress(Exception):  # it is raised where the graph is run
            self._session(call)

    def _session(self, call: str) -> Any:
        with self._locks[call]:
            if call not in self._opened:
                session = open_graph(self._manifest.graphs[call].path, self._provider, self._threads)
                names = tuple(port.name for port in session.get_inputs())
                if set(names) != set(INPUTS[call]):
                    raise NotAnExport(f"{self._path(call)}: takes {', '.join(names)}, not {', '.join(INPUTS[call])}")
                self._opened[call] = session
            return self._opened[call]

    def _path(self, call: str) -> str:
        return str(self._manifest.graphs[call].path)
