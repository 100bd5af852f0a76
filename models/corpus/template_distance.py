"""Geodesic distance from a curve on the half skin, and curves of equal distance."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import igl
import numpy as np

from .template_surface import Rows, cut_along, directed_edges, rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .template_surface import HalfSkin

SPLITS = 8
"""Sources per edge of a curve whose geodesic distance is wanted: igl measures from points, not from edges."""


def outer_piece(half: HalfSkin, curves: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Triangles of the piece with the crown of the head when the surface is cut along `curves`."""
    return piece_with(half, curves, int(np.argmax(half.vertices[:, 1])))


def piece_with(half: HalfSkin, curves: list[NDArray[np.int64]], vertex: int) -> NDArray[np.int64]:
    """Triangles of the piece that holds `vertex` when the surface is cut along `curves`."""
    piece = cut_along(half, curves)
    wanted = piece[np.flatnonzero((half.quads == vertex).any(axis=1))[0]]
    return half.triangles[np.repeat(piece == wanted, 2)]


def geodesic_distance(
    vertices: NDArray[np.float64], triangles: NDArray[np.int64], curve: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(H,) exact distance along `triangles` from a chain of boundary edges; infinite off the piece."""
    owner = {edge: index for index, edge in enumerate(map(tuple, directed_edges(triangles).tolist()))}
    points, extra, split = list(vertices), [], set()
    for a, b in zip(curve[:-1].tolist(), curve[1:].tolist(), strict=True):
        start, end = (a, b) if (a, b) in owner else (b, a)
        index = owner[start, end]
        apex = int(triangles[index // 3, (index % 3 + 2) % 3])
        fresh = range(len(points), len(points) + SPLITS - 1)
        shares = np.arange(1, SPLITS)[:, None] / SPLITS
        points += list((1 - shares) * vertices[start] + shares * vertices[end])
        stops = [start, *fresh, end]
        extra += [(apex, p, q) for p, q in itertools.pairwise(stops)]
        split.add(index // 3)
    whole = np.delete(triangles, sorted(split), axis=0)
    refined = np.concatenate([whole, np.array(extra)])
    used, compact = np.unique(refined, return_inverse=True)
    sources = np.concatenate([np.searchsorted(used, curve), np.flatnonzero(used >= len(vertices))])
    found = igl.exact_geodesic(
        np.array(points)[used], compact.reshape(-1, 3), VS=np.unique(sources), VT=np.arange(len(used))
    )
    distance = np.full(len(points), np.inf)
    distance[used] = found
    return distance[: len(vertices)]


def level_set(half: HalfSkin, triangles: NDArray[np.int64], field: NDArray[np.float64], value: float) -> Rows:
    """The chain of edge points where `field` passes `value`; closed chains repeat their first point at the
    end."""
    below = field < value
    neighbours: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for triangle in triangles.tolist():
        crossings = [
            (min(a, b), max(a, b))
            for a, b in zip(triangle, triangle[1:] + triangle[:1], strict=True)
            if below[a] != below[b]
        ]
        if crossings:
            first, second = crossings
            neighbours.setdefault(first, []).append(second)
            neighbours.setdefault(second, []).append(first)
    edges = np.array(_longest_chain(neighbours))
    low, high = field[edges].T
    share = (value - low) / (high - low)
    return rows(edges, np.stack([1 - share, share], axis=1), len(half.vertices))


def _longest_chain(neighbours: dict[tuple[int, int], list[tuple[int, int]]]) -> list[tuple[int, int]]:
    chains: list[list[tuple[int, int]]] = []
    seen: set[tuple[int, int]] = set()
    for start in sorted(neighbours, key=lambda node: len(neighbours[node])):
        if start in seen:
            continue
        chain, node = [start], start
        seen.add(start)
        while following := [other for other in neighbours[node] if other not in seen]:
            node = following[0]
            seen.add(node)
            chain.append(node)
        if len(chain) > 2 and start in neighbours[node]:
            chain.append(start)
        chains.append(chain)
    return max(chains, key=len)
