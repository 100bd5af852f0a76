"""A small renderer for looking at skin: the texels of a map as points, lit, nearest first; and a sheet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ..corpus.shading import AMBIENT, BACKGROUND, LIGHTS, contact_sheet
from ..upscale import CHANNELS, resized
from ..uv_maps import UVLayout
from .appearance_rows import Row, truth
from .ground_truth_appearance import SkinTruth

Floats = NDArray[np.float32]

SHEET_ROWS = ("ground_truth", "ours", "ours_all_maps", "3dmm", "static")
SHEET_UNITS = ("browOuterUpLeft", "noseSneerLeft", "mouthSmileLeft", "eyeSquintLeft")
PIXELS, MILLIMETRES = 360, 190.0
"""Of one picture."""
FINER = 4
"""Points along a texel, so that no hole is left between them."""


def lit(layout: UVLayout, vertices: NDArray[np.floating[Any]], maps: Tensor) -> NDArray[np.uint8]:
    """(PIXELS, PIXELS, 3) picture of a face with vertices (V, 3) and maps (8, S, S), seen from the front."""
    side = FINER * layout.size
    positions = resized_field(layout.rasterise(vertices), side)
    skin = resized(maps, side)
    normal = 2 * skin[CHANNELS["normal"]].permute(1, 2, 0).numpy() - 1
    albedo = skin[CHANNELS["albedo"]].permute(1, 2, 0).numpy() ** 2.2
    down, right = np.gradient(positions, axis=(0, 1))
    tangent = _unit(right)
    facing = _unit(np.cross(right, -down))  # rows run down, v runs up
    bitangent = np.cross(facing, tangent)
    shown = _unit(normal[..., :1] * tangent + normal[..., 1:2] * bitangent + normal[..., 2:] * facing)
    light = np.full(shown.shape[:2], AMBIENT)
    for towards, strength in LIGHTS:
        light += strength * np.maximum(shown @ _unit(np.array(towards)), 0)
    on_mesh = resized_field(layout.mask[..., None].astype(np.float32), side)[..., 0] > 0.5
    seen = on_mesh & (facing[..., 2] > 0)
    points, colours = positions[seen], (albedo * light[..., None])[seen]
    centre = (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    front = layout.rasterise(vertices)[layout.mask]
    centre[:2] = (front.min(axis=0)[:2] + front.max(axis=0)[:2]) / 2
    column = np.floor((points[:, 0] - centre[0]) * PIXELS / MILLIMETRES + PIXELS / 2).astype(int)
    row = np.floor(PIXELS / 2 - (points[:, 1] - centre[1]) * PIXELS / MILLIMETRES).astype(int)
    inside = (column >= 0) & (column < PIXELS) & (row >= 0) & (row < PIXELS)
    order = np.argsort(points[inside, 2], kind="stable")  # assignment keeps the last, which is the nearest
    image = np.full((PIXELS, PIXELS, 3), BACKGROUND)
    image[row[inside][order], column[inside][order]] = colours[inside][order]
    return (255 * np.clip(image, 0, 1) ** (1 / 2.2)).astype(np.uint8)


def draw_sheet(
    rows: Mapping[str, Row], people: SkinTruth, path: Path, units: Sequence[str] = SHEET_UNITS
) -> None:
    """Draw what the rows answer to test people, one an expression: a line a row, a column an expression."""
    requests = [people.request(person, unit) for person, unit in enumerate(units)]
    pictures: list[NDArray[np.uint8]] = []
    for name in SHEET_ROWS:
        row = truth if name == "ground_truth" else rows.get(name)
        if row is None:
            continue
        for request in requests:
            answer = row(request)
            assert answer.deformation is not None  # all rows of the sheet know of the mesh
            pictures.append(lit(people.layout, request.neutral + answer.deformation[0], answer.maps[0]))
    Image.fromarray(contact_sheet(pictures, len(units))).save(path)


def resized_field(field: Floats, side: int) -> Floats:
    """(side, side, C) of a field (S, S, C) of any range, linear in between."""
    image = torch.from_numpy(np.ascontiguousarray(field, np.float32)).permute(2, 0, 1)[None]
    found = torch.nn.functional.interpolate(image, (side, side), mode="bilinear", align_corners=False)
    return found[0].permute(1, 2, 0).numpy()


def _unit(vectors: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)
