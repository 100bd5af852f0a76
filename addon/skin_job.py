"""What a job about a head's skin is given: head, UVs, neutral texture, and what the skin shall follow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import bpy
import numpy as np
from numpy.typing import NDArray

from ..bridge.protocol import AppearanceRequest
from .head_job import read_head_job, there
from .image_reader import Texture, base_colour_image, image_refusal, read_texture
from .mesh_reader import HeadError
from .session import Target
from .skin_material import original_of
from .skin_reader import frame_deformations, key_deformations, read_uv
from .skin_writer import SkinPlace, new_folder

NO_TEXTURE = (
    "The skin's material has no image behind its Base Color: plug one in, or let Neutral be an Authored Skin"
)


@dataclass(frozen=True)
class SkinWork:
    """A request with all that it needs, and where its result goes."""

    request: AppearanceRequest
    arrays: Mapping[str, NDArray]
    target: Target
    place: SkinPlace
    neutral_vertices: NDArray[np.float32]  # (V, 3) in the head's own space


def neutral_image(head: bpy.types.Object, slot: int) -> bpy.types.Image | None:
    """The neutral texture of the artist's own material in a slot."""
    slots = head.material_slots
    return base_colour_image(original_of(slots[slot].material)) if slot < len(slots) else None


def texture_refusal(head: bpy.types.Object, slot: int) -> str | None:
    """Why the material's own texture cannot be the neutral, and the way out."""
    image = neutral_image(head, slot)
    return NO_TEXTURE if image is None else image_refusal(image)


def material_texture(head: bpy.types.Object, slot: int) -> Texture:
    """The neutral texture of the artist's own material, for the worker. Raises HeadError."""
    if (reason := texture_refusal(head, slot)) is not None:
        raise HeadError(f"{reason}.")
    return read_texture(neutral_image(head, slot))


def skin_job(
    context: bpy.types.Context,
    head: bpy.types.Object,
    request: AppearanceRequest,
    slot: int,
    texture: Texture | None = None,
) -> SkinWork:
    """Read the head for a request whose folders, texture and keys are still to come.

    Without a ``texture`` the skin at rest is authored; a request without `out` gets a folder beside the
    .blend file. Raises HeadError.
    """
    work = read_head_job(head)
    skin = read_uv(head, slot)
    corners = skin.uv.reshape(-1, 3, 2)
    if work.linear is not None and np.linalg.det(work.linear) < 0:
        corners = corners[:, ::-1]  # as the triangles of a mirrored head are turned
    arrays: dict[str, NDArray] = {
        "neutral_vertices": work.arrays["neutral_vertices"],
        "triangles": work.arrays["triangles"],
        "uv": np.ascontiguousarray(corners).reshape(-1, 2),
        "skin_triangles": skin.skin_triangles[:, None],
    }
    request = replace(work.request(request), companions=())
    if texture is not None:
        request = replace(request, texture=texture.path)
        if texture.texels is not None:
            arrays["texture"] = texture.texels
    start, end = context.scene.frame_start, context.scene.frame_end
    if request.subject != "expression":
        if request.subject == "keys":
            names, deformations = key_deformations(head)
            request = replace(request, key_names=names)
        else:
            deformations = frame_deformations(context, head, range(start, end + 1))
        arrays["deformations"] = there(deformations.reshape(-1, 3), work.linear)
    if not request.out:
        folder = new_folder(head, request)
        if folder is None and request.subject == "frames":
            raise HeadError("Save the .blend file first: the image sequences lie beside it.")
        request = replace(request, out=str(folder or ""))
    place = SkinPlace(slot, skin.layer, texture is not None, start)
    return SkinWork(request, arrays, work.target, place, work.mesh.neutral_vertices)
