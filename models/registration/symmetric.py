"""A head that is symmetric gets a symmetric binding: the template's midplane is put on the mesh's own."""

# A query of many points returns arrays of indices, whatever the stub of KDTree says.
# pyright: reportIndexIssue=false, reportReturnType=false
from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from .pose import Pose
from .surface import Surface
from .template import Template

Doubles = NDArray[np.float64]

TOLERANCE = 0.15
"""mm between a vertex and the mirror image of its partner."""
SHARE = 0.98
"""Share of the vertices of the face that need a partner."""


def make_symmetric(template: Template, surface: Surface, pose: Pose, fitted: Doubles) -> tuple[Pose, Doubles]:
    """Pose and fitted skin (Vs, 3), both made symmetric when the surface is; unchanged when it is not.

    A mesh is symmetric when mirroring across one plane carries its vertices onto each other. The plane is
    found from the one that the fit suggests, by iterating over pairs of mirrored vertices.
    """
    points = pose.to_model(surface.vertices)
    low, high = fitted.min(axis=0), fitted.max(axis=0)
    points = points[surface.used & ((points > low) & (points < high)).all(axis=1)]
    if len(points) < 100:
        return pose, fitted
    tree = KDTree(points)
    normal, offset = np.array([1.0, 0.0, 0.0]), 0.0
    for _ in range(20):
        mirrored = points - 2 * (points @ normal - offset)[:, None] * normal
        distance, partner = tree.query(mirrored)
        close = distance <= max(np.quantile(distance, 0.7), TOLERANCE)
        p, q = points[close], points[partner[close]]
        middle = (p.mean(axis=0) + q.mean(axis=0)) / 2
        correlation = (p - middle).T @ (q - middle)
        normal = np.linalg.eigh(correlation + correlation.T)[1][:, 0]
        normal *= np.sign(normal[0])
        offset = float(middle @ normal)
    mirrored = points - 2 * (points @ normal - offset)[:, None] * normal
    distance, _ = tree.query(mirrored)
    if (distance < TOLERANCE).mean() < SHARE:
        return pose, fitted
    turn = _between(np.array([1.0, 0.0, 0.0]), normal)
    # new model space: x' = turn' (x - offset normal)
    centred = (fitted - offset * normal) @ turn
    mirror = template.head.mirror[: len(fitted)]
    centred = 0.5 * (centred + centred[mirror] * [-1.0, 1.0, 1.0])
    return Pose(pose.scale, pose.rotation @ turn, pose.from_model(offset * normal)), centred


def _between(a: Doubles, b: Doubles) -> Doubles:
    """(3, 3) the smallest rotation that carries unit vector a to b, which are not opposite."""
    v, c = np.cross(a, b), float(a @ b)
    k = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
    return np.eye(3) + k + k @ k / (1 + c)
