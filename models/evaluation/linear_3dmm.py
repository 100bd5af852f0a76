"""A linear 3D morphable model as an animator: identity modes plus expression modes, coefficients regressed.

Blanz and Vetter 1999, with expressions as in FaceWarehouse-like models: shape = mean + identity modes +
expression modes. The identity part is known here (the neutral face is given), so what is left is to tell
the expression coefficients of a label at an intensity: a cubic in the intensity for each label. Identity and
expression add up, so everybody moves alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from .expression_methods import Question
from .expression_sequences import MotionBasis, Sequences

Floats = NDArray[np.float32]

EXPRESSION_MODES = 64


@dataclass(frozen=True)
class Linear3DMM:
    """coordinates = [s, s^2, s^3] @ coefficients[label]."""

    basis: MotionBasis
    coefficients: Floats  # (L, 3, E)
    stochastic: bool = False

    @classmethod
    def fit(cls, basis: MotionBasis, train: Sequences) -> Self:
        """Least squares over all training frames of each label."""
        modes = min(EXPRESSION_MODES, train.coordinates.shape[2])
        found: list[Floats] = []
        for label in range(int(train.label.max()) + 1):
            mine = train.label == label
            features = cubic(train.intensity[mine].ravel())
            targets = train.coordinates[mine][..., :modes].reshape(len(features), -1)
            found.append(np.linalg.lstsq(features, targets, rcond=None)[0].astype(np.float32))
        return cls(basis, np.stack(found))

    def answer(self, question: Question, count: int, seed: int) -> Floats:
        """As Method.answer."""
        expression = cubic(question.intensity) @ self.coefficients[question.label]
        padding = len(self.basis.directions) - expression.shape[1]
        return self.basis.decode(np.pad(expression, ((0, 0), (0, padding))))[None]


def cubic(intensity: Floats) -> Floats:
    """(N,) -> (N, 3)."""
    return np.stack([intensity, intensity**2, intensity**3], axis=1)
