"""Programs in processes of their own that take turns: each waits for a word from the parent before every step.

So noise of the machine falls on all of them alike, none runs while another is measured, and the peak memory of each
is its own.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

import torch

from benchmarks.common import count_gflop, forget_peak, peak_megabytes
from benchmarks.programs import Setup
from sam2v.cli.progress import resident_megabytes


class ProgramError(RuntimeError):
    """A program failed; the message is its last line, its whole traceback went to stderr."""


#: Seconds between two programs' turns: threads of the one before may still be waiting for work, and take a core each.
_PAUSE = 0.5


class Worker:
    """What runs in a program's process: it loads the program and measures its calls.

    Args:
        programs: class of every program, by name.
        setup: which one, and how.
    """

    def __init__(self, programs: dict[str, type], setup: Setup) -> None:
        warnings.filterwarnings("ignore")
        torch.set_num_threads(setup.threads)
        self.device = setup.device
        began = time.perf_counter()
        self.program = programs[setup.program](setup)
        self.load_s = time.perf_counter() - began
        self._context = setup.context()
        forget_peak(self.device)
        self._base = resident(self.device)

    def timed(self, call: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
        """What a call returns, with its milliseconds by the clock and on processors, the device's work included."""
        self._wait()
        wall, processor = time.perf_counter(), time.process_time()
        value = call()
        self._wait()
        ms = 1000 * (time.perf_counter() - wall)
        return value, {"ms": ms, "processor_ms": 1000 * (time.process_time() - processor)}

    def memory(self) -> dict[str, float]:
        """MB: the peak since the model was loaded, and how far that is above the loaded model."""
        peak = peak_megabytes(self.device)
        return {"peak_mb": peak, "beyond_model_mb": peak - self._base}

    def gflop(self, call: Callable[[], Any]) -> float:
        """Floating-point operations of a call's products, convolutions and attentions, in 1e9.

        A multiplication and an addition are two. Compiled or custom kernels are not seen.
        """
        self.program.model.requires_grad_(False)  # the counter hooks gradients, which no_grad has none of
        return count_gflop(call)[0]

    def _wait(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()


def resident(device: str) -> float:
    """MB held now: of the process, or on the GPU."""
    return torch.cuda.memory_allocated() / 2**20 if device == "cuda" else resident_megabytes()


class Child:
    """A worker in a process of its own, called by the names of its methods."""

    def __init__(self, make: Callable[[Setup], Worker], setup: Setup) -> None:
        context = multiprocessing.get_context("spawn")
        self.name = setup.program
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, make, setup))
        self._process.start()
        theirs.close()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._pipe.close()  # the child ends when nobody is left to ask it
        self._process.join(10)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def ready(self) -> float:
        """Wait until the model is loaded; the seconds that took."""
        return self._answer()

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the worker and wait for what it returns.

        Raises:
            ProgramError: it failed, or its process ended.
        """
        self._pipe.send((method, arguments))
        return self._answer()

    def _answer(self) -> Any:
        try:
            value, error = self._pipe.recv()
        except EOFError:
            self._process.join(10)
            raise ProgramError(f"its process ended with code {self._process.exitcode} (out of memory?)") from None
        if error:
            print(f"{self.name} failed:\n{error}", file=sys.stderr, flush=True)
            raise ProgramError(error.strip().splitlines()[-1])
        return value


def _serve(pipe: Connection, make: Callable[[Setup], Worker], setup: Setup) -> None:
    """Answer the parent's calls until it closes the pipe."""
    try:
        worker = make(setup)
        with worker._context:
            pipe.send((worker.load_s, None))
            while True:
                method, arguments = pipe.recv()
                pipe.send((getattr(worker, method)(*arguments), None))
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        return
    except Exception:
        pipe.send((None, traceback.format_exc()))


class Company:
    """The programs of one case. One that fails leaves, and the others go on.

    Attributes:
        children: those still there, in the order of their names.
        failures: what became of the others.
    """

    def __init__(self, stack: ExitStack, make: Callable[[Setup], Worker], setups: list[Setup]) -> None:
        self.children: dict[str, Child] = {}
        self.failures: dict[str, str] = {}
        self.load_s: dict[str, float] = {}
        self._turn = 0
        for setup in setups:  # one after the other, so that none slows another's loading
            child = self.children[setup.program] = stack.enter_context(Child(make, setup))
            with self._or_out(setup.program):
                self.load_s[setup.program] = child.ready()

    def each(self, method: str, *arguments: Any) -> dict[str, Any]:
        """Call a method of every program in turn, a different one first each time; what they return, by name."""
        names = list(self.children)
        start = self._turn % max(1, len(names))
        self._turn += 1
        answers = {}
        for name in names[start:] + names[:start]:
            time.sleep(_PAUSE)
            with self._or_out(name):
                answers[name] = self.children[name].call(method, *arguments)
        return answers

    @contextmanager
    def _or_out(self, name: str) -> Iterator[None]:
        try:
            yield
        except ProgramError as error:
            self.failures[name] = str(error)
            del self.children[name]


@contextmanager
def company(make: Callable[[Setup], Worker], setups: list[Setup]) -> Iterator[Company]:
    """Start the programs of one case, and end their processes afterwards."""
    with ExitStack() as stack:
        yield Company(stack, make, setups)
