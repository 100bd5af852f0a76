"""Calculus on a triangle mesh: frames, areas, gradients, the Laplacian and normals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from numpy.typing import NDArray


def triangle_frames(
    vertices: NDArray[np.floating[Any]], triangles: NDArray[np.integer[Any]]
) -> NDArray[np.float64]:
    """(T, 3, 3) with columns: both edges from the first corner, and the unit normal."""
    corners = vertices[triangles].astype(np.float64)
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    normal = np.cross(first, second)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    return np.stack([first, second, normal], axis=2)


def triangle_areas(
    vertices: NDArray[np.floating[Any]], triangles: NDArray[np.integer[Any]]
) -> NDArray[np.float64]:
    """(T,) areas, mm^2."""
    corners = vertices[triangles].astype(np.float64)
    return 0.5 * np.linalg.norm(
        np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1
    )


def vertex_areas(
    vertices: NDArray[np.floating[Any]], triangles: NDArray[np.integer[Any]]
) -> NDArray[np.float64]:
    """(V,) a third of the area round each vertex, mm^2."""
    thirds = np.repeat(triangle_areas(vertices, triangles) / 3.0, 3)
    return np.bincount(triangles.ravel(), thirds, len(vertices)).astype(np.float64)


def gradient_operator(
    vertices: NDArray[np.floating[Any]], triangles: NDArray[np.integer[Any]]
) -> sparse.csr_matrix:
    """(3T, V) operator from values at the vertices to gradients: rows x, y, z of each triangle."""
    inverse = np.linalg.inv(triangle_frames(vertices, triangles))
    hats = np.concatenate([-(inverse[:, :1] + inverse[:, 1:2]), inverse[:, :2]], axis=1)  # (T, corner, xyz)
    count = len(triangles)
    columns = np.repeat(triangles, 3, axis=0)  # row 3t + axis touches the corners of triangle t
    values = hats.transpose(0, 2, 1).reshape(3 * count, 3)
    starts = np.arange(0, 9 * count + 1, 3)
    return sparse.csr_matrix((values.ravel(), columns.ravel(), starts), shape=(3 * count, len(vertices)))


def stiffness(vertices: NDArray[np.floating[Any]], triangles: NDArray[np.integer[Any]]) -> sparse.csr_matrix:
    """(V, V) cotangent stiffness matrix, the positive semi-definite Laplacian of the surface."""
    gradient = gradient_operator(vertices, triangles)
    weights = sparse.diags(np.repeat(triangle_areas(vertices, triangles), 3))
    return (gradient.T @ weights @ gradient).tocsr()


def vertex_normals(
    vertices: NDArray[np.floating[Any]], triangles: NDArray[np.integer[Any]]
) -> NDArray[np.float64]:
    """(V, 3) unit normals; faces count by angle, so that the choice of a quad's diagonal hardly shows."""
    corners = vertices[triangles].astype(np.float64)
    to_next = _unit(np.roll(corners, -1, axis=1) - corners)
    to_last = _unit(np.roll(corners, 1, axis=1) - corners)
    angles = np.arccos(np.clip(np.einsum("tki,tki->tk", to_next, to_last), -1.0, 1.0))
    normals = _unit(np.cross(to_next[:, 0], to_last[:, 0]))
    weighted = (angles[..., None] * normals[:, None]).reshape(-1, 3)
    sums = [np.bincount(triangles.ravel(), weighted[:, axis], len(vertices)) for axis in range(3)]
    return _unit(np.stack(sums, axis=1).astype(np.float64))


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
