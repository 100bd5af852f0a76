"""Animation of shape key values as an action, with a slot of its own where Blender has slots.

Blender 4.2 and 4.3 keep f-curves in the action; 4.4 put slots, layers, strips and channel bags in between,
and 5.0 took `Action.fcurves` away. Only `_slot_of` and `_fcurves` know about that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import bpy
import numpy as np
from numpy.typing import NDArray

LINEAR = 1
"""Number of the LINEAR interpolation, as foreach_set wants it."""

HAS_SLOTS = "slots" in bpy.types.Action.bl_rna.properties


@dataclass(frozen=True)
class Curve:
    """Keyframes of one shape key's value, linear in between and constant outside."""

    key_name: str
    frames: NDArray[np.float32]  # (N,)
    values: NDArray[np.float32]  # (N,)


def frame_curves(names: Sequence[str], start: int, hold_last: bool) -> list[Curve]:
    """One triangle 0, 1, 0 a key: at frame `start + i` key i is fully on and all others are off.

    With `hold_last` the last key stays on after its frame.
    """
    curves: list[Curve] = []
    for i, name in enumerate(names):
        count = 2 if hold_last and i == len(names) - 1 else 3
        frames = np.arange(start + i - 1, start + i - 1 + count, dtype=np.float32)
        curves.append(Curve(name, frames, np.array([0.0, 1.0, 0.0], np.float32)[:count]))
    return curves


def coefficient_curves(
    names: Sequence[str], coefficients: NDArray[np.float32], start: int, hold_last: bool
) -> list[Curve]:
    """One curve a key through its column of `coefficients` (K, R), and 0 before and after the K frames."""
    count, _ = coefficients.shape
    last = count + 1 if hold_last else count + 2
    frames = np.arange(start - 1, start - 1 + last, dtype=np.float32)
    padded = np.pad(coefficients, ((1, 1), (0, 0)))[:last]
    return [Curve(name, frames, padded[:, i]) for i, name in enumerate(names)]


def write_action(
    key: bpy.types.Key, action: bpy.types.Action | None, name: str, curves: Iterable[Curve]
) -> bpy.types.Action:
    """Animate the shape keys of `key` with `curves` in `action`, else in a new action `name`; make it active.

    Other curves of the action stay. An action that steps aside gets a fake user, so that it is not lost.
    """
    data = key.animation_data_create()
    previous = data.action
    action = action or bpy.data.actions.new(name)
    if previous is not None and previous != action and previous.library is None:
        previous.use_fake_user = True
    fcurves = _fcurves(data, action, name)
    for curve in curves:
        _write_curve(fcurves, curve)
    return action


def share_action(key: bpy.types.Key, leading: bpy.types.Key) -> None:
    """Animate the keys of `key` by the action of `leading` instead of by drivers, where that has one."""
    action = leading.animation_data.action if leading.animation_data is not None else None
    if action is None:
        return
    data = key.animation_data_create()
    for driver in list(data.drivers):
        data.drivers.remove(driver)
    data.action = action
    if HAS_SLOTS:
        data.action_slot = leading.animation_data.action_slot


def animates(action: bpy.types.Action, key_names: Sequence[str]) -> bool:
    """Whether the action has a curve for one of these shape keys."""
    paths = {value_path(name) for name in key_names}
    return any(fcurve.data_path in paths for fcurves in _key_fcurves(action) for fcurve in fcurves)


def value_path(key_name: str) -> str:
    """RNA path from a Key data block to the value of one of its keys."""
    return f'key_blocks["{bpy.utils.escape_identifier(key_name)}"].value'


def remove_curves(key: bpy.types.Key, action: bpy.types.Action, names: Sequence[str]) -> None:
    """Take the curves of these keys out of the action, in every slot that animates a Key."""
    paths = {value_path(name) for name in names}
    for fcurves in _key_fcurves(action):
        for fcurve in [fcurve for fcurve in fcurves if fcurve.data_path in paths]:
            fcurves.remove(fcurve)
    key.update_tag()


def is_empty(action: bpy.types.Action) -> bool:
    """Whether no Key curve is left in the action."""
    return not any(len(fcurves) for fcurves in _key_fcurves(action))


def _write_curve(fcurves: bpy.types.bpy_prop_collection, curve: Curve) -> None:
    path = value_path(curve.key_name)
    if (old := fcurves.find(path)) is not None:
        fcurves.remove(old)
    fcurve = fcurves.new(path)
    count = len(curve.frames)
    points = fcurve.keyframe_points
    points.add(count)
    points.foreach_set("co", np.stack([curve.frames, curve.values], axis=1).astype(np.float32).ravel())
    points.foreach_set("interpolation", np.full(count, LINEAR, np.int32))
    fcurve.update()


def _fcurves(data: bpy.types.AnimData, action: bpy.types.Action, name: str) -> bpy.types.bpy_prop_collection:
    """The curves of `action` that animate this data block, after making the action active on it."""
    if not HAS_SLOTS:
        data.action = action
        return action.fcurves
    slot = data.action_slot if data.action == action else None
    if slot is None:
        slots = [slot for slot in action.slots if slot.target_id_type == "KEY"]
        slot = slots[0] if slots else action.slots.new(id_type="KEY", name=name)
    data.action = action
    data.action_slot = slot  # 4.4 and later: without it the action moves nothing
    layer = action.layers[0] if action.layers else action.layers.new("Layer")
    strip = layer.strips[0] if layer.strips else layer.strips.new(type="KEYFRAME")
    return strip.channelbag(slot, ensure=True).fcurves


def _key_fcurves(action: bpy.types.Action) -> list[bpy.types.bpy_prop_collection]:
    if not HAS_SLOTS:
        return [action.fcurves]
    return [
        bag.fcurves
        for layer in action.layers
        for strip in layer.strips
        for bag in strip.channelbags
        if bag.slot is not None and bag.slot.target_id_type == "KEY"
    ]
