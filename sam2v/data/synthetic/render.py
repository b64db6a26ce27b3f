"""Rendering of scenes: paint atlases, warp them into every frame, composite from back to front with exact masks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sam2v.data.synthetic.config import SyntheticConfig
from sam2v.data.synthetic.effects import apply_effects, darken
from sam2v.data.synthetic.fields import make_fields
from sam2v.data.synthetic.looks import draw_looks
from sam2v.data.synthetic.motion import view_to_world, world_to_atlas
from sam2v.data.synthetic.scene import BACKGROUNDS, Scene, sample_scene, stack_scenes
from sam2v.data.synthetic.shapes import Silhouettes, draw_silhouettes

LATTICE = 25  # points per side at which the warps are evaluated; between them they are bilinear
MARGIN = 1.3  # the background's half extents, as a multiple of the view's
STREAK_TAPS = 5


@dataclass(frozen=True)
class Sources:
    """Pictures that scenes may use besides procedural textures.

    Attributes:
        photographs: K x 3 x P x P uint8 RGB, textures.
        cutouts: K x 4 x Q x Q uint8 RGBA, regions cut out of photographs.
    """

    photographs: Tensor | None = None
    cutouts: Tensor | None = None

    def counts(self) -> tuple[int, int]:
        """Numbers of photographs and cutouts."""
        return tuple(0 if part is None else len(part) for part in (self.photographs, self.cutouts))  # type: ignore[return-value]


def render(
    rngs: list[np.random.Generator], config: SyntheticConfig, sources: Sources, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Render one clip per generator.

    Returns:
        frames B x T x 3 x H x W uint8, and owners B x T x H x W int16: the body visible at each pixel, -1 = background.
    """
    return render_scenes([sample_scene(rng, config, *sources.counts()) for rng in rngs], rngs, config, sources, device)


