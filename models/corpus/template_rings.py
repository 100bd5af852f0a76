"""Concentric edge loops round the eye and the mouth.

From the borders between face and sockets the source's own loops form regular grids. They serve only as a
parameter of the surface: our loops lie at fractional loop numbers of their own, with columns of their own,
spaced by arc length between the anchored corners (the canthi, the corner of the mouth). Beyond the grids the
loops are level sets of the exact geodesic distance.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import KDTree

from .ict import FACE_REGIONS
from .template_distance import geodesic_distance, level_set, outer_piece
from .template_surface import (
    Rows,
    along,
    arc_length,
    boundary_loops,
    evenly,
    rows,
    stack,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .template_surface import HalfSkin

EYE_LEVELS = (-5.6, -3.7, -2.2, -0.9, 0.4, 1.8)
"""Loop numbers of the eye's inner rings; 1 to 2 is the edge of the lid, below it the lid turns back into the
socket."""
EYE_DISTANCES = (1.2, 2.7, 4.5, 6.7, 9.3)
"""Distances of the eye's outer rings from loop 2, mm."""
MOUTH_LEVELS = (-13.6, -10.6, -7.8, -5.2, -2.7, -0.4, 1.6, 3.4, 5.1, 6.6, 7.9, 9.4, 11.2, 13.0, 14.7)
"""Loop numbers of the mouth's rings: the lips touch between 6 and 8, the vermilion border runs between 13 and
14."""
MOUTH_DISTANCES = (1.9, 4.6)
"""Distances of the outer rings of the mouth from its loop 15, mm."""
LID_SEGMENTS = 22
"""Edges of an eye ring from canthus to canthus, for each lid."""
LIP_SEGMENTS = 16
"""Edges of a mouth ring from the midline to the corner, for each lip."""


@dataclass(frozen=True)
class Grid:
    """Concentric loops of vertices: `loops[k - first]` is loop number k, k = 0 the border of the face
    region."""

    loops: NDArray[np.int64]
    """(K, C) columns run round the opening, rows outward."""
    first: int

    def loop(self, number: int) -> NDArray[np.int64]:
        """(C,) vertices of one loop."""
        return self.loops[number - self.first]

    def level(self, number: float, columns: int) -> Rows:
        """The chain (C points) at a fractional loop number."""
        below = min(int(np.floor(number)), self.first + len(self.loops) - 2)
        share = number - below
        pair = np.stack([self.loop(below), self.loop(below + 1)], axis=1)
        return rows(pair, np.tile([1 - share, share], (len(pair), 1)), columns)


@dataclass(frozen=True)
class Rings:
    """Our own loops round one opening, from the inside of the head outward, all with the same number of
    points."""

    points: tuple[Rows, ...]
    grid: Grid
    closed: bool


def face_quads(half: HalfSkin, ict_faces: NDArray[np.integer]) -> NDArray[np.int64]:
    """The quads of the half that belong to the source's face region."""
    start, end = FACE_REGIONS["face"]
    inside = np.isin(half.left, np.unique(ict_faces[start:end]))
    keys = {tuple(sorted(face)) for face in ict_faces[start:end].tolist()}
    candidates = half.quads[inside[half.quads].all(axis=1)]
    return np.array([quad for quad in candidates.tolist() if tuple(sorted(half.left[quad].tolist())) in keys])


def grow_grid(half: HalfSkin, border: NDArray[np.int64], closed: bool) -> Grid:
    """Loops on both sides of `border`, which is walked with the face region on its left, as far as the mesh
    stays regular."""
    across = {
        (a, b): (quad[(corner + 3) % 4], quad[(corner + 2) % 4])
        for quad in half.quads.tolist()
        for corner, (a, b) in enumerate(zip(quad, quad[1:] + quad[:1], strict=True))
    }

    def step(loop: list[int], backwards: bool) -> list[int] | None:
        ends = list(zip(loop, loop[1:] + loop[:1], strict=True))[: None if closed else -1]
        following: dict[int, int] = {}
        for a, b in ends:
            pair = across.get((b, a) if backwards else (a, b))
            if pair is None:
                return None
            beyond_a, beyond_b = pair[::-1] if backwards else pair
            if following.setdefault(a, beyond_a) != beyond_a or following.setdefault(b, beyond_b) != beyond_b:
                return None
        found = [following[vertex] for vertex in loop]
        return found if len(set(found)) == len(found) else None

    def march(backwards: bool) -> list[list[int]]:
        found: list[list[int]] = []
        loop: list[int] | None = border.tolist()
        while loop is not None:
            found.append(loop)
            loop = step(loop, backwards)
        return found[1:]

    inward, outward = march(backwards=True), march(backwards=False)
    return Grid(np.array([*inward[::-1], border.tolist(), *outward]), -len(inward))


