"""Which shape keys deserve maps of their own: those that fold the skin most, left and right together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

SIDES = (("Left", "Right"), ("left", "right"), ("_L", "_R"), (".L", ".R"), ("L", "R"))
"""How names tell the sides: at their end, or, as FACS numbers do, at their beginning."""
STILL = 1e-8
"""Compression energy up to which rounding, not motion, is what shortens the skin."""
MIDDLE_MM = 8.0
"""mm on either side of the middle over which left fades into right."""


@dataclass(frozen=True)
class KeySet:
    """Shape keys that share maps: one, or the left and the right half of one movement."""

    label: str
    keys: tuple[int, ...]  # rows of the deformations
    sides: tuple[str, ...]  # "left", "right" or "both" for each


def choose_sets(
    names: Sequence[str], neutral: Floats, triangles: Ints, deformations: Floats, most: int
) -> list[KeySet]:
    """At most `most` sets of the keys `names`, those first that compress the skin most.

    neutral (V, 3), triangles (F, 3) of the skin, deformations (N, V, 3) that each key adds at value 1.
    """
    sets = _paired(names)
    moved = np.stack([deformations[list(entry.keys)].sum(axis=0) for entry in sets])
    energy = compression_energy(neutral, triangles, moved)
    order = sorted(range(len(sets)), key=lambda i: (-energy[i], i))
    return [sets[i] for i in order[:most] if energy[i] > STILL]


def compression_energy(neutral: Floats, triangles: Ints, deformations: Floats) -> NDArray[np.float64]:
    """(N,) mean over the surface of the squared shortening along the direction that shortens most.

    That is max(0, 1 - s)^2 with s the smaller singular value of each triangle's deformation gradient.
    """
    rest = _edges(neutral[triangles].astype(np.float64))
    normal = np.cross(rest[:, :, 0], rest[:, :, 1])
    area = 0.5 * np.linalg.norm(normal, axis=1)
    used = area > 1e-12 * max(float(area.max(initial=0.0)), 1e-30)
    rest, area = rest[used], area[used]
    # Cauchy-Green tensor in the plane: eigenvalues of (R^T R)^-1 (D^T D), R and D the 3 x 2 edges
    inverse = np.linalg.inv(rest.transpose(0, 2, 1) @ rest)
    energies: list[float] = []
    for deformation in deformations:
        edges = _edges((neutral + deformation)[triangles[used]].astype(np.float64))
        tensor = inverse @ (edges.transpose(0, 2, 1) @ edges)
        half = 0.5 * np.trace(tensor, axis1=1, axis2=2)
        root = np.sqrt(np.maximum(half**2 - np.linalg.det(tensor), 0.0))
        shortest = np.sqrt(np.maximum(half - root, 0.0))
        energies.append(float((area * np.maximum(1.0 - shortest, 0.0) ** 2).sum() / area.sum()))
    return np.array(energies)


def side_weights(vertices: NDArray[np.floating]) -> Floats:
    """(V,) 1 on the character's left, 0 on the right, smooth between; vertices (V, 3) in model space, mm."""
    t = np.clip(0.5 + vertices[:, 0] / (2.0 * MIDDLE_MM), 0.0, 1.0)
    return (t * t * (3.0 - 2.0 * t)).astype(np.float32)


def _edges(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """(F, 3, 2) the two edges from the first corner of triangles (F, 3, 3)."""
    return np.stack([corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]], axis=2)


def _paired(names: Sequence[str]) -> list[KeySet]:
    rows = {name: row for row, name in enumerate(names)}
    sets: list[KeySet] = []
    done: set[str] = set()
    for name in names:
        if name in done:
            continue
        found = next(
            ((left, right) for left, right in _sides_of(name) if left in rows and right in rows), None
        )
        if found is None:
            sets.append(KeySet(name, (rows[name],), ("both",)))
            done.add(name)
        else:
            left, right = found
            label = _without_side(left, right)
            sets.append(KeySet(label, (rows[left], rows[right]), ("left", "right")))
            done |= {left, right}
    return sets


def _sides_of(name: str) -> list[tuple[str, str]]:
    """The pairs of names, left and right, of which this could be one."""
    pairs: list[tuple[str, str]] = []
    for (left, right), own in product(SIDES, (0, 1)):
        mark = (left, right)[own]
        if name.endswith(mark):
            stem = name.removesuffix(mark)
            pairs.append((stem + left, stem + right))
        if name.startswith(mark):
            stem = name.removeprefix(mark)
            pairs.append((left + stem, right + stem))
    return pairs


def _without_side(left: str, right: str) -> str:
    for mark, other in SIDES:
        if left.endswith(mark) and right == left.removesuffix(mark) + other:
            return re.sub(r"[_. ]+$", "", left.removesuffix(mark)) or left
        if left.startswith(mark) and right == other + left.removeprefix(mark):
            return left.removeprefix(mark)
    return left
