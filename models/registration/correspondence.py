"""Which place of the template every vertex of the artist's mesh is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from .surface import Surface, closest_barycentric, triangle_areas, unit, vertex_normals
from .template import Template

Doubles = NDArray[np.float64]
Ints = NDArray[np.int32]
Longs = NDArray[np.int64]

NORMAL_MM = 6.0
"""mm that a normal at right angles counts for: what tells the upper from the lower lip."""
NEIGHBOURS = 12
SURE_MM = 2.5
"""mm from the fitted template over which confidence falls to a third."""


@dataclass(frozen=True)
class Correspondence:
    """A point of the template for every vertex, and how far it is to be believed."""

    triangle: Ints  # (V,) index into the skin's triangles
    barycentric: Doubles  # (V, 3)
    distance: Doubles  # (V,) mm
    agreement: Doubles  # (V,) cosine between the normals
    confidence: Doubles  # (V,) 0..1 as a match of outer skin


def correspond(template: Template, fitted: Doubles, surface: Surface) -> Correspondence:
    """Match a surface in model space, mm, with the fitted skin (Vs, 3) by position and normal."""
    normals = vertex_normals(fitted, template.triangles)
    triangle, barycentric, distance, agreement = nearest_on(
        fitted, normals, template.triangles, surface.vertices, surface.normals, NORMAL_MM
    )
    confidence = np.exp(-((distance / SURE_MM) ** 2)) * np.clip((agreement - 0.2) / 0.5, 0.0, 1.0)
    on_rim = template.rim[template.triangles[triangle]].any(axis=1) & (distance > 1.0)
    confidence *= surface.outside & surface.used & ~on_rim
    return Correspondence(triangle.astype(np.int32), barycentric, distance, agreement, confidence)


def nearest_on(
    vertices: Doubles, normals: Doubles, triangles: Ints, points: Doubles, facing: Doubles, normal_mm: float
) -> tuple[Longs, Doubles, Doubles, Doubles]:
    """Closest place on a mesh to points (N, 3), a difference of normals counting as so many mm.

    Returns triangle (N,), barycentric coordinates (N, 3), distance (N,) and cosine between normals (N,).
    """
    corners = vertices[triangles]
    flat = unit(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]))
    # long triangles are found by their middle too late: the search is widened by several samples each
    size = np.sqrt(triangle_areas(vertices, triangles))
    fine = float(np.median(size))
    splits = np.flatnonzero(size > 2 * fine)
    inner = np.einsum("sk,tki->tsi", _SPLIT, corners[splits]).reshape(-1, 3)
    of = np.concatenate([np.arange(len(triangles)), np.repeat(splits, len(_SPLIT))])
    centres = np.concatenate([corners.mean(axis=1), inner])
    tree = KDTree(np.hstack([centres, normal_mm * flat[of]]))
    _, near = tree.query(np.hstack([points, normal_mm * facing]), k=NEIGHBOURS)
    candidates = of[near]
    best = np.full(len(points), np.inf)
    triangle = np.zeros(len(points), np.int64)
    weights = np.zeros((len(points), 3))
    gap, cosine = np.zeros(len(points)), np.zeros(len(points))
    for column in range(NEIGHBOURS):
        tried = candidates[:, column]
        barycentric = closest_barycentric(points, corners[tried])
        place = np.einsum("nk,nki->ni", barycentric, corners[tried])
        smooth = unit(np.einsum("nk,nki->ni", barycentric, normals[triangles[tried]]))
        squared = np.sum((place - points) ** 2, axis=1)
        agree = np.einsum("ni,ni->n", smooth, facing)
        cost = squared + normal_mm**2 * (1 - agree)
        better = cost < best
        best[better], triangle[better], weights[better] = cost[better], tried[better], barycentric[better]
        gap[better], cosine[better] = np.sqrt(squared[better]), agree[better]
    return triangle, weights, gap, cosine


_SPLIT = np.array([[2 / 3, 1 / 6, 1 / 6], [1 / 6, 2 / 3, 1 / 6], [1 / 6, 1 / 6, 2 / 3]])
