"""The confidence of a binding, painted on the head as a colour attribute."""

from __future__ import annotations

import bpy
import numpy as np
from numpy.typing import NDArray

from .mesh_reader import HeadError

ATTRIBUTE = "Dimple Confidence"
SKIN, FILLED = 1, 3
"""Rules of motion, as the worker numbers them, for which confidence says something."""
UNSURE, FAIR, SURE = (0.80, 0.05, 0.02), (0.85, 0.60, 0.03), (0.04, 0.45, 0.10)
OTHER = (0.25, 0.25, 0.28)
"""Linear colours. The last is for what is no skin of the face: it stays, or goes with jaw, eye or skin."""


def confidence_colours(confidence: NDArray[np.floating], rule: NDArray[np.integer]) -> NDArray[np.float32]:
    """(V, 4) red, yellow, green for confidence (V,) from 0 to 1; grey where rule (V,) is not the skin's."""
    ramp = np.array([UNSURE, FAIR, SURE])
    colours = np.ones((len(confidence), 4), np.float32)
    for channel in range(3):
        colours[:, channel] = np.interp(confidence, [0.0, 0.5, 1.0], ramp[:, channel])
    colours[~np.isin(rule, (SKIN, FILLED)), :3] = OTHER
    return colours


def check_paintable(mesh: bpy.types.Mesh) -> None:
    """Raises HeadError when the name is taken by something of the artist's."""
    attribute = mesh.attributes.get(ATTRIBUTE)
    if attribute is not None and (attribute.data_type, attribute.domain) != ("FLOAT_COLOR", "POINT"):
        raise HeadError(f"The mesh has another attribute called “{ATTRIBUTE}”: rename that one first.")


def paint_confidence(mesh: bpy.types.Mesh, colours: NDArray[np.float32]) -> None:
    """Write colours (V, 4) to the attribute, and leave what else the mesh has as it is. Raises HeadError."""
    check_paintable(mesh)
    attribute = mesh.attributes.get(ATTRIBUTE) or mesh.attributes.new(ATTRIBUTE, "FLOAT_COLOR", "POINT")
    attribute.data.foreach_set("color", np.ascontiguousarray(colours, np.float32).ravel())
    mesh.update()


def remove_confidence(mesh: bpy.types.Mesh) -> None:
    """Take the attribute off the mesh."""
    attribute = mesh.attributes.get(ATTRIBUTE)
    if attribute is not None:
        mesh.attributes.remove(attribute)
        mesh.update()
