"""Networks without values: shapes only, to compare with a checkpoint or to receive one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from sam2v.config import ModelConfig
    from sam2v.model.network import Sam2Network


class _NoRandomValues(TorchFunctionMode):
    """Skips drawing normal values: pointless here, and on the meta device torch imports its compiler for it (2 s), or
    half of it."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (nn.init.normal_, torch.Tensor.normal_):
            return args[0] if args else kwargs["tensor"]
        if func is torch.randn:
            return torch.empty(*args, **kwargs)
        return func(*args, **kwargs)


def build_skeleton(config: ModelConfig) -> Sam2Network:
    """The network on the meta device, in eval mode."""
    from sam2v.model.build import build_model

    with _NoRandomValues():
        return build_model(config, device=torch.device("meta"))
