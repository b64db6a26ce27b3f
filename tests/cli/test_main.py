"""The shell of the command line."""

import argparse
import importlib
import pkgutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

import sam2v
import sam2v.cli
from sam2v.cli.main import COMMANDS, main

Install = Callable[[Callable[[argparse.Namespace], int]], None]


@pytest.fixture
def models_does(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Function that puts other work behind `sam2v models`."""

    def install(work: Callable[[argparse.Namespace], int]) -> None:
        module = ModuleType("sam2v.cli.models")
        module.DESCRIPTION, module.add_arguments, module.run = "", lambda parser: None, work  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "sam2v.cli.models", module)

    return install


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"sam2v {sam2v.__version__}\n"
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(command in out for command in COMMANDS)


def test_commands_are_the_modules_of_the_package() -> None:
    modules = {
        name
        for _, name, _ in pkgutil.iter_modules(sam2v.cli.__path__)
        if hasattr(
            importlib.import_module(f"sam2v.cli.{name}") if not name.startswith("_") else object(), "DESCRIPTION"
        )
    }
    assert modules == {name.replace("-", "_") for name in COMMANDS}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    assert f"usage: sam2v {command}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "COMMAND"),
        (["frobnicate"], "invalid choice: 'frobnicate'"),
        (["models", "--frobnicate"], "unrecognized arguments: --frobnicate"),
        (["download"], "NAME"),
    ],
)
def test_wrong_usage_is_one_line(argv: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("sam2v: error: ")
    assert err.count("\n") == 1
    assert words in err


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("no\nsuch   thing"), "no such thing"),
        (KeyError("no object 3"), "no object 3"),
        (FileNotFoundError(2, "No such file or directory", "a.mp4"), "[Errno 2] No such file or directory: 'a.mp4'"),
        (ModuleNotFoundError("No module named 'av'"), "No module named 'av'"),
        (RuntimeError(), "RuntimeError"),
    ],
)
def test_errors_are_one_line(
    models_does: Install, error: Exception, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(args: argparse.Namespace) -> int:
        raise error

    models_does(fail)
    assert main(["models"]) == 2
    assert capsys.readouterr() == ("", f"sam2v: error: {line}\n")
    with pytest.raises(type(error)):
        main(["--traceback", "models"])


def test_unexpected_errors_say_so(models_does: Install, capsys: pytest.CaptureFixture[str]) -> None:
    models_does(lambda args: [][0])
    assert main(["models"]) == 1
    assert capsys.readouterr().err == (
        "sam2v: error: unexpected IndexError (--traceback shows where): list index out of range\n"
    )


def test_interrupt_and_exit_code(models_does: Install, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(args: argparse.Namespace) -> int:
        raise KeyboardInterrupt

    models_does(interrupt)
    assert main(["models"]) == 130
    assert capsys.readouterr().err == "sam2v: interrupted\n"
    models_does(lambda args: 3)
    assert main(["models"]) == 3


def test_a_reader_that_stops_reading_is_no_error() -> None:
    code = (
        "import sys; from sam2v.cli import main as m, models\n"
        "models.run = lambda args: [print('x' * 100_000) for _ in range(100)] and 0\n"
        "sys.exit(m.main(['models']))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1


def test_help_needs_no_torch() -> None:
    code = (
        "import sys; from sam2v.cli.main import main\n"
        "for argv in (['--help'], ['--version'], ['eval', '--help'], ['download', '--help']): main(argv)\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["track", "VIDEO", "--point", "0:1:2,2"],
        ["image", "VIDEO", "--point", "2,2"],
        ["auto", "VIDEO"],
        ["demo"],
    ],
    ids=lambda command: command[0],
)
def test_a_file_in_the_place_of_results_is_said_at_once(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video, file = tmp_path / "a.png", tmp_path / "file"
    Image.new("RGB", (8, 8)).save(video)
    file.touch()
    for out in (file, file / "out"):
        argv = [str(video) if word == "VIDEO" else word for word in command]
        assert main([*argv, "--out", str(out), "--checkpoint", "nowhere.pt"]) == 2
        said = capsys.readouterr().err
        assert f"--out {out}: {file} is a file, not a folder" in said and said.count("\n") == 1
