"""Baking K frames into fewer shape keys: the best linear basis, and how far it is off.

The truncated singular value decomposition is the nearest animation with that many keys (Eckart and Young,
1936). numpy only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class LowRank:
    """Deformations as coefficients times components; `largest_error` says how far that is off."""

    components: NDArray[np.float32]  # (R, V, 3) in the head's units
    coefficients: NDArray[np.float32]  # (K, R), the largest of each component is 1
    largest_error: float  # of any vertex in any frame, in the head's units


def low_rank(deformations: NDArray[np.float32], tolerance: float) -> LowRank:
    """The fewest components that keep every vertex of every frame within `tolerance` (head's units).

    deformations (K, V, 3). With K components the error is only rounding, so some answer always exists.
    """
    frames = len(deformations)
    flat = np.ascontiguousarray(deformations, np.float32).reshape(frames, -1)
    # K is small: the eigenvectors of the K x K Gram matrix are the left singular vectors.
    values, vectors = np.linalg.eigh(flat.astype(np.float64) @ flat.T.astype(np.float64))
    left = vectors[:, ::-1].astype(np.float32)
    right = left.T @ flat
    fewest, most = 1, max(1, int((values > values.max(initial=0.0) * 1e-12).sum()))
    while fewest < most:
        middle = (fewest + most) // 2
        if _largest_error(flat, left[:, :middle] @ right[:middle]) <= tolerance:
            most = middle
        else:
            fewest = middle + 1
    scale = _signed_peak(left[:, :fewest])
    coefficients, components = left[:, :fewest] / scale, right[:fewest] * scale[:, None]
    error = _largest_error(flat, coefficients @ components)
    return LowRank(components.reshape(fewest, -1, 3), coefficients, error)


def _signed_peak(columns: NDArray[np.float32]) -> NDArray[np.float32]:
    """The entry of each column with the largest magnitude."""
    return columns[np.abs(columns).argmax(axis=0), np.arange(columns.shape[1])]


def _largest_error(flat: NDArray[np.float32], approximation: NDArray[np.float32]) -> float:
    difference = (flat - approximation).reshape(-1, 3)
    return float(np.sqrt(np.einsum("nd,nd->n", difference, difference).max(initial=0.0)))
