"""Whole performances for what is trained on sequences: the classifier and the baselines of the table.

Frames are kept by their coordinates on the principal directions of the training deformations
(AnimateMe section 4.1: "PCA to capture the core variations ... by encoding deformations from the neutral
state"), so ten thousand performances take some hundred megabytes. Everything is in model space.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from ..alignment import similarity_to
from ..expression import parse_expression
from ..head import Head
from .baselines import intensity_along
from .ground_truth import GroundTruth

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

FITTED_FRAMES = 3
"""Of a performance, evenly up to the apex, that the directions are found on."""


def aligned_performance(
    truth: GroundTruth, person: int, label: str, head: Head, seed: int
) -> tuple[Floats, Floats]:
    """A performance as the models see it: intensity (K,) of the label, deformation (K, V, 3) in mm."""
    request = truth.request(person, label, 0, seed)
    similarity = similarity_to(head.neutral_vertices[: head.skin_vertices], request.neutral)
    intensity, _ = intensity_along(request.signal, parse_expression(label))
    return intensity, similarity.apply_vectors(request.truth)


@dataclass(frozen=True)
class MotionBasis:
    """The R principal directions of deformations, round the neutral face (no mean is taken off)."""

    directions: Floats  # (R, 3V) orthonormal
    spread: Floats  # (R,) mm, root mean square of the coordinates of a frame

    @classmethod
    def fit(
        cls,
        truth: GroundTruth,
        people: Sequence[int],
        labels: Sequence[str],
        head: Head,
        rank: int,
        seed: int,
    ) -> Self:
        """Singular vectors of training deformations: some frames of every label by every person."""
        deformations = [
            motion[np.linspace(0, len(motion) - 1, FITTED_FRAMES + 1).astype(int)[1:]]
            for person in people
            for label in labels
            for _, motion in [aligned_performance(truth, person, label, head, seed)]
        ]
        rows = torch.from_numpy(np.concatenate(deformations)).flatten(1)
        torch.manual_seed(seed)
        _, singular, directions = torch.svd_lowrank(rows, q=min(rank + 16, len(rows)), niter=2)
        spread = singular[:rank] / len(rows) ** 0.5
        return cls(directions[:, :rank].t().contiguous().numpy(), spread.numpy())

    def encode(self, deformations: Floats) -> Floats:
        """(..., V, 3) mm -> (..., R)."""
        return deformations.reshape(*deformations.shape[:-2], -1) @ self.directions.T

    def decode(self, coordinates: Floats) -> Floats:
        """(..., R) -> (..., V, 3) mm."""
        flat = coordinates @ self.directions
        return flat.reshape(*flat.shape[:-1], -1, 3)

    def at(self, vertices: NDArray[np.integer]) -> Floats:
        """(R, 3L) the directions at some vertices (L,)."""
        rank = len(self.directions)
        return self.directions.reshape(rank, -1, 3)[:, vertices].reshape(rank, -1)


@dataclass(frozen=True)
class Sequences:
    """N performances of K frames, neutral to apex."""

    coordinates: Floats  # (N, K, R) on a MotionBasis
    intensity: Floats  # (N, K) global intensity of the label at every frame
    label: Ints  # (N,) which of the labels
    person: Ints  # (N,) who

    @classmethod
    def draw(
        cls,
        truth: GroundTruth,
        people: Sequence[int],
        labels: Sequence[str],
        head: Head,
        basis: MotionBasis,
        *,
        seed: int = 0,
        on_person: Callable[[int, int], None] | None = None,
    ) -> Self:
        """One performance of every label by every person."""
        coordinates: list[Floats] = []
        intensities: list[Floats] = []
        for done, person in enumerate(people, 1):
            for label in labels:
                intensity, motion = aligned_performance(truth, person, label, head, seed)
                coordinates.append(basis.encode(motion))
                intensities.append(intensity)
            if on_person is not None:
                on_person(done, len(people))
        return cls(
            np.stack(coordinates),
            np.stack(intensities),
            np.tile(np.arange(len(labels)), len(people)),
            np.repeat(np.array(people, np.int64), len(labels)),
        )

    def __len__(self) -> int:
        """Number of performances."""
        return len(self.label)

    def save(self, path: Path) -> None:
        """Write one safetensors file."""
        save_file({name: np.ascontiguousarray(value) for name, value in vars(self).items()}, path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """The inverse of ``save``."""
        return cls(**load_file(path))
