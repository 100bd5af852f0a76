"""One texture tile for the skin: conformal islands made bijective and less stretched, exactly
mirror-symmetric.

Each island is flattened by LSCM and improved by scalable locally injective mappings (Rabinovich et al. 2017,
symmetric Dirichlet energy). The head would fold over itself at its openings, so those are filled with fans of
triangles meanwhile, and the pose that is flattened has the jaw partly open, which gives the mouth an area of
its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import igl
import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from .template_mesh import MOUTH, SKIN, SOCKET
from .template_surface import areas, boundary_loops, directed_edges

if TYPE_CHECKING:
    from numpy.typing import NDArray

JAW_SHARE = 0.45
"""Weight of the open jaw in the pose that is flattened."""
POCKET_SCALE = 0.6
"""Ears and nostrils become islands of their own where the conformal scale of the head falls below this share
of its median."""
MAJORITY_ROUNDS = 20
"""How often faces side with most of their neighbours, which smooths the borders of those islands."""
SLIM_ITERATIONS = 40
MARGIN = 0.008
"""Free border of islands and tile, in tile widths."""
SHRINK = 0.6
"""Back of the head and neck are flattened as if they were smaller by this factor: more of the tile for the
face."""
BACK_FADE, BACK_CENTRE = (50.0, -50.0), (0.0, 0.0, 20.0)
"""Depths z between which the shrinking of the back sets in, and the point it draws to, mm."""
NECK_FADE, NECK_CENTRE = (-80.0, -190.0), (0.0, -120.0, 10.0)
"""The same for the neck, with heights y."""
FREE_CORNER = (0.01, 0.01, 0.155, 0.175)
"""u0, v0, u1, v1 of a rectangle the skin leaves free; so is its mirror image. Eyes and teeth find their place
there."""
DENSITY = {"ear": 1.0, "nostril": 1.0, "mouth": 0.55, "socket": 0.55}
"""Texture resolution of the small islands against the face's."""


@dataclass(frozen=True)
class Island:
    """A flattened disk of faces."""

    faces: NDArray[np.int64]
    """(n,) face numbers."""
    corners: NDArray[np.int64]
    """(n, 4) into `uv`."""
    owner: NDArray[np.int64]
    """(m,) the vertex of each texture coordinate, ascending but for the doubles along a seam."""
    uv: NDArray[np.float64]
    """(m, 2) in mm until packed."""


