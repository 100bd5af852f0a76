"""Fixed mesh topology: spirals of neighbours and a hierarchy of coarser meshes.

Spirals follow SpiralNet++ (Gong et al. 2019; AnimateMe section 3.1), except that every spiral starts
at a neighbour chosen by geometry, so that the same place on the face always sees its neighbours in
the same order whatever the order of the triangles in the file.
"""

from __future__ import annotations

from dataclasses import dataclass

import fast_simplification
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]


def spiral_indices(triangles: Ints, vertices: Floats, length: int = 9) -> Ints:
    """Ordered neighbourhood of every vertex: itself, its one-ring counter-clockwise, then outer rings.

    triangles (F, 3); vertices (V, 3). Returns (V, length) int32. The one-ring starts at the neighbour
    that lies most nearly towards +Y. A vertex with too few neighbours repeats itself.
    """
    apex = {(a, b): c for t in triangles.tolist() for a, b, c in (t, t[1:] + t[:1], t[2:] + t[:2])}
    neighbours: list[set[int]] = [set() for _ in range(len(vertices))]
    for a, b, c in triangles.tolist():
        neighbours[a] |= {b, c}
        neighbours[b] |= {a, c}
        neighbours[c] |= {a, b}
    points = vertices.tolist()
    spirals = np.empty((len(vertices), length), dtype=np.int32)
    for vertex, around in enumerate(neighbours):
        spiral = _spiral(vertex, around, apex, points, length)
        spirals[vertex] = (spiral + [vertex] * length)[:length]
    return spirals


def _spiral(
    vertex: int,
    around: set[int],
    apex: dict[tuple[int, int], int],
    points: list[list[float]],
    length: int,
) -> list[int]:
    if not around:
        return [vertex]
    height = points[vertex][1]

    def upwards(n: int) -> tuple[float, int]:
        distance = sum((points[n][k] - points[vertex][k]) ** 2 for k in range(3)) ** 0.5
        return ((points[n][1] - height) / (distance + 1e-9), n)

    ring = _ring(vertex, max(around, key=upwards), around, apex)
    spiral, seen = [vertex, *ring], {vertex, *ring}
    while len(spiral) < length and ring:
        outer: list[int] = []
        for inner, start in zip(ring, [*ring[-1:], *ring[:-1]], strict=True):
            walk, current = apex.get((inner, start)), 0
            while walk is not None and current < 16:
                if walk not in seen:
                    outer.append(walk)
                    seen.add(walk)
                walk, current = apex.get((inner, walk)), current + 1
        spiral += outer
        ring = outer
    return spiral


def _ring(vertex: int, start: int, around: set[int], apex: dict[tuple[int, int], int]) -> list[int]:
    """The neighbours of ``vertex`` counter-clockwise from ``start``; on a border, then clockwise."""
    ring, step = [start], apex.get((vertex, start))
    while step is not None and step != start and len(ring) < len(around):
        ring.append(step)
        step = apex.get((vertex, step))
    if len(ring) < len(around):  # an open fan: what lies clockwise of the start comes last
        step = apex.get((start, vertex))
        while step is not None and step not in ring:
            ring.append(step)
            step = apex.get((step, vertex))
        ring += sorted(around.difference(ring))  # non-manifold leftovers, in a fixed order
    return ring


@dataclass(frozen=True)
class Level:
    """One mesh of the hierarchy and its sparse transforms from and to the next finer one."""

    vertices: Floats  # (V, 3)
    triangles: Ints  # (F, 3)
    spirals: Ints  # (V, L)
    down_transform: sp.csr_matrix | None  # (V, V_finer) averages finer vertices; None on the finest level
    up_transform: sp.csr_matrix | None  # (V_finer, V) barycentric interpolation


def mesh_hierarchy(
    triangles: Ints, vertices: Floats, factor: float = 0.25, levels: int = 4, length: int = 9
) -> list[Level]:
    """Finest to coarsest meshes by quadric edge collapse, each about ``factor`` of the one before."""
    fine = Level(vertices, triangles, spiral_indices(triangles, vertices, length), None, None)
    hierarchy = [fine]
    for _ in range(levels - 1):
        double = fine.vertices.astype(np.float64)
        *_, collapses = fast_simplification.simplify(
            double, fine.triangles, target_reduction=1.0 - factor, return_collapses=True
        )
        simplified = fast_simplification.replay_simplification(double, fine.triangles, collapses)
        points, faces = np.asarray(simplified[0], np.float32), np.asarray(simplified[1], np.int32)
        coarse_of_fine = simplified[2]
        up = _barycentric(fine.vertices, points, faces, np.asarray(coarse_of_fine))
        spirals = spiral_indices(faces, points, length)
        fine = Level(points, faces, spirals, averaging_transform(up), up)
        hierarchy.append(fine)
    return hierarchy


