"""Lips and lids of the fitted head that must not cross where its rest pose does not.

The shapes are made for other lips than the artist's. Where facing vertices of a generated frame cross, both
give way by half, and what they give is carried into the skin round them by the smoothest displacement.
"""

from __future__ import annotations

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
ROUNDS = 3
"""A vertex may face several: what their mean leaves is asked for again."""


class ContactKeeper:
    """Parts crossed lips and lids of frames of one head, given by its fitted skin (Vs, 3) in mm."""

    def __init__(self, head: Head, skin: Doubles) -> None:
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
        self.rest = np.minimum(self.gaps(np.zeros((1, *skin.shape)))[0], 0.0)

    def gaps(self, deformation: NDArray[np.floating]) -> Doubles:
        """(K, Q) signed opening, mm, between facing vertices; negative where they cross."""
        upper, lower = self.pairs.T
        apart = self.skin[upper] - self.skin[lower] + (deformation[:, upper] - deformation[:, lower])
        return np.einsum("kqi,qi->kq", apart, self.opening)

    def part(self, deformation: Floats) -> None:
        """Correct deformations (K, Vs, 3), mm, in place; frames that cross nothing stay as they are."""
        for _ in range(ROUNDS):
            depth = np.minimum(self.gaps(deformation) - self.rest, 0.0)
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


def _averaging(slots: Longs, count: int) -> Doubles:
    """(count, Q) the mean over the pairs in which each handle takes part."""
    matrix = np.zeros((count, len(slots)))
    matrix[slots, np.arange(len(slots))] = 1.0
    return matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1.0)
