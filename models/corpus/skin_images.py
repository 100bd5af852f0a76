"""The records of a skin cache as the images that autoencoder and diffusion model see."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..exp_diff import POSITION
from ..head import Head
from ..skin.brdf_maps import to_images
from .skin_cache import SkinCache

KINDS = ("offset", POSITION, "albedo", "specular", "roughness", "relief", "normal")
"""Kinds of image: the neutral geometry, what an expression's departs from the expected, and the maps."""


def departure(cache: SkinCache, head: Head, records: NDArray[np.int64]) -> NDArray[np.float32]:
    """(B, V, 3) mm: the deformations of records minus what the head's linear units expect."""
    linear = head.expression_basis[:, : head.skin_vertices]
    expected = np.einsum("bm,mvc->bvc", cache.stage[records], linear, optimize=True)
    return cache.deformations(records) - expected


def rasterised(cache: SkinCache, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """(B, H, W, 3) maps of values (B, V, 3)."""
    batch, vertices = values.shape[:2]
    columns = values.transpose(1, 0, 2).reshape(vertices, -1)
    return cache.layout.rasterise(columns).reshape(*cache.layout.mask.shape, batch, 3).transpose(2, 0, 1, 3)


def skin_images(
    cache: SkinCache, head: Head, records: NDArray[np.int64], kinds: tuple[str, ...]
) -> dict[str, Tensor]:
    """Images (B, 3, H, W) of records, by kind."""
    images: dict[str, Tensor] = {}
    for kind in kinds:
        if kind == POSITION:
            images[kind] = to_images(kind, rasterised(cache, departure(cache, head, records)))
        elif kind == "offset":
            offsets = cache.neutral_offsets[cache.person[records]].astype(np.float32)
            images[kind] = to_images(kind, rasterised(cache, offsets))
        else:
            images[kind] = to_images(kind, cache.maps("height" if kind == "relief" else kind, records))
    return images


def some_images(
    cache: SkinCache, head: Head, count: int, kinds: tuple[str, ...], random: np.random.Generator
) -> dict[str, Tensor]:
    """Images of ``count`` records drawn at random."""
    records = random.choice(len(cache), min(count, len(cache)), replace=False)
    return skin_images(cache, head, records, kinds)


def random_crops(images: Tensor, size: int, step: int, random: np.random.Generator) -> Tensor:
    """Crops (B, 3, size, size) at random multiples of ``step``, mirrored at random."""
    last = (images.shape[2] - size) // step
    crops: list[Tensor] = []
    for image in images:
        top, left = step * random.integers(0, last + 1, 2)
        crop = image[:, top : top + size, left : left + size]
        crops.append(crop.flip(2) if random.random() < 0.5 else crop)
    return torch.stack(crops)
