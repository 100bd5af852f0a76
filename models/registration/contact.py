"""Lips and lids of the fitted head that must not cross where its rest pose does not.

The shapes are made for other lips than the artist's. Where facing vertices of a generated frame cross, both
give way by half, and what they give is carried into the skin round them by the smoothest displacement.
"""

# A query of many points returns arrays of indices, whatever the stub of KDTree says.
# pyright: reportIndexIssue=false
from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import splu
from scipy.spatial import KDTree

from ..head import Head
from ..topology import graph_laplacian
from .surface import vertex_normals

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Longs = NDArray[np.int64]

REACH = 14.0
"""mm round lips and lids across which a correction fades out."""
SAME_PLACE = 2.5
"""mm up to which a vertex of the mesh stands for one of the fitted head."""
ROUNDS = 12
"""A vertex may face several, and the mesh's follow only in part: what one round leaves is asked for again."""


@dataclass(frozen=True)
class Worn:
    """The artist's own skin on the fitted head."""

    vertices: Doubles  # (N, 3) in model space, mm
    place: sp.csr_matrix  # (N, Vs) their displacement is that of their place on the fitted skin


class ContactKeeper:
    """Parts crossed lips and lids of frames of one head, given by its fitted skin (Vs, 3) in mm.

    Facing vertices of the ``worn`` mesh are kept from crossing as well as those of the fitted head: where its
    lips lie closer together, or turn about another line, it would cross when the fitted head does not.
    """

    def __init__(self, head: Head, skin: Doubles, worn: Worn | None = None) -> None:
        self.pairs = np.concatenate([head.lip_pairs, *head.lid_pairs]).astype(np.int64)
        self.triangles = head.skin_triangles
        self.skin = skin
        self.handles, slots = np.unique(self.pairs, return_inverse=True)
        upper, lower = slots.reshape(self.pairs.shape).T
        self.upper, self.lower = _averaging(upper, len(self.handles)), _averaging(lower, len(self.handles))
        normals = vertex_normals(skin, self.triangles)
        facing = normals[self.pairs[:, 1]] - normals[self.pairs[:, 0]]
        lids = len(head.lip_pairs)
        if len(facing) > lids:
            for side, pairs in enumerate(head.lid_pairs):
                # lid margins face forwards at rest: they close along the line between them
                across = (skin[pairs[:, 0]] - skin[pairs[:, 1]]).mean(axis=0)
                facing[lids + side * len(pairs) : lids + (side + 1) * len(pairs)] = across
        self.opening = facing / np.maximum(np.linalg.norm(facing, axis=1, keepdims=True), 1e-9)
        apart = skin[self.pairs[:, 0]] - skin[self.pairs[:, 1]]
        self.rest = np.einsum("qi,qi->q", apart, self.opening)  # (Q,) opening at rest, mm
        self.worn = np.zeros(0, np.int64)  # (P,) pairs that the mesh has vertices for
        self.worn_rest, self.worn_apart = np.zeros(0), sp.csr_matrix((0, len(skin)))
        if worn is not None and len(worn.vertices):
            self.worn, (above, below) = self.facing(worn.vertices)
            apart = worn.vertices[above] - worn.vertices[below]
            self.worn_rest = np.einsum("pi,pi->p", apart, self.opening[self.worn])
            self.worn_apart = worn.place[above] - worn.place[below]  # (P, Vs)

    def facing(self, mesh: Doubles) -> tuple[Longs, Longs]:
        """Pairs (P,) that have vertices of their own on a mesh (N, 3), and those vertices (2, P)."""
        places = self.skin[self.pairs]
        away, nearest = KDTree(mesh).query(places)
        # a vertex of the other lip may be nearest: then a handle of that lip is nearer to it still
        side = KDTree(places.reshape(-1, 3)).query(mesh[nearest])[1] % 2
        usable = np.flatnonzero((away < SAME_PLACE).all(axis=1) & (side == [0, 1]).all(axis=1))
        return usable, nearest[usable].T

    def depth(self, deformation: NDArray[np.floating]) -> Doubles:
        """(K, Q) how far facing vertices cross beyond their rest pose, mm; 0 or negative."""
        upper, lower = self.pairs.T
        change = np.einsum("kqi,qi->kq", deformation[:, upper] - deformation[:, lower], self.opening)
        depth = _crossed(self.rest, change)
        for frame, moved in enumerate(deformation):
            change = ((self.worn_apart @ moved) * self.opening[self.worn]).sum(axis=1)
            own = _crossed(self.worn_rest, change)
            depth[frame, self.worn] = np.minimum(depth[frame, self.worn], own)
        return depth

    def part(self, deformation: Floats) -> None:
        """Correct deformations (K, Vs, 3), mm, in place; frames that cross nothing stay as they are."""
        for _ in range(ROUNDS):
            depth = self.depth(deformation)
            crossed = np.flatnonzero((depth < -1e-3).any(axis=1))
            if not len(crossed):
                return
            push = -0.5 * depth[crossed, :, None] * self.opening
            handles = np.einsum("hq,kqi->khi", self.upper - self.lower, push)
            region, response = self._spread
            deformation[np.ix_(crossed, self.handles)] += handles.astype(np.float32)
            spread = np.einsum("rh,khi->kri", response, handles, optimize=True)
            deformation[np.ix_(crossed, region)] += spread.astype(np.float32)

    @cached_property
    def _spread(self) -> tuple[Longs, Doubles]:
        """Skin round the handles, and its smoothest response (R, H) to displacements of the handles."""
        distance, _ = KDTree(self.skin[self.handles]).query(self.skin)
        region = np.setdiff1d(np.flatnonzero(distance < REACH), self.handles)
        laplacian = graph_laplacian(self.triangles, len(self.skin)).astype(np.float64)
        energy = (laplacian.T @ laplacian).tocsr()[region]
        system = (energy[:, region] + 1e-9 * sp.identity(len(region))).tocsc()
        return region, -splu(system).solve(energy[:, self.handles].toarray())


def _crossed(rest: Doubles, change: Doubles) -> Doubles:
    """How far an opening that changes from ``rest`` is less than none, and less than it was at rest; mm."""
    return np.minimum(rest + change - np.minimum(rest, 0.0), 0.0)


def _averaging(slots: Longs, count: int) -> Doubles:
    """(count, Q) the mean over the pairs in which each handle takes part."""
    matrix = np.zeros((count, len(slots)))
    matrix[slots, np.arange(len(slots))] = 1.0
    return matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1.0)
