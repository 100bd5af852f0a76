"""Which label does an animation show? The judge of AnimateMe section 4.1.

PCA coordinates of the deformations, an LSTM over the frames, two fully connected layers. It is trained on
true performances by the training people. The output of the first of the two layers is the feature space in
which distributions of animations are compared (FID).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ..training.validated import Budget, anneal, fit_validated
from .expression_sequences import MotionBasis, Sequences

Floats = NDArray[np.float32]

HIDDEN, FEATURES, BATCH = 64, 32, 128
NOISE = 0.03
"""Of the spread of each coordinate, added in training: the judge should look at the motion, not at the
last digits that tell a true frame from one that a network made."""


class ExpressionClassifier(nn.Module):
    """Coordinates (B, K, R), mm, on a MotionBasis -> logits (B, L)."""

    spread: Tensor  # (R,)

    def __init__(self, rank: int, labels: int, hidden: int = HIDDEN, features: int = FEATURES) -> None:
        super().__init__()
        self.register_buffer("spread", torch.ones(rank))
        self.lstm = nn.LSTM(rank, hidden, batch_first=True)
        self.first = nn.Linear(hidden, features)
        self.second = nn.Linear(features, labels)

    def features(self, coordinates: Tensor) -> Tensor:
        """(B, F) what the last layer sees."""
        scaled = coordinates / self.spread
        if self.training:
            scaled = scaled + NOISE * torch.randn_like(scaled)
        last = self.lstm(scaled)[0][:, -1]
        return torch.relu(self.first(last))

    def forward(self, coordinates: Tensor) -> Tensor:
        """(B, L) logits."""
        return self.second(self.features(coordinates))


def train_classifier(
    network: ExpressionClassifier,
    basis: MotionBasis,
    train: Sequences,
    validation: Sequences,
    budget: Budget,
    seed: int = 0,
) -> dict[str, Any]:
    """Cross entropy with Adam; validated by the cross entropy on the validation people."""
    torch.manual_seed(seed)
    network.spread.copy_(torch.from_numpy(basis.spread))
    x, y = torch.from_numpy(train.coordinates), torch.from_numpy(train.label)
    held_x, held_y = torch.from_numpy(validation.coordinates), torch.from_numpy(validation.label)
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)

    def step(share: float) -> None:
        anneal(optimizer, 2e-3, share)
        index = torch.randint(len(x), (BATCH,))
        loss = cross_entropy(network(x[index]), y[index])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()

    @torch.inference_mode()
    def validate() -> float:
        return float(cross_entropy(network(held_x), held_y))

    return fit_validated(network, step, validate, budget)


@torch.inference_mode()
def judge(network: ExpressionClassifier, coordinates: Floats) -> tuple[NDArray[np.int64], Floats]:
    """The label that each animation (N, K, R) is taken for (N,), and its features (N, F)."""
    features = network.features(torch.from_numpy(coordinates))
    return network.second(features).argmax(1).numpy(), features.numpy()
