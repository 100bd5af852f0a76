"""Finding the neutral texture in a material, and giving its pixels to the worker."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np
from numpy.typing import NDArray

from .mesh_reader import HeadError

PLAIN_FILES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tga"}
"""What the worker opens itself, as sRGB; everything else goes through Blender's own readers."""


@dataclass(frozen=True)
class Texture:
    """A neutral albedo: a file, or its texels, top row first, sRGB, (H, W * 4) uint8."""

    path: str = ""
    texels: NDArray[np.uint8] | None = None


def principled_of(material: bpy.types.Material | None) -> bpy.types.Node | None:
    """The Principled BSDF that the material shows, found from its output; None where there is none."""
    if material is None or material.node_tree is None:
        return None
    nodes = material.node_tree.nodes
    outputs = [node for node in nodes if node.type == "OUTPUT_MATERIAL"]
    output = next((node for node in outputs if node.is_active_output), None)
    if output is None:
        return None
    return next((node for node, _ in _upstream(output) if node.type == "BSDF_PRINCIPLED"), None)


def base_colour_texture(
    material: bpy.types.Material | None,
) -> tuple[bpy.types.Node, list[bpy.types.NodeLink]] | None:
    """The nearest image texture with an image behind Base Color, and its links that lead there."""
    principled = principled_of(material)
    if principled is None:
        return None
    entry = principled.inputs["Base Color"]
    found = _upstream(principled, entry)
    on_the_way = {node for node, _ in found}
    for node, _ in found:
        if node.type == "TEX_IMAGE" and node.image is not None:
            links = node.outputs["Color"].links
            return node, [link for link in links if link.to_node in on_the_way or link.to_socket == entry]
    return None


def base_colour_image(material: bpy.types.Material | None) -> bpy.types.Image | None:
    """The neutral texture of a material; None where its base colour is no image."""
    found = base_colour_texture(material)
    return found[0].image if found is not None else None


def image_refusal(image: bpy.types.Image) -> str | None:
    """Why this image cannot be the neutral texture, and the way out. Cheap."""
    name = f"“{image.name}”"
    if image.source == "TILED":
        return f"The texture {name} has several tiles (UDIM): bake the face to one image first"
    if image.source in {"SEQUENCE", "MOVIE", "VIEWER"}:
        return f"The texture {name} is no single picture: choose one picture of the neutral face"
    if image.source == "FILE" and image.packed_file is None and not image.is_dirty:
        path = Path(bpy.path.abspath(image.filepath, library=image.library))
        if not path.is_file():
            return f"The file of the texture {name} is missing: use File > External Data > Find Missing Files"
    return None


def read_texture(image: bpy.types.Image) -> Texture:
    """The image for the worker: its file where that is what Blender shows. Raises HeadError."""
    if (reason := image_refusal(image)) is not None:
        raise HeadError(f"{reason}.")
    on_disk = image.source == "FILE" and image.packed_file is None and not image.is_dirty
    path = Path(bpy.path.abspath(image.filepath, library=image.library))
    if on_disk and path.suffix.lower() in PLAIN_FILES and image.colorspace_settings.name == "sRGB":
        return Texture(path=str(path))
    width, height = image.size
    if not width or not height:
        raise HeadError(f"Blender cannot read the texture “{image.name}”: choose another file.")
    pixels = np.empty(width * height * 4, np.float32)
    image.pixels.foreach_get(pixels)
    colour = pixels.reshape(height, width, 4)[::-1].clip(0.0, 1.0)
    if image.is_float or image.colorspace_settings.name.startswith("Linear"):
        colour[..., :3] = _encoded(colour[..., :3])
    texels = np.rint(colour * 255.0).astype(np.uint8)
    return Texture(texels=texels.reshape(height, width * 4))


def _encoded(linear: NDArray[np.float32]) -> NDArray[np.float32]:
    """Linear light to sRGB (IEC 61966-2-1)."""
    return np.where(
        linear <= 0.0031308, 12.92 * linear, 1.055 * np.power(linear, 1 / 2.4, where=linear > 0) - 0.055
    )


def _upstream(
    node: bpy.types.Node, socket: bpy.types.NodeSocket | None = None
) -> list[tuple[bpy.types.Node, bpy.types.NodeLink]]:
    """The nodes that feed a node or one of its sockets, nearest first, each with the link that leaves it."""
    found: list[tuple[bpy.types.Node, bpy.types.NodeLink]] = []
    waiting = deque(link for entry in ([socket] if socket else node.inputs) for link in entry.links)
    seen: set[str] = set()
    while waiting:
        link = waiting.popleft()
        if link.from_node.name not in seen:
            seen.add(link.from_node.name)
            found.append((link.from_node, link))
            waiting.extend(further for entry in link.from_node.inputs for further in entry.links)
    return found
