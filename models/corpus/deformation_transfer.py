"""Deformation transfer: the generic expression shapes, re-solved on another person's geometry.

Sumner and Popovic, "Deformation Transfer for Triangle Meshes" (SIGGRAPH 2004), in the gradient form of Botsch
et al., "Deformation Transfer for Detail-Preserving Surface Editing" (2006): the target's displacement is the
one whose gradient is closest, weighted by area, to the source's deformation gradients restricted to the
target's tangent planes. That is one sparse Poisson problem per person, factorised once and solved for all
expressions together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

from .surface import gradient_operator, triangle_areas, triangle_frames

if TYPE_CHECKING:
    from numpy.typing import NDArray


class DeformationTransfer:
    """Carries the expression shapes of a source face to any person of the same topology.

    `shapes` (U, V, 3) are displacements of `neutral` (V, 3) at weight 1. Vertices in `pinned` keep the
    source's displacement on every person; without them the Poisson problem would float.
    """

    def __init__(
        self,
        neutral: NDArray[np.float32],
        triangles: NDArray[np.int32],
        shapes: NDArray[np.float32],
        pinned: NDArray[np.integer],
    ) -> None:
        if len(pinned) == 0:
            raise ValueError("deformation transfer needs at least one pinned vertex")
        self.triangles = triangles
        self.pinned = np.asarray(pinned)
        self.free = np.setdiff1d(np.arange(len(neutral)), pinned)
        self.units = len(shapes)
        self.pinned_shapes = shapes[:, pinned].transpose(1, 0, 2).reshape(len(pinned), -1).astype(np.float64)
        inverse = np.linalg.inv(triangle_frames(neutral, triangles))
        # rows (triangle, axis of space), columns (unit, component of the displacement): the transposed F - I
        self.source = np.empty((3 * len(triangles), 3 * self.units), np.float32)
        for unit, shape in enumerate(shapes):
            gradient = triangle_frames(neutral + shape, triangles) @ inverse - np.eye(3)
            self.source[:, 3 * unit : 3 * unit + 3] = gradient.transpose(0, 2, 1).reshape(-1, 3)

    def __call__(self, vertices: NDArray[np.floating]) -> NDArray[np.float32]:
        """The shapes (U, V, 3) of the person with neutral `vertices` (V, 3)."""
        gradient = gradient_operator(vertices, self.triangles)
        area = np.repeat(triangle_areas(vertices, self.triangles), 3)
        divergence = (gradient.T @ sparse.diags(area)).tocsr()
        laplacian = (divergence @ gradient).tocsc()
        right = divergence.astype(np.float32)[self.free] @ self.source
        right = right - laplacian[self.free][:, self.pinned] @ self.pinned_shapes
        factors = splu(
            laplacian[self.free][:, self.free],
            permc_spec="MMD_AT_PLUS_A",
            diag_pivot_thresh=0.0,
            options={"SymmetricMode": True},
        )
        result = np.empty((len(vertices), 3 * self.units), np.float32)
        result[self.pinned] = self.pinned_shapes
        result[self.free] = factors.solve(right)
        return np.ascontiguousarray(result.reshape(len(vertices), self.units, 3).transpose(1, 0, 2))
