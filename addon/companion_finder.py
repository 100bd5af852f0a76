"""Which objects beside a head probably belong to its face."""

from __future__ import annotations

import re

import bpy
import numpy as np
from mathutils import Vector

from .fit_overlay import MARK
from .head_job import companion_refusal

WORDS = re.compile(
    r"eye|iris|pupil|cornea|sclera|lash|brow|tear|teeth|tooth|gum|tongue|denture|mouth|jaw|caruncle",
    re.IGNORECASE,
)
"""Parts of names that artists and exporters give to what belongs to a face."""
LARGEST = 0.5
"""Size over the head's up to which an object without such a name may be a part of the face."""
MARGIN = 0.05
"""Share of the head's size by which a part may stick out of its box, as lashes do."""


def find_companions(head: bpy.types.Object, scene: bpy.types.Scene) -> list[bpy.types.Object]:
    """Meshes within the head's box that are small or named like parts of a face, in the order of their names.

    Hidden objects and those that cannot follow are left out.
    """
    low, high = _box(head)
    size = float((high - low).max())
    found: list[bpy.types.Object] = []
    for other in scene.objects:
        if other == head or other.type != "MESH" or MARK in other or other.hide_get():
            continue
        own_low, own_high = _box(other)
        middle = (own_low + own_high) / 2
        if ((own_low < low - MARGIN * size) | (own_high > high + MARGIN * size)).any() or size == 0:
            continue
        inside = ((middle > low) & (middle < high)).all()
        small = float((own_high - own_low).max()) < LARGEST * size
        named = WORDS.search(other.name) or WORDS.search(other.data.name)
        if inside and (named or small) and companion_refusal(other, head) is None:
            found.append(other)
    return sorted(found, key=lambda other: other.name)


def _box(target: bpy.types.Object) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest corner of the object's box in the world."""
    corners = np.array([target.matrix_world @ Vector(corner) for corner in target.bound_box])
    return corners.min(axis=0), corners.max(axis=0)
