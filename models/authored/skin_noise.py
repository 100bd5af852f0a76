"""Noise that lives on the skin: sampled at points in space, so that it has no seams and no UV stretch.

Two tileable volumes are made once: smooth noise of one wavelength and cellular noise (distances to the
nearest and the second nearest of scattered points). A person sees them turned and shifted at random.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial import KDTree

Floats = NDArray[np.float32]

VOLUME = 96
"""Voxels along a side."""
SMOOTH_WAVE = 8.0
"""Voxels of one wavelength of the smooth noise."""
CELL = 6.0
"""Voxels between the points of the cellular noise."""


class SkinNoise:
    """Noise of one person at fixed points (N, 3), mm."""

    def __init__(self, points: NDArray[np.floating], rng: np.random.Generator) -> None:
        self.points = points
        self.rng = rng

    def smooth(self, wavelength: float, strength: float = 1.0) -> Floats:
        """(N,) zero mean, standard deviation ``strength``; a new draw at each call."""
        view = self._view()
        if strength == 0.0:
            return np.zeros(len(self.points), np.float32)
        return strength * _look_up(_smooth_volume(), self._coordinates(view, SMOOTH_WAVE / wavelength))

    def cells(self, size: float) -> tuple[Floats, Floats]:
        """(N,) distance to the nearest point, and how much further the second is, in units of ``size``."""
        nearest, second = _cell_volumes()
        at = self._coordinates(self._view(), CELL / size)
        first = _look_up(nearest, at)
        return first, _look_up(second, at) - first

    def _view(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """A random turn and shift: drawn even for noise that is not looked at, so that the draws that follow
        do not depend on the resolution."""
        turn, _ = np.linalg.qr(self.rng.standard_normal((3, 3)))
        return turn, self.rng.uniform(0.0, VOLUME, 3)

    def _coordinates(self, view: tuple[NDArray[np.float64], NDArray[np.float64]], scale: float) -> Floats:
        turn, shift = view
        return (self.points @ (scale * turn) + shift).T.astype(np.float32)


def _look_up(volume: Floats, at: Floats) -> Floats:
    return np.asarray(map_coordinates(volume, at, order=1, mode="grid-wrap"), np.float32)


@cache
def _smooth_volume() -> Floats:
    white = np.random.default_rng(11).standard_normal((VOLUME,) * 3).astype(np.float32)
    noise = gaussian_filter(white, SMOOTH_WAVE / 5.0, mode="wrap")
    noise -= gaussian_filter(noise, SMOOTH_WAVE / 2.5, mode="wrap")
    return noise / noise.std()


@cache
def _cell_volumes() -> tuple[Floats, Floats]:
    rng = np.random.default_rng(12)
    per_side = int(VOLUME / CELL)
    lattice = np.stack(np.meshgrid(*[np.arange(per_side)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    points = (lattice + rng.random(lattice.shape)) * CELL
    voxels = np.stack(np.meshgrid(*[np.arange(VOLUME)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    distance, _ = KDTree(points, boxsize=VOLUME).query(voxels.astype(float), k=2)
    shaped = (distance / CELL).astype(np.float32).reshape(VOLUME, VOLUME, VOLUME, 2)
    return np.ascontiguousarray(shaped[..., 0]), np.ascontiguousarray(shaped[..., 1])
