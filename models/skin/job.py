"""From a head, its neutral skin and what it does to files of maps: the work of one appearance job.

The maps are generated on the model's UVs at its own size, brought to the artist's UVs, enlarged to the
resolution asked for with the artist's own texture as what is known of the neutral, and written one set after
the other, so that memory holds a few sets whatever their number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from ..alignment import similarity_to
from ..appearance import AppearanceResult
from ..errors import InputError
from ..head import Head
from ..upscale import Upscaler
from ..uv_maps import UVLayout, Window
from .authored_skin import AuthoredSkin, Painting
from .brdf_maps import BrdfMaps
from .head import SkinHead
from .plan import Subject
from .portrait import eye_points, portrait
from .textures import check_lit, write_png
from .tile import MAPS, Maps, SkinTile, resampled
from .uv import SkinLayouts

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
OnStep = Callable[[int, int], None]
OnPicture = Callable[[int, int, NDArray[np.uint8]], None]
"""Told at which step how the face looks, (H, W, 3), before its maps are enlarged and written."""

RESOLUTIONS = (512, 1024, 2048, 4096)
BITS = {"albedo": 8, "specular": 8, "roughness": 8, "normal": 16}
LARGEST_PAINTING = 2048
"""Side up to which authored skin is painted; larger maps enlarge it."""
POSITION_SIZE = 512
"""Side of the position map."""
GENERATING = 0.7
"""Of the time that a set takes, roughly; the rest enlarges and writes it."""
BYTES_A_TEXEL = 7
"""Of a set on disk; an upper bound of what was measured, the normals being most of it."""
FRAMES_AT_ONCE = 4
"""Sets that are generated together: their maps are in memory at once."""
PICTURE_PIXELS = 256
PERCENT = 100
SPIKE = 0.25
"""Difference to the median of the neighbours, of values 0..1, that no relief of skin has in one texel."""


class SkinModel(Protocol):
    """What generates the maps: `GeneratedSkin` or `AuthoredSkin`."""

    @property
    def head(self) -> Head:
        """The topology that it knows."""
        ...

    @property
    def size(self) -> int:
        """Side of its maps."""
        ...

    @property
    def window(self) -> Window:
        """What its maps show of the UV tile."""
        ...

    def generate(
        self,
        neutral_maps: BrdfMaps | Floats,
        neutral_vertices: Floats,
        signal: Floats | None,
        *,
        deformation: Floats | None = None,
        on_step: OnStep | None = None,
    ) -> AppearanceResult:
        """Maps and vertices of K frames."""
        ...


def check_resolution(resolution: int) -> None:
    """Raises InputError for a size of maps that is not offered."""
    if resolution not in RESOLUTIONS:
        raise InputError(f"Maps have 512, 1024, 2048 or 4096 texels a side, not {resolution}.")


@dataclass(frozen=True)
class SkinJob:
    """Everything that the maps of one head are made from.

    The model's maps show a window of the UV tile, where all that moves lies. They are enlarged there, with
    what is known of the skin at rest in high resolution, and pasted into the tile at rest.
    """

    model: SkinModel
    upscaler: Upscaler | None  # needed where `needs_upscaler` says so
    head: SkinHead
    layouts: SkinLayouts  # of the artist's own mesh
    skin: Floats | Painting  # at rest: (H, W, 3) sRGB on the artist's UVs, of any size, or authored
    resolution: int

    @property
    def source(self) -> str:
        """What the maps come from, in words."""
        made = "Authored, not captured" if isinstance(self.model, AuthoredSkin) else "Generated"
        if isinstance(self.skin, Painting):
            return f"{made}: skin of seed {self.skin.skin_seed}"
        return f"{made}: from the head's own texture"

    def write(
        self,
        subjects: Sequence[Subject],
        folder: Path,
        on_step: OnStep,
        on_picture: OnPicture | None = None,
    ) -> None:
        """Write the maps of the skin at rest, into "neutral", and of all subjects.

        Also "position.npy", (H, W, 3) the head's vertices over the artist's UVs, for the subject whose folder
        is the job's own. ``on_picture`` sees the last of the sets that were generated together. Raises
        OSError, and InputError where the texture is black on the skin.
        """
        neutral = Subject("neutral", "neutral", "", np.zeros_like(subjects[0].stage), _still(subjects[0]))
        waiting = [neutral, *subjects]
        share = 1.0 / len(waiting)
        tile: SkinTile | None = None
        for start in range(0, len(waiting), FRAMES_AT_ONCE):
            chunk = waiting[start : start + FRAMES_AT_ONCE]
            generating = GENERATING * len(chunk) * share
            result = self._generated(chunk, _part(on_step, start * share, generating))
            if on_picture is not None:
                on_picture(_percent(start * share + generating), PERCENT, self._portrait(result))
            for k, subject in enumerate(chunk):
                on_step(_percent(start * share + generating + (1 - GENERATING) * k * share), PERCENT)
                face = _face(result, k)
                if tile is None:
                    size, window = self.resolution, result.window
                    tile = SkinTile.build(self._known[1], face, window, size, self.upscaler)
                    shown = tile.at_rest
                else:
                    shown = tile.with_face(face)
                self._save(shown, tile.at_rest["albedo"], folder / subject.folder, subject.suffix)
                if not subject.folder and not subject.suffix:
                    np.save(folder / "position.npy", self._position(result.vertices[k]))
        on_step(PERCENT, PERCENT)

    @cached_property
    def _own(self) -> Floats | None:
        """(T, T, 3) the artist's texture: UVs do not know how many texels an image has."""
        return None if isinstance(self.skin, Painting) else resampled(self.skin, self.resolution)

    @cached_property
    def _known(self) -> tuple[BrdfMaps, Maps]:
        """What is known of the skin at rest, on the model's UV tile: for the model, and as images."""
        if isinstance(self.skin, Painting):
            return self.skin.known, self.skin.images
        assert self._own is not None
        size = self.resolution
        albedo = self._own if self.layouts.same else self.layouts.to_model(self._own, size)
        check_lit(albedo, self.layouts.model_mask(size))
        return BrdfMaps(albedo), {"albedo": albedo}

    def _generated(self, chunk: Sequence[Subject], on_step: OnStep) -> AppearanceResult:
        moved = [subject.deformation for subject in chunk if subject.deformation is not None]
        return self.model.generate(
            self._known[0],
            self.head.bound.neutral_vertices,
            np.stack([subject.stage for subject in chunk]),
            deformation=np.stack(moved) if moved else None,
            on_step=on_step,
        )

    def _portrait(self, result: AppearanceResult) -> NDArray[np.uint8]:
        """The face in the last frame of a result, in model space."""
        head = self.model.head
        skin = head.skin_vertices
        neutral = self.head.bound.neutral_vertices
        pose = similarity_to(head.neutral_vertices[:skin], neutral[:skin])
        eyes = eye_points(head, pose.apply(neutral)) if len(neutral) > skin else None
        layout = UVLayout.of_head(head, result.albedo.shape[1], result.window)
        vertices = pose.apply(result.vertices[-1, :skin])
        return portrait(layout, vertices, result.albedo[-1], result.normal[-1], PICTURE_PIXELS, eyes)

    def _save(self, maps: Maps, albedo_at_rest: Floats, folder: Path, suffix: str) -> None:
        """Write the maps of a tile, on the artist's UVs."""
        folder.mkdir(exist_ok=True)
        for name in MAPS:
            values = maps[name]
            if not self.layouts.same:
                values = self._on_artists_uv(name, values, albedo_at_rest)
            write_png(folder / f"{name}{suffix}.png", values, BITS[name])

    def _on_artists_uv(self, name: str, values: Floats, albedo_at_rest: Floats) -> Floats:
        if name == "normal":
            return self.layouts.normals_to_artist(values, self.resolution)
        if name == "albedo" and self._own is not None:  # resampled twice, the artist's own would be blurred
            return self._own + self.layouts.to_artist(values - albedo_at_rest, self.resolution)
        return self.layouts.to_artist(values, self.resolution)

    def _position(self, vertices: Floats) -> Floats:
        """(H, W, 3) the vertices of the skin over the artist's UVs, at the model's fineness."""
        head = self.model.head
        size = min(self.resolution, POSITION_SIZE)
        places = self.head.positions(vertices[: head.skin_vertices])
        positions = UVLayout.of_head(head, size).rasterise(places)
        return positions if self.layouts.same else self.layouts.to_artist(positions, size)


