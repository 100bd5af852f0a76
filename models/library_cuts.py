"""Cutting a shape into left and right, upper and lower, in model space (mm)."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags, identity
from scipy.sparse.linalg import splu

from .head import Head

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

MIDDLE = 12.0
"""mm on either side of the midplane where the left share fades into the right one."""
STIFFNESS = 1e6
"""How much more the place of a lip counts than smoothness."""


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
        share[:skin, 0] = np.clip(solved(system, STIFFNESS * target + 0.5e-6), 0, 1)
        for part, value in (("teeth_upper", 1.0), ("teeth_lower", 0.0), ("tongue", 0.0)):
            start, end = self._head.parts.get(part, (0, 0))
            share[start:end] = value
        return share


def solved(system: Any, right: NDArray[np.float64]) -> NDArray[np.float64]:
    """The solution of a sparse square system, of the shape of its right-hand side."""
    return np.asarray(splu(system.tocsc()).solve(right))


def skin_edges(head: Head) -> Ints:
    """(E, 2) the undirected edges of the skin's triangles, each once."""
    corners = head.skin_triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    return np.unique(np.sort(corners, axis=1), axis=0)


def laplacian(head: Head) -> csr_matrix:
    """(Vs, Vs) the Laplacian of the skin's edges, each row divided by the vertex's number of neighbours."""
    first, second = skin_edges(head).T
    rows, columns = np.concatenate([first, second]), np.concatenate([second, first])
    skin = head.skin_vertices
    neighbours = csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(skin, skin))
    degree = np.maximum(np.asarray(neighbours.sum(axis=1)).ravel(), 1.0)
    return csr_matrix(identity(skin) - diags(1.0 / degree) @ neighbours)
