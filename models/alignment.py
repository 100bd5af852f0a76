"""Similarity alignment: heads come in any units, axes and place; the model knows only its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .errors import InputError

Floats = NDArray[np.float32]

EXTENT = 1e-6
"""Smallest extent of a head, relative to its distance from the origin, that float32 can tell from none."""


@dataclass(frozen=True)
class Similarity:
    """x -> scale * R x + translation, into model space (mm)."""

    scale: float
    rotation: Floats  # (3, 3)
    translation: Floats  # (3,)

    def apply(self, points: Floats) -> Floats:
        """(..., 3) points of the head -> model space."""
        return (self.scale * points @ self.rotation.T + self.translation).astype(np.float32)

    def apply_vectors(self, vectors: Floats) -> Floats:
        """(..., 3) displacements of the head -> model space."""
        return (self.scale * vectors @ self.rotation.T).astype(np.float32)

    def invert_vectors(self, vectors: Floats) -> Floats:
        """(..., 3) displacements in model space -> the head's own units and axes."""
        return (vectors @ self.rotation / self.scale).astype(np.float32)


def similarity_to(model: Floats, vertices: Floats, weights: Floats | None = None) -> Similarity:
    """Least-squares similarity (Umeyama 1991) that carries ``vertices`` (V, 3) onto ``model`` (V, 3).

    Raises InputError when the vertices have no extent.
    """
    weight = np.ones(len(model)) if weights is None else weights.astype(np.float64)
    weight = weight / weight.sum()
    source, target = vertices.astype(np.float64), model.astype(np.float64)
    source_mean, target_mean = weight @ source, weight @ target
    source, target = source - source_mean, target - target_mean
    variance = float((weight[:, None] * source**2).sum())
    if not variance > EXTENT**2 * float(np.square(vertices.astype(np.float64)).sum(axis=1).mean()):
        raise InputError("All vertices of the head lie in one point: there is no face to animate.")
    u, singular, vt = np.linalg.svd((weight[:, None] * target).T @ source)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * sign) @ vt
    scale = float((singular * sign).sum() / variance)
    if not scale > 0 or singular[1] < EXTENT * singular[0]:
        raise InputError("The head is flat or turned inside out: its shape cannot be aligned with a face.")
    translation = target_mean - scale * rotation @ source_mean
    return Similarity(scale, rotation.astype(np.float32), translation.astype(np.float32))
