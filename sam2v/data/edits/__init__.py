"""Changes of real clips and photographs that make more, and harder, clips of them."""

from sam2v.data.edits.config import EditConfig
from sam2v.data.edits.edits import ClipEdits
from sam2v.data.edits.sprites import Sprite, SpritePool, cut_sprite

__all__ = ["ClipEdits", "EditConfig", "Sprite", "SpritePool", "cut_sprite"]
