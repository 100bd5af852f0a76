"""The skin of the Dimple head as one quad mesh: rings, patches between them, and the mirror image."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from .ict import SKIN_VERTICES, VERTEX_REGIONS
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


@dataclass(frozen=True)
class Mesh:
    """The whole skin; see `template.SkinTemplate` for the meaning of the arrays."""

    faces: NDArray[np.int64]
    transfer: Rows
    """(V, 14062)"""
    mirror: NDArray[np.int64]
    eye_rings: NDArray[np.int64]
    mouth_rings: NDArray[np.int64]
    face_material: NDArray[np.int16]
    flow_lines: dict[str, NDArray[np.int64]]


def build_half(ict: ICT) -> HalfMesh:
    """Draw the rings, fill the rest with quads, weld both by identity."""
    half = half_skin(ict)
    eye_grid, mouth_grid = opening_grids(half, ict.faces)
    eye, mouth = eye_rings(half, eye_grid), mouth_rings(half, mouth_grid)
    size = _size_field(half, eye, mouth)
    points = [*eye.points, *mouth.points]
    counts = np.cumsum([0] + [count(part) for part in points])
    numbers = [np.arange(a, b) for a, b in itertools.pairwise(counts)]
    eye_numbers, mouth_numbers = np.array(numbers[: len(eye.points)]), np.array(numbers[len(eye.points) :])
    closed = np.concatenate([eye_numbers, eye_numbers[:, :1]], axis=1)
    faces = [_strips(closed[: SOCKET_STRIPS + 1]), _strips(closed[SOCKET_STRIPS:])]
    faces += [_strips(mouth_numbers[: MOUTH_STRIPS + 1]), _strips(mouth_numbers[MOUTH_STRIPS:])]
    materials = [SOCKET, SKIN, MOUTH, SKIN, SKIN, MOUTH, SOCKET]
    total = int(counts[-1])

    def add(part: Rows) -> NDArray[np.int64]:
        nonlocal total
        points.append(part)
        total += count(part)
        return np.arange(total - count(part), total)

    above, inside, below, neck = (by_size(chain, half, size) for chain in _outline(half, mouth))
    eye_curve, socket_curve = (
        np.resize(eye_grid.loop(k), eye_grid.loops.shape[1] + 1) for k in (EXTERIOR_EYE_LOOP, SOCKET_LOOP)
    )
    lip_curve, bag_curve = mouth_grid.loop(EXTERIOR_LIP_LOOP), mouth_grid.loop(BAG_LOOP)

    exterior = flatten(half, outer_piece(half, [eye_curve, lip_curve]), _extremes(half, half.midline))
    chains = [above[:-1], mouth.points[-1], below[1:], neck[1:-1]]
    outline = np.concatenate([add(above[:-1]), mouth_numbers[-1], add(below[1:]), add(neck[1:-1])])
    rim = stack(chains)
    curves = [draw(exterior, controls, size, rim, loose_end=loose) for controls, loose in FLOW_LINES.values()]
    fresh, quads = mesh_patch(exterior, size, rim, [eye.points[-1]], curves)
    inner = [add(curve.inner) for curve in curves]
    ends = [[end for end in (curve.start, curve.end) if end is not None] for curve in curves]
    flow_lines = {
        name: np.concatenate([outline[end[:1]], part, outline[end[1:]]])
        for name, end, part in zip(FLOW_LINES, ends, inner, strict=True)
    }
    faces.append(np.concatenate([outline, eye_numbers[-1], *inner, add(fresh), [-1]])[quads])

    bag_vertex = int(np.argmin(half.vertices[:, 2] + 1e3 * ~_region(half, "mouth socket")))
    bag = flatten(half, piece_with(half, [bag_curve], bag_vertex), (int(bag_curve[0]), int(bag_curve[-1])))
    outline = np.concatenate([mouth_numbers[0][:1], add(inside[1:-1]), mouth_numbers[0][:0:-1]])
    chain = stack([mouth.points[0][:1], inside[1:-1], mouth.points[0][:0:-1]])
    fresh, quads = mesh_patch(bag, size, chain)
    faces.append(np.concatenate([outline, add(fresh), [-1]])[quads])

    pole = int(np.argmin(half.vertices[:, 2] + 1e3 * ~_region(half, "eye socket left")))
    opposite = (int(socket_curve[0]), int(socket_curve[len(socket_curve) // 2]))
    socket = flatten(half, piece_with(half, [socket_curve], pole), opposite)
    fresh, quads = mesh_patch(socket, size, eye.points[0])
    faces.append(np.concatenate([eye_numbers[0], add(fresh), [-1]])[quads])
    material = np.repeat(materials, [len(part) for part in faces]).astype(np.int16)
    return HalfMesh(
        half, stack(points), np.concatenate(faces), eye_numbers, mouth_numbers, material, flow_lines
    )


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


def _strips(rings: NDArray[np.int64]) -> NDArray[np.int64]:
    """Quads between consecutive rings (R, C) of the same columns, which run clockwise seen from outside."""
    inner, outer = rings[:-1], rings[1:]
    return np.stack([inner[:, :-1], inner[:, 1:], outer[:, 1:], outer[:, :-1]], axis=-1).reshape(-1, 4)


def mirrored(mesh: HalfMesh) -> Mesh:
    """Both halves in one mesh: the left half with the midline first, then the right without it."""
    mesh, bridged = _without_flat_corners(mesh)
    half, total = mesh.half, count(mesh.points)
    on_midline = _on_midline(mesh)
    other = np.flatnonzero(~on_midline)
    number = np.append(np.arange(total), -1)
    number[other] = total + np.arange(len(other))
    mirror = np.concatenate([number[:-1], other])
    order = np.where(mesh.faces[:, 3:] < 0, [0, 2, 1, 3], [0, 3, 2, 1])
    faces = mesh.faces.copy()
    faces[bridged, 1] = mirror[faces[bridged, 3]]
    right = number[np.take_along_axis(mesh.faces, order, axis=1)][~bridged]
    carriers = [
        sparse.csr_matrix(
            (np.ones(len(target)), (np.arange(len(target)), target)), shape=(len(target), SKIN_VERTICES)
        )
        for target in (half.left, half.right)
    ]
    transfer = stack([mesh.points @ carriers[0], mesh.points[other] @ carriers[1]])
    mouth = np.concatenate([mesh.mouth, mirror[mesh.mouth[:, -2:0:-1]]], axis=1)
    eyes = np.stack([mesh.eye, mirror[mesh.eye]])
    material = np.concatenate([mesh.face_material, mesh.face_material[~bridged]])
    lines = {name: np.concatenate([mirror[line[:0:-1]], line]) for name, line in mesh.flow_lines.items()}
    return Mesh(np.concatenate([faces, right]), transfer, mirror, eyes, mouth, material, lines)


def _on_midline(mesh: HalfMesh) -> NDArray[np.bool_]:
    return np.asarray(np.abs(mesh.points @ mesh.half.vertices[:, 0]) == 0.0)


def _without_flat_corners(mesh: HalfMesh) -> tuple[HalfMesh, NDArray[np.bool_]]:
    """Drop the midline points that are the flat corner of a single quad: with its mirror image the quad
    becomes one across the midline. Such quads are turned so that corner 1 was the dropped one, and told by
    the mask (F,). The mouth bag keeps its points: its texture seam follows the midline."""
    total = count(mesh.points)
    on_midline = np.append(_on_midline(mesh), False)
    used = np.bincount(mesh.faces[mesh.faces >= 0], minlength=total)
    flat = np.append(used == 1, False)[mesh.faces]
    for neighbour in (1, -1):
        flat &= on_midline[np.roll(mesh.faces, neighbour, axis=1)]
    flat &= on_midline[mesh.faces] & (mesh.faces[:, 3:] >= 0) & (mesh.face_material == SKIN)[:, None]
    bridged = flat.any(axis=1)
    dropped = mesh.faces[flat]
    turned = mesh.faces.copy()
    for face in np.flatnonzero(bridged):
        turned[face] = np.roll(turned[face], 1 - int(np.argmax(flat[face])))
    kept = np.setdiff1d(np.arange(total), dropped)
    number = np.full(total + 1, -1)
    number[kept] = np.arange(len(kept))
    return (
        HalfMesh(
            mesh.half,
            mesh.points[kept],
            number[turned],
            number[mesh.eye],
            number[mesh.mouth],
            mesh.face_material,
            {name: number[line] for name, line in mesh.flow_lines.items()},
        ),
        bridged,
    )
