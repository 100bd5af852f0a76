"""Packing the parts' UV islands into what the skin leaves free of the tile."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from models.corpus.parts import Doubles, Ints, Island

CELLS = 512
"""The tile is packed on a grid of this many cells a side."""
MARGIN = 2
"""Cells kept free between any two islands and along the tile's border."""
BISECTIONS = 12

Mask = NDArray[np.bool_]


class NoRoomError(ValueError):
    """The islands do not fit into the free space at any useful size."""


def pack(
    islands: Sequence[Island], densities: Sequence[float], skin_uv: Doubles, skin_triangles: Ints
) -> list[Doubles]:
    """(U, 2) coordinates in the tile of each island's corners, as large as the free space allows.

    Islands keep their shape and, weighed with `densities`, their relative sizes; they may be turned by a
    quarter. Raises NoRoomError.
    """
    free = np.logical_not(binary_dilation(covered(skin_uv, skin_triangles), iterations=MARGIN))
    sizes = [density * np.ptp(island.uv, axis=0) for island, density in zip(islands, densities, strict=True)]
    low, high = 0.0, CELLS / max(size.max() for size in sizes)
    found = None
    for _ in range(BISECTIONS):
        scale = 0.5 * (low + high)
        places = _place([scale * size for size in sizes], free)
        low, high = (scale, high) if places else (low, scale)
        found = (scale, places) if places else found
    if found is None:
        raise NoRoomError("The skin's UV map leaves no room for eyes and teeth.")
    scale, places = found
    packed: list[Doubles] = []
    for island, density, (row, column, quarter) in zip(islands, densities, places, strict=True):
        uv = island.uv * (scale * density)
        uv = np.stack([uv[:, 1].max() - uv[:, 1], uv[:, 0]], axis=1) if quarter else uv
        packed.append((uv + np.array([column + MARGIN, row + MARGIN])) / CELLS)
    return packed


def covered(uv: Doubles, triangles: Ints) -> Mask:
    """(CELLS, CELLS) cells touched by triangles, rows along v; each is sampled more densely than the grid."""
    mask = np.zeros((CELLS, CELLS), bool)
    corners = uv[triangles] * CELLS
    longest = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(axis=1)
    steps = np.maximum(np.ceil(2.0 * longest), 1).astype(int)
    for count in np.unique(steps):
        i, j = np.divmod(np.arange((count + 1) ** 2), count + 1)
        inside = i + j <= count
        weights = np.stack([i, j, count - i - j], axis=1)[inside] / count
        cells = (weights @ corners[steps == count]).reshape(-1, 2).astype(int)
        column, row = np.clip(cells, 0, CELLS - 1).T
        mask[row, column] = True
    return mask


def _place(sizes: Sequence[Doubles], free: Mask) -> list[tuple[int, int, bool]] | None:
    """Lower-left cell and quarter turn of each rectangle, largest first; None when one does not fit."""
    free = free.copy()
    places: dict[int, tuple[int, int, bool]] = {}
    for index in sorted(range(len(sizes)), key=lambda i: -float(np.prod(sizes[i]))):
        width, height = np.ceil(sizes[index]).astype(int) + 2 * MARGIN
        for quarter, (across, up) in ((False, (width, height)), (True, (height, width))):
            corners = np.argwhere(_fits(free, up, across))
            if len(corners):
                row, column = corners[0]
                free[row : row + up, column : column + across] = False
                places[index] = (int(row), int(column), quarter)
                break
        else:
            return None
    return [places[index] for index in range(len(sizes))]


def _fits(free: Mask, rows: int, columns: int) -> Mask:
    """Whether a rectangle of free cells starts at each cell, by the summed-area table."""
    if rows > CELLS or columns > CELLS:
        return np.zeros((0, 0), bool)
    table = np.pad(np.cumsum(np.cumsum(free, axis=0), axis=1), ((1, 0), (1, 0)))
    inside = (
        table[rows:, columns:] - table[:-rows, columns:] - table[rows:, :-columns] + table[:-rows, :-columns]
    )
    return inside == rows * columns
