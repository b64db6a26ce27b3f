"""Where the package's data folders are: inside the package when installed from a wheel, beside it in a checkout."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def configs_dir() -> Path:
    """Folder of the shipped configurations: `model/`, `train/`, `eval/`.

    Raises:
        FileNotFoundError: the installation lacks it.
    """
    return _data_dir("configs")


def checkpoints_dir() -> Path:
    """Folder of the embedded checkpoints.

    Raises:
        FileNotFoundError: the installation lacks it.
    """
    return _data_dir("checkpoints")


def _data_dir(name: str) -> Path:
    places = [_PACKAGE / name, _PACKAGE.parent / name]
    for place in places:
        if place.is_dir():
            return place
    raise FileNotFoundError(f"sam2v's folder '{name}' is missing; looked in {places[0]} and {places[1]}; reinstall")