def opening_grids(half: HalfSkin, ict_faces: NDArray[np.integer]) -> tuple[Grid, Grid]:
    """The grids of the eye (columns from the inner canthus over the upper lid) and the mouth (from the upper
    midline to the lower)."""
    region = face_quads(half, ict_faces)
    loops = boundary_loops(region)
    eye = np.array(next(loop for loop in loops if not half.midline[loop].any()))
    eye = np.roll(eye, -int(np.argmin(half.vertices[eye, 0])))
    eye_grid = grow_grid(half, eye, closed=True)
    inner = next(loop for loop in loops if half.midline[loop].any())
    mouth_grid = grow_grid(half, _mouth_border(half, np.array(inner)), closed=False)
    return _upper_first(half, eye_grid, closed=True), _upper_first(half, mouth_grid, closed=False)


def _mouth_border(half: HalfSkin, outline: NDArray[np.int64]) -> NDArray[np.int64]:
    """The chain of the region's outline that leaves the midline round the corner of the mouth and comes back
    to it."""
    start = int(np.argmax(half.midline[outline]))
    outline = np.roll(outline, -start)
    cuts = [*np.flatnonzero(half.midline[outline]).tolist(), len(outline)]
    outline = np.append(outline, outline[0])
    chains = [outline[a : b + 1] for a, b in itertools.pairwise(cuts) if b - a > 1]
    return min(chains, key=len)


def _upper_first(half: HalfSkin, grid: Grid, *, closed: bool) -> Grid:
    """The same grid with its columns turned so that the upper lid or lip comes first."""
    heights = half.vertices[grid.loop(0), 1]
    middle = len(heights) // 2
    if heights[:middle].mean() > heights[middle:].mean():
        return grid
    backwards = grid.loops[:, ::-1]
    return Grid(np.roll(backwards, 1, axis=1) if closed else backwards, grid.first)


def eye_rings(half: HalfSkin, grid: Grid) -> Rings:
    """Closed rings of 2 * LID_SEGMENTS points: point 0 is the inner canthus, point LID_SEGMENTS the outer
    one, the upper lid between."""
    lateral = int(np.argmax(half.vertices[grid.loop(1), 0]))
    count = len(half.vertices)
    points: list[Rows] = []
    for number in EYE_LEVELS:
        chain = grid.level(number, count)
        chain = stack([chain, chain[:1]])
        lids = (chain[: lateral + 1], chain[lateral:])
        upper, lower = (evenly(lid, half.vertices, LID_SEGMENTS) for lid in lids)
        points.append(stack([upper[:-1], lower[:-1]]))
    edge = grid.loop(2)
    points += _distance_rings(half, np.append(edge, edge[0]), EYE_DISTANCES, points[-1], closed=True)
    return Rings(tuple(points), grid, closed=True)


def mouth_rings(half: HalfSkin, grid: Grid) -> Rings:
    """Half rings of 2 * LIP_SEGMENTS + 1 points from the upper midline round the corner (point LIP_SEGMENTS)
    to the lower midline."""
    corner = int(np.argmax(half.vertices[grid.loop(7), 0]))
    count = len(half.vertices)
    points: list[Rows] = []
    for number in MOUTH_LEVELS:
        chain = grid.level(number, count)
        upper, lower = (
            evenly(lip, half.vertices, LIP_SEGMENTS) for lip in (chain[: corner + 1], chain[corner:])
        )
        points.append(stack([upper[:-1], lower]))
    points += _distance_rings(half, grid.loop(15), MOUTH_DISTANCES, points[-1], closed=False)
    return Rings(tuple(points), grid, closed=False)


def _distance_rings(
    half: HalfSkin, curve: NDArray[np.int64], distances: Sequence[float], inner: Rows, *, closed: bool
) -> list[Rows]:
    triangles = outer_piece(half, [curve])
    distance = geodesic_distance(half.vertices, triangles, curve)
    found: list[Rows] = []
    for wanted in distances:
        chain = level_set(half, triangles, distance, wanted)
        inner = _spread(half, chain, inner, closed=closed)
        found.append(inner)
    return found


def _spread(half: HalfSkin, chain: Rows, inner: Rows, *, closed: bool, passes: int = 20) -> Rows:
    """As many points on `chain` as `inner` has, each near its fellow there, the gaps evened out: quads stay
    square, no spirals."""
    fellows, path = inner @ half.vertices, chain @ half.vertices
    lengths = arc_length(path)
    fine = np.linspace(0.0, lengths[-1], 4000)
    dense = along(chain, lengths, fine) @ half.vertices
    places = fine[KDTree(dense).query(fellows)[1]]
    total = lengths[-1]
    if not closed:
        if np.corrcoef(places, np.arange(len(places)))[0, 1] < 0:
            places = total - places
            chain, lengths = chain[::-1], total - lengths[::-1]
        places = np.maximum.accumulate(places)
        places[0], places[-1] = 0.0, total
        for _ in range(passes):
            places[1:-1] = (places[:-2] + 2 * places[1:-1] + places[2:]) / 4
        return along(chain, lengths, places)
    turns = np.diff(places, append=places[:1])
    if np.median(turns) < 0:
        places = total - places
        chain, lengths = chain[::-1], total - lengths[::-1]
    places = np.unwrap(places, period=total)
    for _ in range(passes):
        before, after = np.roll(places, 1), np.roll(places, -1)
        before[0] -= total
        after[-1] += total
        places = (before + 2 * places + after) / 4
    return along(chain, lengths, places % total)
