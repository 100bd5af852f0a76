"""What is known of whitened latents before any training: they vary along a few principal directions.

A crease is long: it darkens the albedo, roughens the skin and bends the relief, over many latents at once.
Along the principal directions of all textures together such joint variation is told by R numbers, and the
optimal denoiser of normally distributed latents has a closed form. The network learns what departs from it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class GaussianPrior(nn.Module):
    """Normal along the directions and beside them over the textures; white, of variance 1, over the geometry.

    All tensors are buffers: fitted by `training.expected_maps_fit`, never trained.
    """

    directions: Tensor  # (R, T) orthonormal, over the latents of the textures, flat
    variance: Tensor  # (R,) along them
    left: Tensor  # (T / (h * w),) variance of every channel beside them

    def __init__(self, rank: int, geometry: int, textures: int, size: int) -> None:
        """geometry, textures: channels of the latents of the one and of the others."""
        super().__init__()
        self.geometry = geometry
        self.register_buffer("directions", torch.zeros(rank, textures * size * size))
        self.register_buffer("variance", torch.zeros(rank))
        self.register_buffer("left", torch.ones(textures))

    def textures(self, latents: Tensor) -> Tensor:
        """(B, T) the part of latents (B, S * C, h, w) that the directions are of."""
        return latents[:, self.geometry :].flatten(1)

    def clean(self, noisy: Tensor, alpha_bar: Tensor) -> Tensor:
        """E[z_0 | z_t] (B, S * C, h, w) of noisy latents, alpha_bar (B,)."""
        signal, alpha_bar = alpha_bar.sqrt()[:, None], alpha_bar[:, None]
        gain, left = (
            signal * variance / (alpha_bar * variance + 1 - alpha_bar)
            for variance in (self.variance, self.left)
        )
        textures = noisy[:, self.geometry :]
        along = textures.flatten(1) @ self.directions.T
        beside = textures - (along @ self.directions).view_as(textures)
        modal = ((gain * along) @ self.directions).view_as(textures)
        geometry = signal[:, :, None, None] * noisy[:, : self.geometry]
        return torch.cat([geometry, left[:, :, None, None] * beside + modal], dim=1)

    def shaped(self, noise: Tensor) -> Tensor:
        """Noise (B, S * C, h, w) without what is beside the directions: that would be grain, not skin."""
        along = self.textures(noise) @ self.directions.T
        shaped = (along @ self.directions).view_as(noise[:, self.geometry :])
        return torch.cat([noise[:, : self.geometry], shaped], dim=1)
