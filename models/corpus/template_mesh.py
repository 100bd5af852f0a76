"""The left half of the Dimple head's skin as one quad mesh: rings and the patches between them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from .ict import VERTEX_REGIONS
from .template_curves import ABOVE_BROW, BROW, NASOLABIAL, draw
from .template_distance import outer_piece, piece_with
from .template_patches import (
    FACE_SIZE,
    by_size,
    curvature_size,
    flatten,
    limit_growth,
    mesh_patch,
    near_rings,
)
from .template_rings import Rings, eye_rings, mouth_rings, opening_grids
from .template_surface import Rows, along, boundary_loops, count, half_skin, stack, vertex_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .ict import ICT
    from .template_surface import HalfSkin

BAG_SIZE = (5.4, 7.2)
"""Edge lengths inside the mouth, mm."""
SOCKET_SIZE = 5.5
"""Edge length inside the eye sockets, mm."""
EXTERIOR_LIP_LOOP, EXTERIOR_EYE_LOOP = 12, 2
"""The exterior is flattened from these loops outward: further inside, the conformal map folds at the corner
of the mouth."""
BAG_LOOP, SOCKET_LOOP = -12, -5
"""Mouth bag and socket are flattened from these loops inward."""
FLOW_LINES = {"brow": (BROW, True), "above_brow": (ABOVE_BROW, True), "nasolabial": (NASOLABIAL, False)}
"""Chains of edges inside the exterior and whether their last end is loose; the others close with their mirror
image."""
MATERIALS = ("skin", "mouth", "socket")
SKIN, MOUTH, SOCKET = range(len(MATERIALS))
SOCKET_STRIPS, MOUTH_STRIPS = 4, 7
"""So many innermost strips between rings are out of sight: socket up to ring 0.4 behind the lid edge, mouth
up to ring 3.4."""


@dataclass(frozen=True)
class HalfMesh:
    """The left half of the template."""

    half: HalfSkin
    points: Rows
    """(n, H) all points as weights over the half skin."""
    faces: NDArray[np.int64]
    """(F, 4), -1 pads triangles."""
    eye: NDArray[np.int64]
    """(R, C) point indices of the eye's rings."""
    mouth: NDArray[np.int64]
    """(R, C) point indices of the mouth's half rings."""
    face_material: NDArray[np.int16]
    """(F,) index into MATERIALS."""
    flow_lines: dict[str, NDArray[np.int64]]
    """Point indices of the flow lines, from the midline on."""


@dataclass
class _Assembly:
    """Points and faces collected so far; points are shared by number, never by place."""

    points: list[Rows] = field(default_factory=list)
    faces: list[NDArray[np.int64]] = field(default_factory=list)
    materials: list[int] = field(default_factory=list)
    total: int = 0

    def add(self, points: Rows) -> NDArray[np.int64]:
        """The numbers of new points."""
        self.points.append(points)
        self.total += count(points)
        return np.arange(self.total - count(points), self.total)

    def fill(self, faces: NDArray[np.int64], material: int) -> None:
        """New faces (F, 4) between points added before."""
        self.faces.append(faces)
        self.materials += [material] * len(faces)


@dataclass(frozen=True)
class _Opening:
    """The rings of an eye or the mouth with the numbers (R, C) of their points."""

    rings: Rings
    numbers: NDArray[np.int64]


