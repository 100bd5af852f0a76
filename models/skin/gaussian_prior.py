"""What is known of whitened latents before any training: how all textures vary together at a place.

A crease darkens the albedo, roughens the skin and bends the relief, each in a way that its place on the face
decides. Along a few principal directions of every place such variation is told by R numbers, and the optimal
denoiser of normally distributed latents has a closed form. The network learns what departs from it, and how
one place goes on in the next.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class GaussianPrior(nn.Module):
    """Normal over the textures' channels of every place; white, of variance 1, over the geometry.

    All tensors are buffers: fitted by `training.expected_maps_fit`, never trained.
    """

    directions: Tensor  # (h * w, R, T) orthonormal, over the T channels of the textures at each place
    variance: Tensor  # (h * w, R) along them
    left: Tensor  # (h * w, 1) beside them

    def __init__(self, rank: int, geometry: int, textures: int, size: int) -> None:
        """geometry, textures: channels of the latents of the one and of the others."""
        super().__init__()
        self.geometry = geometry
        self.register_buffer("directions", torch.zeros(size * size, rank, textures))
        self.register_buffer("variance", torch.zeros(size * size, rank))
        self.register_buffer("left", torch.ones(size * size, 1))

    def places(self, latents: Tensor) -> Tensor:
        """(h * w, B, T) the textures of latents (B, S * C, h, w), place by place."""
        return latents[:, self.geometry :].flatten(2).permute(2, 0, 1)

    def clean(self, noisy: Tensor, alpha_bar: Tensor) -> Tensor:
        """E[z_0 | z_t] (B, S * C, h, w) of noisy latents, alpha_bar (B,)."""
        signal, alpha_bar = alpha_bar.sqrt()[:, None], alpha_bar[:, None]
        gain, left = (
            signal * variance[:, None] / (alpha_bar * variance[:, None] + 1 - alpha_bar)
            for variance in (self.variance, self.left)
        )
        textures = self.places(noisy)
        along = textures @ self.directions.transpose(1, 2)
        found = left * (textures - along @ self.directions) + (gain * along) @ self.directions
        geometry = signal[:, :, None, None] * noisy[:, : self.geometry]
        return torch.cat([geometry, found.permute(1, 2, 0).unflatten(2, noisy.shape[2:])], dim=1)
