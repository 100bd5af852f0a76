"""Units that the artist keyframes: custom properties of the head, read off their f-curves.

One property for each unit ("Dimple jawOpen") and one for the intensity of all ("Dimple intensity"). Reading
evaluates the curves themselves: the scene's frame is not touched.
"""

from __future__ import annotations

from collections.abc import Iterable

import bpy
import numpy as np
from numpy.typing import NDArray

from .action_writer import HAS_SLOTS
from .mesh_reader import HeadError

PREFIX = "Dimple "
INTENSITY = "intensity"
MAX_WEIGHT = 1.5


def add_curves(head: bpy.types.Object, units: Iterable[str]) -> list[str]:
    """Give the head a property for each unit that it lacks, and for the intensity; returns the new ones."""
    added = [name for name in (*units, INTENSITY) if PREFIX + name not in head]
    for name in added:
        is_intensity = name == INTENSITY
        head[PREFIX + name] = 1.0 if is_intensity else 0.0
        head.id_properties_ui(PREFIX + name).update(
            min=0.0,
            max=MAX_WEIGHT,
            soft_max=1.0,
            default=1.0 if is_intensity else 0.0,
            description="How strong all keyframed units are together"
            if is_intensity
            else f"Weight of {name} in the expression; keyframe it, 1 is a full movement",
        )
    return added


def curve_names(head: bpy.types.Object) -> tuple[str, ...]:
    """The units that have a property on the head."""
    names = [name.removeprefix(PREFIX) for name in head.keys() if name.startswith(PREFIX)]  # noqa: SIM118
    return tuple(name for name in names if name != INTENSITY)


def remove_curve(head: bpy.types.Object, name: str) -> None:
    """Take a unit's property and its keyframes off the head; with the last unit goes the intensity."""
    for gone in (name,) if curve_names(head) != (name,) else (name, INTENSITY):
        if PREFIX + gone in head:
            fcurves = _fcurves(head)
            if fcurves is not None and (fcurve := fcurves.find(data_path(gone))) is not None:
                fcurves.remove(fcurve)
            del head[PREFIX + gone]


def data_path(name: str) -> str:
    """RNA path from the head to the property of a unit."""
    return f'["{bpy.utils.escape_identifier(PREFIX + name)}"]'


def read_curves(
    head: bpy.types.Object, start: int, frames: int
) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """The units, and their weights (K, N) at the scene's frames from `start` on, times the intensity.

    A property without keyframes has its value in all frames. Raises HeadError where there is no unit, where a
    property is driven, and where it is no number.
    """
    names = curve_names(head)
    if not names:
        raise HeadError(f"“{head.name}” has no keyframed units yet: press Add Curves and keyframe them.")
    intensity = _weights(head, INTENSITY, start, frames) if PREFIX + INTENSITY in head else np.ones(frames)
    weights = np.stack([_weights(head, name, start, frames) for name in names], axis=1)
    # an f-curve may swing a little below 0 between two keyframes; further out is told by the worker
    weights = np.where(np.abs(weights) < 0.05, np.maximum(weights, 0.0), weights)
    return names, (weights * intensity[:, None]).astype(np.float32)


def _weights(head: bpy.types.Object, name: str, start: int, frames: int) -> NDArray[np.float64]:
    path, value = data_path(name), head[PREFIX + name]
    if not isinstance(value, int | float):
        raise HeadError(
            f"The property “{PREFIX}{name}” of “{head.name}” is no number: delete it and add it again."
        )
    data = head.animation_data
    if data is not None and data.drivers.find(path) is not None:
        raise HeadError(f"“{PREFIX}{name}” of “{head.name}” is driven: bake its driver to keyframes first.")
    fcurves = _fcurves(head)
    fcurve = fcurves.find(path) if fcurves is not None else None
    if fcurve is None:
        return np.full(frames, float(value))
    return np.array([fcurve.evaluate(start + i) for i in range(frames)])


def _fcurves(head: bpy.types.Object) -> bpy.types.bpy_prop_collection | None:
    """The curves that animate the head itself; Blender 4.4 put layers, strips and channel bags in between."""
    data = head.animation_data
    action = data.action if data is not None else None
    if action is None:
        return None
    if not HAS_SLOTS:
        return action.fcurves
    bags = [
        bag
        for layer in action.layers
        for strip in layer.strips
        for bag in strip.channelbags
        if data.action_slot is not None and bag.slot == data.action_slot
    ]
    return bags[0].fcurves if bags else None
