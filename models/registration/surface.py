"""An artist's mesh as binding sees it: clean triangles turned outwards, normals, islands, samples."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from ..errors import InputError
from .visibility import openness

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int32]

OUTSIDE = 0.08
"""Share of the half-sphere that must be open above a triangle for it to count as seen from outside."""
WELD = 1e-5
"""Border vertices closer than this share of the mesh's extent are one vertex: seams of exporters."""

FEWEST_TRIANGLES = 100
"""No mesh with fewer shows a face."""


@dataclass(frozen=True)
class Surface:
    """Triangles whose front looks outwards; every array is per vertex or per triangle of the same mesh."""

    vertices: Doubles  # (V, 3)
    triangles: Ints  # (T, 3)
    normals: Doubles  # (V, 3) unit; zero where no triangle is
    outside: NDArray[np.bool_]  # (V,) can be seen from outside
    outside_triangles: NDArray[np.bool_]  # (T,)
    island: Ints  # (V,) connected component
    adjacency: sp.csr_matrix  # (V, V) 1 where an edge or a weld connects two vertices

    @property
    def used(self) -> NDArray[np.bool_]:
        """(V,) whether any triangle has the vertex: loose ones take no part."""
        return np.asarray(self.normals.any(axis=1))

    def moved(self, vertices: Doubles, rotation: Doubles) -> Surface:
        """The same surface after a similarity that turned it by ``rotation`` (3, 3)."""
        return replace(self, vertices=vertices, normals=self.normals @ rotation.T)

    def samples(self, count: int, inside: NDArray[np.bool_], seed: int) -> tuple[Doubles, Doubles]:
        """Positions and smooth normals, (count, 3) each, spread by area over triangles ``inside`` (T,)."""
        chosen = np.flatnonzero(inside)
        if not len(chosen):
            raise InputError(
                "Nothing of this mesh can be seen from outside: choose a mesh with a face on it."
            )
        area = triangle_areas(self.vertices, self.triangles[chosen])
        random = np.random.default_rng(seed)
        # systematic sampling: evenly spaced along the summed area, which wastes fewer samples than chance
        position = (np.arange(count) + random.random(count)) / count * area.sum()
        picked = chosen[np.minimum(np.searchsorted(np.cumsum(area), position), len(chosen) - 1)]
        u, v = np.sqrt(random.random(count)), random.random(count)
        weights = np.stack([1 - u, u * (1 - v), u * v], axis=1)
        corners = self.triangles[picked]
        points = np.einsum("nk,nkd->nd", weights, self.vertices[corners])
        return points, unit(np.einsum("nk,nkd->nd", weights, self.normals[corners]))


def read_surface(
    vertices: NDArray[np.floating], faces: NDArray[np.integer], fewest: int = FEWEST_TRIANGLES
) -> Surface:
    """Clean up vertices (V, 3) and faces (F, 3) or (F, 4) padded with -1; no vertex is moved or dropped.

    Triangles without area go, copies of vertices along seams are joined for the connectivity only, and
    islands whose front looks inwards are turned. Raises InputError when fewer than ``fewest`` usable
    triangles are left.
    """
    points = np.asarray(vertices, np.float64)
    if points.ndim != 2 or points.shape[1] != 3 or not len(points):
        raise InputError("This object has no vertices: choose a mesh with a face on it.")
    if lost := int((~np.isfinite(points)).any(axis=1).sum()):
        raise InputError(f"{lost:,} vertices of this mesh have no finite place: repair the mesh first.")
    triangles = triangulated(np.asarray(faces, np.int32))
    if len(triangles) and (triangles.min() < 0 or triangles.max() >= len(points)):
        raise InputError("The faces of this mesh refer to vertices that it does not have: repair it first.")
    extent = float(np.ptp(points, axis=0).max())
    areas = triangle_areas(points, triangles)
    triangles = triangles[areas > 1e-14 * extent**2] if extent > 0 else triangles[:0]
    if not len(triangles):
        raise InputError("This mesh has no face with an area: choose another, or repair it first.")
    if len(triangles) < fewest:
        raise InputError(
            f"This mesh has {len(triangles)} faces with an area: that is too few to show a face. "
            "Choose the head's own mesh."
        )
    adjacency = _adjacency(points, triangles, WELD * extent)
    _, island = connected_components(adjacency, directed=False)
    front, back = openness(points, triangles)
    of = island[triangles[:, 0]]
    inverted = np.bincount(of, triangle_areas(points, triangles) * (front - back), island.max() + 1) < 0
    turned = inverted[of]
    triangles = np.where(turned[:, None], triangles[:, ::-1], triangles)
    front = np.where(turned, back, front)
    outside = np.bincount(triangles.ravel(), np.repeat(front, 3), len(points))
    outside /= np.maximum(np.bincount(triangles.ravel(), minlength=len(points)), 1)
    return Surface(
        vertices=points,
        triangles=triangles,
        normals=vertex_normals(points, triangles),
        outside=outside > OUTSIDE,
        outside_triangles=front > OUTSIDE,
        island=island.astype(np.int32),
        adjacency=adjacency,
    )


