"""Stand-ins for a network: the same calls on the same weights, with some of its modules computed in another way."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeVar

from torch import nn

Module = TypeVar("Module", bound=nn.Module)

#: Class of a module -> the subclass that stands in for it.
Kinds = Mapping[type[nn.Module], type[nn.Module]]

#: Sizes of pictures whose constants are kept.
_SIZES = 16


def stand_in(module: Module, kinds: Kinds, keep_constants: bool = True) -> Module:
    """A copy of a module tree that shares its parameters and buffers, some of its modules being of another class.

    A subclass with a method `prepare` has it called once, when its children are in place: it brings weights into the
    form that it wants.

    Args:
        module: the original, which stays as it is.
        kinds: which classes are exchanged.
        keep_constants: compute what depends on sizes and weights alone (the methods that a class lists in `constants`)
            once for each size; not where weights are learned.
    """
    made: Any = object.__new__(type(module))  # copy.copy refuses parametrised modules
    made.__dict__.update(module.__dict__)
    made._parameters, made._buffers = dict(module._parameters), dict(module._buffers)
    children = module._modules.items()
    made._modules = {name: child and stand_in(child, kinds, keep_constants) for name, child in children}
    made.__class__ = kinds.get(type(module), type(module))
    for name in getattr(made, "constants", ()) if keep_constants else ():
        setattr(made, name, lru_cache(_SIZES)(getattr(made, name)))
    if hasattr(made, "prepare"):
        made.prepare()
    return made
