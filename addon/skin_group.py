"""The node group "Dimple Skin": maps of the neutral skin, blended with maps of expressions.

    map = neutral + sum over sets of weight * (map of the set - neutral)

which changes nothing where a set is like the neutral, so sets of different regions do not disturb each other.
A set may belong to a shape key of either side of the face; each is then weighed on its own side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import bpy

from ..bridge.protocol import SKIN_MAPS

GROUP = "Dimple Skin"
SIDE = "dimple_side"
"""Point attribute of the mesh: 1 on the character's left, 0 on the right, soft between."""
COLUMN, ROW = 260.0, 300.0


@dataclass(frozen=True)
class Weight:
    """An input of the group from 0 to 1, driven by the shape key of this name, or else by hand."""

    name: str
    side: str = "both"  # "left", "right" or "both": where on the face it counts
    driven: bool = True


@dataclass(frozen=True)
class SkinSet:
    """One file for each of SKIN_MAPS; `weights` say when it shows, none of them on the neutral set."""

    label: str
    files: Mapping[str, Path]
    weights: tuple[Weight, ...] = ()


@dataclass(frozen=True)
class Sequence_:
    """How image sequences lie in time: the files are numbered from 1."""

    start: int
    count: int


class _Builder:
    """Adds nodes to a tree, column by column."""

    def __init__(self, tree: bpy.types.NodeTree) -> None:
        self.tree = tree
        self.column = 0.0
        self.row = 0.0

    def node(self, kind: str, label: str = "", **settings: object) -> bpy.types.Node:
        """A node below the last one of this column."""
        node = self.tree.nodes.new(kind)
        node.label, node.location = label, (self.column * COLUMN, -self.row * ROW)
        for name, value in settings.items():
            setattr(node, name, value)
        self.row += 1.0
        return node

    def next_column(self) -> None:
        """Go on at the top, to the right."""
        self.column, self.row = self.column + 1.0, 0.0

    def link(self, output: bpy.types.NodeSocket, entry: bpy.types.NodeSocket) -> None:
        """Connect two sockets."""
        self.tree.links.new(output, entry)

    def math(self, operation: str, *operands: bpy.types.NodeSocket | float, **settings: object):
        """The result of a Math node."""
        node = self.node("ShaderNodeMath", operation=operation, hide=True, **settings)
        self._connect(node, operands)
        return node.outputs["Value"]

    def vector(self, operation: str, *operands: bpy.types.NodeSocket):
        """The result of a Vector Math node."""
        node = self.node("ShaderNodeVectorMath", operation=operation, hide=True)
        self._connect(node, operands)
        return node.outputs["Vector"]

    def _connect(self, node: bpy.types.Node, operands: Sequence[bpy.types.NodeSocket | float]) -> None:
        for entry, operand in zip(node.inputs, operands, strict=False):
            if isinstance(operand, (int, float)):
                entry.default_value = operand
            else:
                self.link(operand, entry)


def build_group(
    neutral: SkinSet, sets: Sequence[SkinSet], uv_layer: str, sequence: Sequence_ | None = None
) -> bpy.types.NodeTree:
    """A new node tree with outputs Albedo, Specular, Roughness, Normal and inputs Relief and the weights.

    Raises RuntimeError when a file cannot be loaded; no tree is left behind then.
    """
    tree = bpy.data.node_groups.new(GROUP, "ShaderNodeTree")
    try:
        _fill(tree, neutral, sets, uv_layer, sequence)
    except RuntimeError:
        remove_group(tree)
        raise
    return tree


def remove_group(tree: bpy.types.NodeTree) -> None:
    """Remove a tree that nobody uses, and those of its images that nobody else uses."""
    images = {node.image for node in tree.nodes if node.type == "TEX_IMAGE" and node.image is not None}
    bpy.data.node_groups.remove(tree)
    for image in images:
        if image.users == 0:
            bpy.data.images.remove(image)


