"""Reading what the skin of a head needs: its UVs, its material, and how its shape keys move it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import bpy
import numpy as np
from numpy.typing import NDArray

from .mesh_reader import HeadError, read_neutral
from .skin_material import original_of

TILE_SLACK = 1e-4
"""How far a UV may lie over the border of its tile: rounding, no second tile."""
STILL = 1e-6
"""Of the head's size: shape keys that move less do not move it."""


@dataclass(frozen=True)
class SkinUV:
    """UVs in one tile, and which triangles, in the order of `mesh_reader.read_head`, wear the material."""

    uv: NDArray[np.float32]  # (F * 3, 2)
    skin_triangles: NDArray[np.int32]  # (S,)
    layer: str


def skin_slot(head: bpy.types.Object, material: bpy.types.Material | None = None) -> int:
    """The slot that wears `material`, dressed by Dimple or not, else the one that most of the surface wears.

    0 where there is none.
    """
    for index, slot in enumerate(head.material_slots):
        if material is not None and material in (slot.material, original_of(slot.material)):
            return index
    polygons = head.data.polygons
    worn = np.empty(len(polygons), np.int32)
    area = np.empty(len(polygons), np.float32)
    polygons.foreach_get("material_index", worn)
    polygons.foreach_get("area", area)
    last = max(0, len(head.material_slots) - 1)
    return int(np.bincount(worn.clip(0, last), weights=area).argmax())


def skin_refusal(head: bpy.types.Object) -> str | None:
    """Why this mesh cannot wear a texture, and the way out. Cheap."""
    if not head.data.uv_layers:
        return f"“{head.name}” has no UV map: unwrap it first (Edit Mode, UV > Unwrap)"
    return None


def read_uv(head: bpy.types.Object, slot: int) -> SkinUV:
    """The UV map that renders use. Raises HeadError where there is none, or it fills several tiles."""
    mesh = head.data
    if (reason := skin_refusal(head)) is not None:
        raise HeadError(f"{reason}.")
    layer = next((layer for layer in mesh.uv_layers if layer.active_render), mesh.uv_layers[0])
    corners = np.empty((len(mesh.loops), 2), np.float32)
    layer.uv.foreach_get("vector", corners.ravel())
    mesh.calc_loop_triangles()
    loops = np.empty((len(mesh.loop_triangles), 3), np.int32)
    worn = np.empty(len(mesh.loop_triangles), np.int32)
    mesh.loop_triangles.foreach_get("loops", loops.ravel())
    mesh.loop_triangles.foreach_get("material_index", worn)
    uv = corners[loops]  # (F, 3, 2)
    last = max(0, len(head.material_slots) - 1)
    skin = np.flatnonzero(worn.clip(0, last) == slot).astype(np.int32)
    if not len(skin):
        raise HeadError(f"No face of “{head.name}” wears the material of the skin: choose another material.")
    if not np.isfinite(uv).all():
        raise HeadError(f"The UV map “{layer.name}” of “{head.name}” has values that are no numbers.")
    tiles = np.unique(np.floor(uv[skin].mean(axis=1)), axis=0)
    tile = tiles[0].astype(np.float32)
    reach = uv[skin] - tile
    if len(tiles) > 1 or reach.min() < -TILE_SLACK or reach.max() > 1 + TILE_SLACK:
        raise HeadError(
            f"The UV map “{layer.name}” of “{head.name}” spreads the skin over several tiles (UDIM): give "
            "the face one tile of its own, or its own material, and choose that as the skin's."
        )
    return SkinUV((uv - tile).clip(0, 1).reshape(-1, 2).astype(np.float32), skin, layer.name)


def key_deformations(head: bpy.types.Object) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """Names of the shape keys that move something, and what each adds at value 1, (N, V, 3).

    Keys that Dimple drives by others (correctives) are left out, as are muted ones. Raises HeadError.
    """
    key = head.data.shape_keys
    blocks = [] if key is None else [b for b in key.key_blocks if b != key.reference_key and not b.mute]
    drivers = key.animation_data.drivers if key is not None and key.animation_data is not None else ()
    corrective = {
        curve.data_path
        for curve in drivers
        if len({target.data_path for variable in curve.driver.variables for target in variable.targets}) > 1
    }
    offsets = {b.name: _offset(head, b) for b in blocks if b.path_from_id("value") not in corrective}
    size = np.ptp(read_neutral(head.data), axis=0).max()
    moving = {name: offset for name, offset in offsets.items() if np.abs(offset).max() > STILL * size}
    if not moving:
        raise HeadError(
            f"“{head.name}” has no shape keys that move it: make a library first (panel Library)."
        )
    return tuple(moving), np.array(list(moving.values()), np.float32)


def frame_deformations(
    context: bpy.types.Context, head: bpy.types.Object, frames: Sequence[int]
) -> NDArray[np.float32]:
    """(K, V, 3) what the shape keys add to the neutral in each frame. Raises HeadError for none."""
    key, scene = head.data.shape_keys, context.scene
    blocks = [] if key is None else [b for b in key.key_blocks if b != key.reference_key and not b.mute]
    values = np.zeros((len(frames), len(blocks)), np.float32)
    current, part = scene.frame_current, scene.frame_subframe
    try:
        for row, frame in zip(values, frames, strict=True):
            scene.frame_set(frame)
            graph = context.evaluated_depsgraph_get()
            if blocks:
                evaluated = key.evaluated_get(graph).key_blocks
                row[:] = [evaluated[block.name].value for block in blocks]
    finally:
        scene.frame_set(current, subframe=part)
    moving = np.flatnonzero(values.any(axis=0))
    if not len(moving) or (len(frames) > 1 and not np.ptp(values, axis=0).any()):
        raise HeadError(
            f"The shape keys of “{head.name}” do not move between frames {frames[0]} and {frames[-1]}: "
            "generate an animation first, or set the scene's frame range to it."
        )
    offsets = np.stack([_offset(head, blocks[i]) for i in moving])
    return np.tensordot(values[:, moving], offsets, axes=1).astype(np.float32)


def _offset(head: bpy.types.Object, block: bpy.types.ShapeKey) -> NDArray[np.float32]:
    """(V, 3) what a key adds at value 1, its vertex group considered."""
    both = np.empty((2, len(head.data.vertices) * 3), np.float32)
    block.points.foreach_get("co", both[0])
    block.relative_key.points.foreach_get("co", both[1])
    offset = (both[0] - both[1]).reshape(-1, 3)
    group = head.vertex_groups.get(block.vertex_group) if block.vertex_group else None
    if group is None:
        return offset
    weight = np.zeros(len(offset), np.float32)
    for vertex in head.data.vertices:
        for membership in vertex.groups:
            if membership.group == group.index:
                weight[vertex.index] = membership.weight
    return offset * weight[:, None]
