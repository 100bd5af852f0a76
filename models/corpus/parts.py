"""Parts of the Dimple head beside its skin: what a part is, and how one side becomes both.

The geometry itself lives in `parts_eyes` (eyeballs) and `parts_teeth` (teeth, gums, tongue). Everything is of
Dimple's own making; ICT-FaceKit only says where things sit and how they follow a person's identity.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Ints = NDArray[np.int32]

MIRROR = np.array([-1.0, 1.0, 1.0])
"""The sagittal plane x = 0."""


@dataclass(frozen=True)
class Island:
    """A piece of a part's UV map, in a frame of its own; all corners are non-negative."""

    uv: Doubles
    """(U, 2), in millimetres of surface, roughly."""
    uv_faces: Ints
    """(F', 4) into `uv`, -1 pads triangles."""
    faces: Ints
    """(F',) the part's faces that the island covers."""


@dataclass(frozen=True)
class Part:
    """One closed surface that moves as a whole."""

    vertices: Doubles
    """(P, 3) on the mean person, mm."""
    faces: Ints
    """(F, 4), -1 pads triangles, counter-clockwise from outside."""
    materials: tuple[str, ...]
    """The material of each face."""
    mirror: Ints
    """(P,) the mirrored vertex: of this part when it straddles x = 0, of its twin otherwise."""
    islands: tuple[Island, ...]
    """Cover every face once."""


def twin(part: Part) -> Part:
    """The same part on the other side: vertex i mirrors vertex i, and faces still look outwards."""
    return Part(
        vertices=part.vertices * MIRROR,
        faces=turned(part.faces),
        materials=part.materials,
        mirror=part.mirror,
        islands=tuple(
            upright(Island(island.uv, turned(island.uv_faces), island.faces)) for island in part.islands
        ),
    )


def turned(faces: Ints) -> Ints:
    """(F, 4) the same faces wound the other way, each still starting at its first corner."""
    quad = faces[:, [0, 3, 2, 1]]
    triangle = np.concatenate([faces[:, [0, 2, 1]], faces[:, 3:]], axis=1)
    return np.where(faces[:, 3:] < 0, triangle, quad)


def grid(rows: int, columns: int, closed_columns: bool) -> Ints:
    """(F, 4) quads of a rows x columns grid of vertices in row-major order.

    Quads are counter-clockwise seen from the side where rows run up and columns run right. `closed_columns`
    joins the last column to the first.
    """
    index = np.arange(rows * columns, dtype=np.int32).reshape(rows, columns)
    if closed_columns:
        index = np.concatenate([index, index[:, :1]], axis=1)
    corners = [index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]]
    return np.stack(corners, axis=-1).reshape(-1, 4)


def fan(ring: Ints, tip: int) -> Ints:
    """(C, 4) triangles from a closed ring to one tip vertex, turning with the ring."""
    following = np.roll(ring, -1)
    return np.stack([ring, following, np.full_like(ring, tip), np.full_like(ring, -1)], axis=1)


def arc_lengths(points: Doubles) -> Doubles:
    """(N,) length along a polyline from its first point."""
    return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])


def upright(island: Island) -> Island:
    """The island moved to the origin, and mirrored if its faces turn clockwise in the UV plane."""
    a, b, c = (island.uv[island.uv_faces[:, corner]] for corner in range(3))
    (bx, by), (cx, cy) = (b - a).T, (c - a).T
    facing = np.sign((bx * cy - by * cx).sum())
    uv = island.uv * [1.0, facing]
    return Island(uv - uv.min(axis=0), island.uv_faces, island.faces)
