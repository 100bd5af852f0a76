"""The jaw as a hinge: what blend shapes draw as a chord is put back on its arc, on each person's own
geometry.

The lower teeth of the generic face move rigidly in the jaw shapes. Each shape's motion is fitted as a twist
about one pivot on the hinge; every skin vertex follows by a weight, and what rigid motion does not explain
stays as a residual shape that is carried along. At weight 1 of one unit the sculpted shape is met exactly;
between, and in combinations, vertices travel on arcs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu
from scipy.spatial.transform import Rotation

from ..expression import UNIT_INDEX
from .surface import stiffness, vertex_areas

JAW_UNITS = ("jawOpen", "jawLeft", "jawRight", "jawForward")
JAW_INDICES = np.array([UNIT_INDEX[name] for name in JAW_UNITS])
CLOSE_INDEX = UNIT_INDEX["mouthClose"]

SMOOTHING = 20.0
"""mm^2 of diffusion applied to the fitted jaw weights: about a 6 mm blur."""
HINGE_REGION = 45.0
"""Skin within this distance (mm) of the jaw joints tells how a person's hinge differs from the mean one's."""
JOINT_OFFSET = 55.0
"""Distance (mm) of the jaw joints from the midplane."""


def rigid_fit(
    source: NDArray[np.floating[Any]], target: NDArray[np.floating[Any]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rotation (3, 3) and translation (3,) with target = R source + t in least squares (Kabsch)."""
    centre, moved = source.mean(0, dtype=np.float64), target.mean(0, dtype=np.float64)
    u, _, vt = np.linalg.svd((target - moved).T @ (source - centre))
    rotation = u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt
    return rotation, moved - rotation @ centre


