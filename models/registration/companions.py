"""Islands and objects that are no skin: eyeballs, teeth, tongue, lashes, brows, hair.

They are known by where they lie on the fitted head and by their shape, never by their names.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from ..parts import sphere_centre
from .correspondence import nearest_on
from .surface import Surface, vertex_normals
from .template import Template
from .transfer import Rule, length_share

Doubles = NDArray[np.float64]
Ints = NDArray[np.int32]
Longs = NDArray[np.int64]

ROUND = 0.15
"""RMS distance from the fitted sphere, over its radius, up to which an island is a ball or a piece of one."""
MOUTH_MARGIN = 5.0
"""mm round the template's teeth and tongue within which the artist's lie."""
LINING_HEIGHT = 0.75
"""Height of a piece over that of both rows from which it may line the mouth."""
ROW_GAP = 2.5
"""mm between the middles of upper and lower teeth from which they make two groups."""
TONGUE_LENGTH, MOST = 0.5, 0.6
"""Of the template's tongue, from which a piece may be one, if most of it is nearer to that than to teeth."""
INSIDE_REACH = 20.0
"""mm from the skin within which inner surfaces copy its motion."""
INNER_NORMAL_MM = 2.0
"""mm that a normal at right angles counts for on inner surfaces: hardly anything."""
NEAR, FAR = 8.0, 30.0
"""mm from the skin: nearer things follow it fully, farther ones not at all."""


@dataclass(frozen=True)
class Companions:
    """Rule and place of every vertex of islands that are no skin."""

    rule: NDArray[np.int8]  # (V,)
    triangle: Ints  # (V,)
    barycentric: Doubles  # (V, 3)
    weight: Doubles  # (V,)
    pivots: Doubles  # (2, 3) eye centres in model space


def classify(
    template: Template, fitted: Doubles, surface: Surface, islands: NDArray[np.integer]
) -> Companions:
    """Say what each of the islands is. fitted (V, 3) is the whole head; all in model space, mm.

    Vertices of other islands are left at rest.
    """
    head = template.head
    skin = fitted[: head.skin_vertices]
    count = len(surface.vertices)
    eyes = [fitted[slice(*head.parts[f"eye_{side}"])] for side in ("left", "right")]
    centres = np.array([sphere_centre(eye) for eye in eyes])
    radii = [float(np.median(np.linalg.norm(eye - c, axis=1))) for eye, c in zip(eyes, centres, strict=True)]
    result = Companions(
        rule=np.zeros(count, np.int8),
        triangle=np.zeros(count, np.int32),
        barycentric=np.tile([1.0, 0.0, 0.0], (count, 1)),
        weight=np.zeros(count),
        pivots=centres.copy(),
    )
    ball = [0.0, 0.0]
    mouth = _Mouth(template, fitted)
    following: list[Longs] = []
    teeth: list[Longs] = []
    linings: list[Longs] = []
    for island in islands:
        vertices = np.flatnonzero(surface.island == island)
        points = surface.vertices[vertices]
        eye = _eye_of(points, centres, radii)
        if eye is not None:
            result.rule[vertices] = (Rule.EYE_LEFT, Rule.EYE_RIGHT)[eye]
            if len(points) > ball[eye]:  # the largest piece says where the eye turns about
                ball[eye] = len(points)
                result.pivots[eye] = _pivot(points, centres[eye], radii[eye])
        elif mouth.holds(points):
            (linings if mouth.is_lining(points) else teeth).append(vertices)
        else:
            following.append(vertices)
    if teeth:
        middles = [surface.vertices[vertices].mean(axis=0) for vertices in teeth]
        for vertices, lower in zip(teeth, mouth.go_with_jaw(np.array(middles)), strict=True):
            result.rule[vertices] = Rule.JAW if lower else Rule.STILL
            if lower and mouth.is_tongue(surface.vertices[vertices]):
                result.rule[vertices] = Rule.TONGUE
                result.weight[vertices] = length_share(surface.vertices[vertices])
    if linings:
        place_inner(template, skin, surface, np.concatenate(linings), result)
    if following:
        follow(template, skin, surface.vertices, np.concatenate(following), result)
    return result


def place_inner(
    template: Template, skin: Doubles, surface: Surface, vertices: Longs, result: Companions
) -> None:
    """Mouth bag, sockets, nostrils: give vertices the nearest place of the skin, almost whatever it faces."""
    triangle, barycentric, distance, _ = nearest_on(
        skin,
        vertex_normals(skin, template.triangles),
        template.triangles,
        surface.vertices[vertices],
        surface.normals[vertices],
        INNER_NORMAL_MM,
    )
    near = distance < INSIDE_REACH
    vertices = vertices[near]
    result.rule[vertices] = Rule.INNER
    result.triangle[vertices], result.barycentric[vertices] = triangle[near], barycentric[near]
    result.weight[vertices] = 1.0


