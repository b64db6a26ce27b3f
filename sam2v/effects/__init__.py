"""What can be done to a frame and its masks, to objects and to the background, and rendering a video with it.

Names load on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sam2v.lazy import lazy_names

# ruff: noqa: F401 - the imports tell type checkers what the names below are
if TYPE_CHECKING:
    from sam2v.effects.base import Colour, Effect
    from sam2v.effects.canvas import Canvas, Target
    from sam2v.effects.edit import Edit
    from sam2v.effects.erase import Erase
    from sam2v.effects.looks import Blur, Desaturate, Fill, Pixelate, Recolour, Spotlight
    from sam2v.effects.parse import EFFECTS, parse_effect, parse_effects
    from sam2v.effects.rendering import render
    from sam2v.effects.scene import Scene
    from sam2v.effects.shapes import CutOut, Duplicate, Enlarge, Outline
    from sam2v.effects.trail import Trail

_MODULES = {
    "base": ("Colour", "Effect"),
    "canvas": ("Canvas", "Target"),
    "edit": ("Edit",),
    "erase": ("Erase",),
    "looks": ("Blur", "Desaturate", "Fill", "Pixelate", "Recolour", "Spotlight"),
    "parse": ("EFFECTS", "parse_effect", "parse_effects"),
    "rendering": ("render",),
    "scene": ("Scene",),
    "shapes": ("CutOut", "Duplicate", "Enlarge", "Outline"),
    "trail": ("Trail",),
}
__getattr__, __dir__, __all__ = lazy_names(__name__, _MODULES)
