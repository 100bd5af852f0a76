"""The tongue: a smooth closed tube between the lower teeth that moves with the jaw."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import PchipInterpolator

from models.corpus.parts import Doubles, Island, Part, fan, grid, turned, upright

AROUND = 10
STATIONS = np.array([44.0, 50.0, 58.0, 67.0, 76.0, 84.0, 90.0, 93.5])
"""z of the rings, from the root to the tip, mm."""
OUTLINE = np.array(
    [
        # z, half width, top y, bottom y
        [41.0, 0.0, -41.0, -41.0],
        [46.0, 10.5, -35.0, -47.0],
        [56.0, 14.2, -32.0, -49.0],
        [68.0, 14.4, -32.5, -49.0],
        [80.0, 12.2, -35.5, -47.5],
        [89.0, 8.0, -38.5, -45.0],
        [95.0, 0.0, -42.0, -42.0],
    ]
)
"""The tongue seen from above and from the side, mm."""
GROOVE = 0.9
"""Depth of the furrow along the middle of the back, mm."""


def tongue() -> Part:
    """The tongue on the mean person: rings from root to tip, each starting below, then the two poles."""
    width, top, bottom = PchipInterpolator(OUTLINE[:, 0], OUTLINE[:, 1:])(STATIONS).T
    turn = np.pi + np.arange(AROUND) * (2.0 * np.pi / AROUND)
    rise = np.cos(turn)
    middle, half = 0.5 * (top + bottom), 0.5 * (top - bottom)
    x = width[:, None] * np.sin(turn)
    y = middle[:, None] + half[:, None] * np.sign(rise) * np.abs(rise) ** 0.7
    y[:, AROUND // 2] -= GROOVE * width / width.max()
    rings = np.stack(np.broadcast_arrays(x, y, STATIONS[:, None]), axis=-1)
    root, tip = rings.size // 3, rings.size // 3 + 1
    first = np.arange(AROUND, dtype=np.int32)
    quads = turned(grid(len(STATIONS), AROUND, closed_columns=True))
    faces = np.concatenate([quads, fan(first, root), turned(fan(root - AROUND + first, tip))])
    opposite = (-first % AROUND) + AROUND * np.arange(len(STATIONS))[:, None]
    return Part(
        vertices=np.concatenate([rings.reshape(-1, 3), OUTLINE[[0, -1]][:, [1, 2, 0]]]),
        faces=faces,
        materials=("tongue",) * len(faces),
        mirror=np.append(opposite, [root, tip]).astype(np.int32),
        islands=(_strip(rings, len(faces)),),
    )


def _strip(rings: Doubles, faces: int) -> Island:
    """The tube cut along the underside and unrolled; each pole opens into one corner per triangle."""
    around = np.linalg.norm(rings - np.roll(rings, -1, axis=1), axis=2).mean(axis=0)
    across = np.concatenate([[0.0], np.cumsum(around)])
    along = STATIONS - OUTLINE[0, 0]
    length = OUTLINE[-1, 0] - OUTLINE[0, 0]
    unrolled = np.stack(np.meshgrid(along, across, indexing="ij"), axis=-1).reshape(-1, 2)
    middles = 0.5 * (across[1:] + across[:-1])
    poles = [np.stack([np.full(AROUND, end), middles], axis=1) for end in (0.0, length)]
    corner = np.arange(AROUND, dtype=np.int32)
    column = corner + (len(STATIONS) - 1) * (AROUND + 1)
    pole = len(unrolled) + corner
    none = np.full(AROUND, -1, np.int32)
    uv_faces = np.concatenate(
        [
            turned(grid(len(STATIONS), AROUND + 1, closed_columns=False)),
            np.stack([corner, corner + 1, pole, none], axis=1),
            np.stack([column, pole + AROUND, column + 1, none], axis=1),
        ]
    )
    uv = np.concatenate([unrolled, *poles])
    return upright(Island(uv, uv_faces.astype(np.int32), np.arange(faces, dtype=np.int32)))
