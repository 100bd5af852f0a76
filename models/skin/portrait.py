"""A small renderer for looking at skin that is being made: texels as points, lit, the nearest seen."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes, binary_opening, distance_transform_edt

from ..head import Head
from ..uv_maps import UVLayout

Floats = NDArray[np.float32]

LIGHTS = (((-0.45, 0.55, 0.7), 0.75), ((0.7, 0.1, 0.7), 0.3))
"""Direction towards each light in view space, and its strength."""
AMBIENT = 0.12
BACKGROUND = 0.16
PIXELS, MILLIMETRES = 360, 190.0
"""Of a picture, unless told otherwise."""
EYE_COLOURS = {
    "sclera": (0.60, 0.55, 0.52),
    "iris": (0.10, 0.055, 0.03),
    "limbus": (0.035, 0.033, 0.033),
    "pupil": (0.003, 0.003, 0.003),
}
"""Linear."""
MOUTH = (0.02, 0.006, 0.005)
"""Linear, of what an open mouth shows."""
EYE_STEPS = 9
"""Points along the side of a face of the eye."""
FINER = 3.5
"""Points along a map for each pixel along the picture, so that no hole is left between them."""


def portrait(
    layout: UVLayout,
    vertices: NDArray[np.floating[Any]],
    albedo: Floats,
    normal: Floats,
    pixels: int = PIXELS,
    eyes: tuple[Floats, Floats] | None = None,
) -> NDArray[np.uint8]:
    """(pixels, pixels, 3) picture of a face seen from the front.

    vertices (V, 3) in model space, mm; albedo (S, S, 3) sRGB and normal (S, S, 3) in tangent space, on the
    layout's texels; eyes as `eye_points` makes them.
    """
    side = round(FINER * pixels)
    positions = resized_field(layout.rasterise(vertices), side)
    relief = resized_field(normal, side)
    colours = resized_field(albedo, side) ** 2.2
    down, right = np.gradient(positions, axis=(0, 1))
    tangent = _unit(right)
    facing = _unit(np.cross(right, -down))  # rows run down, v runs up
    bitangent = np.cross(facing, tangent)
    shown = _unit(relief[..., :1] * tangent + relief[..., 1:2] * bitangent + relief[..., 2:] * facing)
    light = np.full(shown.shape[:2], AMBIENT)
    for towards, strength in LIGHTS:
        light += strength * np.maximum(shown @ _unit(np.array(towards)), 0)
    on_mesh = resized_field(layout.mask[..., None].astype(np.float32), side)[..., 0] > 0.5
    seen = on_mesh & (facing[..., 2] > 0)
    points, lit = positions[seen], (colours * light[..., None])[seen]
    if eyes is not None:
        points, lit = np.concatenate([points, eyes[0]]), np.concatenate([lit, eyes[1]])
    front = layout.rasterise(vertices)[layout.mask]
    centre = (front.min(axis=0) + front.max(axis=0)) / 2
    column = np.floor((points[:, 0] - centre[0]) * pixels / MILLIMETRES + pixels / 2).astype(int)
    row = np.floor(pixels / 2 - (points[:, 1] - centre[1]) * pixels / MILLIMETRES).astype(int)
    inside = (column >= 0) & (column < pixels) & (row >= 0) & (row < pixels)
    order = np.argsort(points[inside, 2], kind="stable")  # assignment keeps the last, which is the nearest
    image = np.full((pixels, pixels, 3), BACKGROUND)
    image[row[inside][order], column[inside][order]] = lit[inside][order]
    seen = np.zeros((pixels, pixels), bool)
    seen[row[inside], column[inside]] = True
    holes = binary_fill_holes(seen) & ~seen
    open_mouth = cast(NDArray[np.bool_], binary_opening(holes, iterations=2))
    nearest = distance_transform_edt(~seen, return_distances=False, return_indices=True)
    rows, columns = cast(NDArray[np.int32], nearest)
    between = holes & ~open_mouth  # points that were stretched apart
    image[between] = image[rows[between], columns[between]]
    image[open_mouth] = MOUTH
    return (255 * np.clip(image, 0, 1) ** (1 / 2.2)).astype(np.uint8)


def eye_points(head: Head, neutral_vertices: Floats) -> tuple[Floats, Floats]:
    """Points (N, 3) of the eyes of a head (V, 3) in model space, looking ahead, and their linear colours."""
    names = head.config["material_names"]
    colours = np.array([EYE_COLOURS.get(name, (0, 0, 0)) for name in names], np.float32)
    wanted = np.flatnonzero([names[material] in EYE_COLOURS for material in head.face_material])
    corners = head.faces[wanted]
    corners = np.where(corners < 0, corners[:, :1], corners)
    across = np.linspace(0, 1, EYE_STEPS)
    u, v = (side.ravel() for side in np.meshgrid(across, across))
    weights = np.stack([(1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v], axis=1)
    points = np.einsum("sk,fkc->fsc", weights, neutral_vertices[corners])
    shades = np.repeat(colours[head.face_material[wanted]], len(weights), axis=0)
    return points.reshape(-1, 3).astype(np.float32), shades


def resized_field(field: NDArray[np.floating[Any]], side: int) -> Floats:
    """(side, side, C) of a field (S, S, C) of any range, linear in between."""
    image = torch.from_numpy(np.ascontiguousarray(field, np.float32)).permute(2, 0, 1)[None]
    found = torch.nn.functional.interpolate(image, (side, side), mode="bilinear", align_corners=False)
    return found[0].permute(1, 2, 0).numpy()


def _unit(vectors: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)
