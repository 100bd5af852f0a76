"""How skin is stretched: the right Cauchy-Green tensor of a frame against its neutral, texel by texel.

Everything is written in the tangent frame of the rest surface that Blender uses for normal maps: t along
growing u, b across it towards growing v. The tensor needs no rotation of the deformed surface.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..uv_maps import UVLayout

Floats = NDArray[np.float32]

STEEPEST = 1.2
"""Slopes of fine relief end here, softly."""


class TexelTriangles:
    """Averages values of triangles smoothly into the N texels of a layout's mask; no smoothing over seams."""

    def __init__(self, layout: UVLayout) -> None:
        corners = layout.uv_triangles
        uv = layout.uv.astype(np.float64)
        first, second = (uv[corners[:, k]] - uv[corners[:, 0]] for k in (1, 2))
        signed = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
        self.usable = np.abs(signed) > 1e-9
        self.edges = np.stack([first, second], axis=2)  # (F, 2, 2), columns are edges
        self.edges[~self.usable] = np.eye(2)
        area = np.abs(signed) * self.usable
        rows = corners.ravel()
        numbers = np.repeat(np.arange(len(corners)), 3)
        gather = sp.csr_matrix((np.repeat(area, 3), (rows, numbers)), shape=(len(uv), len(corners)))
        total = np.maximum(np.asarray(gather.sum(axis=1)).ravel(), 1e-12)
        to_corners = sp.diags(1.0 / total) @ gather
        shown = layout.texel_triangle[layout.mask]
        columns = corners[shown].ravel()
        starts = np.arange(0, 3 * len(shown) + 1, 3)
        weights = sp.csr_matrix(
            (layout.barycentric[layout.mask].ravel(), columns, starts), shape=(len(shown), len(uv))
        )
        self.average = sp.csr_matrix(weights @ to_corners, dtype=np.float32)
        self.triangles = layout.triangles

    def __call__(self, values: NDArray[np.floating]) -> Floats:
        """(N, C) of values (F, C)."""
        return self.average @ values.astype(np.float32)


@dataclass(frozen=True)
class RestSurface:
    """The neutral of one person, measured."""

    texels: TexelTriangles
    metric: Floats  # (N, 3) a, b1, b2: dP/du = (a, 0), dP/dv = (b1, b2), mm per side of the image
    to_flat: NDArray[np.float64]  # (F, 2, 2) inverse of the rest edges in (t, b)

    @classmethod
    def of(cls, texels: TexelTriangles, neutral_vertices: NDArray[np.floating]) -> RestSurface:
        """Measure a rest face (V, 3), mm."""
        edges = _edges(texels.triangles, neutral_vertices)
        along = edges @ np.linalg.inv(texels.edges)  # (F, 3, 2): dP/du, dP/dv
        u, v = along[..., 0], along[..., 1]
        a = np.maximum(np.linalg.norm(u, axis=1), 1e-6)
        t = u / a[:, None]
        b1 = (v * t).sum(axis=1)
        b2 = np.maximum(np.linalg.norm(v - b1[:, None] * t, axis=1), 1e-3 * a)
        frame = np.zeros((len(a), 2, 2))
        frame[:, 0, 0], frame[:, 0, 1], frame[:, 1, 1] = a, b1, b2
        frame[~texels.usable] = np.eye(2)
        flat = frame @ texels.edges
        return cls(texels, texels(np.stack([a, b1, b2], axis=1)), np.linalg.inv(flat))

    def stretch(self, vertices: NDArray[np.floating]) -> Floats:
        """(N, 3) the tensor's tt, tb and bb for a deformed face (V, 3); 1, 0, 1 at rest."""
        edges = _edges(self.texels.triangles, vertices)
        gradient = edges @ self.to_flat
        tensor = gradient.transpose(0, 2, 1) @ gradient
        tensor[~self.texels.usable] = np.eye(2)
        return self.texels(np.stack([tensor[:, 0, 0], tensor[:, 0, 1], tensor[:, 1, 1]], axis=1))

    def normals(self, across: Floats, up: Floats, tensor: Floats) -> Floats:
        """(N, 3) tangent-space normals of relief with slopes dh/du, dh/dv (N,) in mm per side of the image.

        The relief lies on the surface stretched by ``tensor``, so pores flatten where skin is pulled.
        """
        a, b1, b2 = self.metric.T
        tt, tb, bb = tensor.T
        g11 = a * a * tt
        g12 = a * (b1 * tt + b2 * tb)
        g22 = b1 * b1 * tt + 2.0 * b1 * b2 * tb + b2 * b2 * bb
        a = np.sqrt(np.maximum(g11, 1e-6))
        b1 = g12 / a
        b2 = np.sqrt(np.maximum(g22 - b1 * b1, 1e-2 * g22 + 1e-6))
        slope_t = across / a
        slope_b = (up - b1 * slope_t) / b2
        steep = np.sqrt(slope_t**2 + slope_b**2)
        limit = STEEPEST * np.tanh(steep / STEEPEST) / np.maximum(steep, 1e-6)
        normal = np.stack([-slope_t * limit, -slope_b * limit, np.ones_like(a)], axis=1)
        return normal / np.linalg.norm(normal, axis=1, keepdims=True)


def _edges(triangles: NDArray[np.int32], vertices: NDArray[np.floating]) -> NDArray[np.float64]:
    corners = vertices.astype(np.float64)[triangles]
    return np.stack([corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]], axis=2)
