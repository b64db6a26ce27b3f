"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from golden.weights import manifests, weights_by_rule
from hypothesis import HealthCheck, settings

# Examples take as long as they take on a busy machine, and are the same in every run.
settings.register_profile(
    "sam2v", deadline=None, derandomize=True, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("sam2v")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def _steady_threads() -> None:
    """The same number of threads everywhere, so that sums are taken in the same order."""
    among_others = "PYTEST_XDIST_WORKER" in os.environ
    torch.set_num_threads(int(os.environ.get("SAM2V_TEST_THREADS", "1" if among_others else "2")))


@pytest.fixture(scope="session", autouse=True)
def _no_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """None of the user's settings, which stay as they are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("settings")))
        yield


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """The whole suite runs in several processes, a part that somebody names in one."""
    if config.args_source is pytest.Config.ArgsSource.ARGS:
        return 0
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # also of the programs that tests start
    return min(4, os.cpu_count() or 1)


def devices() -> list[str]:
    """The CPU, and whatever accelerator is there (SAM2V_TEST_DEVICES names others)."""
    if named := os.environ.get("SAM2V_TEST_DEVICES"):
        return named.split(",")
    return ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.fixture(scope="session", params=devices())
def device(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    """Every device that tests run on, computing in full float32."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield torch.device(request.param)
    torch.backends.cudnn.allow_tf32 = before


@pytest.fixture(scope="session")
def golden_dir() -> Path:
    """Recorded fixtures kept with the tests."""
    return Path(__file__).parent / "golden"


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Folder of larger fixtures and media that are not in the repository; tests that need it are skipped without it."""
    folder = Path(os.environ.get("SAM2V_SHARED") or ROOT.parent / "shared")
    if not (folder / "golden").is_dir():
        pytest.skip("needs the folder of shared fixtures (environment variable SAM2V_SHARED)")
    return folder


@pytest.fixture(scope="session")
def official_state_dict() -> Callable[..., dict[str, torch.Tensor]]:
    """Function (config, salt="") -> state dict with the released names and shapes, filled by the golden rule."""
    return lambda config, salt="": weights_by_rule(manifests()[config], salt)


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty weights cache, and none of the user's settings."""
    for variable in ("SAM2V_OFFLINE", "SAM2V_WEIGHTS_URL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("SAM2V_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"
