"""README.md and docs/: links lead somewhere, code blocks compile, commands are ones that the command line takes."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sam2v.cli import main as cli
from sam2v.output.writers import FORMATS
from sam2v.tracking.options import VideoOptions
from sam2v.weights.load import embedded_checkpoint, list_models

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)|<img[^>]+src=\"([^\"]+)\"")
#: Options that cli.md describes once for all commands that run a model.
MODEL_OPTIONS = {
    *("--model", "--checkpoint", "--device", "--dtype", "--override", "--fast"),
    *("--runtime", "--provider", "--threads"),
}


def blocks(page: Path, *languages: str) -> list[str]:
    """The code blocks of a page in any of the languages."""
    return [text for language, text in _FENCE.findall(page.read_text()) if language in languages]


def prose(page: Path) -> str:
    """The page without its code blocks."""
    return _FENCE.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as Markdown renderers make them."""
    heads = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", head.lower()).strip()) for head in heads}


def commands(page: Path) -> Iterator[list[str]]:
    """Arguments of every `sam2v ...` line in the page's shell blocks; synopses, with ... or [, are left out."""
    for block in blocks(page, "", "bash", "sh", "console"):
        for line in block.replace("\\\n", " ").splitlines():
            line = line.strip().removeprefix("$ ").split(" && ")[-1]
            if line.startswith("sam2v ") and "..." not in line and "[" not in line:
                yield shlex.split(line, comments=True)[1:]


def pictures_to_come() -> set[str]:
    """Pictures that are made with the embedded model and so are absent as long as it is."""
    if embedded_checkpoint("sam2v_nano") is not None:
        return set()
    made = re.search(r"^PICTURES = (\(.*\))$", (ROOT / "docs" / "make_pictures.py").read_text(), re.MULTILINE)
    assert made is not None
    return set(ast.literal_eval(made[1]))


def help_options(command: str, capsys: pytest.CaptureFixture[str]) -> set[str]:
    """Long options that `sam2v COMMAND --help` shows."""
    assert cli.main([command, "--help"]) == 0
    return set(re.findall(r"--[a-z][\w-]*", capsys.readouterr().out)) - {"--help"}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for pair in _LINK.findall(prose(page)):
        target = pair[0] or pair[1]
        if target.startswith(("https://", "http://")):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.is_relative_to(ROOT), f"{target} leads out of the repository"
        assert file.exists() or file.name in pictures_to_come(), f"{target} is not there"
        if anchor:
            assert anchor in anchors(file), f"{target}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_code_blocks_are_valid(page: Path) -> None:
    for code in blocks(page, "python", "py"):
        compile(code, str(page), "exec")
    for text in blocks(page, "json"):
        json.loads(text)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_names_in_code_blocks_exist(page: Path) -> None:
    for code in blocks(page, "python", "py"):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "sam2v":
                module = __import__(str(node.module), fromlist=["_"])
                for alias in node.names:
                    assert hasattr(module, alias.name), f"{node.module} has no {alias.name}"
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "sam2v":
                assert hasattr(__import__("sam2v"), node.attr), f"sam2v has no {node.attr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_commands_are_ones_that_parse(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for argv in commands(page):
        try:
            cli._parse(argv)
        except SystemExit:
            pytest.fail(f"sam2v {shlex.join(argv)}: {capsys.readouterr().err}")


def test_there_are_commands_to_check() -> None:
    assert {argv[0] for page in PAGES for argv in commands(page)} >= {"demo", "track", "image", "eval", "download"}


def test_every_command_has_its_section() -> None:
    assert {f"sam2v-{command}" for command in cli.COMMANDS} <= anchors(ROOT / "docs" / "cli.md")


@pytest.mark.parametrize("command", [command for command in cli.COMMANDS if command not in ("data-engine", "eval")])
def test_the_reference_of_a_command_is_complete(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs" / "cli.md").read_text()
    section = re.split(r"^## ", page.split(f"\n## sam2v {command}\n")[1], maxsplit=1, flags=re.MULTILINE)[0]
    written = set(re.findall(r"--[a-z][\w-]*", _FENCE.sub("", section)))
    offered = help_options(command, capsys)
    assert written - MODEL_OPTIONS == offered - MODEL_OPTIONS
    assert all(f"`{option}" in page for option in offered & MODEL_OPTIONS)


def test_tables_name_what_there_is() -> None:
    video, output, readme = ((ROOT / name).read_text() for name in ("docs/video.md", "docs/output.md", "README.md"))
    assert all(f"| `{option}` |" in video for option in VideoOptions.__dataclass_fields__)
    assert all(re.search(rf"`{name}`.* \| ", output) for name in FORMATS)
    assert all(f"`{name}`" in readme for name in list_models())


def test_readers_of_data_sets_are_public() -> None:
    import sam2v.data

    rows = re.findall(r"^\| `([\w-]+)` \| `(\w+)\(", (ROOT / "docs" / "datasets.md").read_text(), re.MULTILINE)
    assert {name for name, _ in rows} == set(sam2v.data.DATASETS)
    assert {reader for _, reader in rows} <= set(sam2v.data.__all__)


def test_the_table_of_models_is_true(own_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models"]) == 0
    listed = re.findall(r"^(\S+) +([\d.]+ M) +(\d+)", capsys.readouterr().out, re.MULTILINE)
    assert {name for name, *_ in listed} == set(list_models())
    readme = (ROOT / "README.md").read_text()
    for name, parameters, size in listed:
        assert f"| `{name}` | {parameters} | {size} |" in readme


def test_every_page_is_in_the_contents() -> None:
    nav = set(re.findall(r"- ([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    assert {page.name for page in PAGES if page.parent.name == "docs"} <= nav
    linked = {target.partition("#")[0] for target, _ in _LINK.findall((ROOT / "docs" / "index.md").read_text())}
    assert nav - {"index.md"} <= linked


@pytest.mark.slow
def test_the_site_builds(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    pytest.importorskip("material")
    pytest.importorskip("mkdocstrings_handlers.python")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "api.html").is_file()