def averaging_transform(up_transform: sp.csr_matrix) -> sp.csr_matrix:
    """The ``down_transform`` (V, V_finer) to an ``up_transform``: each coarse vertex averages its readers."""
    down = sp.csr_matrix(up_transform.T)
    weight = np.asarray(down.sum(axis=1)).ravel()
    return sp.csr_matrix(sp.diags(1.0 / np.maximum(weight, 1e-6)) @ down, dtype=np.float32)


def _barycentric(
    fine: Floats, coarse: Floats, faces: Ints, coarse_of_fine: NDArray[np.int64]
) -> sp.csr_matrix:
    """(V_fine, V_coarse) interpolation at the closest point of the coarse mesh.

    Only triangles within two edges of the coarse vertex that the fine one collapsed into are searched:
    the nearest point of all would jump across the closed lips.
    """
    vertex_count = len(coarse)
    touches = sp.csr_matrix(
        (np.ones(faces.size, np.float32), (faces.ravel(), np.repeat(np.arange(len(faces)), 3))),
        shape=(vertex_count, len(faces)),
    )
    adjacency = ((touches @ touches.T) > 0).astype(np.float32)
    near = sp.csr_matrix((adjacency @ touches) > 0)[coarse_of_fine]
    rows = np.repeat(np.arange(len(fine)), np.diff(near.indptr))
    corners = coarse[faces[near.indices]]
    weights = _closest_barycentric(fine[rows], corners)
    distance = np.linalg.norm((weights[:, :, None] * corners).sum(axis=1) - fine[rows], axis=1)
    order = np.lexsort((distance, rows))
    best = order[np.searchsorted(rows[order], np.arange(len(fine)))]
    columns = faces[near.indices[best]]
    index = (np.repeat(np.arange(len(fine)), 3), columns.ravel())
    return sp.csr_matrix((weights[best].ravel().astype(np.float32), index), shape=(len(fine), vertex_count))


def _closest_barycentric(points: Floats, corners: Floats) -> Floats:
    """(N, 3) barycentric coordinates of the closest point of triangles (N, 3, 3) to points (N, 3)."""
    a, ab, ac = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    ap = points - a
    d00, d01, d11 = _dot(ab, ab), _dot(ab, ac), _dot(ac, ac)
    d20, d21 = _dot(ap, ab), _dot(ap, ac)
    area = np.maximum(d00 * d11 - d01 * d01, 1e-12)
    v, w = (d11 * d20 - d01 * d21) / area, (d00 * d21 - d01 * d20) / area
    inside = np.stack([1 - v - w, v, w], axis=1)
    candidates = [np.where((inside >= 0).all(axis=1, keepdims=True), inside, np.nan)]
    for i, j in ((0, 1), (1, 2), (2, 0)):  # the closest points of the three edges
        edge = corners[:, j] - corners[:, i]
        s = np.clip(_dot(points - corners[:, i], edge) / np.maximum(_dot(edge, edge), 1e-12), 0, 1)
        on_edge = np.zeros_like(inside)
        on_edge[:, i], on_edge[:, j] = 1 - s, s
        candidates.append(on_edge)
    stacked = np.stack(candidates)
    gaps = np.linalg.norm(np.einsum("cnk,nkd->cnd", stacked, corners) - points, axis=2)
    best = np.nanargmin(gaps, axis=0)
    return stacked[best, np.arange(len(points))]


def _dot(a: Floats, b: Floats) -> Floats:
    return np.einsum("nd,nd->n", a, b)


def graph_laplacian(triangles: Ints, vertex_count: int) -> sp.csr_matrix:
    """(V, V) uniform Laplacian: a vertex minus the mean of its neighbours; the metrics' roughness."""
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    edges = np.concatenate([edges, edges[:, ::-1]])
    ones = np.ones(len(edges), np.float32)
    adjacency = sp.csr_matrix((ones, (edges[:, 0], edges[:, 1])), shape=(vertex_count, vertex_count))
    adjacency.data[:] = 1
    degree = np.maximum(np.asarray(adjacency.sum(axis=1)).ravel(), 1)
    return sp.csr_matrix(sp.diags(np.ones(vertex_count, np.float32)) - sp.diags(1 / degree) @ adjacency)
