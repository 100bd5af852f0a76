"""Freckles, moles, age spots and red spots: discs of pigment scattered over the face."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .skin_regions import CHART_ORIGIN, CHART_SIDE, SkinAtlas
from .skin_traits import SkinTraits

Floats = NDArray[np.float32]

FIELD = ((-128.0, -164.0), (128.0, 92.0))
"""Corners of the part of the chart that gets spots: the face."""
TRIES = 12
"""Places tried for each disc that is wanted."""
SMALLEST = 0.55
"""Radius in texels of the smallest disc that can be drawn."""


@dataclass(frozen=True)
class Spots:
    """What spots add to the logarithm of the pigments, (N,) each."""

    melanin: Floats
    blood: Floats


def draw_spots(
    atlas: SkinAtlas, regions: Mapping[str, Floats], traits: SkinTraits, rng: np.random.Generator
) -> Spots:
    """Scatter one person's spots."""
    dry = (1.0 - atlas.mucosa) * (1.0 - 0.8 * atlas.lip) * (atlas.chart[:, 1] < 150.0)
    everywhere = dry * (1.0 - 0.9 * regions["neck"])
    sunny = dry * (1.2 * regions["cheek"] + regions["nose"] + 0.35 * regions["forehead"] + 0.02)
    freckles = traits.freckles
    melanin = np.zeros(len(dry), np.float32)
    if freckles > 0.05:
        count = int(rng.integers(350, 1900) * min(freckles, 1.0))
        melanin += _discs(atlas, sunny, rng, count, (0.45, 1.25), (0.35 * freckles, 1.0 * freckles))
    melanin = np.minimum(melanin, 1.8)
    dimmed = min(1.0, (0.05 / traits.melanin) ** 0.5)
    melanin += dimmed * _discs(atlas, everywhere, rng, traits.moles, (0.7, 1.7), (1.2, 2.4))
    if traits.age > 0.5:
        count = int(70 * (traits.age - 0.5) * rng.uniform(0.3, 1.0))
        melanin += dimmed * np.minimum(_discs(atlas, everywhere, rng, count, (1.5, 4.0), (0.15, 0.45)), 0.6)
    blood = _discs(atlas, everywhere, rng, int(rng.integers(0, 5)), (0.8, 2.2), (0.4, 1.0))
    return Spots(np.minimum(melanin, 2.6), np.minimum(blood, 1.2))


def _discs(
    atlas: SkinAtlas,
    density: Floats,
    rng: np.random.Generator,
    count: int,
    radius: tuple[float, float],
    strength: tuple[float, float],
) -> Floats:
    """(N,) sum of at most ``count`` soft discs of radii in mm, placed by density (N,), 0 to about 1.

    Nothing that is drawn knows of texels, so the same discs appear at every resolution.
    """
    layout = atlas.layout
    image = np.zeros((layout.size, layout.size), np.float32)
    places = rng.uniform(*FIELD, (TRIES * count, 2))
    luck = rng.uniform(0.0, 1.3, len(places))
    radii, depths = rng.uniform(*radius, len(places)), rng.uniform(*strength, len(places))

    units = CHART_SIDE * (layout.window[2] - layout.window[0]) / layout.size  # of the chart in a texel
    left, top = layout.window[0] - CHART_ORIGIN[0], layout.window[3] - CHART_ORIGIN[1]
    column, row = ((places - [CHART_SIDE * left, CHART_SIDE * top]) / [units, -units] - 0.5).T
    nearest = np.rint([row, column]).astype(np.int64)
    seen = ((nearest >= 0) & (nearest < layout.size)).all(axis=0)
    numbers = np.where(layout.mask, np.cumsum(layout.mask).reshape(layout.mask.shape) - 1, -1)
    number = np.full(len(places), -1)
    number[seen] = numbers[tuple(nearest[:, seen])]
    kept = np.flatnonzero((number >= 0) & (luck < density[number]))[:count]
    if not len(kept):
        return image[layout.mask]

    texels = radii[kept] / np.maximum(atlas.chart_mm[number[kept]] * units, 0.2)
    reach = int(np.ceil(2.2 * texels.max())) + 1
    steps = np.arange(-reach, reach + 1)
    offsets = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(1, -1, 2)
    at = nearest[:, kept].T[:, None] + offsets  # (discs, texels around, row and column)
    squared = np.square(at - np.stack([row[kept], column[kept]], axis=1)[:, None]).sum(axis=2)
    # a disc smaller than a texel colours only its share of it
    share = np.minimum((texels / SMALLEST) ** 2, 1.0) * depths[kept]
    fall = share[:, None] * np.exp(-((squared / np.maximum(texels, SMALLEST)[:, None] ** 2) ** 1.4))
    inside = ((at >= 0) & (at < layout.size)).all(axis=2)
    np.add.at(image, (at[inside][:, 0], at[inside][:, 1]), fall[inside].astype(np.float32))
    return image[layout.mask]
