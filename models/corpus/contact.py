"""Contact: lids that slide on the eyeball and meet, lips that touch and do not cross.

Contact is solved where it happens, on the lid margins and on the rows of lip vertices that face each other,
and the corrections found there are carried into the surrounding skin by the smoothest displacement that takes
them up (minimal squared Laplacian, zero outside the neighbourhood). That map is linear and nearly the same on
everybody: it is inverted once on the mean face, into one dense matrix per region.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import dijkstra
from scipy.sparse.linalg import splu

from .eyeballs import Eyeball
from .surface import stiffness, vertex_areas, vertex_normals

LID_CLEARANCE = 0.25
"""mm between the eyeball and the lid skin."""
LID_FLOAT = 0.4
"""mm a lid margin may rise above the higher of its rest height and the clearance."""
UPPER_LID_SHARE = 0.65
"""Share of a lid gap that the upper lid closes."""
LID_REACH = 13.0
LIP_REACH = 16.0
"""mm over the surface across which a correction fades out."""


class SmoothSpread:
    """Carries displacements of `handles` into the surface round them by minimal squared Laplacian."""

    def __init__(
        self,
        vertices: NDArray[np.float32],
        triangles: NDArray[np.int32],
        handles: NDArray[np.integer],
        reach: float,
    ) -> None:
        edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
        graph = sparse.coo_matrix(
            (np.ones(len(edges)), edges.T), shape=(len(vertices), len(vertices))
        ).tocsr()
        rows = np.repeat(np.arange(len(vertices)), np.diff(graph.indptr))
        graph.data = np.linalg.norm(vertices[graph.indices] - vertices[rows], axis=1)
        distance = dijkstra(graph, directed=False, indices=handles, min_only=True, limit=reach)
        self.handles = np.asarray(handles)
        self.region = np.setdiff1d(np.nonzero(np.isfinite(distance))[0], handles)
        laplacian = stiffness(vertices, triangles)
        inverse_mass = sparse.diags(1.0 / np.maximum(vertex_areas(vertices, triangles), 0.05))
        energy = (laplacian @ inverse_mass @ laplacian).tocsr()[self.region]
        solve = splu(energy[:, self.region].tocsc()).solve
        self.response = np.ascontiguousarray(-solve(energy[:, self.handles].toarray()), np.float32)

    def apply(self, deformation: NDArray[np.float32], correction: NDArray[np.float32]) -> None:
        """Add handle corrections (B, H, 3) and their spread to `deformation` (B, V, 3), in place."""
        deformation[:, self.handles] += correction
        deformation[:, self.region] += self.response @ correction


class LidContact:
    """The lids of one eye: `margin` (C,) is the lid edge, `pairs` (P, 2) its upper and lower vertices."""

    def __init__(
        self,
        vertices: NDArray[np.float32],
        triangles: NDArray[np.int32],
        margin: NDArray[np.integer],
        pairs: NDArray[np.integer],
        socket: NDArray[np.integer],
    ) -> None:
        self.spread = SmoothSpread(vertices, triangles, margin, LID_REACH)
        slot = {int(vertex): i for i, vertex in enumerate(margin)}
        self.upper = np.array([slot[int(v)] for v in pairs[:, 0]])
        self.lower = np.array([slot[int(v)] for v in pairs[:, 1]])
        opening = (vertices[pairs[:, 0]] - vertices[pairs[:, 1]]).mean(0)
        self.opening = opening / np.linalg.norm(opening)
        self.margin = np.asarray(margin)
        # everything that could be pierced by the eyeball: the lids, and the socket behind them
        self.covered = np.setdiff1d(np.union1d(self.spread.region, socket), margin)

    def solve(
        self,
        neutral: NDArray[np.float32],
        deformation: NDArray[np.float32],
        eyeball: Eyeball,
        gaze: NDArray[np.float32],
        blink: NDArray[np.float32],
    ) -> None:
        """Correct `deformation` (B, V, 3) of `neutral` (V, 3) in place; gaze (B, 3), blink (B,) in 0..1."""
        rest = neutral[self.margin] - eyeball.centre
        margin = rest + deformation[:, self.margin]
        target = margin.copy()
        _slide(target, eyeball, gaze, np.linalg.norm(rest, axis=1))
        self._meet(target, blink)
        _slide(target, eyeball, gaze)
        self.spread.apply(deformation, target - margin)
        covered = neutral[self.covered] - eyeball.centre + deformation[:, self.covered]
        lifted = covered.copy()
        _slide(lifted, eyeball, gaze)
        deformation[:, self.covered] += lifted - covered

    def gaps(self, vertices: NDArray[np.float32]) -> NDArray[np.float32]:
        """(..., P) signed opening of the lids of `vertices` (..., V, 3), mm; negative where they cross."""
        margin = vertices[..., self.margin, :]
        return (margin[..., self.upper, :] - margin[..., self.lower, :]) @ self.opening

    def _meet(self, margin: NDArray[np.float32], blink: NDArray[np.float32]) -> None:
        """Close what the blink leaves open, and part what has crossed."""
        apart = margin[:, self.upper] - margin[:, self.lower]
        gap = apart @ self.opening
        uncrossed = apart - np.minimum(gap, 0.0)[..., None] * self.opening
        # the sculpted blink does the way down; the remaining gap goes in the last part of it
        wanted = uncrossed * (1.0 - blink**4)[:, None, None]
        change = wanted - apart
        crossed = np.clip(-gap, 0.0, 1.0)[..., None]
        upper_share = UPPER_LID_SHARE + (0.5 - UPPER_LID_SHARE) * crossed
        margin[:, self.upper] += upper_share * change
        margin[:, self.lower] -= (1.0 - upper_share) * change


def _slide(
    points: NDArray[np.float32],
    eyeball: Eyeball,
    gaze: NDArray[np.float32],
    rest_height: NDArray[np.float32] | None = None,
) -> None:
    """Keep points (B, N, 3), relative to its centre, out of the eyeball; given rest heights (N,), near it."""
    height = np.linalg.norm(points, axis=2)
    floor = eyeball.surface(points / height[..., None], gaze) + np.float32(LID_CLEARANCE)
    kept = np.maximum(height, floor)
    if rest_height is not None:
        kept = np.minimum(kept, np.maximum(floor, rest_height) + np.float32(LID_FLOAT))
    points *= (kept / height)[..., None]


class LipContact:
    """The rows of lip vertices that face each other: `pairs` (Q, 2), upper and lower."""

    def __init__(
        self, vertices: NDArray[np.float32], triangles: NDArray[np.int32], pairs: NDArray[np.integer]
    ) -> None:
        handles, slots = np.unique(pairs, return_inverse=True)
        slots = slots.reshape(pairs.shape)
        self.spread = SmoothSpread(vertices, triangles, handles, LIP_REACH)
        self.upper, self.lower = slots[:, 0], slots[:, 1]
        # a vertex may face several: it takes the mean of what its pairs ask for
        self.share_upper = _averaging(self.upper, len(handles))
        self.share_lower = _averaging(self.lower, len(handles))
        self.opening = _facing(vertices, triangles, pairs)

    def solve(
        self, neutral: NDArray[np.float32], deformation: NDArray[np.float32], closing: NDArray[np.float32]
    ) -> None:
        """Correct `deformation` (B, V, 3) of `neutral` (V, 3) in place; closing (B,) 1 seals the lips."""
        rest = self.gaps(neutral)
        gap = self.gaps(neutral + deformation)
        wanted = np.maximum(gap, 0.0)
        seal = (closing**2)[:, None]
        wanted += seal * (np.minimum(wanted, np.maximum(rest, 0.0)) - wanted)
        change = 0.5 * (wanted - gap)[..., None] * self.opening
        self.spread.apply(deformation, self.share_upper @ change - self.share_lower @ change)

    def gaps(self, vertices: NDArray[np.float32]) -> NDArray[np.float32]:
        """(..., Q) signed opening of the lips of `vertices` (..., V, 3), mm; negative where they cross."""
        lips = vertices[..., self.spread.handles, :]
        return np.einsum("...qi,qi->...q", lips[..., self.upper, :] - lips[..., self.lower, :], self.opening)


def _averaging(slots: NDArray[np.integer], count: int) -> NDArray[np.float32]:
    matrix = np.zeros((count, len(slots)), np.float32)
    matrix[slots, np.arange(len(slots))] = 1.0
    return matrix / np.maximum(matrix.sum(1, keepdims=True), 1.0)


def _facing(
    vertices: NDArray[np.float32], triangles: NDArray[np.int32], pairs: NDArray[np.integer]
) -> NDArray[np.float32]:
    """(Q, 3) unit directions from the lower to the upper lip: lower normal minus upper normal."""
    normals = vertex_normals(vertices, triangles)
    opening = normals[pairs[:, 1]] - normals[pairs[:, 0]]
    return (opening / np.linalg.norm(opening, axis=1, keepdims=True)).astype(np.float32)
