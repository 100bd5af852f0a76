"""Authored skin: BRDF maps of a person who does not exist, changing with the mesh as it moves.

No open data hold dynamic skin reflectance, so these maps are drawn, not captured. Their colour follows the
optics of two pigments (`skin_chromophores`); where creases lie and how strong each region's oil, pores and
hair are is authored after anatomy; how deep a crease is, where blood is pressed out or gathers and how pores
are pulled follows the stretch of the mesh against its neutral (`skin_tension`). A model that learns the link
between geometry and texture from them proves the method, not the physics of skin.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from .skin_chromophores import encoded, skin_colour
from .skin_creases import CreaseBank
from .skin_hair import draw_brows
from .skin_noise import SkinNoise
from .skin_regions import SkinAtlas
from .skin_spots import draw_spots
from .skin_tension import RestSurface
from .skin_traits import SkinTraits

Floats = NDArray[np.float32]

FLUSH = {"cheek": 0.55, "nose": 0.40, "nose_tip": 0.2, "forehead": 0.35, "ear": 0.3, "chin": 0.3}
"""Rise of log blood at full flush."""
FLUSH_RISE, FLUSH_FALL = 0.9, 2.5
"""s; time constants of blood that comes with effort and leaves after it."""
HELD = 0.6
"""Share of the steady flush that a frame shows when nothing is known of the time before it."""
EFFORT = 7.0
"""Mean change of area (relative) times this is the effort; 1 is a grimace."""
SHADOW = np.array([0.30, 0.265, 0.20], np.float32)
"""Share of red, green and blue that hair below the surface swallows."""


@dataclass(frozen=True)
class BrdfMaps:
    """Maps of one face; row 0 is the top (v = 1)."""

    albedo: Floats  # (H, W, 3) sRGB-coded, 0..1
    specular: Floats  # (H, W, 1) 0..1, Blender's Specular IOR Level
    roughness: Floats  # (H, W, 1) 0..1
    normal: Floats  # (H, W, 3) tangent space coded 0..1, +Y up (OpenGL)
    height: Floats  # (H, W, 1) mm of fine relief that the mesh does not have


class SkinPainter:
    """Paints one person: a rest face (V, 3) in mm, in the head's pose and size, with the skin `traits`."""

    def __init__(self, atlas: SkinAtlas, neutral_vertices: NDArray[np.floating], traits: SkinTraits) -> None:
        self.atlas = atlas
        self.traits = traits
        self.rest = RestSurface.of(atlas.texels, neutral_vertices)
        # separate streams, so that a person looks the same at every resolution
        streams = [np.random.default_rng([traits.seed, 5, stream]) for stream in range(4)]
        noise = SkinNoise(atlas.points, streams[0])
        self.regions = atlas.regions(noise)
        self.creases = CreaseBank(atlas, self.rest, noise, streams[1], traits.age)
        spots = draw_spots(atlas, self.regions, traits, streams[2])
        self._melanin = self._log_melanin(noise) + spots.melanin
        self._blood = self._log_blood(noise) + spots.blood
        self._pores, self._pits = self._relief(noise)
        self._hair(noise, streams[3])
        self._surface()
        self._flush = sum(weight * self.regions[name] for name, weight in FLUSH.items())
        self._holes = nearest_texels(atlas.layout.mask)
        self._unmoved = np.tile(np.array([1.0, 0.0, 1.0], np.float32), (len(atlas.points), 1))

    def neutral(self) -> BrdfMaps:
        """The maps at rest."""
        return self._paint(self._unmoved, 0.0)

    def frame(self, vertices: NDArray[np.floating], flush: float | None = None) -> BrdfMaps:
        """The maps of the face deformed to ``vertices`` (V, 3).

        ``flush`` 0..1 is the blood that effort has brought by now; without it, most of what the deformation
        would bring in the long run.
        """
        tensor = self.rest.stretch(vertices)
        return self._paint(tensor, HELD * self.effort(tensor) if flush is None else flush)

    def sequence(
        self, frames: Iterable[NDArray[np.floating]], frame_rate: float = 24.0
    ) -> Generator[BrdfMaps]:
        """The maps of consecutive frames, each (V, 3): the flush lags behind the effort."""
        flush = 0.0
        for vertices in frames:
            tensor = self.rest.stretch(vertices)
            wanted = self.effort(tensor)
            seconds = FLUSH_RISE if wanted > flush else FLUSH_FALL
            flush += (wanted - flush) * -np.expm1(-1.0 / (frame_rate * seconds))
            yield self._paint(tensor, flush)

    def effort(self, tensor: Floats) -> float:
        """0..1: how hard this face works, from how much its skin changes its area."""
        change = np.abs(np.sqrt(_area_squared(tensor)) - 1.0)
        return float(np.tanh(EFFORT * np.minimum(change, 0.5).mean()))

    def _paint(self, tensor: Floats, flush: float) -> BrdfMaps:
        traits = self.traits
        area = np.sqrt(_area_squared(tensor))
        folds = self._skin * (self.creases.relief(tensor) + self._chin * np.maximum(1.0 - area, 0.0))
        valley, crest = np.clip(-folds / 0.35, 0.0, 1.0), np.clip(folds / 0.25, 0.0, 1.0)
        pulled = np.clip(1.0 - 0.55 * (area - 1.0), 0.45, 1.3)
        height = folds + self._pores * pulled

        blood = 0.9 * np.clip(1.0 - area, 0.0, 0.3) - 1.0 * np.maximum(area - 1.03, 0.0)
        blood += 0.28 * valley - 0.30 * crest
        blood = self._blood + np.clip(blood, -0.4, 0.3) * self._skin + flush * self._flush
        melanin = self._melanin - 0.25 * np.clip(area - 1.0, -0.4, 0.4) * self._skin
        colour = skin_colour(np.exp(melanin), np.exp(blood))
        colour *= (1.0 - 0.16 * valley)[:, None] * self._shadow
        colour += self._hair_cover * (self._hair_colour - colour)

        stretched = np.clip(area - 1.0, -0.4, 0.6) * self._skin
        roughness = self._roughness - 0.22 * stretched + 0.10 * valley - 0.04 * crest
        specular = (self._specular + 0.10 * stretched) * (1.0 - 0.45 * valley)
        specular -= 0.25 * np.clip(self._pits * pulled / 0.15, 0.0, 1.0) * traits.pores
        image = self._image(height[:, None])[..., 0]
        side = self.atlas.layout.size
        across = (np.gradient(image, axis=1) * side)[self.atlas.layout.mask]
        up = (np.gradient(image, axis=0) * -side)[self.atlas.layout.mask]
        normal = self.rest.normals(across, up, tensor)
        maps = np.concatenate(
            [
                encoded(colour),
                np.clip(np.stack([specular, roughness], axis=1), 0.0, 1.0),
                normal * 0.5 + 0.5,
                height[:, None],
            ],
            axis=1,
        ).astype(np.float32)
        full = self._image(maps)
        return BrdfMaps(full[..., :3], full[..., 3:4], full[..., 4:5], full[..., 5:8], full[..., 8:])

    def _image(self, values: Floats) -> Floats:
        """(H, W, C) of values (N, C); outside the islands the nearest texel's."""
        image = np.empty((*self.atlas.layout.mask.shape, values.shape[1]), np.float32)
        image[self.atlas.layout.mask] = values
        return image[self._holes]

    def _log_melanin(self, noise: SkinNoise) -> Floats:
        traits, region, detail = self.traits, self.regions, self.atlas.detail
        field = 0.08 * noise.smooth(35.0) + 0.06 * noise.smooth(9.0)
        field += noise.smooth(3.0, 0.08 * detail(3.0)) + noise.smooth(1.6, 0.08 * detail(1.6))
        ringed = noise.rng.uniform(0.4, 0.8)
        field += 0.18 * region["temple"] + 0.15 * region["forehead"] + 0.08 * region["neck"]
        field += ringed * (0.35 * region["upper_lid"] + 0.30 * region["under_eye"])
        field += 0.12 * region["perioral"] * min(1.0, traits.melanin / 0.1)
        # the same noise in log pigment shows much more on dark skin
        field *= min(1.0, (0.04 / traits.melanin) ** 0.6)
        atlas = self.atlas
        lip = np.log(np.interp(traits.melanin, [0.01, 0.1, 0.4], [0.75, 0.8, 0.62]))
        field = np.log(traits.melanin) + field + lip * atlas.lip
        return field + atlas.mucosa * (np.log(0.012 + 0.3 * traits.melanin) - field)

    def _log_blood(self, noise: SkinNoise) -> Floats:
        traits, region, detail, atlas = self.traits, self.regions, self.atlas.detail, self.atlas
        field = 0.12 * noise.smooth(35.0) + 0.08 * noise.smooth(9.0)
        field += noise.smooth(3.0, 0.11 * detail(3.0)) + noise.smooth(1.5, 0.09 * detail(1.5))
        field += traits.redness * (
            0.55 * region["cheek"]
            + 0.55 * region["nose_tip"]
            + 0.45 * region["ala"]
            + 0.30 * region["chin"]
            + 0.60 * region["ear"]
        )
        field += 0.25 * (region["upper_lid"] + region["under_eye"])
        field -= 0.25 * region["forehead"] + 0.25 * region["perioral"] + 0.15 * region["neck"]
        field += 0.10 * noise.smooth(5.0) * np.maximum(region["cheek"], region["nose"])
        lips = np.log(noise.rng.uniform(4.5, 8.5)) + noise.smooth(3.0, 0.15 * detail(3.0))
        field = np.log(traits.blood) + field * (1.0 - 0.7 * atlas.lip) + lips * atlas.lip
        field += 0.6 * atlas.lid_margin
        return field + atlas.mucosa * (np.log(0.085) - field)

    def _relief(self, noise: SkinNoise) -> tuple[Floats, Floats]:
        """(N,) relief that is always there, and the pits of pores in it (positive), mm."""
        traits, region, atlas = self.traits, self.regions, self.atlas
        weight = 0.22 + 0.7 * region["nose"] + 0.5 * region["cheek"] + 0.3 * region["forehead"]
        weight += 0.25 * region["chin"] - 0.2 * (region["upper_lid"] + region["under_eye"])
        weight = np.clip(weight, 0.03, 1.0) * (0.6 + 0.6 * traits.oil) * traits.pores
        near, second = noise.cells(1.5)
        pits = 0.15 * np.exp(-((near / 0.26) ** 2)) * atlas.detail(1.5) * weight
        net = 0.065 * np.exp(-((second / 0.16) ** 2)) * atlas.detail(1.5)
        coarse = noise.cells(2.8)[1]
        net += 0.03 * np.exp(-((coarse / 0.2) ** 2)) * atlas.detail(2.8)
        relief = -pits - net * (0.35 + 0.65 * weight)
        relief += noise.smooth(3.2, 0.018 * atlas.detail(3.2)) + 0.016 * noise.smooth(6.0)
        dry = 1.0 - atlas.mucosa
        lips = 0.07 * self.creases.fine[:, 0] * atlas.lip * atlas.detail(2.5)
        self._skin = dry * (1.0 - 0.8 * atlas.lip)
        dimples = noise.cells(4.2)[0]
        self._chin = -0.9 * region["chin"] * np.exp(-((dimples / 0.35) ** 2))
        return dry * (relief * (1.0 - atlas.lip) + lips), pits * self._skin

    def _hair(self, noise: SkinNoise, rng: np.random.Generator) -> None:
        traits, region, atlas = self.traits, self.regions, self.atlas
        cover, grey = draw_brows(atlas, rng, traits.brow_density, traits.brow_thickness, traits.grey)
        visible = 0.35 + 0.65 * traits.hair_darkness
        stubble = traits.stubble * region["beard"] * (0.8 + 0.2 * region["moustache"])
        stubble *= np.clip(1.0 + 0.1 * noise.smooth(12.0), 0.5, 1.3)
        scalp = traits.scalp_hair * region["scalp"]
        shade = np.maximum(stubble, scalp) * self._skin
        near, _ = noise.cells(1.15)
        roots = np.exp(-((near / 0.22) ** 2)) * atlas.detail(1.15)
        coloured = 1.0 - 0.75 * traits.grey
        self._stubble = shade
        darkening = shade[:, None] * SHADOW * (visible * coloured)
        darkening = darkening + (0.35 * atlas.lid_margin * (1.0 - atlas.mucosa))[:, None]
        self._shadow = np.clip(1.0 - darkening, 0.2, 1.0).astype(np.float32)
        hairs = np.maximum(cover, 0.75 * shade * roots)[:, None]
        share = np.divide(grey, cover, out=np.full_like(cover, traits.grey), where=cover > 0.01)
        pigmented = hair_colour(traits.hair_darkness, traits.hair_red)
        self._hair_cover = (0.93 * hairs).astype(np.float32)
        white = np.array([0.33, 0.295, 0.25], np.float32)
        self._hair_colour = (pigmented + share[:, None] * (white - pigmented)).astype(np.float32)

    def _surface(self) -> None:
        traits, region, atlas = self.traits, self.regions, self.atlas
        zone = np.maximum(region["nose"], np.maximum(0.75 * region["forehead"], 0.45 * region["chin"]))
        hair = self._hair_cover[:, 0]
        lids = np.maximum(region["upper_lid"], region["under_eye"])
        roughness = 0.53 - 0.12 * traits.oil * zone + 0.05 * region["cheek"] + 0.06 * traits.age
        roughness += -0.10 * atlas.lip - 0.06 * lids + 0.10 * self._stubble + 0.12 * hair
        specular = 0.42 + 0.13 * traits.oil * zone + 0.05 * atlas.lip - 0.10 * region["under_eye"]
        specular += -0.12 * region["ear"] - 0.22 * hair
        self._roughness = roughness + atlas.mucosa * (0.28 - roughness)
        self._specular = specular + atlas.mucosa * (0.5 - specular)


def nearest_texels(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Row and column, (H, W) each, of the texel of the mask nearest to every texel."""
    found = distance_transform_edt(~mask, return_distances=False, return_indices=True)
    rows, columns = np.asarray(found, np.int32)
    return rows, columns


def hair_colour(darkness: float, red: float) -> Floats:
    """(3,) linear sRGB of a pigmented hair."""
    shades = np.array([[0.33, 0.22, 0.11], [0.085, 0.048, 0.026], [0.012, 0.009, 0.007]])
    brown = np.array([np.interp(darkness, [0.0, 0.5, 1.0], channel) for channel in shades.T])
    copper = np.array([0.21, 0.066, 0.022]) * (1.0 - 0.75 * darkness)
    return (brown + red * (1.0 - darkness) * (copper - brown)).astype(np.float32)


def _area_squared(tensor: Floats) -> Floats:
    return np.maximum(tensor[:, 0] * tensor[:, 2] - tensor[:, 1] ** 2, 1e-4)
