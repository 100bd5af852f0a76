"""What skin a head wears, kept on it: the request that makes it again, and where its files are."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import bpy

from ..bridge.protocol import AppearanceRequest, ProtocolError, decode, encode
from .recipe import RecipeError

PROPERTY = "dimple_skin"
"""Custom property of the head: one JSON text."""


@dataclass(frozen=True)
class SkinRecord:
    """The generated skin of a head. `request` has no job, no folders and no texture of this one run."""

    request: AppearanceRequest
    slot: int
    folder: str  # as Blender writes paths, "//" beside the file; empty when packed
    sets: tuple[str, ...]
    source: str  # what made the maps, in words
    from_material: bool  # whether the neutral is the material's own texture
    start_frame: int = 1


def read_record(head: bpy.types.Object) -> SkinRecord | None:
    """The skin on the head. Raises RecipeError."""
    if PROPERTY not in head:
        return None
    try:
        values = json.loads(head[PROPERTY])
        request = decode(json.dumps(values["request"]).encode())
        if not isinstance(request, AppearanceRequest):
            raise TypeError("its request is for no skin")
        return SkinRecord(**values | {"request": request, "sets": tuple(values["sets"])})
    except (ProtocolError, ValueError, TypeError, KeyError) as error:
        raise RecipeError(
            f"The record of the skin on the head is damaged ({error}): remove it and generate anew."
        ) from error


def store_record(head: bpy.types.Object, record: SkinRecord) -> None:
    """Keep the record on the head."""
    request = replace(record.request, job="", folder="", out="", landmarks={}, companions=(), cache="")
    values = {name: getattr(record, name) for name in SkinRecord.__dataclass_fields__}
    head[PROPERTY] = json.dumps(values | {"request": json.loads(encode(request))}, ensure_ascii=False)


def delete_record(head: bpy.types.Object) -> None:
    """Take the record off the head."""
    if PROPERTY in head:
        del head[PROPERTY]
