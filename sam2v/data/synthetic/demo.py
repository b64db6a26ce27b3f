"""A short clip to show: three textured objects that move, cross and leave, with exact masks."""

from __future__ import annotations

import math

import numpy as np
import torch

from sam2v.data.clips import Clip
from sam2v.data.synthetic.config import SyntheticConfig
from sam2v.data.synthetic.motion import Motion, sample_waves
from sam2v.data.synthetic.render import Sources, render_scenes
from sam2v.data.synthetic.scene import Scene, sample_scene

_BODIES = 3
_GROUND = [[0.56, 0.70, 0.82], [0.40, 0.52, 0.36], [0.66, 0.66, 0.52]]
_TONES = [
    [[0.86, 0.40, 0.22], [0.97, 0.82, 0.55]],
    [[0.20, 0.33, 0.62], [0.62, 0.80, 0.90]],
    [[0.45, 0.22, 0.44], [0.92, 0.62, 0.66]],
]


def demo_clip(size: tuple[int, int] = (288, 480), frames: int = 48, seed: int = 2) -> Clip:
    """Draw the demonstration clip.

    Object 0 crosses the picture and passes in front of object 1, which sways about the middle; object 2 leaves on the
    right for the middle third of the clip and returns.

    Args:
        size: (height, width) in pixels, at least 32 each.
        frames: number of frames, at least 2.
        seed: a whole number; it decides shapes and textures, not the story.

    Returns:
        frames T x 3 x H x W and masks T x 3 x H x W; all three objects are visible on frame 0.

    Raises:
        ValueError: a size or number of frames that is too small, or a negative seed.
    """
    if frames < 2 or seed < 0:
        raise ValueError(
            f"frames={frames}, seed={seed}: a demonstration takes at least 2 frames and a seed of at least 0"
        )
    height, width = size
    config = SyntheticConfig(
        height=height, width=width, frames=frames, bodies=_BODIES, limbs=2, clutter=5, max_objects=_BODIES
    )
    rng = np.random.default_rng([seed, 48])
    scene = _direct(sample_scene(rng, config), rng, config)
    with torch.no_grad():
        pictures, owners = render_scenes([scene], [rng], config, Sources(), torch.device("cpu"))
    masks = owners[0][:, None] == torch.arange(_BODIES)[None, :, None, None]
    return Clip(pictures[0], masks, name=f"demo-{seed}")


def _direct(scene: Scene, rng: np.random.Generator, config: SyntheticConfig) -> Scene:
    """Give a random scene the demonstration's story, colours and calm light."""
    wide, tall = config.aspect
    t = np.linspace(0, 1, config.frames)
    away = np.clip((t - 0.3) * 4, 0, 1) - np.clip((t - 0.7) * 4, 0, 1)
    paths = [
        np.stack([(-0.72 + 1.35 * t) * wide, tall * (0.32 + 0.12 * np.sin(9 * t))], 1),
        np.stack([wide * 0.12 * np.sin(5 * t), tall * (0.02 - 0.1 * np.sin(7 * t))], 1),
        np.stack([wide * (0.62 + 0.95 * (3 - 2 * away) * away**2), tall * (-0.42 + 0.1 * np.sin(6 * t))], 1),
    ]
    sizes, turns = (0.42, 0.56, 0.36), (0.5, -0.35, 0.25)
    owner = np.full(config.layers, -1)
    layers = [1, 2, 0]  # from back to front
    motion = scene.motion
    poses = Motion(
        motion.centre.copy(),
        motion.angle.copy(),
        motion.scale.copy(),
        sample_waves(rng, config.layers, 0.4),
        motion.camera,
    )
    for layer, body in enumerate(layers):
        owner[layer] = body
        poses.centre[layer] = paths[body]
        poses.angle[layer] = turns[body] * np.sin(2 * math.pi * t * (1 + 0.3 * body))
        poses.scale[layer] = sizes[body] * (1 + 0.06 * np.sin(8 * t + body))[:, None] * [1.0, 0.95]
        scene.looks.base[layer] = _TONES[body]
        scene.looks.threshold[layer], scene.looks.sharpness[layer] = 0.2, 6.0
        scene.looks.rim[layer] = 0.35
        scene.looks.mix[layer] *= 0.6
        scene.shapes.hole[layer, 2] = 0
        scene.shapes.stick[layer] = False
    poses.camera = np.stack([0.08 * np.sin(3 * t), 0.03 * np.cos(4 * t), 0.04 * t, 0.01 * np.sin(5 * t)], 1)
    scene.owner, scene.motion = owner, poses
    scene.ground.base[:] = np.array(_GROUND)[:, None, :] * np.array([1.0, 0.9])[None, :, None]
    scene.ground.mix *= 0.5
    scene.division[:] = [0.1, 2.2, 0.25, 9.0]
    scene.clutter_looks.base = scene.ground.base[np.arange(config.clutter) % len(_GROUND)] * 0.8
    effects = scene.effects
    effects.light[:], effects.cast[:], effects.spot[:], effects.blur[:] = 1.0, 1.0, 0.0, 0.0
    effects.streak[:], effects.noise, effects.gamma = 0.0, 0.008, 1.0
    effects.shadow[:, :2], effects.shadow[:, 2] = [0.05, 0.09], 0.35
    return scene
