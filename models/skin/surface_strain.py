"""How the skin is stretched and compressed, in the tangent frame of its UVs, and the relief's shading.

Per triangle: F = D_s D_m^-1 carries its rest shape, in the frame t = dP/du / |dP/du|, b = n x t, to the
deformed one, and C = F^T F is free of the deformed frame (right Cauchy-Green tensor).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..uv_maps import UVLayout

Floats = NDArray[np.float32]

STEEPEST = 1.2
"""Slope that no relief exceeds; steeper ones approach it."""
NARROWEST = 0.4
"""Share of its width at rest to which the relief of skin may be pressed together."""
DIRECTIONS = 4
"""Directions, over half a turn from the u axis, in which compression is looked at."""
ONSET = 0.08
SATURATION = 0.22
"""Compression grows into a crease with a soft onset and stops to deepen it: a sine whose arc takes up a
compression e has an amplitude that goes with sqrt(e)."""


@dataclass(frozen=True, eq=False)
class RestMetric:
    """One person's skin at rest."""

    layout: UVLayout
    inverse: Floats  # (F, 2, 2) of the rest edges in the tangent frame
    jacobian: Floats  # (F, 2, 2) upper triangular: dP/du, dP/dv in the tangent frame, mm a tile
    to_vertices: sp.csr_matrix  # (V, F) area-weighted mean of the triangles round a vertex

    @classmethod
    def of(cls, layout: UVLayout, neutral_vertices: Floats) -> Self:
        """From the neutral vertices (V, 3), mm."""
        edges = _edges(neutral_vertices, layout.triangles)
        uv = layout.uv[layout.uv_triangles]
        in_uv = np.stack([uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]], axis=2)
        tangents = edges @ _inverse(in_uv)  # (F, 3, 2): dP/du, dP/dv
        along = tangents[:, :, 0]
        length = np.maximum(np.linalg.norm(along, axis=1), 1e-9)
        normal = np.cross(edges[:, :, 0], edges[:, :, 1])
        area = np.linalg.norm(normal, axis=1)
        normal /= np.maximum(area, 1e-12)[:, None]
        t = along / length[:, None]
        b = np.cross(normal, t)
        # a mirrored island has its v axis against n x t; b follows v, as Blender's bitangent does
        b *= np.sign((b * tangents[:, :, 1]).sum(axis=1) + 1e-20)[:, None]
        frame = np.stack([t, b], axis=1)
        triangles = layout.triangles
        rows = triangles.ravel()
        columns = np.repeat(np.arange(len(triangles)), 3)
        weights = sp.csr_matrix((np.repeat(area, 3), (rows, columns)), (layout.vertex_count, len(triangles)))
        total = np.maximum(np.asarray(weights.sum(axis=1)).ravel(), 1e-12)
        return cls(
            layout,
            _inverse(frame @ edges).astype(np.float32),
            (frame @ tangents).astype(np.float32),
            sp.csr_matrix(sp.diags(1 / total) @ weights, dtype=np.float32),
        )

    def cauchy_green(self, vertices: Floats) -> Floats:
        """(F, 3): C11, C12, C22 of every triangle, of deformed vertices (V, 3), mm."""
        gradient = _edges(vertices, self.layout.triangles) @ self.inverse
        first, second = gradient[:, :, 0], gradient[:, :, 1]
        return np.stack(
            [(first * first).sum(1), (first * second).sum(1), (second * second).sum(1)], axis=1
        ).astype(np.float32)

    def strain_map(self, vertices: Floats) -> Floats:
        """(H, W, 3): C11, C12, C22 at every texel of the layout, smooth over the triangles."""
        return self.layout.rasterise(self.to_vertices @ self.cauchy_green(vertices))

    def normal_map(self, vertices: Floats, relief: Floats) -> Floats:
        """(H, W, 3) unit tangent-space normals (+Y up) of relief (H, W), mm, on the deformed skin.

        Slopes are taken along the deformed surface, so that stretched skin gets smoother.
        """
        c11, c12, c22 = self.cauchy_green(vertices).T
        a, b, d = self.jacobian[:, 0, 0], self.jacobian[:, 0, 1], self.jacobian[:, 1, 1]
        metric = np.stack(  # J^T C J of every triangle: lengths in UV on the deformed surface
            [
                a * a * c11,
                a * (b * c11 + d * c12),
                b * b * c11 + 2 * b * d * c12 + d * d * c22,
            ],
            axis=1,
        )
        at_rest = np.stack([a, d], axis=1)
        image = self.layout.rasterise(self.to_vertices @ np.concatenate([metric, at_rest], axis=1))
        g11, g12, g22, a, d = np.moveaxis(image, 2, 0)
        # a closed lid folds away under the other: its relief is not pressed together without end
        along = np.maximum(np.sqrt(np.maximum(g11, 0)), NARROWEST * np.abs(a) + 1e-6)
        shear = g12 / along
        across = np.maximum(np.sqrt(np.maximum(g22 - shear**2, 0)), NARROWEST * np.abs(d) + 1e-6)
        down, right = np.gradient(relief.astype(np.float32))
        size = self.layout.size
        slope_t = right * size / along
        slope_b = (-down * size - shear * slope_t) / across  # v runs up, rows run down
        steep = np.maximum(np.hypot(slope_t, slope_b), 1e-6)
        limit = STEEPEST * np.tanh(steep / STEEPEST) / steep
        normal = np.stack([-limit * slope_t, -limit * slope_b, np.ones_like(slope_t)], axis=2)
        return (normal / np.linalg.norm(normal, axis=2, keepdims=True)).astype(np.float32)


