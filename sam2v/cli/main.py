"""Entry point of the `sam2v` command."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import warnings
from collections.abc import Sequence
from typing import NoReturn

import sam2v

#: Subcommand -> what it does. Each is a module of this package (`_` for `-`) with DESCRIPTION, `add_arguments(parser)`
#: and `run(args)`, which returns the exit code.
COMMANDS: dict[str, str] = {
    "demo": "track an object in a video made on the spot and write what comes out",
    "track": "track prompted objects through a video",
    "image": "segment objects in a picture",
    "auto": "segment everything in pictures, and track everything in a video",
    "edit": "blur, cut out, erase, ... tracked objects and the background",
    "annotate": "point, see, correct, edit and export in a browser",
    "data-engine": "turn videos into a data set, by people and models together",
    "export": "export a model as ONNX graphs or programs of torch.export",
    "eval": "measure tracking quality on a data set",
    "train": "train or fine-tune a model",
    "download": "fetch released weights",
    "models": "list the models and where their weights are",
}

_FAILED, _BAD_INPUT, _INTERRUPTED = 1, 2, 130


class _Parser(argparse.ArgumentParser):
    """Reports a mistake in one line instead of the whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(_BAD_INPUT, f"sam2v: error: {message} (see '{self.prog} --help')\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand.

    Args:
        argv: arguments without the program's name; by default those of the process.

    Returns:
        Exit code: 0 done, 2 bad input, 1 any other failure, 130 interrupted.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        args = _parse(argv)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else _BAD_INPUT
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            return int(args.run(args))
    except KeyboardInterrupt:
        print("sam2v: interrupted", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:  # the reader, such as `head`, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _FAILED
    except Exception as error:
        if args.traceback:
            raise
        expected = isinstance(error, (ValueError, TypeError, KeyError, OSError, RuntimeError, ImportError))
        kind = "" if expected else f"unexpected {type(error).__name__} (--traceback shows where): "
        print(f"sam2v: error: {kind}{_one_line(error)}", file=sys.stderr)
        return _BAD_INPUT if expected else _FAILED


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = _Parser(prog="sam2v", description="Promptable video segmentation.")
    parser.add_argument("--version", action="version", version=f"sam2v {sam2v.__version__}")
    parser.add_argument("--traceback", action="store_true", help="show where an error came from")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    asked = next((word for word in argv if not word.startswith("-")), None)
    for command, summary in COMMANDS.items():
        module = importlib.import_module(f"sam2v.cli.{command.replace('-', '_')}") if command == asked else None
        subparser = subparsers.add_parser(command, help=summary, description=getattr(module, "DESCRIPTION", None))
        if module is not None:
            module.add_arguments(subparser)
            subparser.set_defaults(run=getattr(module, "run", None))  # where there are none, those below have theirs
    return parser.parse_args(argv)


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    print(f"sam2v: warning: {' '.join(str(message).split())}", file=sys.stderr)


def _one_line(error: BaseException) -> str:
    """What an error says, on one line."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return " ".join(text.split()) or type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
