"""Looks at the head before any work is done, and says in the artist's words what is wrong with it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .worker import JobFailedError

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]


def check_head(
    vertices: Floats, triangles: Ints, faces: Ints, head_vertices: int, skin_vertices: int
) -> None:
    """Raises JobFailedError("input") unless this is the checkpoint's head, whole or its skin alone.

    vertices (V, 3), triangles (F, 3): the artist's head. faces (Q, 4): those of the checkpoint's, -1
    pads triangles. Quads may be cut along either diagonal: every program has its own choice.
    head_vertices, skin_vertices: size of that head, whole and without eyes and teeth.
    """
    found = len(vertices)
    if found not in (head_vertices, skin_vertices):
        raise JobFailedError(
            "input",
            f"This head has {found:,} vertices, but the Dimple head has {head_vertices:,} ({skin_vertices:,} "
            "without eyes and teeth): use Add > Mesh > Dimple Head.",
        )
    lost = int((~np.isfinite(vertices)).any(axis=1).sum())
    if lost:
        raise JobFailedError(
            "input", f"{lost:,} vertices of this head have no finite place: repair the mesh."
        )
    expected = faces if found == head_vertices else faces[(faces < skin_vertices).all(axis=1)]
    if not _is_split_of(triangles, expected):
        raise JobFailedError(
            "input",
            f"This head has {found:,} vertices as it should, but they are connected differently: "
            "keep the Dimple head's faces and vertex order as they are.",
        )
    if not _relative_area(vertices, triangles) > 1e-6:
        raise JobFailedError(
            "input", "The faces of this head have no area: its vertices lie on one point or line."
        )


def _is_split_of(triangles: Ints, faces: Ints) -> bool:
    """Whether the triangles are the faces, each quad cut along one of its diagonals."""
    quads = faces[faces[:, 3] >= 0]
    single = faces[faces[:, 3] < 0][:, :3]
    if len(triangles) != 2 * len(quads) + len(single) or triangles.min() < 0 or triangles.max() > faces.max():
        return False
    sides = np.union1d(_edges(quads), _edges(single))
    diagonals = _keys(np.concatenate([quads[:, [0, 2]], quads[:, [1, 3]]]))
    edges = np.unique(_edges(triangles))
    return bool(np.isin(sides, edges).all() and np.isin(edges, np.union1d(sides, diagonals)).all())


def _edges(polygons: Ints) -> NDArray[np.int64]:
    return _keys(np.stack([polygons, np.roll(polygons, -1, axis=1)], axis=2).reshape(-1, 2))


def _keys(pairs: Ints) -> NDArray[np.int64]:
    """One number for each undirected pair of vertices."""
    ordered = np.sort(pairs.astype(np.int64), axis=1)
    return (ordered[:, 0] << 32) | ordered[:, 1]


def _relative_area(vertices: Floats, triangles: Ints) -> float:
    """Area of the triangles over the squared extent of the head; 0 for a point."""
    corners = vertices.astype(np.float64)
    extent = float(np.ptp(corners, axis=0).max())
    if extent == 0:
        return 0.0
    a, b, c = (corners[triangles[:, corner]] / extent for corner in range(3))
    return float(0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1).sum())
