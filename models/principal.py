"""Principal components of samples that are too long to hold a covariance of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

PART = 1 << 16
"""Dimensions whose inner products are taken at once: bounds the memory."""
NOTHING = 1e-5
"""Variance, relative to the largest, below which a component is rounding."""
PRIOR = 1e-2
"""Weight of the prior when coordinates are told from a part, relative to what the part says on average."""


@dataclass(frozen=True)
class Components:
    """Principal components of N samples: mean (D,), basis (R, D) orthonormal, deviation (R,)."""

    mean: Tensor
    basis: Tensor
    deviation: Tensor

    @classmethod
    def fit(cls, samples: Tensor, count: int) -> Self:
        """From samples (N, D), of any float type, through their N x N inner products."""
        length = samples.shape[1]
        parts = [slice(start, start + PART) for start in range(0, length, PART)]
        mean = torch.cat([samples[:, part].float().mean(dim=0) for part in parts])
        gram = torch.zeros(len(samples), len(samples), dtype=torch.float64)
        for part in parts:
            centred = samples[:, part].float() - mean[part]
            gram += (centred @ centred.T).double()
        values, vectors = torch.linalg.eigh(gram)
        kept = values.argsort(descending=True)[: min(count, len(samples) - 1)]
        kept = kept[values[kept] > NOTHING * values.max().clamp_min(1e-12)]
        norm = values[kept].sqrt()
        weights = (vectors[:, kept] / norm).T.float()
        basis = torch.cat([weights @ (samples[:, part].float() - mean[part]) for part in parts], dim=1)
        return cls(mean, basis, (norm / max(len(samples) - 1, 1) ** 0.5).float())

    def coordinates(self, samples: Tensor) -> Tensor:
        """(..., R) in standard deviations of samples (..., D)."""
        return (samples - self.mean) @ self.basis.T / self.deviation

    def coordinates_of(self, samples: Tensor) -> Tensor:
        """``coordinates`` of many samples (N, D), of any float type, one at a time."""
        return torch.stack([self.coordinates(sample.float()) for sample in samples])

    def expand(self, coordinates: Tensor) -> Tensor:
        """The inverse of ``coordinates``, as far as the components reach."""
        return self.mean + (coordinates * self.deviation) @ self.basis

    def from_part(self, part: Tensor, length: int) -> Tensor:
        """(R,) coordinates that explain the first ``length`` dimensions best, with a prior on all of them."""
        scaled = self.basis[:, :length] * self.deviation[:, None]
        gram = scaled @ scaled.T
        prior = PRIOR * gram.diagonal().mean() * torch.eye(len(gram))
        return torch.linalg.solve(gram + prior, scaled @ (part - self.mean[:length]))
