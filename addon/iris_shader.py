"""The iris: fibres that run from the pupil to a dark rim, round a lighter collarette.

The shader reads where on the iris it is from an attribute of the vertices, so that the pattern moves with the
eye and needs no texture.
"""

from __future__ import annotations

import random

import bpy
import numpy as np
from numpy.typing import NDArray

ATTRIBUTE = "iris"
"""Vector of every vertex: right and up of the middle of the pupil, in radii of the iris."""
COLOUR = "Dimple iris colour"
"""The node that an artist changes."""
COLOURS = (
    (0.055, 0.027, 0.015),
    (0.090, 0.045, 0.022),
    (0.090, 0.045, 0.022),
    (0.130, 0.070, 0.033),
    (0.150, 0.095, 0.048),
    (0.110, 0.115, 0.055),
    (0.095, 0.140, 0.170),
)
"""Linear, from dark brown over hazel to green and blue-grey; brown twice, as most people have it."""
FIBRES, WAVES = 9.0, 1.6
"""Of the noise: how many fibres there are round the pupil, and how much they change on the way outwards."""
BRIGHTNESS = ((0.34, 0.45), (0.40, 1.5), (0.52, 1.75), (0.62, 1.0), (0.86, 0.85), (1.0, 0.2))
"""Of the iris from the pupil's edge to its own rim: (radius, times the colour)."""
BRIGHTEST = 2.0
"""What 1 on the ramp stands for: a colour ramp holds no more."""


def iris_colour(seed: int) -> tuple[float, float, float]:
    """The linear colour of a person's iris."""
    return random.Random(seed).choice(COLOURS)


def iris_places(vertices: NDArray[np.float32], faces: NDArray[np.int32]) -> NDArray[np.float32]:
    """(V, 3) of `ATTRIBUTE`; zeros off the irises. vertices (V, 3) in model space, faces (F, 4) of irises."""
    places = np.zeros_like(vertices)
    members = np.unique(faces[faces >= 0])
    sideways = vertices[members, 0]
    for side in (sideways > sideways.mean(), sideways <= sideways.mean()):
        own = members[side]
        if len(own) < 3:
            continue
        points = vertices[own] - vertices[own].mean(axis=0)
        axis = np.linalg.svd(points, full_matrices=False)[2][2]
        up = np.array([0.0, 1.0, 0.0]) - axis[1] * axis
        up /= max(float(np.linalg.norm(up)), 1e-6)
        flat = points @ np.stack([np.cross(up, axis), up], axis=1)
        places[own, :2] = flat / max(float(np.linalg.norm(flat, axis=1).max()), 1e-6)
    return places


def add_iris(tree: bpy.types.NodeTree, colour: bpy.types.NodeSocket) -> None:
    """Put the nodes of an iris before a colour socket whose value becomes the artist's to choose."""
    link, new = tree.links.new, tree.nodes.new
    place = new("ShaderNodeAttribute")
    place.attribute_name = ATTRIBUTE
    radius = new("ShaderNodeVectorMath")
    radius.operation = "LENGTH"
    link(place.outputs["Vector"], radius.inputs[0])
    direction = new("ShaderNodeVectorMath")
    direction.operation = "NORMALIZE"
    link(place.outputs["Vector"], direction.inputs[0])

    # Noise over the direction and, slowly, over the radius: fibres without a seam.
    outwards = new("ShaderNodeCombineXYZ")
    link(radius.outputs["Value"], outwards.inputs["Z"])
    where = new("ShaderNodeVectorMath")
    where.operation = "MULTIPLY_ADD"
    link(direction.outputs["Vector"], where.inputs[0])
    where.inputs[1].default_value = (FIBRES, FIBRES, 0.0)
    link(outwards.outputs["Vector"], where.inputs[2])
    fibres = new("ShaderNodeTexNoise")
    link(where.outputs["Vector"], fibres.inputs["Vector"])
    fibres.inputs["Scale"].default_value = WAVES
    fibres.inputs["Detail"].default_value = 3.0
    shade = new("ShaderNodeMapRange")
    link(fibres.outputs[0], shade.inputs["Value"])
    shade.inputs["From Min"].default_value, shade.inputs["From Max"].default_value = 0.3, 0.7
    shade.inputs["To Min"].default_value, shade.inputs["To Max"].default_value = 0.4, 1.6

    brightness = new("ShaderNodeValToRGB")
    link(radius.outputs["Value"], brightness.inputs["Fac"])
    ramp = brightness.color_ramp
    while len(ramp.elements) < len(BRIGHTNESS):
        ramp.elements.new(1.0)
    for element, (position, value) in zip(ramp.elements, BRIGHTNESS, strict=True):
        element.position = position
        element.color = (*(value / BRIGHTEST,) * 3, 1.0)

    chosen = new("ShaderNodeRGB")
    chosen.name = chosen.label = COLOUR
    chosen.outputs[0].default_value = tuple(colour.default_value)
    fibred = new("ShaderNodeVectorMath")
    fibred.operation = "SCALE"
    link(chosen.outputs[0], fibred.inputs[0])
    link(shade.outputs["Result"], fibred.inputs["Scale"])
    shaded = new("ShaderNodeVectorMath")
    shaded.operation = "MULTIPLY"
    link(fibred.outputs["Vector"], shaded.inputs[0])
    link(brightness.outputs["Color"], shaded.inputs[1])
    lit = new("ShaderNodeVectorMath")
    lit.operation = "SCALE"
    link(shaded.outputs["Vector"], lit.inputs[0])
    lit.inputs["Scale"].default_value = BRIGHTEST
    link(lit.outputs["Vector"], colour)

    columns = (
        (place,),
        (radius, direction),
        (outwards, where),
        (fibres, brightness),
        (shade, chosen),
        (fibred,),
    )
    for column, nodes in enumerate((*columns, (shaded,), (lit,))):
        for row, node in enumerate(nodes):
            node.location = (-1500 + 190 * column, 300 - 260 * row)
