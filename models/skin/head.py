"""The skin of any artist's head, as the models of the Dimple head's skin see it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import splu

from ..alignment import similarity_to
from ..bound_head import BoundHead
from ..errors import InputError
from ..head import Head
from ..registration.artist_head import Mesh
from ..registration.attachment import BELIEVED
from ..registration.transfer import Rule
from ..topology import graph_laplacian
from ..uv_maps import uv_triangles
from .sets import side_weights
from .uv import SkinLayouts

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

SMOOTHNESS = 1e-2
"""Weight of the umbrella operator where an artist's motion is read at the Dimple head's vertices."""
TORN = 30.0
"""Times the usual length in the UVs from which an edge is taken to cross a seam of the model's."""


@dataclass(frozen=True)
class SkinHead:
    """An artist's mesh (V, 3) that is the Dimple head, or is bound to it."""

    head: Head
    bound: BoundHead
    mesh: Mesh

    def layouts(self, uv: Floats, worn: Ints) -> SkinLayouts:
        """The skin in its own UVs (F * 3, 2), and in the model's; ``worn`` (S,) triangles are the skin's.

        Raises InputError where the UVs do not fit the mesh or overlap, or no worn triangle is facial skin.
        """
        triangles = self.mesh.triangles
        if len(uv) != 3 * len(triangles) or not np.isfinite(uv).all():
            raise InputError("The UVs of this head do not fit its faces: unwrap it again.")
        if not len(worn) or worn.min() < 0 or worn.max() >= len(triangles):
            raise InputError("No part of the skin wears this material: choose the material of the skin.")
        own = uv.reshape(-1, 3, 2)[worn]
        known, corners = self._model_corners(triangles[worn])
        if not known.any():
            raise InputError("No part of the skin wears this material: choose the material of the skin.")
        return SkinLayouts.checked(self.mesh.vertices, triangles[worn][known], own[known], corners[known])

    def motions(self, deformations: Floats) -> Floats:
        """(K, Vm, 3) motions of the Dimple head, in the units and axes of the bound head's neutral.

        deformations (K * V, 3) of the artist's mesh. Raises InputError where they do not fit it.
        """
        count = len(self.mesh.vertices)
        if not len(deformations) or len(deformations) % count or not np.isfinite(deformations).all():
            raise InputError("The motion of this head does not fit its vertices: generate again.")
        own = deformations.reshape(-1, count, 3)
        if self.bound.order is not None:
            return own[:, self.bound.order]
        binding = self.bound.binding
        assert binding is not None
        placed = np.flatnonzero(self._placed)
        columns = self.head.skin_triangles[binding.triangle[placed]]
        rows = np.repeat(np.arange(len(placed)), 3)
        weights = binding.barycentric[placed].astype(np.float64).ravel()
        shape = (len(placed), self.head.skin_vertices)
        seen = sp.csr_matrix((weights, (rows, columns.ravel())), shape=shape)
        rough = graph_laplacian(self.head.skin_triangles, self.head.skin_vertices).astype(np.float64)
        still = 1e-6 * sp.eye(self.head.skin_vertices)
        solver = splu(sp.csc_matrix(seen.T @ seen + SMOOTHNESS * (rough.T @ rough) + still))
        pose = binding.pose
        in_model = own[:, placed].astype(np.float64) @ pose.rotation / pose.scale
        motions = np.zeros((len(own), len(self.bound.neutral_vertices), 3), np.float32)
        for motion, moved in zip(motions, in_model, strict=True):
            motion[: self.head.skin_vertices] = solver.solve(np.asarray(seen.T @ moved))
        return motions

    def positions(self, vertices: Floats) -> Floats:
        """(..., 3) places of the bound head in the artist's own units and axes."""
        if self.bound.order is not None:
            return vertices
        assert self.bound.binding is not None
        return self.bound.binding.pose.from_model(vertices.astype(np.float64)).astype(np.float32)

    @cached_property
    def side(self) -> Floats:
        """(V,) 1 on the character's left, 0 on the right of the artist's mesh."""
        binding = self.bound.binding
        if self.bound.order is None and binding is not None:
            return side_weights(binding.pose.to_model(self.mesh.vertices.astype(np.float64)))
        skin = self.head.skin_vertices
        pose = similarity_to(self.head.neutral_vertices[:skin], self.bound.neutral_vertices[:skin])
        return side_weights(pose.apply(self.mesh.vertices))

    @cached_property
    def _placed(self) -> NDArray[np.bool_]:
        """(V,) vertices of the artist's mesh that are skin with a place of their own."""
        binding = self.bound.binding
        assert binding is not None
        return (binding.rule == Rule.SKIN) & (binding.confidence > BELIEVED)

    def _model_corners(self, triangles: Ints) -> tuple[NDArray[np.bool_], Floats]:
        """Which triangles (S, 3) show the model's skin, and the model's UVs (S, 3, 2) of their corners."""
        head, order = self.head, self.bound.order
        corners = np.zeros((len(triangles), 3, 2), np.float32)
        if order is not None:
            number = np.full(len(self.mesh.vertices), len(head.neutral_vertices), np.int32)
            number[order] = np.arange(len(order), dtype=np.int32)
            ours = number[triangles]
            known = (ours < head.skin_vertices).all(axis=1)
            corners[known] = head.uv[uv_triangles(head.faces, head.uv_faces, ours[known])]
            return known, corners
        binding = self.bound.binding
        assert binding is not None
        uv = head.uv[uv_triangles(head.faces, head.uv_faces, head.skin_triangles)]
        place = binding.triangle[triangles].clip(0)
        corners[:] = np.einsum("sck,sckd->scd", binding.barycentric[triangles], uv[place])
        edges = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2)
        points = self.mesh.vertices[triangles]
        lengths = np.linalg.norm(points - np.roll(points, 1, axis=1), axis=2)
        stretch = (edges / np.maximum(lengths, 1e-9)).max(axis=1)
        known = self._placed[triangles].all(axis=1)
        if known.any():
            known &= stretch < TORN * float(np.median(stretch[known]))
        return known, corners
