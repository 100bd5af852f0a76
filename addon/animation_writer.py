"""Writing a generated animation to its head: shape keys, action and recipe, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import bpy
import numpy as np
from numpy.typing import NDArray

from ..bridge.protocol import AnimateRequest
from . import action_writer, mesh_reader, shape_key_writer
from .companion_writer import (
    Following,
    check_companions,
    key_names_of,
    remove_from_companions,
    write_companion,
)
from .low_rank import low_rank
from .mesh_reader import HeadError
from .recipe import Bake, Recipe, delete_recipe, read_recipes, store_recipe, without_job
from .signal_record import delete_signal


@dataclass(frozen=True)
class Placement:
    """Where in time an animation goes, and into which action."""

    start_frame: int = 1
    into_current: bool = False  # add to the action in use instead of making a new one
    hold_last: bool = True  # keep the last frame's face after the end


def write_animation(
    head: bpy.types.Object,
    request: AnimateRequest,
    deformations: NDArray[np.float32],
    mm_per_unit: float,
    bake: Bake | None = None,
    placement: Placement | None = None,
    followers: Sequence[Following] = (),
) -> Recipe:
    """Make `head` show its neutral plus `deformations[i]` at frame `start_frame + i`.

    deformations (K, V, 3) in the head's own units; `followers` move with it, K shapes each. The same request
    with the same bake updates its own keys in place; anything else adds keys after the existing ones. Raises
    HeadError, RecipeError; nothing was written then.
    """
    bake, placement = bake or Bake(), placement or Placement()
    _check(head, deformations, placement, followers)
    recipes = read_recipes(head)
    known = next((recipe for recipe in recipes.values() if recipe.makes_the_same(request, bake)), None)
    name = known.name if known is not None else shape_key_writer.unique_name(title(request), recipes)
    shapes, coefficients, error = deformations, None, 0.0
    if bake.tolerance_mm > 0:
        together = np.concatenate([deformations, *(other.deformations for other in followers)], axis=1)
        baked = low_rank(together, bake.tolerance_mm / mm_per_unit)
        coefficients, error = baked.coefficients, baked.largest_error * mm_per_unit
        ends = np.cumsum([deformations.shape[1], *(other.deformations.shape[1] for other in followers)])
        shapes, *others = np.split(baked.components, ends[:-1], axis=1)
        followers = [replace(other, deformations=own) for other, own in zip(followers, others, strict=True)]
    if known is not None and len(known.key_names) == len(shapes):
        key_names = list(known.key_names)
    else:
        taken = _taken(head) | key_names_of(followers)
        key_names = shape_key_writer.key_names(name, len(shapes), taken)
    check_companions(head, followers, key_names)
    shape_key_writer.write_shape_keys(head, key_names, shapes)
    key = head.data.shape_keys
    if coefficients is None:
        curves = action_writer.frame_curves(key_names, placement.start_frame, placement.hold_last)
    else:
        for key_name, column in zip(key_names, coefficients.T, strict=True):
            shape_key_writer.set_range(key, key_name, min(0.0, float(column.min())), 1.0)
        curves = action_writer.coefficient_curves(
            key_names, coefficients, placement.start_frame, placement.hold_last
        )
    for other in followers:
        write_companion(head, other, key_names)
    previous = _action_in_use(head)
    action = action_writer.write_action(key, _own_action(previous, known, placement), name, curves)
    if previous is not None and previous != action:
        _silence(key, [recipe for recipe in recipes.values() if recipe.action_name == previous.name])
    recipe = Recipe(
        name, without_job(request), bake, tuple(key_names), action.name, placement.start_frame, error
    )
    store_recipe(head, recipe)
    return recipe


def remove_animation(head: bpy.types.Object, name: str) -> None:
    """Take an animation's own keys, curves and recipe off the head, and its action when that is empty then.

    Raises RecipeError.
    """
    recipe = read_recipes(head)[name]
    key = head.data.shape_keys
    action = bpy.data.actions.get(recipe.action_name)
    if key is not None:
        if action is not None:
            action_writer.remove_curves(key, action, recipe.key_names)
        remove_from_companions(head, recipe.key_names)
        shape_key_writer.remove_shape_keys(head, recipe.key_names)
    if action is not None and action_writer.is_empty(action):
        bpy.data.actions.remove(action)
    delete_recipe(head, name)
    delete_signal(head, name)


def title(request: AnimateRequest) -> str:
    """What keys and action are called: "happiness", "anger jawOpen", or what else the signal comes from."""
    names = [text.partition("=")[0].strip() for text in request.expressions]
    if request.moments:
        names.append("moments")
    if request.curves:
        names.append("keyframed")
    if request.performance:
        names.append(Path(request.performance).stem)
    return " ".join(names) or "expression"


def _check(
    head: bpy.types.Object,
    deformations: NDArray[np.float32],
    placement: Placement,
    followers: Sequence[Following],
) -> None:
    """Raises HeadError where writing would fail half-way."""
    if (reason := mesh_reader.refusal(head)) is not None:
        raise HeadError(f"{reason}.")
    if deformations.ndim != 3 or deformations.shape[1:] != (len(head.data.vertices), 3):
        raise HeadError(f"The result is not made for “{head.name}”: generate again.")
    if not len(deformations) or not np.isfinite(deformations).all():
        raise HeadError("The worker's result is empty or not finite: generate again with another seed.")
    if any(len(other.deformations) != len(deformations) for other in followers):
        raise HeadError("What follows the head has another number of frames: generate again.")
    action = _action_in_use(head)
    if placement.into_current and action is not None and action.library is not None:
        raise HeadError(f"The action “{action.name}” is linked from another file: choose New Action.")


def _taken(head: bpy.types.Object) -> set[str]:
    key = head.data.shape_keys
    return {block.name for block in key.key_blocks} if key is not None else set()


def _action_in_use(head: bpy.types.Object) -> bpy.types.Action | None:
    key = head.data.shape_keys
    return key.animation_data.action if key is not None and key.animation_data is not None else None


def _own_action(
    current: bpy.types.Action | None, known: Recipe | None, placement: Placement
) -> bpy.types.Action | None:
    """The action to write into: the current one when asked, else the animation's own, where it has one.

    An action that something else uses too (a copy of the head, an NLA strip) is not this animation's own.
    """
    if placement.into_current:
        return current
    if known is None:
        return None
    if current is not None and current.library is None and action_writer.animates(current, known.key_names):
        return current
    own = bpy.data.actions.get(known.action_name)
    return own if own is not None and own.library is None and own.users == int(own.use_fake_user) else None


def _silence(key: bpy.types.Key, recipes: Sequence[Recipe]) -> None:
    """Put the keys of Dimple's animations whose action has stepped aside to 0.

    Their values would otherwise stay on the face as they were at the current frame.
    """
    for recipe in recipes:
        for block in (key.key_blocks.get(key_name) for key_name in recipe.key_names):
            if block is not None:
                block.value = 0.0