def rotated(points: NDArray[np.float32], rotation_vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rodrigues' rotation of points (..., 3) by rotation vectors (..., 3)."""
    angle = np.sqrt(np.einsum("...i,...i->...", rotation_vectors, rotation_vectors))[..., None]
    sine = np.sinc(angle / np.float32(np.pi))
    versine = 0.5 * np.sinc(angle / np.float32(2 * np.pi)) ** 2
    once = cross(rotation_vectors, points)
    return points + sine * once + versine * cross(rotation_vectors, once)


def cross(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cross product over the last axis; faster than numpy's own on large arrays."""
    result = np.empty(np.broadcast_shapes(a.shape, b.shape), np.float32)
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        result[..., i] = a[..., j] * b[..., k] - a[..., k] * b[..., j]
    return result


@dataclass(frozen=True)
class Jaw:
    """Rigid jaw motion of the generic face and how far each skin vertex follows it."""

    pivot: NDArray[np.float32]
    """(3,) the point of the hinge axis on the midplane, mm."""
    twists: NDArray[np.float32]
    """(4, 3) rotation vector about the pivot of each of JAW_UNITS at weight 1, radians."""
    shifts: NDArray[np.float32]
    """(4, 3) translation of the pivot at weight 1, mm."""
    weights: NDArray[np.float32]
    """(V,) share of the jaw's motion a skin vertex follows."""
    close_weights: NDArray[np.float32]
    """(V,) share of the jaw's opening that `mouthClose` takes back."""
    moving: NDArray[np.int64]
    """(J,) vertices with a jaw weight."""
    region: NDArray[np.int64]
    """Vertices round the jaw joints."""

    @staticmethod
    def fit(
        neutral: NDArray[np.float32],
        triangles: NDArray[np.int32],
        shapes: NDArray[np.float32],
        teeth: NDArray[np.float32],
        teeth_shapes: NDArray[np.float32],
    ) -> Jaw:
        """Fit to the skin (V, 3), its shapes (57, V, 3), the lower teeth (L, 3) and theirs (57, L, 3)."""
        rotation, translation = rigid_fit(teeth, teeth + teeth_shapes[JAW_INDICES[0]])
        # a fixed point of the opening motion; the axis runs along x, so the least-norm one is on the midplane
        pivot = np.linalg.lstsq(np.eye(3) - rotation, translation, rcond=1e-3)[0]
        twists, shifts = np.empty((4, 3)), np.empty((4, 3))
        for row, unit in enumerate(JAW_INDICES):
            rotation, translation = rigid_fit(teeth, teeth + teeth_shapes[unit])
            twists[row] = Rotation.from_matrix(rotation).as_rotvec()
            shifts[row] = rotation @ pivot + translation - pivot
        pivot, twists, shifts = (array.astype(np.float32) for array in (pivot, twists, shifts))

        arc = rotated(neutral - pivot, np.broadcast_to(twists[0], neutral.shape)) - (neutral - pivot)
        smooth = _smoother(neutral, triangles)
        weights = smooth(_share(shapes[JAW_INDICES[0]], arc))
        close_weights = np.minimum(smooth(_share(-shapes[CLOSE_INDEX], arc)), weights)
        joints = pivot + np.array([[JOINT_OFFSET, 0, 0], [-JOINT_OFFSET, 0, 0]], np.float32)
        distance = np.linalg.norm(neutral[:, None] - joints, axis=2).min(1)
        return Jaw(
            pivot=pivot,
            twists=twists,
            shifts=shifts,
            weights=weights,
            close_weights=close_weights,
            moving=np.nonzero(weights > 0.0)[0],
            region=np.nonzero(distance < HINGE_REGION)[0],
        )


def _share(motion: NDArray[np.float32], arc: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """(V,) how much of the arc a motion follows, 0..1; damped by 1 mm where the arc itself hardly moves."""
    share = np.einsum("vi,vi->v", motion, arc) / (np.einsum("vi,vi->v", arc, arc) + 1.0)
    return np.clip(share, 0.0, 1.0).astype(np.float32)


def _smoother(
    neutral: NDArray[np.float32], triangles: NDArray[np.int32]
) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """An implicit diffusion step over the surface; small weights are dropped: the cranium stays still."""
    laplacian = stiffness(neutral, triangles)
    mass = sparse.diags(vertex_areas(neutral, triangles))
    factors = splu((mass + SMOOTHING * laplacian).tocsc())

    def smooth(values: NDArray[np.float32]) -> NDArray[np.float32]:
        blurred = np.clip(factors.solve(mass @ values.astype(np.float64)), 0.0, 1.0)
        fade = np.clip((blurred - 0.01) / 0.03, 0.0, 1.0)
        return (blurred * fade).astype(np.float32)

    return smooth


class PersonJaw:
    """The jaw of one person: the hinge carried over by the similarity of the joint region."""

    def __init__(self, jaw: Jaw, mean: NDArray[np.float32], neutral: NDArray[np.float32]) -> None:
        """`mean` and `neutral` (V, 3) are the generic and the person's rest face, mm."""
        rotation, translation, scale = _similarity(mean[jaw.region], neutral[jaw.region])
        self.pivot = (scale * rotation @ jaw.pivot + translation).astype(np.float32)
        self.twists = (jaw.twists @ rotation.T).astype(np.float32)
        self.shifts = (scale * jaw.shifts @ rotation.T).astype(np.float32)
        self.moving = jaw.moving
        self.arms = neutral[jaw.moving] - self.pivot
        self.follow = jaw.weights[jaw.moving, None]
        self.close = jaw.close_weights[jaw.moving, None]

    def unbend(self, shapes: NDArray[np.float32]) -> None:
        """Replace the jaw's shapes in `shapes` (57, V, 3) by what rigid motion leaves of them, in the jaw's
        own frame.

        `mouthClose` is sculpted on the open jaw, so both at weight 1 give the sum of the sculpted shapes.
        """
        opened, closed = JAW_INDICES[0], CLOSE_INDEX
        both = shapes[opened] + shapes[closed]
        for unit in JAW_INDICES:
            shapes[unit, self.moving] = self._taken_back(shapes[unit, self.moving], (unit,))
        both[self.moving] = self._taken_back(both[self.moving], (opened, closed))
        shapes[closed] = both - shapes[opened]

    def rotate(self, deformation: NDArray[np.float32], weights: NDArray[np.float32]) -> None:
        """Turn rest face plus `deformation` (B, V, 3) by the jaw's pose at `weights` (B, 57), in place."""
        for frame in np.nonzero(weights[:, JAW_INDICES].any(axis=1))[0]:
            twist, shift = self._motion(weights[frame])
            arms = self.arms + deformation[frame, self.moving]
            deformation[frame, self.moving] = rotated(arms, twist) + shift - self.arms

    def _motion(self, weights: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Rotation vectors and translations (J, 3) of the moving skin at weights (57,)."""
        pose, close = weights[JAW_INDICES], weights[CLOSE_INDEX]
        twist = self.follow * (pose @ self.twists) - self.close * (close * self.twists[0])
        return twist, self.follow * (pose @ self.shifts)

    def _taken_back(self, shape: NDArray[np.float32], units: tuple[int, ...]) -> NDArray[np.float32]:
        """The displacement that the jaw's motion with `units` at weight 1 turns into `shape` (J, 3)."""
        weights = np.zeros(len(UNIT_INDEX), np.float32)
        weights[list(units)] = 1.0
        twist, shift = self._motion(weights)
        return rotated(self.arms + shape - shift, -twist) - self.arms


def _similarity(
    source: NDArray[np.float32], target: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Rotation, translation and scale with target = scale R source + t in least squares."""
    scale = float(np.sqrt((target.var(0).sum()) / source.var(0).sum()))
    rotation, translation = rigid_fit(scale * source, target)
    return rotation, translation, scale
