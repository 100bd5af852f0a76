"""Looks at the head before any work is done, and says in the artist's words what is wrong with it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .worker import JobFailedError

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]


def check_head(vertices: Floats, triangles: Ints) -> None:
    """Raises JobFailedError("input") for a mesh that no model can do anything with.

    vertices (V, 3), triangles (F, 3): the artist's head, in whatever topology.
    """
    lost = int((~np.isfinite(vertices)).any(axis=1).sum())
    if lost:
        raise JobFailedError(
            "input", f"{lost:,} vertices of this head have no finite place: repair the mesh."
        )
    if not len(triangles):
        raise JobFailedError("input", "This head has no faces: choose a mesh with a face on it.")
    if triangles.min() < 0 or triangles.max() >= len(vertices):
        raise JobFailedError(
            "input", "The faces of this head name vertices that it does not have: repair the mesh."
        )
    if not _relative_area(vertices, triangles) > 1e-6:
        raise JobFailedError(
            "input", "The faces of this head have no area: its vertices lie on one point or line."
        )


def _relative_area(vertices: Floats, triangles: Ints) -> float:
    """Area of the triangles over the squared extent of the head; 0 for a point."""
    corners = vertices.astype(np.float64)
    extent = float(np.ptp(corners, axis=0).max())
    if extent == 0:
        return 0.0
    a, b, c = (corners[triangles[:, corner]] / extent for corner in range(3))
    return float(0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1).sum())
