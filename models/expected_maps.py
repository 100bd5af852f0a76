"""What is expected of an expression's latents before any diffusion: three linear terms in closed form.

A map of a face is, to first order, the mean map, plus what the neutral texture tells of the person, plus what
the strain of the skin does at that place of the face: creases lie where they lie, only their depth follows
the compression, and the person's age, which the texture tells. The diffusion model generates the rest, in
units of its spread, which grows where the skin is compressed: there people differ by their own creases, and
elsewhere hardly.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, conv2d, pad, unfold

from .exp_diff import ALBEDO, POSITION
from .skin.surface_strain import CREASES

REGIONS = 4
"""Of a face along a side: in so many is the texture looked at for how deep its creases are."""
DEEPER = 1.0
"""Natural logarithm of the depth of creases beyond which nobody's are taken to depart from everybody's."""
FLAT = 1e-4
"""Mean square of latents that is not told from none."""


@dataclass(frozen=True)
class Expectation:
    """What is expected of B frames, and how far from it they may be."""

    mean: Tensor  # (B, S * C, h, w)
    spread: Tensor  # (B, S * C, h, w) standard deviation
    added: Tensor  # (B, S * C, h, w) 0 to 1: that of what the expression adds, as a share of it

    def whiten(self, latents: Tensor) -> Tensor:
        """What the network denoises: the rest, in units of its spread."""
        return (latents - self.mean) / self.spread

    def restore(self, whitened: Tensor) -> Tensor:
        """The inverse of `whiten`."""
        return self.mean + self.spread * whitened

    def noise(self, resting: Tensor, added: Tensor) -> Tensor:
        """(B, S * C, h, w) one noise a frame, of two (S * C, h, w) that all frames share.

        What a skin is at rest and what an expression adds to it vary independently. With one noise for both,
        most of a change would be lost where a frame is compared with the skin at rest: sqrt(r^2 + a^2) - r
        in place of a.
        """
        return (1 - self.added.square()).sqrt() * resting + self.added * added


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
    depth_of_texture: Tensor | None  # (S, K) logarithm of the depth of creases, per `texture_features`

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
        told = 2 * channels * REGIONS**2 + 1
        self.register_buffer("depth_of_texture", torch.zeros(len(maps), told) if features else None)

    def forward(self, texture: Tensor, strain: Tensor) -> Expectation:
        """What z^T (B, C, h, w) and crease features (B, F, h, w) let expect."""
        mean = self.mean_of(texture, strain)
        if self.crease_spread is None:
            return Expectation(mean, self.spread.expand_as(mean), torch.zeros_like(mean))
        added = (self.depth(texture) * self.crease_spread).square() * creased(strain)
        variance = self.spread.square() + added
        return Expectation(mean, variance.sqrt(), (added / variance).sqrt())

    def mean_of(self, texture: Tensor, strain: Tensor) -> Tensor:
        """Expected latents (B, S * C, h, w)."""
        person = self.at_rest(texture)
        places = strain.flatten(2).permute(2, 0, 1)  # (h * w, B, F)
        moved = torch.bmm(places, self.from_strain).permute(1, 2, 0).unflatten(2, (self.size, self.size))
        return person + self.depth(texture) * moved

    def depth(self, texture: Tensor) -> Tensor:
        """(B, S * C, 1, 1) how deep the creases of the skins z^T (B, C, h, w) are, 1 as everybody's."""
        if self.depth_of_texture is None:
            return torch.ones(1, 1, 1, 1, device=texture.device)
        told = texture_features(texture - self.texture_mean) @ self.depth_of_texture.T
        depth = told.clamp(-DEEPER, DEEPER).exp()
        return depth.repeat_interleave(self.channels, dim=1)[:, :, None, None]

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
    """(B, 1, h, w) what crease features (B, F, h, w) leave to creases: their mean square to the power 3/2.

    The creases of one person differ from another's by a variance that grows faster than the compression,
    for skin takes up the first of it without any.
    """
    return strain[:, :CREASES].square().mean(dim=1, keepdim=True).pow(1.5)


def texture_features(centred: Tensor) -> Tensor:
    """(B, K) mean and detail of the regions of skins z^T (B, C, h, w) minus their mean; they tell the age."""
    regions = adaptive_avg_pool2d(centred, REGIONS)
    detail = adaptive_avg_pool2d(centred.square(), REGIONS).clamp_min(FLAT).log()
    return torch.cat([regions.flatten(1), detail.flatten(1), torch.ones_like(centred[:, :1, 0, 0])], dim=1)


def texture_patches(texture: Tensor) -> Tensor:
    """(B, h * w, 9 C) neighbourhoods of latents (B, C, h, w), in the order of `from_texture`."""
    return unfold(pad(texture, (1, 1, 1, 1), mode="replicate"), 3).transpose(1, 2)


def has_expectation(name: str) -> bool:
    """Whether a map has an expectation beside zero: the geometry's latents are departures already."""
    return name != POSITION
