"""Which configuration a state dict belongs to, and loading that explains itself when it does not fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from sam2v.model.checksum import weights_checksum as weights_checksum
from sam2v.weights.keys import MEMORY_PREFIXES, is_image_only

if TYPE_CHECKING:
    from sam2v.model.network import Sam2Network

_LISTED = 6

_Shapes = dict[str, tuple[int, ...]]


def shapes_of(state_dict: Mapping[str, Tensor]) -> _Shapes:
    """Name -> shape of every entry."""
    return {name: tuple(value.shape) for name, value in state_dict.items()}


def config_shapes(name: str) -> _Shapes:
    """Name -> shape of every entry of a shipped configuration's state dict, without allocating it."""
    from sam2v.config import load_model_config
    from sam2v.weights.skeleton import build_skeleton

    return shapes_of(build_skeleton(load_model_config(name)).state_dict())


def fitting_configs(state_dict: Mapping[str, Tensor]) -> list[str]:
    """Names of the shipped configurations whose entries have exactly these names and shapes.

    A checkpoint without the modules for tracking (an image-only port) fits every version of its size.
    """
    from sam2v.config import list_model_configs

    found = shapes_of(state_dict)
    image_only = not any(name.startswith(MEMORY_PREFIXES) for name in found)

    def fits(name: str) -> bool:
        expected = config_shapes(name)
        if image_only:
            expected = {k: v for k, v in expected.items() if not k.startswith(MEMORY_PREFIXES)}
        return expected == found

    return [name for name in list_model_configs() if fits(name)]


def load_strictly(
    network: Sam2Network, state_dict: Mapping[str, Tensor], source: str, image_only: bool = False
) -> bool:
    """Copy a state dict with the released names into a network, in the network's own dtype.

    Args:
        network: may be on the meta device; its entries then are replaced by the state dict's.
        state_dict: name -> tensor.
        source: what to call the state dict in an error.
        image_only: whether the modules for tracking may be missing, all of them or none.

    Returns:
        Whether they are missing.

    Raises:
        ValueError: names or shapes differ, or a parameter's values are no floating-point numbers. All are in the one
            message, cut to a readable number, with the configuration that would have fitted. The network is unchanged.
    """
    own, given = shapes_of(network.state_dict()), shapes_of(state_dict)
    missing, unexpected = set(own) - set(given), set(given) - set(own)
    wrong = [name for name in own if name in given and own[name] != given[name]]
    strange = {name: value.dtype for name, value in state_dict.items() if not value.is_floating_point()}
    lacks_memory = bool(missing) and is_image_only(missing, set(own))
    if unexpected or wrong or strange or (missing and not (image_only and lacks_memory)):
        problems = [
            _listing("missing", [name for name in own if name in missing]),
            _listing("unexpected", [name for name in given if name in unexpected]),
            _listing("wrong shape", [f"{n} {_by(given[n])} instead of {_by(own[n])}" for n in wrong]),
            _listing("not floating point", [f"{n} {str(kind)[6:]}" for n, kind in strange.items()]),
        ]
        text = f"{source} does not fit {network.config.name or 'this model'}: " + "; ".join(filter(None, problems))
        raise ValueError(f"{text}; {_advice(state_dict, network.config.name)}")
    _assign(network, state_dict)
    return lacks_memory


def _assign(network: Sam2Network, state_dict: Mapping[str, Tensor]) -> None:
    own = network.state_dict()
    if next(iter(own.values())).is_meta:
        values = {name: value.to(own[name].dtype) for name, value in state_dict.items()}
        network.load_state_dict(values, strict=False, assign=True)
    else:
        network.load_state_dict(dict(state_dict), strict=False)


def _advice(state_dict: Mapping[str, Tensor], asked: str) -> str:
    names = fitting_configs(state_dict)
    if asked in names:
        return f"it fits {asked} without overrides"
    return f"it fits {' and '.join(names)}" if names else "it fits none of the known configurations"


def _listing(what: str, items: Iterable[str]) -> str:
    items = list(items)
    more = f", ... {len(items) - _LISTED} more" if len(items) > _LISTED else ""
    return f"{len(items)} {what} ({', '.join(items[:_LISTED])}{more})" if items else ""


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "scalar"
