"""A small renderer for looking at skin that is being made: texels as points, lit, the nearest seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..uv_maps import UVLayout

Floats = NDArray[np.float32]

LIGHTS = (((-0.45, 0.55, 0.7), 0.75), ((0.7, 0.1, 0.7), 0.3))
"""Direction towards each light in view space, and its strength."""
AMBIENT = 0.12
BACKGROUND = 0.16
PIXELS, MILLIMETRES = 360, 190.0
"""Of a picture, unless told otherwise."""
FINER = 4
"""Points along a texel, so that no hole is left between them."""


def portrait(
    layout: UVLayout,
    vertices: NDArray[np.floating[Any]],
    albedo: Floats,
    normal: Floats,
    pixels: int = PIXELS,
) -> NDArray[np.uint8]:
    """(pixels, pixels, 3) picture of a face seen from the front.

    vertices (V, 3) in model space, mm; albedo (S, S, 3) sRGB and normal (S, S, 3) in tangent space, on the
    layout's texels.
    """
    side = FINER * layout.size
    positions = enlarged(layout.rasterise(vertices), side)
    relief = enlarged(normal, side)
    colours = enlarged(albedo, side) ** 2.2
    down, right = np.gradient(positions, axis=(0, 1))
    tangent = _unit(right)
    facing = _unit(np.cross(right, -down))  # rows run down, v runs up
    bitangent = np.cross(facing, tangent)
    shown = _unit(relief[..., :1] * tangent + relief[..., 1:2] * bitangent + relief[..., 2:] * facing)
    light = np.full(shown.shape[:2], AMBIENT)
    for towards, strength in LIGHTS:
        light += strength * np.maximum(shown @ _unit(np.array(towards)), 0)
    on_mesh = enlarged(layout.mask[..., None].astype(np.float32), side)[..., 0] > 0.5
    seen = on_mesh & (facing[..., 2] > 0)
    points, lit = positions[seen], (colours * light[..., None])[seen]
    front = layout.rasterise(vertices)[layout.mask]
    centre = (front.min(axis=0) + front.max(axis=0)) / 2
    column = np.floor((points[:, 0] - centre[0]) * pixels / MILLIMETRES + pixels / 2).astype(int)
    row = np.floor(pixels / 2 - (points[:, 1] - centre[1]) * pixels / MILLIMETRES).astype(int)
    inside = (column >= 0) & (column < pixels) & (row >= 0) & (row < pixels)
    order = np.argsort(points[inside, 2], kind="stable")  # assignment keeps the last, which is the nearest
    image = np.full((pixels, pixels, 3), BACKGROUND)
    image[row[inside][order], column[inside][order]] = lit[inside][order]
    return (255 * np.clip(image, 0, 1) ** (1 / 2.2)).astype(np.uint8)


def enlarged(field: NDArray[np.floating[Any]], side: int) -> Floats:
    """(side, side, C) of a field (S, S, C) of any range, linear in between."""
    image = torch.from_numpy(np.ascontiguousarray(field, np.float32)).permute(2, 0, 1)[None]
    found = torch.nn.functional.interpolate(image, (side, side), mode="bilinear", align_corners=False)
    return found[0].permute(1, 2, 0).numpy()


def _unit(vectors: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)
