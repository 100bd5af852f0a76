"""A small spiral autoencoder of neutral faces: the learned prior that the linear one is compared with.

After CoMA (Ranjan et al. 2018) with the spirals of this package; codes of new people are drawn from a
Gaussian fitted to the codes of the training people. ``python -m models evaluate identity`` trains it
anew and reports both: it is no part of a checkpoint.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..denoiser import IdentityEncoder
from ..topology import Level
from .spiral_decoder import SpiralDecoder

Floats = NDArray[np.float32]

CHANNELS = (8, 16, 32, 64)
CODE = 64
BATCH = 16


class IdentityAutoencoder(nn.Module):
    """Offsets from the mean person (B, V, 3), in units of ``scale`` -> code (B, 64) -> offsets."""

    def __init__(self, hierarchy: Sequence[Level]) -> None:
        super().__init__()
        self.encoder = IdentityEncoder(hierarchy, CHANNELS, CODE)
        self.decode = SpiralDecoder(hierarchy, CHANNELS, CODE)


class LearnedPrior:
    """An autoencoder trained for some minutes on people (P, V, 3), and the Gaussian of its codes."""

    def __init__(self, hierarchy: Sequence[Level], offsets: Floats, minutes: float, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.scale = float(offsets.std())
        self.network = IdentityAutoencoder(hierarchy)
        people = torch.from_numpy(offsets / self.scale)
        optimizer = torch.optim.Adam(self.network.parameters(), 1e-3)
        start = time.monotonic()
        self.steps = 0
        while (share := (time.monotonic() - start) / (60 * minutes)) < 1:
            for group in optimizer.param_groups:
                group["lr"] = 1e-3 * (1 - 0.9 * share)
            batch = people[torch.randint(len(people), (BATCH,))]
            loss = (self.network.decode(self.network.encoder(batch)) - batch).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            self.steps += 1
        with torch.inference_mode():
            codes = torch.cat([self.network.encoder(chunk) for chunk in people.split(64)]).double().numpy()
        self.mean, self.covariance = codes.mean(0), np.cov(codes.T)

    @torch.inference_mode()
    def sample(self, count: int, random: np.random.Generator) -> Floats:
        """Offsets (count, V, 3), mm, of new people."""
        codes = random.multivariate_normal(self.mean, self.covariance, count).astype(np.float32)
        return self.scale * self.network.decode(torch.from_numpy(codes)).numpy()

    @torch.inference_mode()
    def reconstruct(self, offsets: Floats) -> Floats:
        """Offsets (P, V, 3), mm, through the code and back."""
        code = self.network.encoder(torch.from_numpy(offsets / self.scale))
        return self.scale * self.network.decode(code).numpy()
