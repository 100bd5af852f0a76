"""Flow lines a modeller expects besides the rings: chains of edges along the brow and round the nasolabial
fold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import igl
import numpy as np
from scipy.interpolate import CubicSpline

from .template_patches import by_size
from .template_surface import Rows, arc_length, rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .template_patches import Flat

BROW = (
    (0.0, 56.0, 111.0),
    (11.7, 59.1, 107.3),
    (24.1, 61.9, 104.8),
    (37.9, 62.6, 98.3),
    (49.3, 59.8, 89.9),
    (58.2, 52.0, 79.1),
)
"""From the midline between the brows along the landmarks of the left brow to its tail, mm."""
ABOVE_BROW = (
    (0.0, 67.0, 112.0),
    (12.0, 68.5, 109.0),
    (25.0, 71.0, 105.0),
    (39.0, 71.5, 98.0),
    (52.0, 68.0, 88.0),
    (63.0, 58.0, 74.0),
)
"""The upper edge of the brow, where the frontalis wrinkles start."""
NASOLABIAL = (
    (0.0, 28.0, 113.0),
    (9.0, 21.0, 110.0),
    (15.5, 11.0, 105.0),
    (20.5, 1.0, 102.0),
    (25.0, -9.0, 103.0),
    (31.0, -20.0, 101.0),
    (36.0, -33.0, 96.0),
    (34.0, -47.0, 96.0),
    (25.0, -57.0, 101.0),
    (12.0, -61.5, 108.0),
    (0.0, -62.5, 111.0),
)
"""From the bridge of the nose down its flank, along the fold past the corner of the mouth and round the chin:
with its mirror image one loop round nose and mouth."""


@dataclass(frozen=True)
class Curve:
    """A chain of points inside a patch; an end that lies on the patch's outline is the outline's own
    point."""

    inner: Rows
    start: int
    """Index on the outline."""
    end: int | None
    """Index on the outline, None for a loose end (which is then the last of `inner`)."""


def draw(
    flat: Flat,
    controls: Sequence[tuple[float, float, float]],
    size: NDArray[np.float64],
    outline: Rows,
    *,
    loose_end: bool,
) -> Curve:
    """A spline in the plane of `flat` through the surface points nearest to `controls`, its ends moved to the
    outline's points.

    A curve that ends on the outline halves the patch; both halves get an even border, so that quads alone can
    fill them.
    """
    half = flat.half
    places = flat.project(_nearest(flat, np.array(controls)))
    border, border_plane = outline @ half.vertices, flat.project(outline)
    start = int(np.argmin(np.linalg.norm(border - controls[0], axis=1)))
    even = np.arange(start % 2, len(border), 2)
    end = int(even[np.argmin(np.linalg.norm(border[even] - controls[-1], axis=1))])
    places[0] = border_plane[start]
    if not loose_end:
        places[-1] = border_plane[end]
    knots = arc_length(places)
    dense = CubicSpline(knots, places)(np.linspace(0.0, knots[-1], 400))
    chain = by_size(_inside(flat, dense), half, size)
    return Curve(chain[1:] if loose_end else chain[1:-1], start, None if loose_end else end)


def _inside(flat: Flat, places: NDArray[np.float64]) -> Rows:
    """Surface points above a curve of the plane whose ends lie on the border, where rounding may put them
    outside."""
    inward = 1e-6 * np.stack([places[1] - places[0], places[-2] - places[-1]])
    return flat.lift(np.concatenate([places[:1] + inward[:1], places[1:-1], places[-1:] + inward[1:]]))


def _nearest(flat: Flat, points: NDArray[np.float64]) -> Rows:
    half = flat.half
    triangles = flat.vertices[flat.triangles]
    _, found, feet = igl.point_mesh_squared_distance(points, half.vertices, triangles)
    corners = triangles[np.asarray(found)]
    a, b, c = half.vertices[corners].transpose(1, 0, 2)
    frame = np.stack([b - a, c - a], axis=2)
    shares = np.stack([np.linalg.lstsq(m, f, rcond=None)[0] for m, f in zip(frame, feet - a, strict=True)])
    weights = np.concatenate([1 - shares.sum(axis=1, keepdims=True), shares], axis=1)
    return rows(corners, weights, len(half.vertices))