def _eye_of(points: Doubles, centres: Doubles, radii: list[float]) -> int | None:
    """Which eye a piece belongs to: a ball, or something that lies on or in the ball and turns with it."""
    for side, (centre, radius) in enumerate(zip(centres, radii, strict=True)):
        distance = np.linalg.norm(points - centre, axis=1)
        if np.quantile(distance, 0.9) > 1.45 * radius or len(points) < 4:
            continue
        middle = points.mean(axis=0) - centre
        own = sphere_centre(points) if len(points) >= 8 else centre
        size = np.linalg.norm(points - own, axis=1)
        a_ball = size.std() < ROUND * size.mean() and 0.6 * radius < size.mean() < 1.5 * radius
        if a_ball and np.linalg.norm(own - centre) < 0.6 * radius:
            return side
        # irises, pupils and corneas are discs on the axis of gaze; lashes and tear lines lie off it
        off_axis = float(np.linalg.norm(middle[:2]))
        if middle[2] > 0.3 * radius and off_axis < 0.3 * radius and np.ptp(points[:, 0]) < 1.4 * radius:
            return side
    return None


def _pivot(points: Doubles, centre: Doubles, radius: float) -> Doubles:
    """Centre of the artist's eyeball; the template's where the piece is too flat to tell."""
    own = sphere_centre(points)
    return own if np.linalg.norm(own - centre) < 0.6 * radius else centre


class _Mouth:
    """Upper and lower teeth and tongue of the fitted head, to compare with."""

    def __init__(self, template: Template, fitted: Doubles) -> None:
        ranges = template.head.parts
        self.upper = fitted[slice(*ranges["teeth_upper"])]
        self.teeth_tree = KDTree(fitted[slice(*ranges["teeth_lower"])])
        self.tongue = fitted[slice(*ranges.get("tongue", (0, 0)))]
        self.lower = np.concatenate([self.teeth_tree.data, self.tongue])
        both = np.concatenate([self.upper, self.lower])
        self.low, self.high = both.min(axis=0) - MOUTH_MARGIN, both.max(axis=0) + MOUTH_MARGIN
        self.upper_tree, self.lower_tree = KDTree(self.upper), KDTree(self.lower)

    def holds(self, points: Doubles) -> bool:
        """Whether nearly all of a piece lies where teeth and tongue lie."""
        inside = ((points > self.low) & (points < self.high)).all(axis=1)
        return bool(inside.mean() > 0.85)

    def is_lining(self, points: Doubles) -> bool:
        """Whether a piece reaches from above the upper to below the lower teeth: a mouth bag, and no row."""
        tall = float(np.ptp(points[:, 1])) > LINING_HEIGHT * float(
            self.high[1] - self.low[1] - 2 * MOUTH_MARGIN
        )
        return tall and 0.2 < float(self._nearer_lower(points).mean()) < 0.8

    def is_tongue(self, points: Doubles) -> bool:
        """Whether a piece that goes with the jaw fills the room of the tongue rather than that of teeth."""
        if not len(self.tongue):
            return False
        tongue, _ = KDTree(self.tongue).query(points)
        teeth, _ = self.teeth_tree.query(points)
        long = np.ptp(points[:, 2]) > TONGUE_LENGTH * np.ptp(self.tongue[:, 2])
        return bool(long and (tongue < teeth).mean() > MOST)

    def go_with_jaw(self, middles: Doubles) -> NDArray[np.bool_]:
        """(N,) whether pieces with these middles (N, 3) are lower teeth or tongue.

        Their heights make two groups when both rows are there; else the template's teeth decide.
        """
        lower = self._nearer_lower(middles)
        heights = np.sort(middles[:, 1])
        gaps = np.diff(heights)
        centre = slice(len(gaps) // 5, max(len(gaps) - len(gaps) // 5, 1))
        if not len(gaps) or gaps[centre].max() < ROW_GAP:
            return lower
        widest = int(gaps[centre].argmax()) + centre.start
        return middles[:, 1] < (heights[widest] + heights[widest + 1]) / 2

    def _nearer_lower(self, points: Doubles) -> NDArray[np.bool_]:
        lower, _ = self.lower_tree.query(points)
        upper, _ = self.upper_tree.query(points)
        return lower < upper


def follow(template: Template, skin: Doubles, places: Doubles, vertices: Longs, result: Companions) -> None:
    """Hang some of the vertices at ``places`` (V, 3) on the outer skin nearest to them, less the farther."""
    outside = np.flatnonzero(template.outside[template.triangles].all(axis=1))
    triangles = template.triangles[outside]
    normals = vertex_normals(skin, template.triangles)
    points = places[vertices]
    triangle, barycentric, distance, _ = nearest_on(
        skin, normals, triangles, points, np.zeros_like(points), 1e-6
    )
    share = np.clip((FAR - distance) / (FAR - NEAR), 0.0, 1.0)
    weight = share * share * (3 - 2 * share)
    result.rule[vertices] = np.where(weight > 0, Rule.FOLLOW, Rule.STILL)
    result.triangle[vertices] = outside[triangle]
    result.barycentric[vertices] = barycentric
    result.weight[vertices] = weight
