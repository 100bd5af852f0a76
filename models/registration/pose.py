"""Where a head is: similarities between model space and a mesh's own, one or many at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .fit import Fit

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Pose:
    """Model space -> the mesh's own space: ``x -> scale * rotation x + translation``; units per mm."""

    scale: float
    rotation: Doubles  # (3, 3)
    translation: Doubles  # (3,)

    def to_model(self, points: Doubles) -> Doubles:
        """(..., 3) points of the mesh -> model space, mm."""
        return (points - self.translation) @ self.rotation / self.scale

    def from_model(self, points: Doubles) -> Doubles:
        """(..., 3) model space -> the mesh's own units, axes and place."""
        return self.scale * points @ self.rotation.T + self.translation

    def refined(self, fit: Fit) -> Pose:
        """This pose after a fit in the model space it defined."""
        return Pose(self.scale * fit.scale, self.rotation @ fit.rotation, self.from_model(fit.translation))


@dataclass(frozen=True)
class Poses:
    """Many poses at once, (B, ...) each."""

    scale: Doubles
    rotation: Doubles
    translation: Doubles

    def __getitem__(self, which: NDArray[np.integer]) -> Poses:
        """Those with these indices."""
        return Poses(self.scale[which], self.rotation[which], self.translation[which])

    def one(self, index: int) -> Pose:
        """The pose with this index."""
        return Pose(float(self.scale[index]), self.rotation[index], self.translation[index])

    def place(self, points: Doubles) -> Doubles:
        """(N, 3) -> (B, N, 3)."""
        turned = np.einsum("bij,nj->bni", self.rotation, points)
        return self.scale[:, None, None] * turned + self.translation[:, None]


def similarities(source: Doubles, targets: Doubles, weight: Doubles, scale: Doubles) -> Poses:
    """Weighted least-squares similarities (Umeyama 1991) from (N, 3) to each of (B, N, 3)."""
    centre = weight @ source
    centres = np.einsum("bn,bni->bi", weight, targets)
    local, locals_ = source[None] - centre[:, None], targets - centres[:, None]
    u, singular, vt = np.linalg.svd(np.einsum("bn,bni,bnj->bij", weight, locals_, local))
    sign = np.sign(np.linalg.det(u @ vt))
    u[:, :, 2] *= sign[:, None]
    singular[:, 2] *= sign
    rotation = u @ vt
    variance = np.einsum("bn,bni->b", weight, local**2)
    # nearest neighbours pull towards small templates: the size may change by a fifth a step at most
    wanted = np.clip(singular.sum(axis=1) / np.maximum(variance, 1e-30), 0.8 * scale, 1.25 * scale)
    return Poses(wanted, rotation, centres - wanted[:, None] * np.einsum("bij,bj->bi", rotation, centre))


def angle_between(a: Doubles, b: Doubles) -> float:
    """degrees between two rotations."""
    return float(np.degrees(np.arccos(np.clip((np.trace(a.T @ b) - 1) / 2, -1, 1))))
