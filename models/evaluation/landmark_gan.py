"""Landmark GAN with a sparse-to-dense decoder: "Sparse to dense dynamic 3D facial expression generation".

After Otberdout et al. 2022 (MO3DGAN): a conditional Wasserstein GAN makes the motion of landmarks of a label,
as a square-root velocity function in the space tangent to a sphere; a second network makes a face of each
frame's landmarks. The timing, and how strong the expression becomes, are the GAN's own: it is told neither.

Departures: the curves run in the leading principal coordinates of the landmarks and the tangent vectors in
theirs; the length of the curve, which a point of the sphere has lost, is generated beside it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..head import Head
from ..training.validated import Budget, anneal, fit_validated
from .expression_methods import Question
from .expression_sequences import MotionBasis, Sequences
from .landmark_curves import curves_of, exponential, karcher_mean, logarithm, square_root_velocity
from .metrics import frechet_distance
from .sparse_to_dense import SparseToDense

Floats = NDArray[np.float32]

LANDMARK_MODES, TANGENT_MODES = 24, 128
NOISE, WIDTH = 64, 256
BATCH, CRITIC_STEPS, PENALTY = 64, 3, 10.0
RECONSTRUCTION = 0.3
"""Weight of the L1 distance to a true performance of the label, beside the critic; our choice."""
RATE = 5e-4


class LandmarkGan(nn.Module):
    """Labels and noise -> curves of landmark displacements (B, K, 3L), mm."""

    def __init__(
        self,
        labels: int,
        landmarks: int,
        frames: int,
        landmark_modes: int = LANDMARK_MODES,
        tangent_modes: int = TANGENT_MODES,
        width: int = WIDTH,
    ) -> None:
        super().__init__()
        self.labels, self.landmark_modes = labels, landmark_modes
        sphere = (frames - 1) * landmark_modes
        tangent_modes = min(tangent_modes, sphere)
        for name, shape in {
            "landmark_basis": (landmark_modes, 3 * landmarks),  # orthonormal rows
            "mean": (sphere,),  # of the sphere
            "tangent_basis": (tangent_modes, sphere),  # orthonormal rows
            "code_mean": (tangent_modes + 1,),
            "code_std": (tangent_modes + 1,),
        }.items():
            self.register_buffer(name, torch.zeros(shape))
        self.generator = _perceptron(NOISE + labels, width, tangent_modes + 1)
        self.critic = _perceptron(tangent_modes + 1 + labels, width, 1)

    def fit_spaces(self, curves: Tensor) -> None:
        """Bases, mean and spread from true curves (N, K, 3L), mm."""
        torch.manual_seed(0)
        self._set("landmark_basis", _directions(curves.flatten(0, 1), self.landmark_modes))
        unit, _ = square_root_velocity(curves @ self._get("landmark_basis").t())
        self._set("mean", karcher_mean(unit))
        tangent = logarithm(self._get("mean"), unit)
        self._set("tangent_basis", _directions(tangent, len(self._get("tangent_basis"))))
        code = self._raw_code(curves)
        self._set("code_mean", code.mean(0))
        # one scale for the tangent vector: its trembling last coordinates must not count as much as the first
        std = code.std(0).clamp_min(1e-6)
        std[:-1] = std[:-1].square().mean().sqrt()
        self._set("code_std", std)

    def encode(self, curves: Tensor) -> Tensor:
        """Curves (N, K, 3L) -> scaled tangent coordinates and log length (N, T + 1)."""
        return (self._raw_code(curves) - self._get("code_mean")) / self._get("code_std")

    def decode(self, code: Tensor) -> Tensor:
        """The inverse of ``encode``, within the bases."""
        raw = code * self._get("code_std") + self._get("code_mean")
        unit = exponential(self._get("mean"), raw[:, :-1] @ self._get("tangent_basis"))
        return curves_of(unit, raw[:, -1].exp(), self.landmark_modes) @ self._get("landmark_basis")

    def generate(self, label: Tensor) -> Tensor:
        """Codes (B, T + 1) of new performances of labels (B,)."""
        noise = torch.randn(len(label), NOISE)
        return self.generator(torch.cat([noise, self._one_hot(label)], dim=1))

    def score(self, code: Tensor, label: Tensor) -> Tensor:
        """How true the critic finds codes (B, T + 1) of labels (B,): (B,)."""
        return self.critic(torch.cat([code, self._one_hot(label)], dim=1))[:, 0]

    def _raw_code(self, curves: Tensor) -> Tensor:
        unit, length = square_root_velocity(curves @ self._get("landmark_basis").t())
        tangent = logarithm(self._get("mean"), unit) @ self._get("tangent_basis").t()
        return torch.cat([tangent, length.log()[:, None]], dim=1)

    def _one_hot(self, label: Tensor) -> Tensor:
        return nn.functional.one_hot(label, self.labels).float()

    def _get(self, name: str) -> Tensor:
        return self.get_buffer(name)

    def _set(self, name: str, value: Tensor) -> None:
        self.get_buffer(name).copy_(value)


class LandmarkGanMethod:
    """The GAN and its decoder as a row of the table."""

    stochastic = True

    def __init__(self, gan: LandmarkGan, dense: SparseToDense) -> None:
        self.gan, self.dense = gan, dense

    @torch.inference_mode()
    def answer(self, question: Question, count: int, seed: int) -> Floats:
        """As Method.answer; neither signal nor person are looked at."""
        torch.manual_seed(seed)
        curves = self.gan.decode(self.gan.generate(torch.full((count,), question.label)))
        return self.dense(curves.flatten(0, 1)).unflatten(0, curves.shape[:2]).numpy()


def train_landmark_gan(
    gan: LandmarkGan,
    head: Head,
    basis: MotionBasis,
    train: Sequences,
    validation: Sequences,
    budget: Budget,
    seed: int = 0,
) -> dict[str, Any]:
    """WGAN with gradient penalty; validated by the Fréchet distance of codes to the validation people's."""
    at_landmarks = torch.from_numpy(basis.at(head.landmarks68))
    gan.fit_spaces(torch.from_numpy(train.coordinates) @ at_landmarks)
    torch.manual_seed(seed)
    with torch.no_grad():
        codes = gan.encode(torch.from_numpy(train.coordinates) @ at_landmarks)
        held = gan.encode(torch.from_numpy(validation.coordinates) @ at_landmarks).numpy()
    labels, held_labels = torch.from_numpy(train.label), torch.from_numpy(validation.label)
    made = torch.optim.Adam(gan.generator.parameters(), RATE, betas=(0.5, 0.9))
    judged = torch.optim.Adam(gan.critic.parameters(), RATE, betas=(0.5, 0.9))

    def step(share: float) -> None:
        for optimizer in (made, judged):
            anneal(optimizer, RATE, share)
        for _ in range(CRITIC_STEPS):
            index = torch.randint(len(codes), (BATCH,))
            real, label = codes[index], labels[index]
            with torch.no_grad():
                fake = gan.generate(label)
            loss = (gan.score(fake, label) - gan.score(real, label)).mean()
            loss = loss + PENALTY * _gradient_penalty(gan, real, fake, label)
            judged.zero_grad()
            loss.backward()
            judged.step()
        index = torch.randint(len(codes), (BATCH,))
        fake = gan.generate(labels[index])
        loss = -gan.score(fake, labels[index]).mean() + RECONSTRUCTION * (fake - codes[index]).abs().mean()
        made.zero_grad()
        loss.backward()
        made.step()

    @torch.inference_mode()
    def validate() -> float:
        repeated = held_labels.repeat(-(-1000 // len(held_labels)))
        return frechet_distance(gan.generate(repeated).numpy(), held)

    return fit_validated(gan, step, validate, budget)


def _gradient_penalty(gan: LandmarkGan, real: Tensor, fake: Tensor, label: Tensor) -> Tensor:
    mix = torch.rand(len(real), 1)
    between = (mix * real + (1 - mix) * fake).requires_grad_()
    (gradient,) = torch.autograd.grad(gan.score(between, label).sum(), between, create_graph=True)
    return (gradient.norm(dim=1) - 1).square().mean()


def _directions(rows: Tensor, rank: int) -> Tensor:
    """(rank, D) orthonormal principal directions round zero."""
    _, vectors = torch.linalg.eigh((rows.t() @ rows).double())
    return vectors.flip(1)[:, :rank].t().float().contiguous()


def _perceptron(inputs: int, width: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, width), nn.LeakyReLU(0.2), nn.Linear(width, width), nn.LeakyReLU(0.2),
        nn.Linear(width, width), nn.LeakyReLU(0.2), nn.Linear(width, outputs),
    )  # fmt: skip
