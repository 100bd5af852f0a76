"""A picture of expressions on heads of other topologies: what the figures cannot tell is looked at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..corpus.shading import Surface, contact_sheet, shaded
from ..expression import UNIT_NAMES
from ..registration.surface import triangulated
from ..registration.transfer import Rule
from .binding_cases import Bench

EXPRESSIONS = (
    "",
    "jawOpen",
    "eyeBlinkLeft eyeBlinkRight",
    "mouthSmileLeft mouthSmileRight",
    "mouthPucker",
    "browInnerUpLeft browInnerUpRight browOuterUpLeft browOuterUpRight",
)
PIXELS = 360
WIDTH, TURN = 210.0, 25.0
"""mm shown, and degrees by which the second row of a head is turned."""
SKIN, TEETH, EYES = (0.75, 0.6, 0.52), (0.85, 0.82, 0.75), (0.9, 0.9, 0.92)


def draw_sheet(bench: Bench, path: Path) -> None:
    """Write a picture: two rows for each shared head, from the front and turned, a column an expression."""
    stages = np.stack([_stage(text) for text in EXPRESSIONS])
    deformations = np.tensordot(stages, bench.head.expression_basis, 1)
    pictures: list[NDArray[np.uint8]] = []
    for name, (vertices, faces) in bench.heads.items():
        bound = bench.bound[name]
        moved = vertices + bound.transfer(deformations, stages)
        points = bound.pose.to_model(moved.astype(np.float64)).astype(np.float32)
        colours = np.tile(np.array(SKIN, np.float32), (len(vertices), 1))
        colours[bound.rule == Rule.JAW] = TEETH
        colours[np.isin(bound.rule, (Rule.EYE_LEFT, Rule.EYE_RIGHT))] = EYES
        middle = bench.template.vertices[bench.template.narrow].mean(axis=0)
        for turn in (0.0, TURN):
            pictures += [
                shaded([Surface(frame, triangulated(faces), colours)], middle, WIDTH, PIXELS, turn)
                for frame in points
            ]
    Image.fromarray(contact_sheet(pictures, len(EXPRESSIONS))).save(path)


def _stage(units: str) -> NDArray[np.float32]:
    """(57,) units at weight 1."""
    return np.isin(UNIT_NAMES, units.split()).astype(np.float32)
