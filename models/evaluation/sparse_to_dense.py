"""From 68 landmarks to the whole face: the sparse-to-dense decoder of Otberdout et al. 2022 (MO3DGAN).

A spiral decoder that is given the displacements of the landmarks and answers with the displacement of every
vertex. Vertices near a landmark weigh more in the L1 loss, by the inverse of their distance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..head import Head
from ..topology import Level
from ..training.validated import Budget, anneal, fit_validated
from .expression_sequences import MotionBasis, Sequences
from .spiral_decoder import SpiralDecoder

Floats = NDArray[np.float32]

CHANNELS = (8, 16, 32, 64)
BATCH = 20
RATE = 2e-3
NEAREST_MM = 5.0
"""Closer to a landmark than this, all vertices weigh the same."""
VALIDATED = 72


class SparseToDense(nn.Module):
    """Landmark displacements (B, 3L) mm -> displacements (B, V, 3) mm."""

    scale: Tensor  # () mm
    vertex_weight: Tensor  # (V,)

    def __init__(
        self, hierarchy: Sequence[Level], landmarks: int, channels: Sequence[int] = CHANNELS
    ) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("vertex_weight", torch.ones(len(hierarchy[0].vertices)))
        self.decoder = SpiralDecoder(hierarchy, channels, 3 * landmarks)

    def forward(self, landmarks: Tensor) -> Tensor:
        """(B, 3L) -> (B, V, 3)."""
        return self.scale * self.decoder(landmarks / self.scale)


def landmark_weights(head: Head) -> Floats:
    """(V,) of mean 1, falling with the distance from the nearest landmark of the mean person."""
    neutral = head.neutral_vertices[: head.skin_vertices]
    points = neutral[head.landmarks68]
    distance = np.linalg.norm(neutral[:, None] - points, axis=2).min(axis=1)
    weight = 1 / np.maximum(distance, NEAREST_MM)
    return (weight / weight.mean()).astype(np.float32)


def train_sparse_to_dense(
    network: SparseToDense,
    head: Head,
    basis: MotionBasis,
    train: Sequences,
    validation: Sequences,
    budget: Budget,
    seed: int = 0,
) -> dict[str, Any]:
    """Adam on random frames; validated by the mean distance, mm, on frames of the validation people."""
    torch.manual_seed(seed)
    network.scale.fill_(float(np.sqrt(np.square(basis.spread).sum() / basis.directions.shape[1])))
    network.vertex_weight.copy_(torch.from_numpy(landmark_weights(head)))
    directions = torch.from_numpy(basis.directions)
    at_landmarks = torch.from_numpy(basis.at(head.landmarks68))
    frames = torch.from_numpy(train.coordinates).flatten(0, 1)
    held = torch.from_numpy(validation.coordinates).flatten(0, 1)
    held = held[torch.linspace(0, len(held) - 1, min(VALIDATED, len(held))).long()]
    optimizer = torch.optim.Adam(network.parameters(), RATE)

    def error(coordinates: Tensor) -> Tensor:
        return network(coordinates @ at_landmarks) - (coordinates @ directions).unflatten(1, (-1, 3))

    def step(share: float) -> None:
        anneal(optimizer, RATE, share)
        loss = error(frames[torch.randint(len(frames), (BATCH,))]) / network.scale
        loss = (network.vertex_weight[:, None] * loss.abs()).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()

    @torch.inference_mode()
    def validate() -> float:
        return float(error(held).norm(dim=2).mean())

    return fit_validated(network, step, validate, budget)