def _fill(
    tree: bpy.types.NodeTree,
    neutral: SkinSet,
    sets: Sequence[SkinSet],
    uv_layer: str,
    sequence: Sequence_ | None,
) -> None:
    for name, kind in zip(SKIN_MAPS, ("Color", "Float", "Float", "Vector"), strict=True):
        tree.interface.new_socket(name.title(), in_out="OUTPUT", socket_type=f"NodeSocket{kind}")
    _input(tree, "Relief", 1.0, 4.0).description = "Strength of the normal map"
    for weight in _weights(sets):
        _input(tree, weight.name, 0.0 if weight.driven else 1.0, 1.0)
    build = _Builder(tree)
    entry = build.node("NodeGroupInput")
    place = build.node("ShaderNodeUVMap", uv_map=uv_layer)
    side = build.node("ShaderNodeAttribute", attribute_name=SIDE) if _sided(sets) else None
    build.next_column()
    maps = _textures(build, neutral, place, sequence)
    rest = dict(maps)
    for skin_set in sets:
        build.next_column()
        amount = _amount(build, skin_set, entry, side)
        shown = _textures(build, skin_set, place, None)
        build.next_column()
        for name in SKIN_MAPS:
            change = build.vector("SUBTRACT", shown[name], rest[name])
            maps[name] = build.vector("MULTIPLY_ADD", change, amount, maps[name])
    build.next_column()
    relief = build.node("ShaderNodeNormalMap", space="TANGENT", uv_map=uv_layer)
    build.link(entry.outputs["Relief"], relief.inputs["Strength"])
    build.link(maps["normal"], relief.inputs["Color"])
    maps["normal"] = relief.outputs["Normal"]
    build.next_column()
    leave = build.node("NodeGroupOutput")
    for name in SKIN_MAPS:
        build.link(maps[name], leave.inputs[name.title()])


def _weights(sets: Sequence[SkinSet]) -> list[Weight]:
    return list({weight.name: weight for skin_set in sets for weight in skin_set.weights}.values())


def _sided(sets: Sequence[SkinSet]) -> bool:
    return any(weight.side != "both" for weight in _weights(sets))


def _input(
    tree: bpy.types.NodeTree, name: str, default: float, most: float
) -> bpy.types.NodeTreeInterfaceSocket:
    socket = tree.interface.new_socket(name, in_out="INPUT", socket_type="NodeSocketFloat")
    socket.default_value, socket.min_value, socket.max_value = default, 0.0, most
    return socket


def _textures(
    build: _Builder, skin_set: SkinSet, place: bpy.types.Node, sequence: Sequence_ | None
) -> dict[str, bpy.types.NodeSocket]:
    """An image texture for each map, in the colour space of its kind."""
    outputs = {}
    for name in SKIN_MAPS:
        image = bpy.data.images.load(str(skin_set.files[name]))
        image.colorspace_settings.name = "sRGB" if name == "albedo" else "Non-Color"
        image.name = f"{skin_set.label} {name}"
        node = build.node(
            "ShaderNodeTexImage", f"{skin_set.label} {name}", image=image, interpolation="Linear"
        )
        if sequence is not None:
            image.source = "SEQUENCE"
            user = node.image_user
            user.frame_start, user.frame_duration, user.frame_offset = sequence.start, sequence.count, 0
            user.use_auto_refresh = True
        build.link(place.outputs["UV"], node.inputs["Vector"])
        outputs[name] = node.outputs["Color"]
    return outputs


def _amount(
    build: _Builder, skin_set: SkinSet, entry: bpy.types.Node, side: bpy.types.Node | None
) -> bpy.types.NodeSocket:
    """How much of a set shows, clamped to 0..1: the sum of its weights, each on its side."""
    total: bpy.types.NodeSocket | float = 0.0
    for weight in skin_set.weights:
        here: bpy.types.NodeSocket | float = 1.0
        if side is not None and weight.side != "both":
            left = side.outputs["Fac"]
            here = left if weight.side == "left" else build.math("SUBTRACT", 1.0, left)
        total = build.math("MULTIPLY_ADD", entry.outputs[weight.name], here, total)
    return build.math("ADD", total, 0.0, use_clamp=True)
