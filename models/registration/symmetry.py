"""Planes of near symmetry of a sampled surface."""

# A query of many points returns arrays of indices, whatever the stub of KDTree says.
# pyright: reportIndexIssue=false, reportReturnType=false
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from .visibility import sphere

Doubles = NDArray[np.float64]

TRIED = 300
REFINED = 12
KEPT = 0.8
"""Share of the points, the best ones, that a plane is judged by."""
DISTINCT = 0.94
"""Cosine between normals of planes above which they count as one."""


@dataclass(frozen=True)
class Plane:
    """The points ``p`` with ``normal . (p - centre) = 0``."""

    normal: Doubles  # (3,) unit
    centre: Doubles  # (3,)
    mismatch: float  # what its mirror image misses the surface by

    def distance(self, points: Doubles) -> Doubles:
        """(N,) signed distance of points (N, 3)."""
        return (points - self.centre) @ self.normal


def symmetry_planes(points: Doubles, normals: Doubles, most: int = 3) -> list[Plane]:
    """The planes that best mirror points with normals (N, 3) onto themselves, best first."""
    some = slice(None, None, max(1, len(points) // 400))
    p, n = points[some], normals[some]
    tree = KDTree(np.hstack([points, 0.3 * normals]))
    candidates = [(_mismatch(tree, p, n, d, points.mean(axis=0))[0], d) for d in _half_sphere()]
    candidates.sort(key=lambda pair: pair[0])
    refined = [_refine(tree, points, p, n, d) for _, d in candidates[:REFINED]]
    planes: list[Plane] = []
    for plane in sorted(refined, key=lambda plane: plane.mismatch):
        if all(abs(plane.normal @ other.normal) < DISTINCT for other in planes):
            planes.append(plane)
    return planes[:most]


def _half_sphere() -> Doubles:
    directions = sphere(TRIED).astype(np.float64)
    return directions[directions[:, 2] >= 0]


def _mismatch(
    tree: KDTree, points: Doubles, normals: Doubles, direction: Doubles, centre: Doubles
) -> tuple[float, NDArray[np.int64], NDArray[np.bool_]]:
    """Mean distance, in position and normal, of the better mirrored points to the surface."""
    mirror = np.eye(3) - 2 * np.outer(direction, direction)
    distance, nearest = tree.query(np.hstack([(points - centre) @ mirror + centre, 0.3 * normals @ mirror]))
    keep = distance <= np.quantile(distance, KEPT)
    return float(distance[keep].mean()), nearest, keep


def _refine(tree: KDTree, surface: Doubles, points: Doubles, normals: Doubles, direction: Doubles) -> Plane:
    """Iterated closest points for a reflection: its normal spans the least of sum (p - c)(q - c)'."""
    centre = surface.mean(axis=0)
    for _ in range(12):
        _, nearest, keep = _mismatch(tree, points, normals, direction, centre)
        p, q = points[keep], surface[nearest[keep]]
        middle = (p.mean(axis=0) + q.mean(axis=0)) / 2
        correlation = (p - middle).T @ (q - middle)
        _, vectors = np.linalg.eigh(correlation + correlation.T)
        direction = vectors[:, 0]
        centre = middle
    return Plane(direction, centre, _mismatch(tree, points, normals, direction, centre)[0])
