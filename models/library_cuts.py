"""Cutting a shape into left and right, upper and lower; closing the lips over an open jaw.

All on the skin as a graph, in model space (mm).
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags, identity
from scipy.sparse.linalg import splu

from .head import Head, face_edges

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

MIDDLE = 12.0
"""mm on either side of the midplane where the left share fades into the right one."""
LOWER_SHARE = 0.75
"""Our choice: how much of a gap between the lips the lower lip closes; the upper lip the rest."""
REACH = 8.0
"""mm over which closing the lips fades on the skin round them."""
STIFFNESS = 1e3
"""How much more a lip's place counts than smoothness."""


class Cuts:
    """Shares of each vertex of a head (V, 3) in model space; left and right, upper and lower add up to 1."""

    def __init__(self, head: Head, aligned: Floats) -> None:
        self._head, self._aligned = head, aligned

    def share(self, name: str) -> Floats:
        """(V, 1) the share `name`: any of L, R, U, D, or the product of two such as UL."""
        product = np.ones((len(self._aligned), 1), np.float32)
        for letter in name:
            product = (
                product
                * {"L": self._left, "R": 1 - self._left, "U": self._upper, "D": 1 - self._upper}[letter]
            )
        return product

    @cached_property
    def _left(self) -> Floats:
        t = np.clip((self._aligned[:, :1] / MIDDLE + 1) / 2, 0, 1)
        return (t * t * (3 - 2 * t)).astype(np.float32)

    @cached_property
    def _upper(self) -> Floats:
        """1 on the upper lip, 0 on the lower one, and harmonic between them: it goes round the corners."""
        share = np.full((len(self._aligned), 1), 0.5, np.float32)
        upper, lower = self._head.lip_pairs.T
        if not upper.size:
            return share
        skin = self._head.skin_vertices
        fixed = np.zeros(skin)
        fixed[np.concatenate([upper, lower])] = 1.0
        target = np.zeros(skin)
        target[upper] = 1.0
        system = laplacian(self._head) + STIFFNESS * diags(fixed) + 1e-6 * identity(skin)
        share[:skin, 0] = np.clip(_solved(system, STIFFNESS * target + 0.5e-6), 0, 1)
        for part, value in (("teeth_upper", 1.0), ("teeth_lower", 0.0), ("tongue", 0.0)):
            start, end = self._head.parts.get(part, (0, 0))
            share[start:end] = value
        return share


def closed_lips(head: Head, aligned: Floats, opened: Floats, closing: Floats) -> Floats:
    """`closing` (V, 3) mm changed so that, on top of the open jaw `opened` (V, 3), the lips meet as at rest.

    Every pair of lip vertices gets back the offset it has in the neutral face; the skin round them follows
    by the smoothest field that does so and fades with distance (a screened biharmonic one).
    """
    upper, lower = head.lip_pairs.T
    if not upper.size:
        return closing
    skin = head.skin_vertices
    moved = opened + closing
    apart = moved[lower] - moved[upper]
    fixed, target = np.zeros(skin), np.zeros((skin, 3))
    np.add.at(fixed, np.concatenate([upper, lower]), STIFFNESS)
    np.add.at(target, upper, STIFFNESS * (1 - LOWER_SHARE) * apart)
    np.add.at(target, lower, -STIFFNESS * LOWER_SHARE * apart)
    graph = laplacian(head)
    edges = face_edges(head.skin_triangles)
    near = np.isin(edges, head.lip_pairs).any(axis=1)
    spacing = float(np.linalg.norm(np.diff(aligned[edges[near]], axis=1), axis=2).mean())
    system = graph @ graph + (spacing / REACH) ** 4 * identity(skin) + diags(fixed)
    result = closing.copy()
    result[:skin] += _solved(system, target)
    return result


def _solved(system: Any, right: NDArray[np.float64]) -> NDArray[np.float64]:
    """The solution of a sparse square system, of the shape of its right-hand side."""
    return np.asarray(splu(system.tocsc()).solve(right))


def laplacian(head: Head) -> csr_matrix:
    """(Vs, Vs) the Laplacian of the skin's edges, each row divided by the vertex's number of neighbours."""
    first, second = face_edges(head.skin_triangles).T
    rows, columns = np.concatenate([first, second]), np.concatenate([second, first])
    skin = head.skin_vertices
    neighbours = csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(skin, skin))
    degree = np.maximum(np.asarray(neighbours.sum(axis=1)).ravel(), 1.0)
    return csr_matrix(identity(skin) - diags(1.0 / degree) @ neighbours)
