"""onnxruntime's execution providers by short names, and sessions on them."""

from __future__ import annotations

import contextlib
import os
import threading
from functools import cache
from pathlib import Path
from typing import Any

#: Name -> what onnxruntime calls it, and the package that has it.
PROVIDERS: dict[str, tuple[str, str]] = {
    "CPU": ("CPUExecutionProvider", "onnxruntime"),
    "CUDA": ("CUDAExecutionProvider", "onnxruntime-gpu"),
    "CoreML": ("CoreMLExecutionProvider", "onnxruntime"),
    "OpenVINO": ("OpenVINOExecutionProvider", "onnxruntime-openvino"),
    "DirectML": ("DmlExecutionProvider", "onnxruntime-directml"),
}
#: Bytes that graphs may take on the host at most, where the system does not tell how many it has.
_MEMORY = 8 << 30
_BOUNDING = threading.Lock()


def check_provider(name: str) -> str:
    """The name as `PROVIDERS` has it, whatever its case.

    Raises:
        ValueError: unknown, or not part of the onnxruntime that is installed; those that are there are listed.
        ImportError: onnxruntime is not installed.
    """
    known = {provider.lower(): provider for provider in PROVIDERS}
    if not isinstance(name, str) or name.lower() not in known:
        raise ValueError(f"unknown execution provider {name!r}; known: {', '.join(PROVIDERS)}")
    wanted = known[name.lower()]
    there = onnxruntime().get_available_providers()
    if PROVIDERS[wanted][0] not in there:
        listed = ", ".join(short for short, (long, _) in PROVIDERS.items() if long in there)
        package = PROVIDERS[wanted][1]
        raise ValueError(
            f"execution provider {wanted} is not there; this onnxruntime has {listed} (pip install {package} has it)"
        )
    return wanted


def check_threads(threads: int | None) -> int:
    """Threads of a graph, 0 for as many as there are cores.

    Raises:
        TypeError, ValueError: no number of at least 1.
    """
    if threads is None:
        return 0
    if type(threads) is not int:
        raise TypeError(f"threads must be an integer or None, got {threads!r}")
    if threads < 1:
        raise ValueError(f"threads must be at least 1, got {threads}")
    return threads


def open_graph(path: Path, provider: str, threads: int) -> Any:
    """An `onnxruntime.InferenceSession` of a graph.

    Raises:
        ValueError: onnxruntime refuses the graph. RuntimeError: the provider cannot start.
    """
    ort = onnxruntime()
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4  # what goes wrong is raised
    options.enable_mem_pattern = False  # shapes change from frame to frame
    # every graph has threads of its own: those that have nothing to do leave the cores to the others
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    with _BOUNDING:
        _bound_memory()
    options.add_session_config_entry("session.use_env_allocators", "1")
    # the format that was checked, whatever the file is called and could be taken for
    options.add_session_config_entry("session.load_model_format", "ONNX")
    wanted = PROVIDERS[provider][0]
    names = [wanted] if provider == "CPU" else [wanted, PROVIDERS["CPU"][0]]
    try:
        session = ort.InferenceSession(str(path), options, providers=names)
    except Exception as error:  # onnxruntime's errors have no class in common
        raise ValueError(f"{path}: onnxruntime refuses the graph: {_short(error)}") from None
    if wanted not in session.get_providers():
        raise RuntimeError(
            f"execution provider {provider} is installed, but cannot start: its driver or libraries lack"
        )
    return session


def onnxruntime() -> Any:
    """The package.

    Raises:
        ImportError: it is not installed.
    """
    try:
        import onnxruntime as found
    except ImportError as error:
        raise ImportError("the runtime needs onnxruntime: pip install 'sam2v[runtime]'") from error
    return found


@cache
def _bound_memory() -> None:
    """Let all graphs share one arena of at most half of the machine's memory: nothing that a graph asks for takes more.

    onnxruntime has one such arena in a process; where another part of it made one before, that one counts.
    """
    ort = onnxruntime()
    with contextlib.suppress(Exception):
        where = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
        ort.create_and_register_allocator(where, ort.OrtArenaCfg(_total_memory() // 2, 0, -1, -1))


def _total_memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return 2 * _MEMORY


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else text[:297] + "..."