def triangulated(faces: Ints) -> Ints:
    """(T, 3) from triangles (F, 3), or from quads and triangles (F, 4) padded with -1."""
    if faces.ndim != 2 or faces.shape[1] not in (3, 4):
        raise InputError("The faces of this mesh are neither triangles nor quads: triangulate it first.")
    if faces.shape[1] == 3:
        return faces
    quads = faces[faces[:, 3] >= 0]
    return np.concatenate([faces[:, :3], quads[:, [0, 2, 3]]])


def triangle_areas(vertices: Doubles, triangles: Ints) -> Doubles:
    """(T,) areas in squared units of the vertices."""
    a, b, c = (vertices[triangles[:, corner]] for corner in range(3))
    return 0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1)


def vertex_normals(vertices: Doubles, triangles: Ints) -> Doubles:
    """(V, 3) unit normals, faces counted by their angle; zero where no triangle is."""
    corners = vertices[triangles]
    onwards = unit(np.roll(corners, -1, axis=1) - corners)
    backwards = -np.roll(onwards, 1, axis=1)
    angle = np.arccos(np.clip(np.einsum("tki,tki->tk", onwards, backwards), -1.0, 1.0))
    flat = unit(np.cross(onwards[:, 0], backwards[:, 0]))
    weighted = (angle[..., None] * flat[:, None]).reshape(-1, 3)
    sums = [np.bincount(triangles.ravel(), weighted[:, axis], len(vertices)) for axis in range(3)]
    return unit(np.stack(sums, axis=1).astype(np.float64))


def unit(vectors: Doubles) -> Doubles:
    """Vectors (..., 3) of length 1; zero stays zero."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-300)


def border_vertices(triangles: Ints) -> NDArray[np.int64]:
    """Vertices on edges that only one triangle has."""
    edges = np.sort(
        np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), axis=1
    )
    unique, count = np.unique(edges.astype(np.int64) @ [1 << 32, 1], return_counts=True)
    single = unique[count == 1]
    return np.unique(np.concatenate([single >> 32, single & 0xFFFFFFFF]))


def closest_barycentric(points: Doubles, corners: Doubles) -> Doubles:
    """(N, 3) barycentric coordinates of the closest place on each triangle (N, 3, 3) to each point (N, 3)."""
    a, ab, ac = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    ap = points - a
    d00, d01, d11 = (np.einsum("ni,ni->n", x, y) for x, y in ((ab, ab), (ab, ac), (ac, ac)))
    d20, d21 = np.einsum("ni,ni->n", ap, ab), np.einsum("ni,ni->n", ap, ac)
    area = np.maximum(d00 * d11 - d01 * d01, 1e-300)
    v, w = (d11 * d20 - d01 * d21) / area, (d00 * d21 - d01 * d20) / area
    best = np.stack([1 - v - w, v, w], axis=1)
    beyond = np.flatnonzero((best < 0).any(axis=1))
    if not len(beyond):
        return best
    p, c = points[beyond], corners[beyond]
    least, inner = np.full(len(beyond), np.inf), np.zeros((len(beyond), 3))
    for i, j in ((0, 1), (1, 2), (2, 0)):
        edge = c[:, j] - c[:, i]
        along = np.einsum("ni,ni->n", p - c[:, i], edge) / np.maximum(np.sum(edge**2, axis=1), 1e-300)
        along = np.clip(along, 0.0, 1.0)
        squared = np.sum((c[:, i] + along[:, None] * edge - p) ** 2, axis=1)
        closer = squared < least
        least[closer] = squared[closer]
        inner[closer] = 0.0
        inner[closer, i], inner[closer, j] = 1 - along[closer], along[closer]
    best[beyond] = inner
    return best


def _adjacency(vertices: Doubles, triangles: Ints, weld: float) -> sp.csr_matrix:
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    border = border_vertices(triangles)
    # only borders are welded: closed lips and lids may touch without being one surface
    _, cell = np.unique(np.round(vertices[border] / weld).astype(np.int64), axis=0, return_inverse=True)
    order = np.argsort(cell, kind="stable")
    same = np.flatnonzero(np.diff(cell[order]) == 0)
    welds = np.stack([border[order[same]], border[order[same + 1]]], axis=1)
    edges = np.concatenate([edges, welds])
    count = len(vertices)
    graph = sp.coo_matrix((np.ones(len(edges), np.float32), edges.T), shape=(count, count)).tocsr()
    graph = (graph + graph.T).tocsr()
    graph.data[:] = 1.0
    return graph
