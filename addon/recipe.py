"""The recipe of an animation, kept on its head: how to make it again, and which keys are its own."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import bpy

from ..bridge.protocol import AnimateRequest, ProtocolError, decode, encode

PROPERTY = "dimple_recipes"
"""Custom property of the head: one JSON text for each animation, by name."""


class RecipeError(ValueError):
    """A recipe on the head cannot be read. The message is one sentence for the artist."""


@dataclass(frozen=True)
class Bake:
    """How frames become shape keys: `tolerance_mm` 0 means one key a frame."""

    tolerance_mm: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """One animation of a head."""

    name: str
    request: AnimateRequest  # job and folder empty
    bake: Bake
    key_names: tuple[str, ...]
    action_name: str
    start_frame: int
    largest_error_mm: float  # of the bake

    def makes_the_same(self, request: AnimateRequest, bake: Bake) -> bool:
        """Whether the request, baked like that, gives this animation again."""
        return self.request == without_job(request) and self.bake == bake


def without_job(request: AnimateRequest) -> AnimateRequest:
    """The request as a recipe: without what belongs to one run of it, or to the head that it is for."""
    return replace(request, job="", folder="", landmarks={}, companions=(), companion_parts={}, cache="")


def read_recipes(head: bpy.types.Object) -> dict[str, Recipe]:
    """The recipes on the head by name, oldest first. Raises RecipeError."""
    texts = head[PROPERTY].to_dict() if PROPERTY in head else {}
    return {name: _from_json(name, text) for name, text in texts.items()}


def store_recipe(head: bpy.types.Object, recipe: Recipe) -> None:
    """Keep the recipe on the head, in place of one of the same name."""
    texts = head[PROPERTY].to_dict() if PROPERTY in head else {}
    head[PROPERTY] = {**texts, recipe.name: _to_json(recipe)}


def delete_recipe(head: bpy.types.Object, name: str) -> None:
    """Take a recipe off the head."""
    texts = head[PROPERTY].to_dict()
    del texts[name]
    if texts:
        head[PROPERTY] = texts
    else:
        del head[PROPERTY]


def _to_json(recipe: Recipe) -> str:
    values = {item.name: getattr(recipe, item.name) for item in fields(Recipe)}
    request = json.loads(encode(recipe.request))
    return json.dumps(values | {"request": request, "bake": asdict(recipe.bake)}, ensure_ascii=False)


def _from_json(name: str, text: Any) -> Recipe:
    try:
        values = json.loads(text)
        request = decode(json.dumps(values["request"]).encode())
        if not isinstance(request, AnimateRequest):
            raise TypeError("its request is no animation")
        keys = tuple(values["key_names"])
        return Recipe(**values | {"request": request, "bake": Bake(**values["bake"]), "key_names": keys})
    except (ProtocolError, ValueError, TypeError, KeyError) as error:
        raise RecipeError(
            f"The recipe “{name}” on the head is damaged ({error}): remove it and generate anew."
        ) from error
