"""A sheet of what the rows of the table of skin show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ..corpus.shading import contact_sheet
from ..skin.portrait import portrait
from ..upscale import CHANNELS
from ..uv_maps import UVLayout
from .appearance_rows import Row, truth
from .ground_truth_appearance import SkinTruth

Floats = NDArray[np.float32]

SHEET_ROWS = ("ground_truth", "ours", "ours_all_maps", "3dmm", "static")
SHEET_UNITS = ("browOuterUpLeft", "noseSneerLeft", "mouthSmileLeft", "eyeSquintLeft")


def lit(layout: UVLayout, vertices: NDArray[np.floating[Any]], maps: Tensor) -> NDArray[np.uint8]:
    """(PIXELS, PIXELS, 3) picture of a face with vertices (V, 3) and maps (8, S, S), seen from the front."""
    albedo, normal = (maps[CHANNELS[name]].permute(1, 2, 0).numpy() for name in ("albedo", "normal"))
    return portrait(layout, vertices, albedo, 2 * normal - 1)


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
