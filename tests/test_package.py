"""The package as a whole: what importing it costs, who imports whom, and the wheel."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

import sam2v
from sam2v.paths import checkpoints_dir, configs_dir

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "sam2v"

LAYERS = (  # a part may import from the layers above its own in this list
    ("arrays", "closing", "files", "lazy", "options", "paths", "pillow"),
    ("config",),
    ("nn", "masks", "video", "jobs"),
    ("model", "output"),
    ("memory", "backends"),
    ("weights", "tracking"),
    ("predict", "data", "export"),
    ("automatic", "effects", "runtime"),
    ("evaluation", "compat"),
    ("training",),  # validates with evaluation's metrics
    ("data_engine",),
    ("app",),
    ("cli", "widget"),
)
RANKS = {part: rank for rank, layer in enumerate(LAYERS) for part in layer}
HEAVY = (
    "torchvision",
    "hydra",
    "omegaconf",
    "av",
    "safetensors",
    "matplotlib",
    "supervision",
    "cv2",
    "huggingface_hub",
    "sqlalchemy",
    "onnx",
    "onnxruntime",
    "onnxscript",
)


def run_python(code: str, python: str = sys.executable, cwd: Path = ROOT, **env: str) -> str:
    done = subprocess.run(
        [python, "-c", code],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def imports_of(file: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name below `sam2v` of everything a file imports from the package, at any depth of the code."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: relative import"
            names = [f"sam2v.{a.name}" for a in node.names] if node.module == "sam2v" else [node.module or ""]
        else:
            continue
        for name in names:
            if name.startswith("sam2v.") and name != "sam2v.__version__":
                yield node.lineno, name.removeprefix("sam2v.")


def imported_files(file: Path) -> set[Path]:
    """Files of the package that a file imports; a package stands for its `__init__.py`."""
    found = set()
    for _, name in imports_of(file):
        path = PACKAGE.joinpath(*name.split("."))
        found |= {p for p in (path.with_suffix(path.suffix + ".py"), path / "__init__.py") if p.is_file()}
    return found


def test_every_part_has_a_rank() -> None:
    parts = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert parts - {"__init__", "__main__"} <= set(RANKS)


def test_nobody_imports_upwards() -> None:
    upward = []
    for file in sorted(PACKAGE.rglob("*.py")):
        part = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if part == "__init__":
            continue  # offers names from everywhere
        for line, other in imports_of(file):
            other = other.split(".")[0]
            if other != part and RANKS.get(other, len(LAYERS)) >= RANKS[part]:
                upward.append(f"{file.relative_to(ROOT)}:{line} imports {other}")
    assert not upward, "\n".join(upward)


def test_no_file_is_in_a_circle() -> None:
    """Also within a part, and also by imports inside of functions."""
    files = {file: imported_files(file) for file in PACKAGE.rglob("*.py") if file.name != "__init__.py"}
    while free := [file for file, others in files.items() if not others & files.keys()]:
        for file in free:
            del files[file]
    assert not files, {
        str(file.relative_to(ROOT)): sorted(map(str, others & files.keys())) for file, others in files.items()
    }


def test_texts_are_read_and_written_in_utf_8() -> None:
    """Not in whatever the system prefers."""
    silent = []
    for file in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or any(keyword.arg == "encoding" for keyword in node.keywords):
                continue
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            of_object = isinstance(node.func, ast.Attribute)
            if of_object and getattr(node.func.value, "id", "") == "av":  # type: ignore[union-attr]
                continue
            modes = [a.value for a in node.args if isinstance(a, ast.Constant) and a.value in ("r", "w", "a", "x")]
            if (called in ("read_text", "write_text") and of_object) or (called == "open" and modes):
                silent.append(f"{file.relative_to(ROOT)}:{node.lineno}")
    assert not silent, "\n".join(silent)


def test_importing_is_light() -> None:
    """Few modules beyond torch's own, none of the heavy ones."""
    code = (
        "import sys, torch; before = set(sys.modules); import sam2v; sam2v.load_model, sam2v.VideoPredictor\n"
        "import json; print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    new = json.loads(run_python(code))
    assert not {name.split(".")[0] for name in new} & set(HEAVY)
    foreign = [name for name in new if name.split(".")[0] != "sam2v"]
    assert len(foreign) < 60, foreign


def test_importing_does_not_need_torch_until_a_name_is_used() -> None:
    assert (
        run_python("import sys, sam2v; print('torch' in sys.modules, 'numpy' in sys.modules)").split() == ["False"] * 2
    )


STATE = """
import json, logging, os, random, signal, sys, threading, warnings
import numpy as np, torch

def state():
    return [
        torch.get_num_threads(), str(torch.get_default_dtype()), torch.is_grad_enabled(),
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark,
        torch.are_deterministic_algorithms_enabled(), torch.initial_seed(), torch.get_rng_state().sum().item(),
        hash(random.getstate()), int(np.random.get_state()[1].sum()), str(np.geterr()), str(warnings.filters),
        logging.getLogger().level, len(logging.getLogger().handlers), str(signal.getsignal(signal.SIGINT)),
        threading.active_count(), dict(os.environ), os.getcwd(), sys.path,
    ]

before = state()
"""


def test_importing_and_configuring_change_no_global_state() -> None:
    run_python(
        STATE + "import sam2v\nfor name in sam2v.__all__: getattr(sam2v, name)\n"
        "after = state()\nassert before == after, [p for p in zip(before, after) if p[0] != p[1]]"
    )
    run_python(
        "from hydra.core.global_hydra import GlobalHydra\nimport sam2v\n"
        "sam2v.load_model('sam2v_nano', checkpoint=None, device='cpu', overrides=['model.image_size=64'])\n"
        "assert not GlobalHydra.instance().is_initialized()"
    )


def test_building_a_model_leaves_hydra_to_the_application() -> None:
    run_python(
        "import hydra, sam2v\nfrom hydra.core.global_hydra import GlobalHydra\n"
        "hydra.initialize(config_path=None, version_base='1.3')\nbefore = GlobalHydra.instance().hydra\n"
        "sam2v.load_model('sam2v_nano', checkpoint=None, device='cpu')\n"
        "assert GlobalHydra.instance().hydra is before and before is not None"
    )


def test_every_public_name_is_there() -> None:
    for name in sam2v.__all__:
        assert getattr(sam2v, name) is not None
    assert set(sam2v.__all__) <= set(dir(sam2v))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        sam2v.nothing  # noqa: B018


def test_what_is_imported_is_declared() -> None:
    """Every foreign package that some file imports is a dependency or belongs to an extra."""
    names = {"PIL": "pillow", "cv2": "opencv-python-headless", "hydra": "hydra-core", "yaml": "pyyaml"}
    declared = set(re.findall(r'^  "([\w-]+)', (ROOT / "pyproject.toml").read_text(), re.MULTILINE))
    declared |= set(re.findall(r'= \["([\w-]+)[><=]', (ROOT / "pyproject.toml").read_text()))
    missing = set()
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                found = [alias.name for alias in node.names]
            else:
                found = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            roots = {name.split(".")[0] for name in found} - {"sam2v", *sys.stdlib_module_names}
            missing |= {root for root in roots if names.get(root, root.replace("_", "-")) not in declared}
    assert not missing


def test_version() -> None:
    assert sam2v.__version__ == importlib.metadata.version("sam2v")


def test_data_folders_in_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert configs_dir() == ROOT / "configs"
    assert checkpoints_dir() == ROOT / "checkpoints"
    monkeypatch.setattr("sam2v.paths._PACKAGE", tmp_path / "sam2v")
    with pytest.raises(FileNotFoundError, match="sam2v's folder 'configs' is missing"):
        configs_dir()


@pytest.mark.slow
def test_the_wheel_works_alone(tmp_path: Path) -> None:
    """Build the wheel, install it into an empty environment outside the checkout, and run there.

    The dependencies are lent by the running environment: its folder is put on the path, which does not activate its
    editable installation of the checkout.
    """
    built = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)],
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = tmp_path.glob("sam2v-*.whl")
    venv.create(tmp_path / "venv", with_pip=False)
    scripts = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin")
    python = str(scripts / "python")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(pip, check=True, stdin=subprocess.DEVNULL)
    site = Path(run_python("import sysconfig; print(sysconfig.get_path('purelib'))", python, tmp_path).strip())
    (site / "lent.pth").write_text(sysconfig.get_path("purelib"))

    where = json.loads(
        run_python(
            "import json, sam2v, sam2v.paths as p; from importlib.resources import files\n"
            "model = sam2v.load_model('sam2v_nano', checkpoint=None, device='cpu')\n"
            "print(json.dumps([sam2v.__file__, str(p.configs_dir()), str(p.checkpoints_dir()), sam2v.list_models(), "
            "(files('sam2v') / 'py.typed').is_file()]))",
            python,
            tmp_path,
        )
    )
    assert all(Path(path).is_relative_to(site / "sam2v") for path in where[:3])
    assert where[3] == sam2v.list_models()
    assert where[4]
    shipped = {p.relative_to(site / "sam2v") for p in (site / "sam2v" / "configs").rglob("*.yaml")}
    assert shipped == {p.relative_to(ROOT) for p in configs_dir().rglob("*.yaml")}
    command = subprocess.run([str(scripts / "sam2v"), "models"], cwd=tmp_path, capture_output=True, text=True)
    assert command.returncode == 0, command.stderr
    assert "sam2.1_hiera_tiny" in command.stdout
