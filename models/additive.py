"""The best additive model of the motion, and what is left of it for diffusion.

A frame's deformation is written as

    deformation = vertex_scale * (mean_motion(e) + amplitude(e) * y)

where ``e`` is the expression stage. ``mean_motion`` is additive over the expression units, a cubic in
each weight, fitted by least squares over all people: the best blendshape animation there is. ``y`` is
the relative residual, and the only thing that is diffused. ``amplitude`` is proportional to the size
of the motion, so ``y`` looks alike at every intensity, a neutral stage gives exactly zero, and the
noisy state that one frame hands to another (AnimateMe section 3.4) says nothing false about intensity.

Both live on ``basis``, the R orthonormal principal directions of motion over the whole skin.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

POWERS = (1, 2, 3)
LEAST_VARIANCE = 0.02
"""Of a direction's variance over all stages: at any one stage it is at least so much."""


class AdditiveModel(nn.Module):
    """Buffers of the additive model: V skin vertices, M expression units, R directions, I identity modes."""

    basis: Tensor  # (R, 3V) orthonormal rows, in units of vertex_scale
    residual_std: Tensor  # (R,) spread of y round what is expected of the person, over all stages
    unit_spread: Tensor  # (M, R) the same where a unit moves alone
    coefficients: Tensor  # (3M, R) mean motion of e, e^2, e^3 of each unit along the directions
    unit_motion: Tensor  # (M,) size of each unit's mean motion at weight 1, per coordinate
    vertex_scale: Tensor  # (V,) mm, spread of the residual at each vertex
    identity_motion: Tensor  # (R, M * I) residual per unit weight and identity coefficient

    def __init__(self, vertices: int, units: int, rank: int, identity_modes: int) -> None:
        super().__init__()
        self.identity_modes = identity_modes
        self.register_buffer("basis", torch.zeros(rank, 3 * vertices))
        self.register_buffer("residual_std", torch.ones(rank))
        self.register_buffer("unit_spread", torch.ones(units, rank))
        self.register_buffer("coefficients", torch.zeros(len(POWERS) * units, rank))
        self.register_buffer("unit_motion", torch.ones(units))
        self.register_buffer("vertex_scale", torch.ones(vertices))
        self.register_buffer("identity_motion", torch.zeros(rank, units * identity_modes))

    def mean_motion(self, stage: Tensor) -> Tensor:
        """stage (B, M) -> mean motion (B, V, 3) in units of vertex_scale."""
        return self.expand(powers(stage) @ self.coefficients)

    def amplitude(self, stage: Tensor) -> Tensor:
        """stage (B, M) -> (B, 1, 1) size of the motion; 0 at the neutral stage."""
        return (stage * self.unit_motion).square().sum(1).sqrt()[:, None, None]

    def shares(self, stage: Tensor) -> Tensor:
        """Shares (B, M) of the units in the square of the amplitude; they add up to 1."""
        return (stage * self.unit_motion / self.amplitude(stage)[:, 0].clamp_min(1e-6)).square()

    def expected(self, stage: Tensor, coefficients: Tensor) -> Tensor:
        """Coordinates (B, R) of y expected of a person with identity ``coefficients`` (B, I): bilinear."""
        features = person_features(stage, coefficients[:, : self.identity_modes])
        return features @ self.identity_motion.t() / self.amplitude(stage)[:, 0].clamp_min(1e-6)

    def spread(self, stage: Tensor) -> Tensor:
        """Standard deviation (B, R) of the coordinates of y round what is expected, of people at a stage.

        People depart from the mean unit by unit, and independently: their variances add up, in the units'
        shares.
        """
        variance = self.shares(stage) @ self.unit_spread.square()
        return torch.maximum(variance, LEAST_VARIANCE * self.residual_std.square()).sqrt()

    def relative(self, deformation: Tensor, stage: Tensor) -> Tensor:
        """Deformation (B, V, 3) mm -> relative residual y (B, V, 3)."""
        scaled = deformation / self.vertex_scale[:, None]
        return (scaled - self.mean_motion(stage)) / self.amplitude(stage).clamp_min(1e-6)

    def absolute(self, y: Tensor, stage: Tensor) -> Tensor:
        """Relative residual y (B, V, 3) -> deformation (B, V, 3) mm."""
        return (self.mean_motion(stage) + self.amplitude(stage) * y) * self.vertex_scale[:, None]

    def project(self, y: Tensor) -> Tensor:
        """y (B, V, 3) -> coordinates (B, R) along the directions; white noise stays white."""
        return y.flatten(1) @ self.basis.t()

    def expand(self, coordinates: Tensor) -> Tensor:
        """coordinates (B, R) -> (B, V, 3)."""
        return (coordinates @ self.basis).unflatten(1, (-1, 3))


class RawMotion(nn.Module):
    """The paper's own target: the deformation itself, scaled by one number (section 3.2)."""

    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(()))

    def relative(self, deformation: Tensor, stage: Tensor) -> Tensor:
        """Deformation (B, V, 3) mm -> the same in units of ``scale``."""
        return deformation / self.scale

    def absolute(self, y: Tensor, stage: Tensor) -> Tensor:
        """The inverse of ``relative``."""
        return y * self.scale


def powers(stage: Tensor) -> Tensor:
    """stage (B, M) -> (B, 3M): e, e^2 and e^3, smooth in the intensity so that playback is too."""
    return torch.cat([stage**p for p in POWERS], dim=1)


def person_features(stage: Tensor, coefficients: Tensor) -> Tensor:
    """Products (B, M * I) of unit weights (B, M) and identity coefficients (B, I)."""
    return (stage[:, :, None] * coefficients[:, None]).flatten(1)
