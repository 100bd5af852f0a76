"""Blocks of the latent denoisers: S maps side by side, each with convolutions of its own, mixed by attention.

Features are (B, S * C, H, W): the channels of map s are the s-th group, and all convolutions are grouped.
So nothing passes from one map to another but through the attention of ExpDiff's figure 4.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, scaled_dot_product_attention, silu

WINDOW = 4
"""Our choice: attention between maps looks at windows of so many latents squared, at the coarsest level at
everything."""
HEAD = 32
"""Channels of one head of attention."""


class MapConv(nn.Conv2d):
    """A convolution with weights of its own for each of S maps; strided by ``stride``."""

    def __init__(
        self, maps: int, channels_in: int, channels_out: int, size: int = 3, stride: int = 1
    ) -> None:
        super().__init__(
            maps * channels_in, maps * channels_out, size, stride, padding=size // 2, groups=maps
        )


class ConditionedBlock(nn.Module):
    """Residual block whose features are scaled and shifted by the condition (timestep, stage)."""

    def __init__(self, maps: int, channels_in: int, channels_out: int, condition: int) -> None:
        super().__init__()
        self.norm_in = nn.GroupNorm(maps * _groups(channels_in), maps * channels_in)
        self.conv_in = MapConv(maps, channels_in, channels_out)
        self.condition = nn.Linear(condition, 2 * maps * channels_out)
        self.norm_out = nn.GroupNorm(maps * _groups(channels_out), maps * channels_out)
        self.conv_out = MapConv(maps, channels_out, channels_out)
        same = channels_in == channels_out
        self.skip = nn.Identity() if same else MapConv(maps, channels_in, channels_out, 1)
        nn.init.zeros_(self.conv_out.weight)
        nn.init.zeros_(self.conv_out.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """x (B, S * C_in, H, W), condition (B, D) -> (B, S * C_out, H, W)."""
        hidden = self.conv_in(silu(self.norm_in(x)))
        gate, bias = self.condition(condition)[:, :, None, None].chunk(2, dim=1)
        hidden = self.conv_out(silu((1 + gate) * self.norm_out(hidden) + bias))
        return self.skip(x) + hidden


class Attention(nn.Module):
    """Multi-head attention of queries to keys; starts as nothing, so that it is a residual."""

    def __init__(self, channels: int, key_channels: int) -> None:
        super().__init__()
        self.heads = max(1, channels // HEAD)
        self.norm = nn.LayerNorm(channels)
        self.key_norm = nn.LayerNorm(key_channels)
        self.query = nn.Linear(channels, channels, bias=False)
        self.key_value = nn.Linear(key_channels, 2 * channels, bias=False)
        self.leave = nn.Linear(channels, channels)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, x: Tensor, keys: Tensor) -> Tensor:
        """x (N, L, C) attends to keys (N, K, D) -> (N, L, C), to be added to x."""
        query = self._split(self.query(self.norm(x)))
        key, value = (self._split(part) for part in self.key_value(self.key_norm(keys)).chunk(2, dim=2))
        seen = scaled_dot_product_attention(query, key, value)
        return self.leave(seen.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


class MapAttention(nn.Module):
    """Attention of ExpDiff's figure 4 at one level: joint, geometry with texture, and to the words.

    Map 0 is the geometry where ``geometry`` is set; all others are textures. ``joint`` mixes the textures
    with each other, ``geometry`` lets textures and geometry see each other, and every map sees the context
    (words, stage, intensity). The first two look within windows.
    """

    def __init__(
        self,
        maps: int,
        channels: int,
        context: int,
        window: int,
        *,
        joint: bool,
        geometry: bool,
        crossed: bool,
    ) -> None:
        super().__init__()
        self.maps, self.geometry, self.window = maps, geometry, window
        self.which = nn.Parameter(0.02 * torch.randn(maps, 1, channels))  # tells the maps apart
        self.joint = Attention(channels, channels) if joint and maps - geometry > 1 else None
        self.texture_sees_geometry = Attention(channels, channels) if crossed else None
        self.geometry_sees_texture = Attention(channels, channels) if crossed else None
        self.words = Attention(channels, context)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """x (B, S * C, H, W), context tokens (B, K, D) -> like x."""
        height, width = x.shape[2:]
        tokens = to_windows(x, self.maps, self.window) + self.which  # (B * windows, S, L, C)
        first = 1 if self.geometry else 0
        textures = tokens[:, first:].flatten(1, 2)
        if self.joint is not None:
            textures = textures + self.joint(textures, textures)
        shape = tokens[:, first:].shape
        if self.texture_sees_geometry is not None and self.geometry_sees_texture is not None:
            shape_tokens = tokens[:, 0]
            seen = self.texture_sees_geometry(textures, shape_tokens)
            shape_tokens = shape_tokens + self.geometry_sees_texture(shape_tokens, textures)
            tokens = torch.cat([shape_tokens[:, None], (textures + seen).reshape(shape)], dim=1)
        else:
            tokens = torch.cat([tokens[:, :first], textures.reshape(shape)], dim=1)
        flat = tokens.reshape(len(context), -1, tokens.shape[-1])
        flat = flat + self.words(flat, context)
        return from_windows(flat.reshape(tokens.shape), height, width, self.window)


class Down(nn.Module):
    """Half the size, by a strided convolution."""

    def __init__(self, maps: int, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = MapConv(maps, channels_in, channels_out, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, S * C_in, H, W) -> (B, S * C_out, H / 2, W / 2)."""
        return self.conv(x)


class Up(nn.Module):
    """Twice the size, by a convolution between repeated latents."""

    def __init__(self, maps: int, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = MapConv(maps, channels_in, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, S * C_in, H, W) -> (B, S * C_out, 2 H, 2 W)."""
        return interpolate(self.conv(x), scale_factor=2, mode="nearest")


def side_by_side(parts: list[Tensor], maps: int) -> Tensor:
    """Join features (B, S * C_i, H, W) map by map -> (B, S * sum C_i, H, W)."""
    return torch.cat([part.unflatten(1, (maps, -1)) for part in parts], dim=2).flatten(1, 2)


def to_windows(x: Tensor, maps: int, window: int) -> Tensor:
    """(B, S * C, H, W) -> (B * windows, S, window * window, C); a window is no larger than the map."""
    batch, channels, height, width = x.shape
    rows, columns = min(window, height), min(window, width)
    x = x.reshape(batch, maps, channels // maps, height // rows, rows, width // columns, columns)
    return x.permute(0, 3, 5, 1, 4, 6, 2).reshape(-1, maps, rows * columns, channels // maps)


def from_windows(tokens: Tensor, height: int, width: int, window: int) -> Tensor:
    """The inverse of `to_windows`."""
    _, maps, _, channels = tokens.shape
    rows, columns = min(window, height), min(window, width)
    x = tokens.reshape(-1, height // rows, width // columns, maps, rows, columns, channels)
    return x.permute(0, 3, 6, 1, 4, 2, 5).reshape(-1, maps * channels, height, width)


def _groups(channels: int) -> int:
    return next(groups for groups in (8, 4, 2, 1) if channels % groups == 0)
