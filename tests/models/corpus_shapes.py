"""Small surfaces that stand for parts of a face, as (vertices (V, 3), triangles (T, 3))."""

import numpy as np


def grid_triangles(rings, columns):
    """A closed band of rings x columns vertices in row-major order."""
    index = np.arange(rings * columns).reshape(rings, columns)
    right = np.roll(index, -1, axis=1)
    quads = np.stack([index[:-1], right[:-1], right[1:], index[1:]], axis=2).reshape(-1, 4)
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int32)


def lids(radius, rings=12, columns=40, opening=0.35, end=1.2):
    """A spherical shell about the origin with a round hole towards +z; ring 0 is the rim of the hole."""
    polar = np.linspace(opening, end, rings)[:, None]
    around = np.linspace(0.0, 2.0 * np.pi, columns, endpoint=False) + np.pi / columns
    x, y, z = np.broadcast_arrays(
        np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)
    )
    vertices = radius * np.stack([x, y, z], axis=2).reshape(-1, 3)
    return vertices.astype(np.float32), grid_triangles(rings, columns)[:, ::-1].copy()


def dome(rings, columns):
    """A cap of a sphere of radius 10, a hole at its top."""
    return lids(10.0, rings, columns, opening=0.15, end=1.3)


def mouth(rings=10, columns=36, half_width=25.0, half_height=1.0):
    """A flat tube along z whose wall faces its axis, like the inside of the lips; ring 0 is deepest."""
    depth = np.linspace(0.0, 30.0, rings)[:, None]
    around = np.linspace(0.0, 2.0 * np.pi, columns, endpoint=False) + np.pi / columns
    wide, high = half_width * np.cos(around), half_height * np.sin(around)
    vertices = np.stack(np.broadcast_arrays(wide, high, depth), axis=2).reshape(-1, 3)
    return vertices.astype(np.float32), grid_triangles(rings, columns)[:, ::-1].copy()


def facing_pairs(ring, columns):
    """(P, 2) upper and lower vertices of one ring with the same x; the two ends are left out."""
    upper = np.arange(1, columns // 2 - 1)
    return ring * columns + np.stack([upper, columns - 1 - upper], axis=1)
