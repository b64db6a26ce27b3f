"""Hiera image trunk: windowed and global attention with query pooling between stages (SAM 2 paper, appendix D.1)."""

from __future__ import annotations

from itertools import accumulate

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam2v.config import TrunkConfig
from sam2v.nn.attention import attend
from sam2v.nn.layers import MLP, DropPath

_EPS = 1e-6


def halve(x: Tensor) -> Tensor:
    """Max-pool B x H x W x C to half its height and width."""
    return F.max_pool2d(x.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)


def to_windows(x: Tensor, side: int) -> Tensor:
    """Cut B x H x W x C into (B * rows * columns) x side x side x C, zero-padding at the right and bottom."""
    _, h, w, c = x.shape
    if h % side or w % side:
        x = F.pad(x, (0, 0, 0, -w % side, 0, -h % side))
    x = x.unflatten(2, (-1, side)).unflatten(1, (-1, side))  # B x rows x side x columns x side x C
    # a view, which a single row of windows would be, takes linear layers a slower way
    return x.transpose(2, 3).reshape(-1, side, side, c).contiguous()


def from_windows(windows: Tensor, h: int, w: int) -> Tensor:
    """Undo `to_windows` for a map of H x W, dropping the padding."""
    side, c = windows.shape[1], windows.shape[3]
    rows, columns = -(-h // side), -(-w // side)
    x = windows.reshape(-1, rows, columns, side, side, c).transpose(2, 3)
    return x.reshape(-1, rows * side, columns * side, c)[:, :h, :w]


def _bicubic(have: int, want: int, like: Tensor) -> Tensor:
    """Weights, want x have, that resize a line of values; dtype and device as `like`."""
    one_hot = torch.eye(have, dtype=like.dtype)[None, None]  # on the CPU: not every device has bicubic interpolation
    return F.interpolate(one_hot, (want, have), mode="bicubic", align_corners=False)[0, 0].to(like.device)


class HieraAttention(nn.Module):
    """Self-attention over a map, optionally with queries pooled 2 x 2."""

    #: The kernel; backends set another one on their stand-ins.
    attend = staticmethod(attend)

    def __init__(self, in_channels: int, channels: int, heads: int, pool: bool) -> None:
        super().__init__()
        self.heads, self.pool = heads, pool
        self.qkv, self.proj = nn.Linear(in_channels, 3 * channels), nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map B x H x W x Cin to B x H' x W' x C, where H' = H / 2 with pooling."""
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        if self.pool:
            q = halve(q)
        b, h, w, c = q.shape
        q, k, v = (t.reshape(b, -1, self.heads, c // self.heads).transpose(1, 2) for t in (q, k, v))
        return self.proj(self.attend(q, k, v).reshape(b, h, w, c))


class HieraBlock(nn.Module):
    """One transformer block; at a stage change it doubles the channels and halves the map.

    Args:
        in_channels, channels: before and after.
        heads: attention heads.
        window: window side in input cells, 0 for attention over the whole map.
        pool: whether this block halves the map.
        drop_path: stochastic depth rate.
    """

    def __init__(self, in_channels: int, channels: int, heads: int, window: int, pool: bool, drop_path: float) -> None:
        super().__init__()
        self.window, self.pool = window, pool
        self.norm1, self.norm2 = nn.LayerNorm(in_channels, eps=_EPS), nn.LayerNorm(channels, eps=_EPS)
        self.attn = HieraAttention(in_channels, channels, heads, pool)
        self.mlp = MLP((channels, 4 * channels, channels), "gelu")
        self.proj = nn.Linear(in_channels, channels) if in_channels != channels else None
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Map B x H x W x Cin to B x H' x W' x C."""
        return self.transform(self.attention(x))

    def attention(self, x: Tensor) -> Tensor:
        """The first half: B x H x W x Cin to B x H' x W' x C."""
        normed = self.norm1(x)
        shortcut = x if self.proj is None else self.proj(normed)
        if self.pool:
            shortcut = halve(shortcut)
        h, w = shortcut.shape[1:3]
        if self.window:
            # padding comes after the norm, so padded cells are zeros that take part in the attention
            attended = from_windows(self.attn(to_windows(normed, self.window)), h, w)
        else:
            attended = self.attn(normed)
        return shortcut + self.drop_path(attended)

    def transform(self, x: Tensor) -> Tensor:
        """The second half, the MLP: B x H' x W' x C to the same shape."""
        return x + self.drop_path(self.mlp(self.norm2(x)))


class PatchEmbedding(nn.Module):
    """Overlapping 7x7 patches at stride 4."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, channels, 7, stride=4, padding=3)

    def forward(self, images: Tensor) -> Tensor:
        """Map B x 3 x H x W to B x H/4 x W/4 x C."""
        # channels last from the start: the blocks would otherwise read a transposed view
        return self.proj(images.contiguous(memory_format=torch.channels_last)).permute(0, 2, 3, 1)


class Hiera(nn.Module):
    """The trunk: four stages at strides 4, 8, 16 and 32.

    Args:
        config: sizes; `channels` lists the channels of the four stages.
    """

    constants = ("position_embedding",)

    def __init__(self, config: TrunkConfig) -> None:
        super().__init__()
        self.channels = [config.embed_dim * 2**stage for stage in range(4)]
        self.patch_embed = PatchEmbedding(config.embed_dim)
        self.pos_embed = nn.Parameter(torch.zeros(1, config.embed_dim, *config.pos_embed_size))
        self.pos_embed_window = nn.Parameter(torch.zeros(1, config.embed_dim, config.windows[0], config.windows[0]))
        self.blocks = nn.ModuleList()
        rates = torch.linspace(0, config.drop_path, sum(config.stages), device="cpu").tolist()
        for stage, depth in enumerate(config.stages):
            for position in range(depth):
                index = len(self.blocks)
                changes = stage > 0 and position == 0
                # the block that changes stage still works on the previous stage's grid, hence its window
                window = 0 if index in config.global_blocks else config.windows[stage - changes]
                block = HieraBlock(
                    self.channels[stage - changes],
                    self.channels[stage],
                    config.num_heads * 2**stage,
                    window,
                    changes,
                    rates[index],
                )
                self.blocks.append(block)
        self.stage_ends = [end - 1 for end in accumulate(config.stages)]
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        nn.init.trunc_normal_(self.pos_embed_window, std=0.02)

    def position_embedding(self, h: int, w: int) -> Tensor:
        """Learned position of an h x w grid, 1 x h x w x C float32: the interpolated grid plus the tiled window."""
        # bicubic interpolation is linear along each side, and so is tiling: one product along the height makes both
        grid, window = (learned[0].float().permute(1, 2, 0) for learned in (self.pos_embed, self.pos_embed_window))
        side = len(window)
        tiles = torch.eye(side, dtype=grid.dtype, device=grid.device).repeat(-(-h // side), 1)[:h]
        across = torch.cat([_bicubic(grid.shape[1], w, grid) @ grid, window.repeat(1, -(-w // side), 1)[:, :w]])
        down = torch.cat([_bicubic(len(grid), h, grid), tiles], 1)
        return (down @ across.flatten(1)).unflatten(1, (w, -1))[None]

    def embed(self, images: Tensor) -> Tensor:
        """What the first block gets: patches B x H/4 x W/4 x C with their positions."""
        x = self.patch_embed(images)
        return x + self.position_embedding(x.shape[1], x.shape[2]).to(x.dtype)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map normalised B x 3 x H x W (H, W multiples of 32) to the four stages' maps, B x C x H/s x W/s, finest
        first."""
        x = self.embed(images)
        maps = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self.stage_ends:
                maps.append(x.permute(0, 3, 1, 2))
        return maps
