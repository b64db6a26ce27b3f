"""A call with the part of its network that it uses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_iter

from sam2v.export.calls import Call

_Module = TypeVar("_Module", bound=nn.Module)


class _Touched(TorchFunctionMode):
    """Notes every tensor that something is asked of."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[int] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.ids.update(id(x) for x in tree_iter((args, kwargs or {})) if isinstance(x, Tensor))
        return func(*args, **(kwargs or {}))


def only_used(call: Call, inputs: Sequence[Tensor]) -> Call:
    """The call without parameters and buffers that it does not look at: they would be written into its program.

    Args:
        call: stays as it is.
        inputs: of any values; nothing is computed.
    """
    touched = _Touched()
    with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True) as fake, touched:
        call(*(fake.from_tensor(x) for x in inputs))
    return _copied(call, touched.ids)


def _copied(module: _Module, wanted: set[int]) -> _Module:
    """A copy of a module tree that shares the tensors of some ids, and has None in place of the others."""
    made: Any = object.__new__(type(module))
    made.__dict__.update(module.__dict__)
    for kind in ("_parameters", "_buffers"):
        held = getattr(module, kind).items()
        setattr(made, kind, {name: value if id(value) in wanted else None for name, value in held})
    made._modules = {name: child and _copied(child, wanted) for name, child in module._modules.items()}
    return made
