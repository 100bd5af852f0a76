"""The rule by which every vertex of an artist's mesh follows the fitted head."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from .companions import Companions, classify, place_inner
from .correspondence import correspond
from .pose import Pose
from .surface import Surface
from .template import Template
from .transfer import Attachment, Rule

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int32]

BELIEVED = 0.3
"""Confidence from which a vertex takes the motion of its own place."""
FACING = 0.2
"""Cosine between normals up to which a match is taken for an inner surface."""
FILL_REACH = 80.0
"""mm from the nearest matched vertex within which motion is filled in."""


def attach(template: Template, whole: Doubles, surface: Surface, pose: Pose) -> tuple[Attachment, Floats]:
    """The rule of every vertex of a surface, and confidence (V,), for a fitted head in its pose.

    whole (Vhead, 3) in model space, mm: the head where the surface is.
    """
    placed = surface.moved(pose.to_model(surface.vertices), pose.rotation.T)
    fitted = whole[: template.head.skin_vertices]
    match = correspond(template, fitted, placed)
    believed = match.confidence > BELIEVED
    counts = np.bincount(placed.island[believed], minlength=placed.island.max() + 1)
    sizes = np.bincount(placed.island[placed.used], minlength=placed.island.max() + 1)
    # skin is the island that most matches are on, and what continues it; eyeballs match nothing but lids
    skin_islands = (counts == counts.max()) | ((counts > 0.5 * sizes) & (counts > 0.1 * counts.max()))
    other = np.setdiff1d(np.unique(placed.island[placed.used]), np.flatnonzero(skin_islands))
    found = classify(template, whole, placed, other)

    on_skin = skin_islands[placed.island] & placed.used
    found.rule[on_skin & believed] = Rule.SKIN
    own = on_skin & believed
    found.triangle[own], found.barycentric[own] = match.triangle[own], match.barycentric[own]
    found.weight[own] = 1.0
    inner = on_skin & ~believed & (~placed.outside | (match.agreement <= FACING))
    place_inner(template, fitted, placed, np.flatnonzero(inner), found)
    unknown = on_skin & (found.rule == Rule.STILL)
    edges = _fill(placed, unknown, found)
    return attachment_of(surface.vertices, found, edges, pose), match.confidence.astype(np.float32)


def _fill(placed: Surface, unknown: NDArray[np.bool_], found: Companions) -> Ints:
    """Fill unknown skin in from its neighbours unless it is far from all matches; (E, 2) edges it needs."""
    known = np.flatnonzero(np.isin(found.rule, (Rule.SKIN, Rule.INNER)))
    vertices = np.flatnonzero(unknown)
    if not len(known) or not len(vertices):
        return np.zeros((0, 2), np.int32)
    distance, _ = KDTree(placed.vertices[known]).query(
        placed.vertices[vertices], distance_upper_bound=FILL_REACH
    )
    found.rule[vertices[np.isfinite(distance)]] = Rule.FILL
    rows = np.repeat(np.arange(len(placed.vertices)), np.diff(placed.adjacency.indptr))
    columns = placed.adjacency.indices
    filled = found.rule == Rule.FILL
    keep = (rows < columns) & (filled[rows] | filled[columns])
    return np.stack([rows[keep], columns[keep]], axis=1).astype(np.int32)


def attachment_of(vertices: Doubles, found: Companions, edges: Ints, pose: Pose) -> Attachment:
    """Rules and places as they are stored: in the artist's own space."""
    return Attachment(
        vertices=vertices.astype(np.float32),
        rule=found.rule,
        triangle=found.triangle,
        barycentric=found.barycentric.astype(np.float32),
        weight=found.weight.astype(np.float32),
        pivots=pose.from_model(found.pivots).astype(np.float32),
        mm_per_unit=np.array(1.0 / pose.scale, np.float32),
        edges=edges,
    )