def needs_upscaler(model: SkinModel, resolution: int) -> bool:
    """Whether a tile of this resolution is finer than what the model makes."""
    return resolution * (model.window[2] - model.window[0]) > model.size


def bytes_on_disk(resolution: int, sets: int) -> int:
    """What the files of so many sets may need."""
    return BYTES_A_TEXEL * resolution**2 * sets


def _face(result: AppearanceResult, frame: int) -> Maps:
    """The maps of a frame as images."""
    maps: Maps = {name: getattr(result, name)[frame] for name in MAPS}
    return {**maps, "normal": without_spikes(0.5 * maps["normal"] + 0.5)}


def without_spikes(normal: Floats) -> Floats:
    """Normals (H, W, 3) without single texels that stand out, as where a lid folds a triangle flat."""
    calm = median_filter(normal, size=(3, 3, 1))
    spike = np.abs(normal - calm).max(axis=2, keepdims=True) > SPIKE
    return np.where(spike, calm, normal).astype(np.float32)


def _still(subject: Subject) -> Floats | None:
    return np.zeros_like(subject.deformation) if subject.deformation is not None else None


def _percent(share: float) -> int:
    return min(PERCENT, round(PERCENT * share))


def _part(on_step: OnStep, begin: float, share: float) -> OnStep:
    """Steps of a part of the job as percent of the whole."""

    def told(step: int, steps: int) -> None:
        on_step(_percent(begin + share * step / max(steps, 1)), PERCENT)

    return told