def unwrap(
    vertices: NDArray[np.floating],
    faces: NDArray[np.int64],
    triangles: NDArray[np.int64],
    material: NDArray[np.int16],
    mirror: NDArray[np.int64],
    jaw_open: NDArray[np.floating],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Texture coordinates (U, 2) in the unit tile and faces (F, 4) into them.

    `vertices` (V, 3) is the neutral and `jaw_open` (V, 3) its delta with the jaw fully open, both in mm; all
    `faces` (F, 4) are quads and `triangles` (2F, 3) their halves in the same order.
    """
    halves = triangles.reshape(-1, 2, 3)
    left_side = (vertices[faces, 0] >= 0).all(axis=1)
    twin = _mirrored_faces(faces, mirror)
    pockets = _pockets(vertices, faces, halves, left_side & (material == SKIN))
    head = material == SKIN
    for pocket in pockets.values():
        head[pocket] = head[twin[pocket]] = False
    posed = vertices + JAW_SHARE * jaw_open
    small = {
        **pockets,
        "mouth": np.flatnonzero(left_side & (material == MOUTH)),
        "socket": np.flatnonzero(left_side & (material == SOCKET)),
    }
    islands = {name: _flatten(vertices, faces, halves, numbers) for name, numbers in small.items()}
    main = _flatten_head(posed, faces, halves, np.flatnonzero(head), mirror)
    return _pack(main, islands, faces, mirror, twin)


def _mirrored_faces(faces: NDArray[np.int64], mirror: NDArray[np.int64]) -> NDArray[np.int64]:
    """(F,) number of each face's mirror image."""
    order = np.lexsort(np.sort(faces, axis=1).T)
    mirrored_order = np.lexsort(np.sort(mirror[faces], axis=1).T)
    twin = np.empty(len(faces), np.int64)
    twin[mirrored_order] = order
    return twin


def _pockets(
    vertices: NDArray[np.floating],
    faces: NDArray[np.int64],
    halves: NDArray[np.int64],
    region: NDArray[np.bool_],
) -> dict[str, NDArray[np.int64]]:
    """Faces of the left ear and nostril, where a conformal map of the left half of the skin shrinks most."""
    numbers = np.flatnonzero(region)
    used, compact = np.unique(faces[numbers], return_inverse=True)
    quads = compact.reshape(-1, 4)
    space = vertices[used].astype(np.float64)
    triangles = np.searchsorted(used, halves[numbers]).reshape(-1, 3)
    plane = _lscm(space, triangles)
    per_triangle = np.sqrt(np.abs(areas(plane, triangles)) / areas(space, triangles))
    scale = per_triangle.reshape(-1, 2).mean(axis=1)
    neighbours = _face_neighbours(quads)
    pocket = scale < POCKET_SCALE * np.median(scale)
    degree = np.asarray(neighbours.sum(axis=1)).ravel()
    for _ in range(MAJORITY_ROUNDS):
        votes = neighbours @ pocket.astype(np.float64) + 0.5 * pocket
        pocket = votes > (degree + 0.5) / 2
    pocket = _without_islands(pocket, neighbours)
    parts = connected_components(neighbours[pocket][:, pocket], directed=False)[1]
    largest = np.argsort(-np.bincount(parts))[:2]
    members = [numbers[np.flatnonzero(pocket)[parts == part]] for part in largest]
    members.sort(key=lambda part: -float(vertices[faces[part], 0].mean()))
    return {"ear": members[0], "nostril": members[1]}


def _face_neighbours(quads: NDArray[np.int64]) -> sparse.csr_matrix:
    edges = np.sort(directed_edges(quads), axis=1)
    _, edge = np.unique(edges, axis=0, return_inverse=True)
    owner = np.repeat(np.arange(len(quads)), 4)
    incidence = sparse.csr_matrix((np.ones(len(owner)), (owner, edge.ravel())))
    shared = sparse.csr_matrix(incidence @ incidence.T)
    shared.setdiag(0)
    shared.eliminate_zeros()
    return shared


def _without_islands(pocket: NDArray[np.bool_], neighbours: sparse.csr_matrix) -> NDArray[np.bool_]:
    """Pockets with their holes filled: what is outside must hang together."""
    outside = np.flatnonzero(~pocket)
    parts = connected_components(neighbours[outside][:, outside], directed=False)[1]
    filled = pocket.copy()
    filled[outside[parts != np.argmax(np.bincount(parts))]] = True
    return filled


def _flatten(
    vertices: NDArray[np.floating],
    faces: NDArray[np.int64],
    halves: NDArray[np.int64],
    numbers: NDArray[np.int64],
) -> Island:
    """A disk of faces, turned so that its long side is horizontal."""
    used, compact = np.unique(faces[numbers], return_inverse=True)
    space, quads = vertices[used].astype(np.float64), compact.reshape(-1, 4)
    triangles = np.searchsorted(used, halves[numbers]).reshape(-1, 3)
    plane = _improved(space, triangles, _lscm(space, triangles))
    plane -= plane.mean(axis=0)
    axis = np.linalg.eigh(plane.T @ plane)[1][:, 1]
    return Island(numbers, quads, used, plane @ np.stack([axis, [-axis[1], axis[0]]], axis=1))


def _flatten_head(
    posed: NDArray[np.floating],
    faces: NDArray[np.int64],
    halves: NDArray[np.int64],
    numbers: NDArray[np.int64],
    mirror: NDArray[np.int64],
) -> Island:
    """The skin without its pockets, cut down the back from the crown to the rim of the neck, symmetric in
    u."""
    y, z = posed[:, 1], posed[:, 2]
    midline = mirror == np.arange(len(mirror))
    on_seam = midline & ((z < -10) | ((y > 100) & (z < 5)))
    edges = directed_edges(faces[numbers])
    seam_edges = edges[on_seam[edges].all(axis=1)]
    ends = np.bincount(np.unique(np.sort(seam_edges, axis=1), axis=0).ravel(), minlength=len(posed)) == 1
    crown = int(np.flatnonzero(ends)[np.argmax(z[ends])])
    on_seam[crown] = False
    right = posed[faces[numbers], 0].min(axis=1) < 0
    doubled = faces[numbers], halves[numbers].reshape(-1, 6)
    keys, halves_keys = (part + len(posed) * (on_seam[part] & right[:, None]) for part in doubled)
    used, compact = np.unique(keys, return_inverse=True)
    quads, owner = compact.reshape(-1, 4), used % len(posed)
    space = _face_first(posed[owner].astype(np.float64))
    triangles = np.searchsorted(used, halves_keys).reshape(-1, 3)
    filled_space, filled = _with_filled_holes(space, triangles)
    plane = _improved(filled_space, filled, _lscm(filled_space, filled))[: len(used)]
    twin = np.searchsorted(
        used, np.where(on_seam[owner], (used + len(posed)) % (2 * len(posed)), mirror[owner])
    )
    return Island(numbers, quads, owner, _upright(plane, space, twin))


def _face_first(space: NDArray[np.float64]) -> NDArray[np.float64]:
    """The head with its back and its neck shrunk."""
    for axis, (start, end), centre in ((2, BACK_FADE, BACK_CENTRE), (1, NECK_FADE, NECK_CENTRE)):
        fade = np.clip((start - space[:, axis, None]) / (start - end), 0, 1)
        space = centre + (space - centre) * (1 - (1 - SHRINK) * fade * fade * (3 - 2 * fade))
    return space


def _upright(
    plane: NDArray[np.float64], space: NDArray[np.float64], twin: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Turn the map so that +v is up and u = 0 the axis of symmetry, and average both halves."""
    across = (plane - plane[twin])[np.argmax(space[:, 0])]
    u = across / np.linalg.norm(across)
    axis = ((plane + plane[twin]) / 2).mean(axis=0)
    turned = (plane - axis) @ np.stack([u, [-u[1], u[0]]], axis=1)
    return (turned + turned[twin] * [-1.0, 1.0]) / 2


def _with_filled_holes(
    space: NDArray[np.float64], triangles: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """A fan round the middle of every border but the longest."""
    loops = sorted(boundary_loops(triangles), key=len)[:-1]
    middles = [space[loop].mean(axis=0) for loop in loops]
    fans = [
        np.stack([np.roll(loop, -1), loop, np.full(len(loop), len(space) + number)], axis=1)
        for number, loop in enumerate(loops)
    ]
    return np.concatenate([space, *np.reshape(middles, (-1, 1, 3))]), np.concatenate([triangles, *fans])


def _lscm(space: NDArray[np.float64], triangles: NDArray[np.int64]) -> NDArray[np.float64]:
    border = max(boundary_loops(triangles), key=len)
    first = border[0]
    distance = np.linalg.norm(space[border] - space[first], axis=1)
    pins = np.array([first, border[int(np.argmax(distance))]])
    plane = np.asarray(
        igl.lscm(space, triangles, pins, np.array([[0.0, 0.0], [float(distance.max()), 0.0]]))[0]
    )
    enlarged = np.abs(areas(plane, triangles)).sum() / areas(space, triangles).sum()
    return plane / np.sqrt(enlarged)


def _improved(
    space: NDArray[np.float64], triangles: NDArray[np.int64], plane: NDArray[np.float64], rounds: int = 200
) -> NDArray[np.float64]:
    """The map without flipped triangles and with less stretch; `ValueError` when averaging cannot unfold
    it."""
    edges = np.unique(np.sort(directed_edges(triangles), axis=1), axis=0)
    both = np.concatenate([edges, edges[:, ::-1]])
    adjacency = sparse.csr_matrix((np.ones(len(both)), both.T), shape=(len(space),) * 2)
    degree = np.asarray(adjacency.sum(axis=1))
    plane = plane.copy()
    flipped = areas(plane, triangles) <= 0
    for _ in range(rounds):
        moved = np.unique(triangles[flipped])
        plane[moved] = ((adjacency @ plane) / degree)[moved]
        flipped = areas(plane, triangles) <= 0
    if flipped.any():
        raise ValueError(f"{int(flipped.sum())} triangles of a texture island stay folded")
    data = igl.slim_precompute(
        np.asfortranarray(space),
        np.asfortranarray(triangles.astype(np.int32)),
        np.asfortranarray(plane),
        igl.MappingEnergyType.SYMMETRIC_DIRICHLET,
        np.zeros(0, np.int32),
        np.zeros((0, 2), order="F"),
        0.0,
    )
    return np.asarray(igl.slim_solve(data, SLIM_ITERATIONS))[:, :2]


def _pack(
    head: Island,
    islands: dict[str, Island],
    faces: NDArray[np.int64],
    mirror: NDArray[np.int64],
    twin: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The head across the foot of the tile, the small islands in a row above it, the right ones mirrored from
    the left."""
    sizes = {name: np.ptp(island.uv, axis=0) * DENSITY[name] for name, island in islands.items()}
    width, height = np.ptp(head.uv, axis=0)
    row_width, row_height = sum(size[0] for size in sizes.values()), max(size[1] for size in sizes.values())
    scale = min(
        (1 - 2 * MARGIN) / width,
        (1 - 3 * MARGIN) / (height + row_height),
        (0.5 - (len(islands) + 0.5) * MARGIN) / row_width,
    )
    coordinates = [head.uv * scale + [0.5, MARGIN - scale * head.uv[:, 1].min()]]
    corners = np.empty_like(faces)
    corners[head.faces] = head.corners
    count, left = len(head.uv), 0.5 + MARGIN / 2
    for name, island in islands.items():
        low = island.uv.min(axis=0)
        placed = (island.uv - low) * (DENSITY[name] * scale) + [left, 1 - MARGIN - scale * sizes[name][1]]
        left += scale * sizes[name][0] + MARGIN
        coordinates += [placed, placed * [-1.0, 1.0] + [1.0, 0.0]]
        corners[island.faces] = count + island.corners
        right = twin[island.faces]
        corners[right] = count + len(placed) + np.searchsorted(island.owner, mirror[faces[right]])
        count += 2 * len(placed)
    return np.concatenate(coordinates), corners
