"""Authored skin: painted from a seed after anatomy, not captured and not generated.

It is the skin at rest where the artist has no texture, and, moved by the mesh, the plain alternative to the
diffusion model: `models.authored.skin` says what it knows and what it does not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..alignment import Similarity, similarity_to
from ..appearance import AppearanceResult
from ..authored.skin import BrdfMaps as PaintedMaps
from ..authored.skin import SkinPainter
from ..authored.skin_regions import SkinAtlas
from ..authored.skin_traits import draw_skin
from ..errors import InputError
from ..head import Head
from ..uv_maps import TILE, UVLayout, Window
from .brdf_maps import BrdfMaps

Floats = NDArray[np.float32]
OnStep = Callable[[int, int], None]

DARKEST = 0.02
"""sRGB; what is darker than this in the painting, as nostrils are, is not divided by."""


@dataclass(frozen=True)
class Painting:
    """The skin of one person, painted over the whole UV tile of the head, ``size`` texels a side."""

    head: Head
    size: int
    skin_seed: int
    painter: SkinPainter
    rest: PaintedMaps

    @classmethod
    def of(cls, head: Head, neutral_vertices: Floats, size: int, skin_seed: int) -> Painting:
        """Paint a head (V, 3) in any units and axes; seconds of work at 512."""
        neutral = _to_model(head, neutral_vertices).apply(neutral_vertices[: head.skin_vertices])
        atlas = SkinAtlas.of(head, UVLayout.of_head(head, size))
        painter = SkinPainter(atlas, neutral, draw_skin(skin_seed))
        return cls(head, size, skin_seed, painter, painter.neutral())

    @property
    def known(self) -> BrdfMaps:
        """The skin at rest as the models know it."""
        rest = self.rest
        return BrdfMaps(rest.albedo, rest.specular[..., 0], rest.roughness[..., 0], rest.height[..., 0])

    @property
    def images(self) -> dict[str, Floats]:
        """The skin at rest as images of 0..1."""
        rest = self.rest
        grey = {"specular": rest.specular[..., 0], "roughness": rest.roughness[..., 0]}
        return {"albedo": rest.albedo, "normal": rest.normal, **grey}


@dataclass(frozen=True)
class AuthoredSkin:
    """Paints what `models.appearance.Appearance` generates, with the same call."""

    painting: Painting

    @property
    def head(self) -> Head:
        """The topology that is painted."""
        return self.painting.head

    @property
    def size(self) -> int:
        """Side of the maps."""
        return self.painting.size

    @property
    def window(self) -> Window:
        """The maps show the whole tile."""
        return TILE

    def generate(
        self,
        neutral_maps: BrdfMaps | Floats,
        neutral_vertices: Floats,
        signal: Floats | None,
        *,
        deformation: Floats | None = None,
        on_step: OnStep | None = None,
    ) -> AppearanceResult:
        """Maps and vertices of K frames, as `Appearance.generate` gives them.

        A known albedo is multiplied by what the expression changes in the painting. Raises InputError without
        a signal.
        """
        if signal is None:
            raise InputError("Authored skin follows expressions, not descriptions: name an expression.")
        similarity = _to_model(self.head, neutral_vertices)
        skin = slice(self.head.skin_vertices)
        neutral = similarity.apply(neutral_vertices[skin])
        if deformation is None:
            motions = np.einsum("km,mvc->kvc", signal, self.head.expression_basis[:, skin], optimize=True)
        else:
            motions = similarity.scale * deformation[:, skin] @ similarity.rotation.T
        rest = self.painting.rest
        frames: list[PaintedMaps] = []
        for number, motion in enumerate(motions, start=1):
            frames.append(self.painting.painter.frame((neutral + motion).astype(np.float32)))
            if on_step is not None:
                on_step(number, len(motions))
        albedo = np.stack([frame.albedo for frame in frames])
        given = neutral_maps.albedo if isinstance(neutral_maps, BrdfMaps) else neutral_maps
        if given.shape == rest.albedo.shape:
            albedo = given * (albedo + DARKEST) / (rest.albedo + DARKEST)
        own = similarity.invert_vectors(motions) + neutral_vertices[skin]
        return AppearanceResult(
            albedo=albedo.clip(0.0, 1.0).astype(np.float32),
            specular=np.stack([frame.specular[..., 0] for frame in frames]),
            roughness=np.stack([frame.roughness[..., 0] for frame in frames]),
            normal=np.stack([2.0 * frame.normal - 1.0 for frame in frames]),
            height=np.stack([frame.height[..., 0] for frame in frames]),
            vertices=own.astype(np.float32),
            rest=self.painting.known,
            window=self.window,
        )


def _to_model(head: Head, neutral_vertices: Floats) -> Similarity:
    skin = slice(head.skin_vertices)
    return similarity_to(head.neutral_vertices[skin], neutral_vertices[skin])
