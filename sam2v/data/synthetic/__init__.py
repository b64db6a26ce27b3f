"""Synthetic clips with exact masks: procedural, or from photographs with annotated regions."""

from sam2v.data.synthetic.config import SyntheticConfig
from sam2v.data.synthetic.dataset import SyntheticClips
from sam2v.data.synthetic.demo import demo_clip
from sam2v.data.synthetic.photographs import load_sources
from sam2v.data.synthetic.render import Sources

__all__ = ["Sources", "SyntheticClips", "SyntheticConfig", "demo_clip", "load_sources"]
