"""Writing deformations as relative shape keys.

Keys are only added, after the existing ones; keys that exist already (by the names given) get new coordinates
in place, so that drivers on them survive. `points.foreach_set` with float32 writes at the speed of a memory
copy, `data.foreach_set` is about fifty times slower; `from_mix=True` slows with the number of keys in 5.0.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import bpy
import numpy as np
from numpy.typing import NDArray

from . import mesh_reader

NAME_BYTES = 63
"""Blender cuts longer names."""


def unique_name(name: str, taken: Collection[str]) -> str:
    """`name`, with .001 and so on where it is taken, within Blender's limit."""
    stem, number = shortened(name, NAME_BYTES), 0
    unique = stem
    while unique in taken:
        number += 1
        suffix = f".{number:03d}"
        unique = shortened(stem, NAME_BYTES - len(suffix)) + suffix
    return unique


def shortened(name: str, length: int) -> str:
    """`name` cut to `length` bytes of UTF-8, never inside a character."""
    return name.encode("utf-8")[:length].decode("utf-8", "ignore")


def key_names(stem: str, count: int, taken: Collection[str]) -> list[str]:
    """`count` names like "happiness 007" for one animation, none of them taken."""
    digits = max(3, len(str(count)))
    names: list[str] = []
    used = set(taken)
    for number in range(1, count + 1):
        names.append(unique_name(f"{shortened(stem, NAME_BYTES - digits - 5)} {number:0{digits}d}", used))
        used.add(names[-1])
    return names


def write_shape_keys(head: bpy.types.Object, names: Sequence[str], deformations: NDArray[np.float32]) -> None:
    """Make the shape keys `names` of `head` show its neutral plus `deformations` (N, V, 3), in its own units.

    New keys start at value 0. Raises mesh_reader.HeadError when one of the keys is locked; nothing was
    written then.
    """
    mesh = head.data
    existing = mesh.shape_keys.key_blocks if mesh.shape_keys is not None else {}
    for name in names:
        if name in existing and existing[name].lock_shape:
            raise mesh_reader.HeadError(
                f"The shape key “{name}” is locked: unlock it, or choose another seed."
            )
    neutral = mesh_reader.read_neutral(mesh)
    if mesh.shape_keys is None:
        head.shape_key_add(name="Basis", from_mix=False)
    active = head.active_shape_key_index
    key_blocks = mesh.shape_keys.key_blocks
    shape = np.empty_like(neutral)
    for name, deformation in zip(names, deformations, strict=True):
        block = key_blocks.get(name) or _added(head, name)
        np.add(neutral, deformation, out=shape)
        block.points.foreach_set("co", shape.ravel())
    head.active_shape_key_index = active
    mesh.update()


def remove_shape_keys(head: bpy.types.Object, names: Sequence[str]) -> None:
    """Remove the shape keys `names` where they are still there, and keep the active one active."""
    key_blocks = head.data.shape_keys.key_blocks
    active = head.active_shape_key.name if head.active_shape_key is not None else ""
    for block in [key_blocks[name] for name in names if name in key_blocks]:
        head.shape_key_remove(block)
    head.active_shape_key_index = max(0, key_blocks.find(active))


def set_range(key: bpy.types.Key, name: str, lowest: float, highest: float) -> None:
    """Let the value of a shape key go from `lowest` to `highest`; Blender clamps animation to this range."""
    block = key.key_blocks[name]
    block.slider_min, block.slider_max = lowest, highest


def _added(head: bpy.types.Object, name: str) -> bpy.types.ShapeKey:
    block = head.shape_key_add(name=name, from_mix=False)
    block.value = 0.0
    return block
