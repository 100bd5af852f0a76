"""True performances of the tiny corpus: what its frames are random moments of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.evaluation.ground_truth import Request
from models.expression import parse_expression, profile
from models.head import Head

LABELS = ("pupilDilateLeft", "pupilDilateRight", "browDownLeft", "browDownRight")
"""The units that the tiny corpus shows; here they are bumps on a ball."""
FRAMES = 40


@dataclass(frozen=True)
class TinyTruth:
    """People with their own gain, and a style that nobody can see; as ``tiny_corpus`` draws them."""

    head: Head

    def coefficients(self, person: int) -> np.ndarray:
        return np.random.default_rng([7, person]).normal(0, 1, len(self.head.identity_q)).astype(np.float32)

    def request(self, person: int, label: str, others: int, seed: int) -> Request:
        random = np.random.default_rng([seed, person, *label.encode()])
        coefficients = self.coefficients(person)
        neutral = self.head.neutral_vertices + np.einsum("i,ivd->vd", coefficients, self.head.identity_basis)
        signal = random.uniform(0.6, 1.0) * profile("ease", FRAMES)[:, None] * parse_expression(label)
        generic = np.einsum("ku,uvd->kvd", signal, self.head.expression_basis)
        styles = random.normal(0, 0.1, 1 + others)
        gains = (1 + 0.3 * np.tanh(coefficients[0]) + styles).astype(np.float32)
        performances = gains[:, None, None, None] * generic
        signal = signal.astype(np.float32)
        truth, again = performances[0], performances[1:]
        # style is all that the tiny people have of habits
        return Request(person, label, neutral.astype(np.float32), signal, truth, again, performances)
