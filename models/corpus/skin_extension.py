"""Measured textures that lack something: other maps, or other expressions than the neutral.

The recipe of FFHQ-BRDFExp (ExpDiff section IV-C): a measured albedo is aligned with our UVs, pores and the
reflectance maps are added to suit its skin tone, and expressions are synthesised. Here the authored painter
gives the added parts: a skin of the measured tone is painted, and what its own maps change is applied to the
measured one. Measured things stay as they are.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..authored.skin import BrdfMaps, SkinPainter
from ..authored.skin_chromophores import encoded, linear, pigments
from ..authored.skin_regions import SkinAtlas
from ..authored.skin_traits import SkinTraits, draw_skin

Floats = NDArray[np.float32]

CHANGE = (0.4, 2.0)
"""Bounds of how much an expression may darken or lighten a measured albedo."""
TONE = ("cheek", "forehead", "chin")


def traits_of(atlas: SkinAtlas, albedo: Floats, seed: int, age: float | None = None) -> SkinTraits:
    """The skin of a measured albedo (H, W, 3), sRGB-coded: its pigments; the rest is drawn by ``seed``.

    Brows, stubble, freckles and moles are in the measured texture, so none are drawn.
    """
    chart = atlas.chart
    skin = (np.abs(chart[:, 0]) < 70) & (chart[:, 1] > -135) & (chart[:, 1] < 70)
    skin &= (atlas.mucosa < 0.1) & (atlas.lip < 0.1)
    tone = np.median(linear(albedo)[atlas.layout.mask][skin], axis=0)
    melanin, blood = pigments(tone)
    drawn = draw_skin(seed)
    return replace(
        drawn,
        melanin=melanin,
        blood=blood,
        age=drawn.age if age is None else age,
        freckles=0.0,
        moles=0,
        stubble=0.0,
        scalp_hair=0.0,
        brow_density=0.0,
        grey=0.0,
    )


class MeasuredSkin:
    """One person's measured neutral albedo (H, W, 3), sRGB-coded, with an authored skin to extend it."""

    def __init__(
        self, atlas: SkinAtlas, neutral_vertices: NDArray[np.floating], albedo: Floats, seed: int
    ) -> None:
        self.painter = SkinPainter(atlas, neutral_vertices, traits_of(atlas, albedo, seed))
        self.albedo = albedo
        self._rest = self.painter.neutral()

    def neutral(self) -> BrdfMaps:
        """The measured albedo with authored reflectance and relief."""
        return replace(self._rest, albedo=self.albedo)

    def frame(self, vertices: NDArray[np.floating], albedo: Floats | None = None) -> BrdfMaps:
        """The maps of a frame; its own ``albedo`` where it was measured too, else the neutral's, changed."""
        maps = self.painter.frame(vertices)
        if albedo is None:
            change = linear(maps.albedo) / np.maximum(linear(self._rest.albedo), 1e-3)
            albedo = encoded(linear(self.albedo) * np.clip(change, *CHANGE))
        return replace(maps, albedo=albedo)
