"""LSTM and mesh decoder: "Learning to generate customized dynamic 3D facial expressions".

After Potamias et al. 2020: the signal of label and intensity goes through an LSTM frame by frame, and a
spiral mesh decoder turns each frame's code into a deformation that is added to the neutral face. No chance,
and no look at who the person is. Loss: L1 of the deformations and of their velocities.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..topology import Level
from ..training.validated import Budget, anneal, fit_validated
from .expression_methods import Question
from .expression_sequences import MotionBasis, Sequences
from .spiral_decoder import SpiralDecoder

Floats = NDArray[np.float32]

HIDDEN = 128
CHANNELS = (8, 16, 32, 64)
BATCH, PAIRS = 5, 2
"""Performances of a batch, and of each as many pairs of consecutive frames."""
VELOCITY_WEIGHT = 1.0
RATE = 2e-3
VALIDATED = 36


class LstmMeshDecoder(nn.Module):
    """Signals (B, K, L), one-hot times intensity -> deformations (B, K, V, 3) mm."""

    scale: Tensor  # () mm, root mean square of a training deformation

    def __init__(
        self,
        hierarchy: Sequence[Level],
        labels: int,
        channels: Sequence[int] = CHANNELS,
        hidden: int = HIDDEN,
    ) -> None:
        super().__init__()
        self.labels = labels
        self.register_buffer("scale", torch.ones(()))
        self.lstm = nn.LSTM(labels, hidden, batch_first=True)
        self.decoder = SpiralDecoder(hierarchy, channels, hidden)

    @property
    def stochastic(self) -> bool:
        """As Method.stochastic."""
        return False

    def forward(self, signal: Tensor, frames: Tensor) -> Tensor:
        """Deformations (B, F, V, 3) of some frames (F,)."""
        code = self.lstm(signal)[0][:, frames]
        return self.scale * self.decoder(code.flatten(0, 1)).unflatten(0, code.shape[:2])

    @torch.inference_mode()
    def answer(self, question: Question, count: int, seed: int) -> Floats:
        """As Method.answer."""
        label, intensity = torch.tensor([question.label]), torch.from_numpy(question.intensity[None])
        frames = torch.arange(len(question.intensity))
        return self(label_signal(label, intensity, self.labels), frames).numpy()


def label_signal(label: Tensor, intensity: Tensor, labels: int) -> Tensor:
    """label (B,), intensity (B, K) -> signal (B, K, L)."""
    return nn.functional.one_hot(label, labels)[:, None].float() * intensity[..., None]


def train_lstm_mesh(
    network: LstmMeshDecoder,
    basis: MotionBasis,
    train: Sequences,
    validation: Sequences,
    budget: Budget,
    seed: int = 0,
) -> dict[str, Any]:
    """Adam; validated by the mean distance, mm, on performances of the validation people."""
    torch.manual_seed(seed)
    network.scale.fill_(float(np.sqrt(np.square(basis.spread).sum() / basis.directions.shape[1])))
    directions = torch.from_numpy(basis.directions)
    optimizer = torch.optim.Adam(network.parameters(), RATE)
    frames_of = train.coordinates.shape[1]

    def pick(sequences: Sequences, index: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        which = index.numpy()
        signal = label_signal(
            torch.from_numpy(sequences.label[which]),
            torch.from_numpy(sequences.intensity[which]),
            network.labels,
        )
        coordinates = torch.from_numpy(sequences.coordinates[which][:, frames.numpy()])
        return signal, (coordinates @ directions).unflatten(2, (-1, 3))

    def step(share: float) -> None:
        anneal(optimizer, RATE, share)
        starts = torch.randint(frames_of - 1, (PAIRS,))
        frames = torch.stack([starts, starts + 1], 1).flatten()
        signal, wanted = pick(train, torch.randint(len(train), (BATCH,)), frames)
        error = (network(signal, frames) - wanted) / network.scale
        loss = error.abs().mean() + VELOCITY_WEIGHT * (error[:, 1::2] - error[:, ::2]).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()

    @torch.inference_mode()
    def validate() -> float:
        frames = torch.tensor([frames_of // 2, frames_of - 1])
        chosen = torch.linspace(0, len(validation) - 1, min(VALIDATED, len(validation))).long()
        signal, wanted = pick(validation, chosen, frames)
        return float((network(signal, frames) - wanted).norm(dim=3).mean())

    return fit_validated(network, step, validate, budget)
