"""A small head for tests of recognition: a bent strip of quads with a border, and two balls behind it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from models.head import Head
from tests.models.tiny import tiny_head

COLUMNS, ROWS = 13, 9


def grid_head() -> Head:
    """Skin of 13 x 9 vertices over x and y, and two quad tubes for eyes; symmetric in x."""
    skin, skin_faces = _sheet()
    left, eye_faces = _tube(np.array([30.0, 10.0, -25.0]))
    right = left * [-1, 1, 1]
    count = len(skin)
    vertices = np.concatenate([skin, left, right]).astype(np.float32)
    faces = np.concatenate([skin_faces, eye_faces + count, eye_faces[:, ::-1] + count + len(left)])
    distance = np.linalg.norm(vertices[:, None] - vertices * [-1, 1, 1], axis=2)
    head = tiny_head()
    parts = {"eye_left": [count, count + len(left)], "eye_right": [count + len(left), len(vertices)]}
    return replace(
        head,
        config={**head.config, "skin_vertices": count, "parts": parts},
        neutral_vertices=vertices,
        faces=faces.astype(np.int32),
        triangles=np.concatenate([faces[:, [0, 1, 2]], faces[:, [0, 2, 3]]]).astype(np.int32),
        mirror=distance.argmin(axis=1).astype(np.int32),
    )


def _sheet() -> tuple[np.ndarray, np.ndarray]:
    """A sheet without any symmetry but left and right, its corners counter-clockwise seen from +Z."""
    x, y = np.meshgrid(np.linspace(-60, 60, COLUMNS), np.linspace(-50, 50, ROWS))
    z = 40 - x**2 / 100 + 8 * np.cos(y / 30) + y / 5
    index = np.arange(COLUMNS * ROWS).reshape(ROWS, COLUMNS)
    corners = (index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1])
    return np.stack([x, y + x**2 / 300, z], axis=2).reshape(-1, 3), np.stack(corners, axis=2).reshape(-1, 4)


def _tube(centre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A bulged tube of eight columns and four rows: it looks the same from every column."""
    angle = np.arange(8) * np.pi / 4 + 0.1
    rows = [
        np.stack([r * np.cos(angle), r * np.sin(angle), np.full(8, z)], axis=1)
        for r, z in ((6, 9), (11, 4), (11, -4), (6, -9))
    ]
    index = np.arange(32).reshape(4, 8)
    around = np.roll(index, -1, axis=1)
    corners = (index[1:], around[1:], around[:-1], index[:-1])
    return np.concatenate(rows) + centre, np.stack(corners, axis=2).reshape(-1, 4)