def build_half(ict: ICT) -> HalfMesh:
    """Draw the rings, fill the rest with quads, weld both by identity."""
    half = half_skin(ict)
    eye_grid, mouth_grid = opening_grids(half, ict.faces)
    drawn = eye_rings(half, eye_grid), mouth_rings(half, mouth_grid)
    size = _size_field(half, *drawn)
    above, inside, below, neck = (by_size(chain, half, size) for chain in _outline(half, drawn[1]))

    mesh = _Assembly()
    eye, mouth = (_Opening(rings, np.array([mesh.add(ring) for ring in rings.points])) for rings in drawn)
    _fill_strips(mesh, eye, SOCKET_STRIPS, SOCKET)
    _fill_strips(mesh, mouth, MOUTH_STRIPS, MOUTH)
    flow_lines = _fill_exterior(mesh, half, size, eye, mouth, (above[:-1], below[1:], neck[1:-1]))
    _fill_bag(mesh, half, size, mouth, inside[1:-1])
    _fill_socket(mesh, half, size, eye)
    return HalfMesh(
        half,
        stack(mesh.points),
        np.concatenate(mesh.faces),
        eye.numbers,
        mouth.numbers,
        np.array(mesh.materials, np.int16),
        flow_lines,
    )


def _fill_strips(mesh: _Assembly, opening: _Opening, hidden: int, material: int) -> None:
    """Quads between consecutive rings, which run clockwise seen from outside; the first `hidden` strips are
    out of sight."""
    rings = opening.numbers
    if opening.rings.closed:
        rings = np.concatenate([rings, rings[:, :1]], axis=1)
    inner, outer = rings[:-1], rings[1:]
    quads = np.stack([inner[:, :-1], inner[:, 1:], outer[:, 1:], outer[:, :-1]], axis=-1)
    mesh.fill(quads[:hidden].reshape(-1, 4), material)
    mesh.fill(quads[hidden:].reshape(-1, 4), SKIN)


def _fill_exterior(
    mesh: _Assembly,
    half: HalfSkin,
    size: NDArray[np.float64],
    eye: _Opening,
    mouth: _Opening,
    borders: tuple[Rows, Rows, Rows],
) -> dict[str, NDArray[np.int64]]:
    """Everything seen outside the rings; returns the points of the flow lines."""
    eye_curve, lip_curve = _closed(eye, EXTERIOR_EYE_LOOP), mouth.rings.grid.loop(EXTERIOR_LIP_LOOP)
    flat = flatten(half, outer_piece(half, [eye_curve, lip_curve]), _extremes(half, half.midline))
    above, below, neck = borders
    rim = stack([above, mouth.rings.points[-1], below, neck])
    outline = np.concatenate([mesh.add(above), mouth.numbers[-1], mesh.add(below), mesh.add(neck)])
    curves = [draw(flat, controls, size, rim, loose_end=loose) for controls, loose in FLOW_LINES.values()]
    fresh, quads = mesh_patch(flat, size, rim, [eye.rings.points[-1]], curves)
    inner = [mesh.add(curve.inner) for curve in curves]
    mesh.fill(np.concatenate([outline, eye.numbers[-1], *inner, mesh.add(fresh), [-1]])[quads], SKIN)
    ends = [[end for end in (curve.start, curve.end) if end is not None] for curve in curves]
    return {
        name: np.concatenate([outline[end[:1]], part, outline[end[1:]]])
        for name, end, part in zip(FLOW_LINES, ends, inner, strict=True)
    }


def _fill_bag(
    mesh: _Assembly, half: HalfSkin, size: NDArray[np.float64], mouth: _Opening, midline: Rows
) -> None:
    """The back of the mouth: behind the innermost ring, and `midline` between that ring's ends."""
    curve = mouth.rings.grid.loop(BAG_LOOP)
    flat = flatten(
        half, piece_with(half, [curve], _rearmost(half, "mouth socket")), (int(curve[0]), int(curve[-1]))
    )
    ring, numbers = mouth.rings.points[0], mouth.numbers[0]
    outline = np.concatenate([numbers[:1], mesh.add(midline), numbers[:0:-1]])
    fresh, quads = mesh_patch(flat, size, stack([ring[:1], midline, ring[:0:-1]]))
    mesh.fill(np.concatenate([outline, mesh.add(fresh), [-1]])[quads], MOUTH)


