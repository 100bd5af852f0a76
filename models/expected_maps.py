"""What is expected of an expression's latents before any diffusion: three linear terms in closed form.

A map of a face is, to first order, the mean map, plus what the neutral texture tells of the person, plus what
the strain of the skin does at that place of the face: creases lie where they lie, only their depth follows
the compression. The diffusion model generates the rest, in units of its spread, which grows where the skin is
compressed: there people differ by their own creases, and elsewhere hardly.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad, unfold

from .exp_diff import ALBEDO, POSITION
from .skin.surface_strain import CREASES


@dataclass(frozen=True)
class Expectation:
    """What is expected of B frames, and how far from it they may be."""

    mean: Tensor  # (B, S * C, h, w)
    spread: Tensor  # (B, S * C, h, w) standard deviation

    def whiten(self, latents: Tensor) -> Tensor:
        """What the network denoises: the rest, in units of its spread."""
        return (latents - self.mean) / self.spread

    def restore(self, whitened: Tensor) -> Tensor:
        """The inverse of `whiten`."""
        return self.mean + self.spread * whitened


class ExpectedLatents(nn.Module):
    """Expectation and spread of the latents of S maps; the geometry's own is none beyond the strain.

    All tensors are buffers: fitted by `training.expected_maps_fit`, never trained.
    """

    mean: Tensor  # (S * C, h, w) of all skins at rest
    texture_mean: Tensor  # (C, h, w)
    from_texture: Tensor  # (S * C, C, 3, 3) convolution of z^T minus its mean
    from_strain: Tensor  # (h * w, F, S * C) of every place's crease features
    spread: Tensor  # (S * C, h, w) standard deviation of what is left, on skin at rest
    crease_spread: Tensor | None  # (S * C, h, w) and what creases add to it (to its square), per unit of them

    def __init__(self, maps: tuple[str, ...], channels: int, size: int, features: int) -> None:
        super().__init__()
        self.maps, self.channels, self.size, self.features = maps, channels, size, features
        whole = len(maps) * channels
        self.register_buffer("mean", torch.zeros(whole, size, size))
        self.register_buffer("texture_mean", torch.zeros(channels, size, size))
        self.register_buffer("from_texture", torch.zeros(whole, channels, 3, 3))
        self.register_buffer("from_strain", torch.zeros(size * size, features, whole))
        self.register_buffer("spread", torch.ones(whole, size, size))
        self.register_buffer("crease_spread", torch.zeros(whole, size, size) if features else None)

    def forward(self, texture: Tensor, strain: Tensor) -> Expectation:
        """What z^T (B, C, h, w) and crease features (B, F, h, w) let expect."""
        mean = self.mean_of(texture, strain)
        if self.crease_spread is None:
            return Expectation(mean, self.spread.expand_as(mean))
        variance = self.spread.square() + self.crease_spread.square() * creased(strain)
        return Expectation(mean, variance.sqrt())

    def mean_of(self, texture: Tensor, strain: Tensor) -> Tensor:
        """Expected latents (B, S * C, h, w)."""
        person = self.at_rest(texture)
        places = strain.flatten(2).permute(2, 0, 1)  # (h * w, B, F)
        moved = torch.bmm(places, self.from_strain).permute(1, 2, 0)
        return person + moved.unflatten(2, (self.size, self.size))

    def at_rest(self, texture: Tensor) -> Tensor:
        """Expected latents (B, S * C, h, w) of a skin at rest."""
        centred = pad(texture - self.texture_mean, (1, 1, 1, 1), mode="replicate")
        return self.mean + conv2d(centred, self.from_texture)

    def neutral(self, resting: Tensor, texture: Tensor) -> Tensor:
        """The best that is known of the latents (B, S * C, h, w) at rest: z^P and z^T as they are, and of
        the other textures what z^T (B, C, h, w) tells of them."""
        channels = self.channels
        expected = self.at_rest(texture)
        parts = [
            (resting if name in (POSITION, ALBEDO) else expected)[:, i * channels : (i + 1) * channels]
            for i, name in enumerate(self.maps)
        ]
        return torch.cat(parts, dim=1)

    def guide(self, texture: Tensor, expected: Expectation, strain: Tensor) -> Tensor:
        """Guide channels (B, S * (C + F), h, w): the expected departure from rest, and the strain."""
        departure = (expected.mean - self.at_rest(texture)) / self.spread
        features = strain[:, None].expand(-1, len(self.maps), -1, -1, -1)
        return torch.cat([departure.unflatten(1, (len(self.maps), -1)), features], dim=2).flatten(1, 2)


def creased(strain: Tensor) -> Tensor:
    """(B, 1, h, w) mean square of the crease features (B, F, h, w): what deep creases have room for."""
    return strain[:, :CREASES].square().mean(dim=1, keepdim=True)


def texture_patches(texture: Tensor) -> Tensor:
    """(B, h * w, 9 C) neighbourhoods of latents (B, C, h, w), in the order of `from_texture`."""
    return unfold(pad(texture, (1, 1, 1, 1), mode="replicate"), 3).transpose(1, 2)


def has_expectation(name: str) -> bool:
    """Whether a map has an expectation beside zero: the geometry's latents are departures already."""
    return name != POSITION
