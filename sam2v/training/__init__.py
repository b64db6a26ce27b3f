"""Training: losses, simulated prompts, the unroll of a clip, and the loop around them."""

from __future__ import annotations

from sam2v.lazy import lazy_names

_MODULES = {
    "config": ("TrainConfig", "load_train_config"),
    "loop": ("TrainResult", "train"),
    "losses": ("LossConfig", "LossParts", "PromptStep", "clip_loss"),
    "prompting": ("PromptConfig",),
    "unroll": ("unroll",),
}
__getattr__, __dir__, __all__ = lazy_names(__name__, _MODULES)