def _fill_socket(mesh: _Assembly, half: HalfSkin, size: NDArray[np.float64], eye: _Opening) -> None:
    """The back of the eye socket, behind the innermost ring."""
    curve = _closed(eye, SOCKET_LOOP)
    opposite = (int(curve[0]), int(curve[len(curve) // 2]))
    flat = flatten(half, piece_with(half, [curve], _rearmost(half, "eye socket left")), opposite)
    fresh, quads = mesh_patch(flat, size, eye.rings.points[0])
    mesh.fill(np.concatenate([eye.numbers[0], mesh.add(fresh), [-1]])[quads], SOCKET)


def _closed(opening: _Opening, loop: int) -> NDArray[np.int64]:
    """A loop of the grid with its first vertex repeated at the end."""
    vertices = opening.rings.grid.loop(loop)
    return np.append(vertices, vertices[0])


def _rearmost(half: HalfSkin, region: str) -> int:
    members = np.flatnonzero(_region(half, region))
    return int(members[np.argmin(half.vertices[members, 2])])


def _region(half: HalfSkin, name: str) -> NDArray[np.bool_]:
    start, end = VERTEX_REGIONS[name]
    return (half.left >= start) & (half.left < end)


def _extremes(half: HalfSkin, among: NDArray[np.bool_]) -> tuple[int, int]:
    candidates = np.flatnonzero(among)
    heights = half.vertices[candidates, 1]
    return int(candidates[np.argmin(heights)]), int(candidates[np.argmax(heights)])


def _size_field(half: HalfSkin, eye: Rings, mouth: Rings) -> NDArray[np.float64]:
    """(H,) wanted edge length, mm."""
    total = len(half.vertices)
    other = np.flatnonzero(~half.midline)
    number = np.arange(total)
    number[other] = total + np.arange(len(other))
    whole = np.concatenate([half.vertices, half.vertices[other] * [-1, 1, 1]])
    triangles = np.concatenate([half.triangles, number[half.triangles][:, ::-1]])
    size = curvature_size(half, (whole, triangles))
    front = _region(half, "narrow face")
    size[front] = np.minimum(size[front], FACE_SIZE)
    bag, socket = _region(half, "mouth socket"), _region(half, "eye socket left")
    size[bag] = np.clip(size[bag], *BAG_SIZE)
    size[socket] = SOCKET_SIZE
    borders = [(rings.points[index], rings.closed) for rings in (eye, mouth) for index in (0, -1)]
    return limit_growth(half, near_rings(half, size, borders))


def _outline(half: HalfSkin, mouth: Rings) -> tuple[Rows, Rows, Rows, Rows]:
    """The half's border as four chains: rear of the neck over the crown to the outermost mouth ring, the
    midline of the mouth bag behind the innermost ring, chin to the front of the neck, and the rim of the neck
    back to the rear."""
    loop = np.array(boundary_loops(half.quads)[0])
    rim = ~half.midline[loop]
    loop = np.roll(loop, -int(np.flatnonzero(rim & ~np.roll(rim, -1))[0]) - 1)
    midline = loop[half.midline[loop]]
    neck = np.concatenate([midline[-1:], loop[len(midline) :], loop[:1]])
    total = len(half.vertices)
    chain = vertex_rows(midline, total)
    position = np.zeros(total)
    position[midline] = np.arange(len(midline))

    def between(start: float, end: float) -> Rows:
        inner = np.arange(np.floor(start) + 1, np.ceil(end))
        return along(
            chain, np.arange(len(midline), dtype=np.float64), np.concatenate([[start], inner, [end]])
        )

    outer_upper, outer_lower = (mouth.points[-1] @ position)[[0, -1]]
    inner_upper, inner_lower = (mouth.points[0] @ position)[[0, -1]]
    above, inside = between(0.0, outer_upper), between(inner_upper, inner_lower)
    return above, inside, between(outer_lower, len(midline) - 1.0), vertex_rows(neck, total)
