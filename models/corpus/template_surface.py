"""The left half of ICT-FaceKit's mean skin as a surface one can draw new points and curves on.

A point of the new topology is never a bare position: it is a sparse row of weights over the vertices of the
surface, so every shape of the source can later be carried over by one matrix. `Rows` is a stack of such
points, (n, H) with rows summing to 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from .ict import SKIN_VERTICES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .ict import ICT

Rows = sparse.csr_matrix


@dataclass(frozen=True)
class HalfSkin:
    """The half x >= 0 of the symmetrised mean skin: a topological disk of quads, wound counter-clockwise seen
    from outside."""

    vertices: NDArray[np.float64]
    """(H, 3) mm; exactly x = 0 on the midline."""
    quads: NDArray[np.int64]
    """(Q, 4)"""
    triangles: NDArray[np.int64]
    """(2Q, 3); triangles 2q and 2q + 1 halve quad q along its shorter diagonal."""
    left: NDArray[np.int64]
    """(H,) the ICT vertex each vertex stands for."""
    right: NDArray[np.int64]
    """(H,) its mirror image in ICT; equal to `left` on the midline."""

    @property
    def midline(self) -> NDArray[np.bool_]:
        """(H,) whether a vertex lies in the plane of symmetry."""
        return self.left == self.right


def half_skin(ict: ICT) -> HalfSkin:
    """Average the mean skin with its mirror image and keep the character's left half."""
    vertices = ict.neutral[:SKIN_VERTICES].astype(np.float64)
    quads = ict.faces[(ict.faces < SKIN_VERTICES).all(axis=1)].astype(np.int64)
    flip = np.array([-1.0, 1.0, 1.0])
    mirror = np.asarray(KDTree(vertices).query(vertices * flip)[1])
    symmetric = (vertices + vertices[mirror] * flip) / 2
    on_midline = mirror == np.arange(len(vertices))
    symmetric[on_midline, 0] = 0.0
    kept = (symmetric[quads, 0] >= 0).all(axis=1)
    left, compact = np.unique(quads[kept], return_inverse=True)
    half_quads = compact.reshape(-1, 4)
    half_vertices = symmetric[left]
    triangles = split_quads(half_vertices, half_quads).reshape(-1, 3)
    return HalfSkin(half_vertices, half_quads, triangles, left, mirror[left])


def split_quads(vertices: NDArray[np.floating], quads: NDArray[np.integer]) -> NDArray[np.int64]:
    """(Q, 2, 3) the two triangles of each quad, cut along its shorter diagonal (the first one when both are
    equal)."""
    a, b, c, d = np.asarray(quads, np.int64).T
    first = np.linalg.norm(vertices[a] - vertices[c], axis=1) <= np.linalg.norm(
        vertices[b] - vertices[d], axis=1
    )
    along_ac = np.stack([np.stack([a, b, c], 1), np.stack([a, c, d], 1)], axis=1)
    along_bd = np.stack([np.stack([a, b, d], 1), np.stack([b, c, d], 1)], axis=1)
    return np.where(first[:, None, None], along_ac, along_bd)


def areas(points: NDArray[np.float64], triangles: NDArray[np.integer]) -> NDArray[np.float64]:
    """(T,) areas of triangles in space (n, 3), or signed areas in the plane (n, 2)."""
    a, b, c = points[triangles].transpose(1, 0, 2)
    u, v = b - a, c - a
    if points.shape[1] == 2:
        return (u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]) / 2
    return np.linalg.norm(np.cross(u, v), axis=1) / 2


def directed_edges(faces: NDArray[np.integer]) -> NDArray[np.int64]:
    """(F * n, 2) the edges of faces with n corners each, in the order of the corners."""
    return np.stack([faces, np.roll(faces, -1, axis=1)], axis=2).reshape(-1, 2).astype(np.int64)


def boundary_loops(faces: NDArray[np.integer]) -> list[list[int]]:
    """The closed boundaries of an oriented surface, each walked with the surface on its left."""
    edges = {(a, b) for a, b in directed_edges(faces).tolist()}
    following = {a: b for a, b in edges if (b, a) not in edges}
    loops: list[list[int]] = []
    while following:
        start, vertex = following.popitem()
        loop = [start]
        while vertex != start:
            loop.append(vertex)
            vertex = following.pop(vertex)
        loops.append(loop)
    return loops


def cut_along(half: HalfSkin, curves: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """(Q,) number of the piece each quad falls into when the surface is cut along chains of vertices."""
    edges = directed_edges(half.quads)
    owner = np.repeat(np.arange(len(half.quads)), 4)
    forbidden = {
        frozenset(edge)
        for curve in curves
        for edge in zip(curve[:-1].tolist(), curve[1:].tolist(), strict=True)
    }
    by_edge: dict[frozenset[int], list[int]] = {}
    for (a, b), quad in zip(edges.tolist(), owner.tolist(), strict=True):
        by_edge.setdefault(frozenset((a, b)), []).append(quad)
    pairs = np.array([quads for edge, quads in by_edge.items() if len(quads) == 2 and edge not in forbidden])
    graph = sparse.coo_matrix((np.ones(len(pairs)), pairs.T), shape=(len(half.quads),) * 2)
    return connected_components(graph, directed=False)[1]


def rows(indices: NDArray[np.integer], weights: NDArray[np.floating], columns: int) -> Rows:
    """Points as weights (n, k) over vertices (n, k)."""
    count, per_row = indices.shape
    entries = (weights.ravel(), (np.repeat(np.arange(count), per_row), indices.ravel()))
    matrix = sparse.csr_matrix(entries, shape=(count, columns))
    matrix.eliminate_zeros()
    return matrix


def vertex_rows(indices: NDArray[np.integer], columns: int) -> Rows:
    """Points that coincide with vertices."""
    return rows(np.asarray(indices)[:, None], np.ones((len(indices), 1)), columns)


def stack(parts: list[Rows]) -> Rows:
    """One stack of points out of several."""
    return sparse.csr_matrix(sparse.vstack(parts))


def count(points: Rows) -> int:
    """The number of points."""
    return len(points.indptr) - 1


def arc_length(points: NDArray[np.floating]) -> NDArray[np.float64]:
    """(n,) length of a chain of points (n, 3) up to each of them."""
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    return np.concatenate([[0.0], np.cumsum(steps)])


def along(chain: Rows, lengths: NDArray[np.float64], targets: NDArray[np.float64]) -> Rows:
    """Points at arc lengths `targets` of the chain whose own points lie at the increasing `lengths`."""
    segment = np.clip(np.searchsorted(lengths, targets, side="right") - 1, 0, len(lengths) - 2)
    share = np.clip((targets - lengths[segment]) / (lengths[segment + 1] - lengths[segment]), 0.0, 1.0)
    sampler = rows(np.stack([segment, segment + 1], 1), np.stack([1 - share, share], 1), count(chain))
    return sparse.csr_matrix(sampler @ chain)


def evenly(chain: Rows, vertices: NDArray[np.float64], segments: int) -> Rows:
    """The chain resampled to `segments` pieces of equal length, both ends kept."""
    lengths = arc_length(chain @ vertices)
    return along(chain, lengths, np.linspace(0.0, lengths[-1], segments + 1))
