"""Freckles, moles, age spots and red spots: discs of pigment scattered over the face."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .skin_regions import SkinAtlas
from .skin_traits import SkinTraits

Floats = NDArray[np.float32]


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
        melanin += _discs(atlas, sunny, rng, count, (0.45, 1.25), (0.5 * freckles, 1.3 * freckles))
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
    """(N,) sum of ``count`` soft discs of radii in mm, placed at random by density (N,)."""
    size = atlas.layout.size
    image = np.zeros((size, size), np.float32)
    if count == 0:
        return image[atlas.layout.mask]
    cumulative = np.cumsum(density, dtype=np.float64)
    chosen = np.searchsorted(cumulative, rng.uniform(0.0, cumulative[-1], count))
    rows, columns = (axis[chosen] for axis in np.nonzero(atlas.layout.mask))
    radii = rng.uniform(*radius, count)
    texels = radii / np.clip(atlas.chart_mm[chosen] * _chart_per_texel(atlas), 0.2, None)
    reach = int(np.ceil(2.2 * texels.max())) + 1
    offsets = np.stack(np.meshgrid(np.arange(-reach, reach + 1), np.arange(-reach, reach + 1)), axis=-1)
    offsets = offsets.reshape(1, -1, 2)
    centres = rng.uniform(-0.5, 0.5, (count, 1, 2))
    squared = np.square(offsets - centres).sum(axis=2)
    wide = np.maximum(texels, 0.55)[:, None]
    fall = np.exp(-((squared / wide**2) ** 1.4))
    # a disc smaller than a texel colours only its share of it
    fall *= (rng.uniform(*strength, count) * np.minimum((texels / 0.55) ** 2, 1.0))[:, None]
    at = np.stack([rows[:, None] + offsets[..., 1], columns[:, None] + offsets[..., 0]])
    inside = ((at >= 0) & (at < size)).all(axis=0)
    np.add.at(image, (at[0][inside], at[1][inside]), fall[inside].astype(np.float32))
    return image[atlas.layout.mask]


def _chart_per_texel(atlas: SkinAtlas) -> float:
    return 512.0 * (atlas.layout.window[2] - atlas.layout.window[0]) / atlas.layout.size