def render_scenes(
    drawn: list[Scene], rngs: list[np.random.Generator], config: SyntheticConfig, sources: Sources, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Render scenes that were drawn before; the generators give the noise of their textures.

    Returns as `render`.
    """
    scenes = stack_scenes(drawn, device)
    fields = make_fields(rngs, max(config.height, config.width), device)
    world = view_to_world(scenes.motion.camera, config.height, config.width, LATTICE)
    ground = _ground(scenes, fields, sources)
    atlases = _atlases(scenes, fields, ground, config, sources)
    canvas, owners = _composite(scenes, atlases, world, _background(scenes, fields, ground, world, config, sources))
    return apply_effects(canvas, scenes.effects), owners


def _ground(scene: Scene, fields: Tensor, sources: Sources) -> Tensor:
    """Background without clutter: B x 3 x S x S in [0, 1]."""
    side = fields.shape[-1]
    ground = draw_looks(scene.ground, fields, side, sources.photographs).clamp(0, 1)
    line = torch.linspace(-1, 1, side, device=fields.device)
    slope_x, slope_y, share, sharp = (v[:, None, None] for v in scene.division.unbind(1))
    horizon = ((slope_x * line + slope_y * line[:, None] + share * fields[:, 0]) * sharp).sigmoid()
    patches = ((fields[:, -1] - 0.9) * sharp).sigmoid()
    assert BACKGROUNDS == 3
    picture = torch.lerp(ground[:, 0], ground[:, 1], horizon[:, None])
    return torch.lerp(picture, ground[:, 2], patches[:, None])


def _atlases(scene: Scene, fields: Tensor, ground: Tensor, config: SyntheticConfig, sources: Sources) -> Tensor:
    """Textures and coverage of the layers, colours premultiplied: B x N x 4 x A x A."""
    side = max(32, int(0.6 * max(config.height, config.width)) // 8 * 8)
    atlas = _paint(scene.shapes, scene.looks, fields, side, sources)
    places = functional.adaptive_avg_pool2d(ground, 4).flatten(2)  # B 3 16
    like = places.gather(2, scene.blend[..., 1].long()[:, None].expand(-1, 3, -1)).transpose(1, 2)  # B N 3
    _paste_cutouts(atlas, scene.cutout, sources, scene.blend[..., 0], like)
    return atlas * (scene.owner >= 0)[..., None, None, None]


def _paste_cutouts(
    atlas: Tensor, cutout: Tensor, sources: Sources, blend: Tensor | None = None, like: Tensor | None = None
) -> None:
    """Replace the layers that are cut-outs, in place; `blend` moves their mean colour towards `like`."""
    if sources.cutouts is None:
        return
    for b, n in (cutout >= 0).nonzero().tolist():
        cut = sources.cutouts[int(cutout[b, n]), None].to(atlas) / 255
        colour, alpha = cut[:, :3], cut[:, 3:]
        if blend is not None and like is not None and blend[b, n] > 0:
            mean = (colour * alpha).sum((2, 3), keepdim=True) / alpha.sum().clamp_min(1)
            colour = (colour + blend[b, n] * (like[b, n, :, None, None] - mean)).clamp(0, 1)
        cut = torch.cat([colour * alpha, alpha], dim=1)
        atlas[b, n] = functional.interpolate(cut, size=atlas.shape[-2:], mode="bilinear", antialias=True)[0]


def _paint(shapes: Silhouettes, looks: object, fields: Tensor, side: int, sources: Sources) -> Tensor:
    batch, count = shapes.stick.shape
    if count == 0:
        return fields.new_zeros(batch, 0, 4, side, side)
    flat = Silhouettes(**{name: value.flatten(0, 1) for name, value in vars(shapes).items()})
    noise = fields[:, :1, :side, :side].expand(-1, count, -1, -1).flatten(0, 1)
    alpha, inside = draw_silhouettes(flat, noise)
    rim = 1 - looks.rim.flatten()[:, None, None] * (1 - 3 * inside).clamp(0, 1)  # type: ignore[attr-defined]
    colour = draw_looks(looks, fields, side, sources.photographs)  # type: ignore[arg-type]
    colour = colour.clamp(0, 1) * (alpha * rim).view(batch, count, 1, side, side)
    return torch.cat([colour, alpha.view(batch, count, 1, side, side)], dim=2)


def _background(
    scene: Scene, fields: Tensor, ground: Tensor, world: Tensor, config: SyntheticConfig, sources: Sources
) -> Tensor:
    """Background seen by the camera: B x T x 3 x H x W in [0, 1]."""
    picture = _paste_clutter(scene, fields, ground, sources)
    extent = torch.tensor(config.aspect, device=fields.device) * MARGIN
    grid = full_grid((world / extent).flatten(0, 1), config.height, config.width)  # B*T H W 2
    batch, frames = world.shape[:2]
    grid = grid.view(batch, frames * config.height, config.width, 2)
    view = functional.grid_sample(picture, grid, padding_mode="reflection", align_corners=False)
    return view.view(batch, 3, frames, config.height, config.width).transpose(1, 2)


def _paste_clutter(scene: Scene, fields: Tensor, picture: Tensor, sources: Sources) -> Tensor:
    side, batch = picture.shape[-1], len(picture)
    atlas = _paint(scene.clutter_shapes, scene.clutter_looks, fields, max(32, side // 2), sources)
    count = atlas.shape[1]
    if count == 0:
        return picture
    _paste_cutouts(atlas, scene.clutter_cutout, sources)
    x, y, half_x, half_y, angle = scene.clutter_pose.flatten(0, 1).unbind(1)
    cos, sin = angle.cos(), angle.sin()
    row_x = torch.stack([cos / half_x, sin / half_x, -(x * cos + y * sin) / half_x], dim=1)
    row_y = torch.stack([-sin / half_y, cos / half_y, (x * sin - y * cos) / half_y], dim=1)
    grid = functional.affine_grid(torch.stack([row_x, row_y], 1), [batch * count, 4, side, side], align_corners=False)
    pasted = functional.grid_sample(atlas.flatten(0, 1), grid, align_corners=False).view(batch, count, 4, side, side)
    for k in range(count):
        picture = picture * (1 - pasted[:, k, 3:]) + pasted[:, k, :3]
    return picture


def full_grid(coarse: Tensor, height: int, width: int) -> Tensor:
    """Refine K x n x n x 2 lattice values to K x height x width x 2: bilinear, as two matrix products."""
    count, n = coarse.shape[:2]
    wide = _refinement(n, width, coarse) @ coarse.reshape(count * n, n, 2)  # K*n W 2
    return (_refinement(n, height, coarse) @ wide.view(count, n, width * 2)).view(count, height, width, 2)


def _refinement(coarse: int, fine: int, like: Tensor) -> Tensor:
    """fine x coarse matrix of linear interpolation between lattice points."""
    position = torch.linspace(0, coarse - 1, fine, device=like.device, dtype=like.dtype)
    nodes = torch.arange(coarse, device=like.device, dtype=like.dtype)
    return (1 - (position[:, None] - nodes).abs()).clamp_min(0)


def warp(atlas: Tensor, lattice: Tensor, height: int, width: int) -> Tensor:
    """Sample K atlases at K x T x n x n x 2 coordinates: K x T x 4 x H x W."""
    count, frames = lattice.shape[:2]
    grid = full_grid(lattice.flatten(0, 1), height, width).reshape(count, frames * height, width, 2)
    out = functional.grid_sample(atlas, grid, align_corners=False)  # K 4 T*H W
    return out.view(count, 4, frames, height, width).transpose(1, 2)


def _composite(scene: Scene, atlas: Tensor, world: Tensor, canvas: Tensor) -> tuple[Tensor, Tensor]:
    height, width = canvas.shape[-2:]
    lattice = world_to_atlas(scene.motion, world)  # B N T n n 2
    owners = torch.full((*canvas.shape[:2], height, width), -1, dtype=torch.int16, device=canvas.device)
    for n in range(atlas.shape[1]):
        present = (scene.owner[:, n] >= 0).nonzero().flatten()
        if len(present) == 0:
            continue
        layer = warp(atlas[present, n], lattice[present, n], height, width)
        solid = layer[:, :, 3] > 0.5
        _streak(layer, atlas[present, n], lattice[present, n], scene.effects.streak[present, n])
        below = darken(canvas[present], layer[:, :, 3], scene.effects.shadow[present, n])
        canvas[present] = below * (1 - layer[:, :, 3:]) + layer[:, :, :3]
        name = scene.owner[present, n].to(torch.int16)[:, None, None, None]
        owners[present] = torch.where(solid, name, owners[present])
    return canvas, owners


def _streak(layer: Tensor, atlas: Tensor, lattice: Tensor, streak: Tensor) -> None:
    """Motion blur in place: average over the shutter's time, following the warp from one frame to the next."""
    rows = (streak > 0).nonzero().flatten()
    if len(rows) == 0 or lattice.shape[1] < 2:
        return
    lattice = lattice[rows]
    step = torch.cat([lattice[:, 1:] - lattice[:, :-1], lattice[:, -1:] - lattice[:, -2:-1]], dim=1)
    total = torch.zeros_like(layer[rows])
    for tap in torch.linspace(-0.5, 0.5, STREAK_TAPS).tolist():
        shifted = lattice + tap * streak[rows].view(-1, 1, 1, 1, 1) * step
        total += warp(atlas[rows], shifted, *layer.shape[-2:])
    layer[rows] = total / STREAK_TAPS
