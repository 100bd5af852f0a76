"""What of a mesh can be seen from outside: mouth bags, sockets, teeth and turned faces tell on themselves.

From both sides of every triangle rays leave in directions spread over the sphere; the share that meets
nothing tells whether that side looks out. No winding, manifoldness or closedness is assumed.
"""

from __future__ import annotations

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int32]

DIRECTIONS = 24
MOST_TRIANGLES = 120_000
"""Of larger meshes so many triangles are asked; the others take the answer of one near them in file order."""
RAYS_AT_ONCE = 1 << 19


def openness(vertices: Doubles, triangles: Ints) -> tuple[Doubles, Doubles]:
    """Share of the half-sphere in front of and behind each triangle, (T,) each, from which it can be seen.

    vertices (V, 3) in any units; triangles (T, 3).
    """
    centre = vertices.mean(axis=0)
    size = float(np.abs(vertices - centre).max())
    corners = ((vertices - centre) / size).astype(np.float32)[triangles]
    scene = EmbreeScene()
    TriangleMesh(scene, corners)
    stride = max(1, -(-len(triangles) // MOST_TRIANGLES))
    asked = corners[::stride]
    middle = asked.mean(axis=1)
    normal = np.cross(asked[:, 1] - asked[:, 0], asked[:, 2] - asked[:, 0])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-30)
    seen = np.zeros((2, len(asked)))
    tried = np.zeros((2, len(asked)))
    for direction in sphere(DIRECTIONS):
        facing = normal @ direction
        side = (facing < 0).astype(np.int64)
        grazing = np.abs(facing) < 0.05
        start = middle + np.where(side, -1e-4, 1e-4)[:, None].astype(np.float32) * normal
        free = escapes(scene, start, direction) & ~grazing
        tried[side, np.arange(len(asked))] += ~grazing
        seen[side, np.arange(len(asked))] += free
    share = seen / np.maximum(tried, 1)
    front, back = np.repeat(share, stride, axis=1)[:, : len(triangles)]
    return front, back


def escapes(scene: EmbreeScene, origins: Floats, direction: Floats) -> NDArray[np.bool_]:
    """(N,) whether the ray from each origin (N, 3) along ``direction`` (3,) meets nothing."""
    free = np.empty(len(origins), bool)
    for start in range(0, len(origins), RAYS_AT_ONCE):
        some = origins[start : start + RAYS_AT_ONCE]
        along = np.ascontiguousarray(np.broadcast_to(direction, some.shape), np.float32)
        free[start : start + len(some)] = scene.run(some, along, query="OCCLUDED") < 0
    return free


def sphere(count: int) -> Floats:
    """(count, 3) unit directions spread evenly: the Fibonacci lattice."""
    index = np.arange(count) + 0.5
    height = 1.0 - 2.0 * index / count
    angle = np.pi * (1.0 + 5.0**0.5) * index
    radius = np.sqrt(1.0 - height**2)
    return np.stack([radius * np.cos(angle), height, radius * np.sin(angle)], axis=1).astype(np.float32)
