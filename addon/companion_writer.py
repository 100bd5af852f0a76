"""Shape keys of the objects that follow a head: the same names, their values driven by the head's."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import bpy
import numpy as np
from numpy.typing import NDArray

from . import mesh_reader, shape_key_writer
from .action_writer import value_path
from .head_job import back, companion_refusal
from .mesh_reader import HeadError
from .session import Job

Floats = NDArray[np.float32]

STILL = 1e-6
"""Motion over a companion's size that is only rounding."""


@dataclass(frozen=True)
class Following:
    """Shapes of an object that follows a head."""

    companion: bpy.types.Object
    deformations: Floats  # (N, V, 3) in the job's space
    linear: Floats  # (3, 3) displacements of the companion's own mesh -> the job's space

    def only(self, rows: Sequence[int]) -> Following:
        """Some of the shapes."""
        return replace(self, deformations=self.deformations[list(rows)])


def read_followers(job: Job, *stems: str) -> list[Following]:
    """What a job has made for the objects that follow its head, its arrays `stems` one after the other.

    An object that is gone is left out. Raises HeadError for one that has changed; OSError, ValueError where
    a file is unusable.
    """
    found: list[Following] = []
    for index, follower in enumerate(job.target.followers if job.target is not None else ()):
        companion = mesh_reader.find_object(follower.name, follower.session_uid)
        if companion is None:
            continue
        if mesh_reader.read_fingerprint(companion.data) != follower.fingerprint:
            raise HeadError(f"“{companion.name}” has changed since Generate: generate again.")
        arrays = [np.array(job.array(f"companion_{index}_{stem}"), np.float32) for stem in stems]
        found.append(Following(companion, np.concatenate(arrays), follower.linear))
    return found


def check_companions(
    head: bpy.types.Object, followers: Sequence[Following], own: Collection[str], take_over: bool = False
) -> None:
    """Raises HeadError where writing the keys `own` would fail half-way or touch what is not Dimple's."""
    for following in followers:
        companion, shapes = following.companion, following.deformations
        if (reason := companion_refusal(companion, head)) is not None:
            raise HeadError(f"{reason}.")
        if shapes.shape[1:] != (len(companion.data.vertices), 3) or not np.isfinite(shapes).all():
            raise HeadError(f"The result is not made for “{companion.name}”: generate again.")
        for name in own:
            block = _blocks(companion).get(name)
            if block is None:
                continue
            if block.lock_shape:
                raise HeadError(f"The shape key “{name}” of “{companion.name}” is locked: unlock it first.")
            if not take_over and not _follows(companion.data.shape_keys, name, head.data.shape_keys):
                raise HeadError(
                    f"“{companion.name}” has a shape key “{name}” already that is not Dimple's: rename it, "
                    "or choose to take such keys over."
                )


def write_companion(head: bpy.types.Object, following: Following, names: Sequence[str]) -> None:
    """Give the companion the shape keys `names`, each driven by the head's key of that name.

    An object that does not move at all gets none.
    """
    companion = following.companion
    shapes = back(following.deformations, following.linear)
    still = np.abs(shapes).max(initial=0.0) <= STILL * max(
        np.ptp(mesh_reader.read_neutral(companion.data)), 0.0
    )
    if still and not _blocks(companion).keys() & set(names):
        return
    shape_key_writer.write_shape_keys(companion, names, shapes)
    key, heads = companion.data.shape_keys, head.data.shape_keys
    for name in names:
        own, leading = key.key_blocks[name], heads.key_blocks[name]
        own.slider_min, own.slider_max = leading.slider_min, leading.slider_max
        if _driver(key, name) is None:
            _drive(key, name, heads)


def remove_from_companions(head: bpy.types.Object, names: Collection[str]) -> None:
    """Take the keys `names` that the head's keys drive off whatever object has them."""
    heads = head.data.shape_keys
    for companion in bpy.data.objects:
        if companion.type != "MESH" or companion.data.shape_keys in (None, heads):
            continue
        key = companion.data.shape_keys
        followed = [name for name in names if name in key.key_blocks and _follows(key, name, heads)]
        for name in followed:
            key.driver_remove(value_path(name))
        if followed:
            shape_key_writer.remove_shape_keys(companion, followed)


def key_names_of(followers: Sequence[Following]) -> set[str]:
    """The names that are taken on the companions."""
    return {name for following in followers for name in _blocks(following.companion)}


def _blocks(companion: bpy.types.Object) -> dict[str, bpy.types.ShapeKey]:
    key = companion.data.shape_keys
    return {block.name: block for block in key.key_blocks} if key is not None else {}


def _driver(key: bpy.types.Key, name: str) -> bpy.types.FCurve | None:
    return key.animation_data.drivers.find(value_path(name)) if key.animation_data is not None else None


def _follows(key: bpy.types.Key, name: str, heads: bpy.types.Key | None) -> bool:
    """Whether a key's value is driven by a key of the head."""
    curve = _driver(key, name)
    return curve is not None and any(
        target.id == heads for variable in curve.driver.variables for target in variable.targets
    )


def _drive(key: bpy.types.Key, name: str, heads: bpy.types.Key) -> None:
    driver = key.driver_add(value_path(name)).driver
    driver.type = "AVERAGE"  # of one: nothing that Python would have to evaluate
    variable = driver.variables.new()
    variable.name, variable.type = "head", "SINGLE_PROP"
    target = variable.targets[0]
    target.id_type, target.id, target.data_path = "KEY", heads, value_path(name)