def crease_features(strain: Floats, cells: int) -> Floats:
    """(FEATURES, cells, cells) features of a strain map (H, W, 3) over a coarse grid.

    For every direction: how strongly compression would crease the skin, in each quarter of a cell, and the
    mean stretch over the cell. Last, the same everywhere: the mean change of area, which is the effort that
    brings the blood.
    """
    angles = np.arange(DIRECTIONS) * np.pi / DIRECTIONS
    cos, sin = np.cos(angles), np.sin(angles)
    squared = (
        strain[..., 0, None] * cos**2 + 2 * strain[..., 1, None] * cos * sin + strain[..., 2, None] * sin**2
    )
    stretch = np.sqrt(np.maximum(squared, 1e-6)) - 1  # (H, W, DIRECTIONS)
    compression = np.maximum(-stretch, 0)
    crease = np.sqrt(np.minimum(compression**2 / (compression + ONSET), SATURATION)).astype(np.float32)
    quarters = _pooled(crease, 2 * cells).reshape(cells, 2, cells, 2, DIRECTIONS)
    quarters = quarters.transpose(1, 3, 4, 0, 2).reshape(-1, cells, cells)
    whole = _pooled(np.clip(stretch, -0.5, 1.0).astype(np.float32), cells).transpose(2, 0, 1)
    area = np.sqrt(np.maximum(strain[..., 0] * strain[..., 2] - strain[..., 1] ** 2, 1e-6))
    effort = np.full((1, cells, cells), np.abs(area - 1).mean())
    return np.concatenate([quarters, whole, effort]).astype(np.float32)


CREASES = 4 * DIRECTIONS
FEATURES = CREASES + DIRECTIONS + 1
"""Channels of `crease_features`; the first `CREASES` of them say how strongly the skin would crease."""
STRAIN_TEXELS = 4
"""Texels of a strain map along a side of a latent."""


def _pooled(image: Floats, cells: int) -> Floats:
    """(cells, cells, C) block means of (H, W, C)."""
    block = len(image) // cells
    return image.reshape(cells, block, cells, block, -1).mean(axis=(1, 3), dtype=np.float32)


def _edges(vertices: Floats, triangles: NDArray[np.int32]) -> NDArray[np.float64]:
    """(F, 3, 2) two edges of every triangle, as columns."""
    corners = vertices[triangles].astype(np.float64)
    return np.stack([corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]], axis=2)


def _inverse(matrices: NDArray[np.floating]) -> NDArray[np.float64]:
    """(F, 2, 2) inverses; a degenerate triangle's is finite."""
    a, b, c, d = (matrices[:, i, j].astype(np.float64) for i in (0, 1) for j in (0, 1))
    determinant = a * d - b * c
    determinant = np.where(np.abs(determinant) < 1e-12, 1e-12, determinant)
    return np.stack([np.stack([d, -b], 1), np.stack([-c, a], 1)], axis=1) / determinant[:, None, None]
