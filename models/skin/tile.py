"""The skin at rest over the whole UV tile, into which the model's window of the face is pasted.

Values of 0..1: albedo (H, W, 3) sRGB, specular and roughness (H, W), normal (H, W, 3) stored as (n + 1) / 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ..errors import InputError
from ..upscale import Upscaler, unstack
from ..uv_maps import Window, crop, paste

Floats = NDArray[np.float32]
Maps = dict[str, Floats]

MAPS = ("albedo", "specular", "roughness", "normal")
COLOURED = ("albedo", "normal")
FLAT = (0.5, 0.5, 1.0)
"""The normal of skin without relief."""


@dataclass(frozen=True)
class SkinTile:
    """The skin at rest at the final resolution, and how the face in it is enlarged to that."""

    maps: Maps  # the tile at the final resolution; its window is not up to date
    window: Window
    upscaler: Upscaler | None
    pyramid: Sequence[Tensor]  # of the face at rest; empty where nothing is to be enlarged
    face: Maps  # the face at rest as the model shows it

    @classmethod
    def build(
        cls, known: Mapping[str, Floats], face: Maps, window: Window, size: int, upscaler: Upscaler | None
    ) -> SkinTile:
        """The tile of ``size`` texels with ``known`` maps of it, of any size, and the model's face at rest.

        What is known of nowhere continues the middle of what the face shows.
        """
        maps: Maps = {}
        for name in MAPS:
            if name in known:
                maps[name] = resampled(known[name], size)
            elif name == "normal":
                maps[name] = np.broadcast_to(np.array(FLAT, np.float32), (size, size, 3)).copy()
            else:
                middle = np.median(face[name].reshape(-1, face[name][0, 0].size), axis=0)
                maps[name] = np.full((size, size, *face[name].shape[2:]), middle, np.float32)
        side = round(size * (window[2] - window[0]))
        given = {name: np.ascontiguousarray(crop(maps[name], window)) for name in MAPS if name in known}
        pyramid: Sequence[Tensor] = ()
        if side > len(face["albedo"]):
            if upscaler is None:
                raise InputError(f"Maps of {size} texels need an upscaler: install Dimple again.")
            pyramid = upscaler.neutral_pyramid(face, side, given)
        return cls(maps, window, upscaler, pyramid, face)

    @cached_property
    def at_rest(self) -> Maps:
        """The whole tile at rest."""
        return self._pasted(_plain(unstack(self.pyramid[-1])) if self.pyramid else self.face)

    def with_face(self, face: Maps) -> Maps:
        """The tile with another expression of the face, given as the model shows it."""
        if self.upscaler is None or not self.pyramid:
            return self._pasted(face)
        return self._pasted(_plain(self.upscaler.upscale(face, self.pyramid)))

    def _pasted(self, face: Maps) -> Maps:
        pasted: Maps = {}
        for name in MAPS:
            tile, layers = self.maps[name], face[name].shape[2:]
            part = face[name].reshape(*face[name].shape[:2], -1)
            whole = paste(tile.reshape(*tile.shape[:2], -1), part, self.window)
            pasted[name] = whole.reshape(*tile.shape[:2], *layers).astype(np.float32)
        return pasted


def resampled(image: Floats, size: int) -> Floats:
    """(size, size[, C]) an image of any shape stretched to a square; averaged where it gets smaller."""
    if image.shape[:2] == (size, size):
        return image
    layers = torch.from_numpy(np.ascontiguousarray(image.reshape(*image.shape[:2], -1)))
    stack = layers.permute(2, 0, 1)[None]
    sized = functional.interpolate(stack, (size, size), mode="bilinear", antialias=True, align_corners=False)
    return sized[0].permute(1, 2, 0).numpy().reshape(size, size, *image.shape[2:])


def _plain(maps: Mapping[str, Floats]) -> Maps:
    """Grey maps with one layer only."""
    return {name: maps[name] if name in COLOURED else maps[name][..., 0] for name in MAPS}
