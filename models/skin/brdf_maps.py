"""The maps of a skin as a person sees them and as the autoencoder does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float32]

RELIEF_SCALE = 1.0
"""mm of relief that an image writes as 1; the deepest folds go beyond, and are not cut off."""
OFFSET_SCALE = 64.0
"""mm that a neutral position map writes as 1: how far a person is from the mean head."""
DEPARTURE_SCALE = 8.0
"""mm that an expression's position map writes as 1: how far it departs from what was expected of it."""
_SCALES = {"relief": RELIEF_SCALE, "offset": OFFSET_SCALE, "position": DEPARTURE_SCALE}


@dataclass(frozen=True)
class BrdfMaps:
    """Maps of one skin at rest, H x W, row 0 at v = 1. What is None is made by the model."""

    albedo: Floats  # (H, W, 3) sRGB, 0..1
    specular: Floats | None = None  # (H, W), 0..1, the Specular IOR Level of the Principled BSDF
    roughness: Floats | None = None  # (H, W), 0..1
    height: Floats | None = None  # (H, W) mm of relief on the mesh


def to_images(name: str, maps: NDArray[np.floating]) -> Tensor:
    """Maps (B, H, W[, 3]) of one kind as images (B, 3, H, W), about in [-1, 1]."""
    values = torch.from_numpy(np.ascontiguousarray(maps, np.float32))
    if values.ndim == 3:
        values = values[..., None].expand(-1, -1, -1, 3)
    values = values.permute(0, 3, 1, 2)
    return values / _SCALES[name] if name in _SCALES else 2 * values - 1


def from_images(name: str, images: Tensor) -> Floats:
    """The inverse of `to_images`, not cut off: (B, H, W, 3) for albedo and geometry, else (B, H, W).

    Normals come as vectors, about of unit length, not coded.
    """
    values = images.permute(0, 2, 3, 1).float().cpu().numpy()
    if name not in ("albedo", "normal", "offset", "position"):
        values = values.mean(axis=3)
    if name == "normal":
        return values
    return values * _SCALES[name] if name in _SCALES else 0.5 * (values + 1)


def neutral_known(maps: BrdfMaps) -> Mapping[str, Floats]:
    """The maps that are given, by the name of their latents."""
    given = {
        "albedo": maps.albedo,
        "specular": maps.specular,
        "roughness": maps.roughness,
        "relief": maps.height,
    }
    return {name: values for name, values in given.items() if values is not None}
