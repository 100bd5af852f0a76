"""Lids that stay outside of the artist's own eyeballs.

The shapes close lids over a globe of their own; an artist's eye may be larger, or bulge at the cornea. What a
frame would put inside goes straight out from the eye's middle, as far as it was outside at rest or a little.
"""

# A query of many points returns arrays of indices, whatever the stub of KDTree says.
# pyright: reportIndexIssue=false, reportReturnType=false
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from .transfer import Attachment, Rule

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Longs = NDArray[np.int64]

REACH = 1.5
"""Radii of the eye within which vertices are watched."""
CLEAR = 0.4
"""mm that lids keep from the eye unless they are nearer at rest."""
FOLDED = 2.0
"""mm inside the eye up to which skin is a fold of the lid."""
MOST = 1500
"""Vertices by which an eyeball is described; of finer ones every so many-th."""
OUTER, SPREAD = 0.97, 0.2
"""A vertex is inside the eye when another, within so many radians, is farther out than this share of it."""


@dataclass(frozen=True)
class _Globe:
    """The outer surface of an eye, seen from its middle, in the artist's space."""

    centre: Doubles  # (3,)
    radius: Doubles  # (N,)
    tree: KDTree  # of the unit directions (N, 3)

    def outside(self, arms: Doubles) -> Doubles:
        """(M,) how far points, given from the middle (M, 3), lie outside; negative inside."""
        distance = np.linalg.norm(arms, axis=1)
        away, near = self.tree.query(arms / np.maximum(distance, 1e-30)[:, None], k=4)
        share = 1.0 / (away + 1e-3)
        return distance - (share * self.radius[near]).sum(axis=1) / share.sum(axis=1)


class Eyes:
    """The eyeballs of a head, among its meshes, and the vertices round them."""

    def __init__(self, meshes: Mapping[str, Attachment]) -> None:
        self.globes = [
            _globe(meshes, side, rule) for side, rule in enumerate((Rule.EYE_LEFT, Rule.EYE_RIGHT))
        ]
        self.watched = [
            {name: _round(globe, mesh) for name, mesh in meshes.items()} if globe else {}
            for globe in self.globes
        ]

    def clear(self, moved: Mapping[str, Floats], rest: Mapping[str, Floats], turns: list[Doubles]) -> None:
        """Push what is inside an eye out, in place: moved (K, V, 3) from rest (V, 3).

        turns (K, 3, 3): what each eye has turned by, left and right.
        """
        for globe, watched, turn in zip(self.globes, self.watched, turns, strict=True):
            for name, (vertices, least, clear) in watched.items():
                if globe is None or not len(vertices):
                    continue
                for frame in np.flatnonzero(moved[name].any(axis=(1, 2))):
                    motion = moved[name][frame, vertices]
                    arms = rest[name][vertices] + motion - globe.centre
                    # folds that lie inside at rest come out with the lid that they unfold into
                    wanted = np.minimum(least + np.linalg.norm(motion, axis=1), np.maximum(least, clear))
                    depth = wanted - globe.outside(arms @ turn[frame])
                    inside = np.flatnonzero(depth > 0)
                    out = arms[inside] / np.linalg.norm(arms[inside], axis=1, keepdims=True)
                    moved[name][frame, vertices[inside]] += (depth[inside, None] * out).astype(np.float32)


def _globe(meshes: Mapping[str, Attachment], side: int, rule: Rule) -> _Globe | None:
    """The eye of one side: the outermost of all vertices that turn with it; None when there is none."""
    most = max(meshes.values(), key=lambda mesh: int((mesh.rule == rule).sum()))
    centre = most.pivots[side].astype(np.float64)
    arms = np.concatenate([mesh.vertices[mesh.rule == rule] for mesh in meshes.values()]) - centre
    arms = arms[:: -(-len(arms) // MOST) or 1]
    radius = np.linalg.norm(arms, axis=1)
    if len(arms) < 50:
        return None
    directions = arms / radius[:, None]
    tree = KDTree(directions)
    farthest = np.array([radius[near].max() for near in tree.query_ball_point(directions, SPREAD)])
    outer = radius > OUTER * farthest
    return _Globe(centre, radius[outer], KDTree(directions[outer]))


def _round(globe: _Globe, mesh: Attachment) -> tuple[Longs, Doubles, Doubles]:
    """Vertices of a mesh that are round an eye, how far outside each is, and how far it shall come."""
    arms = mesh.vertices - globe.centre
    near = np.linalg.norm(arms, axis=1) < REACH * float(np.median(globe.radius))
    vertices = np.flatnonzero(near & np.isin(mesh.rule, (Rule.SKIN, Rule.INNER, Rule.FILL, Rule.FOLLOW)))
    outside = globe.outside(arms[vertices]) if len(vertices) else np.zeros(0)
    mm = float(mesh.mm_per_unit)
    skin = (mesh.rule[vertices] == Rule.SKIN) & (outside * mm > -FOLDED)
    kept = (outside > 0) | skin
    outside, skin = outside[kept], skin[kept]
    vertices = vertices[kept]
    if not len(vertices):
        return vertices, outside, outside
    # between vertices so far apart a lid sags that deep towards the eye
    apart = KDTree(mesh.vertices[vertices]).query(mesh.vertices[vertices], k=min(6, len(vertices)))[0][:, -1]
    clear = CLEAR / mm + apart**2 / (4 * float(np.median(globe.radius)))
    return vertices, np.minimum(outside, clear), np.where(skin, clear, np.minimum(outside, clear))
