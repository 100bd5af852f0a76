"""Plain Principled materials for a new head, so that it looks like one under any light.

Lengths in metres. Sockets are looked up by name: their order differs between Blender versions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import bpy

from .iris_shader import add_iris, iris_colour

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Look:
    """A material's linear colour, roughness and further sockets of the Principled BSDF."""

    colour: Colour
    roughness: float
    sockets: Mapping[str, float | Colour] = field(default_factory=dict)


# Light goes deepest in red; the free path in skin is a few millimetres.
_FLESH = {"Subsurface Radius": (1.0, 0.35, 0.18), "IOR": 1.4}
_WET = {"Coat Weight": 1.0, "Coat Roughness": 0.02, "Coat IOR": 1.376}  # tear film and cornea

LOOKS: Mapping[str, Look] = {
    "skin": Look((0.58, 0.34, 0.25), 0.48, _FLESH | {"Subsurface Weight": 0.25, "Subsurface Scale": 0.004}),
    "mouth": Look((0.34, 0.09, 0.08), 0.25, _FLESH | {"Subsurface Weight": 0.2, "Subsurface Scale": 0.003}),
    "socket": Look((0.38, 0.12, 0.10), 0.3, _FLESH | {"Subsurface Weight": 0.2, "Subsurface Scale": 0.003}),
    "sclera": Look((0.78, 0.72, 0.68), 0.3, _WET | {"Subsurface Weight": 0.1, "Subsurface Scale": 0.002}),
    "iris": Look((0.090, 0.045, 0.022), 0.4, _WET),
    "limbus": Look((0.055, 0.052, 0.052), 0.4, _WET),
    "pupil": Look((0.004, 0.004, 0.004), 0.4, _WET),
    "teeth": Look((0.76, 0.70, 0.58), 0.2, _FLESH | {"Subsurface Weight": 0.15, "Subsurface Scale": 0.001}),
    "gums": Look((0.50, 0.14, 0.13), 0.22, _FLESH | {"Subsurface Weight": 0.2, "Subsurface Scale": 0.002}),
    "tongue": Look((0.48, 0.15, 0.14), 0.35, _FLESH | {"Subsurface Weight": 0.25, "Subsurface Scale": 0.003}),
}
IRIS = "iris"
PLAIN = Look((0.5, 0.5, 0.5), 0.5)


def make_material(name: str, seed: int | None = None) -> bpy.types.Material:
    """A new material for the part of a head called `name`; grey for a part that is not known.

    seed: of the person whose eyes have a colour of their own.
    """
    material = bpy.data.materials.new(f"Dimple {name}")
    if not material.use_nodes:  # 5.0: always on, and setting it is deprecated
        material.use_nodes = True
    look = LOOKS.get(name, PLAIN)
    if name == IRIS and seed is not None:
        look = replace(look, colour=iris_colour(seed))
    principled = next(node for node in material.node_tree.nodes if node.type == "BSDF_PRINCIPLED")
    sockets = {"Base Color": look.colour, "Roughness": look.roughness, **look.sockets}
    for socket_name, value in sockets.items():
        socket = principled.inputs[socket_name]
        socket.default_value = (*value, 1.0) if socket.type == "RGBA" else value
    if name == IRIS:
        add_iris(material.node_tree, principled.inputs["Base Color"])
    material.diffuse_color = (*look.colour, 1.0)  # Workbench and Solid mode
    material.roughness = look.roughness
    return material
