"""Dressing a head in generated skin: a copy of its material with the node group in it; the original is kept.

The copy remembers its original. Dressed again, it keeps what the artist has changed in it meanwhile: only the
group's contents are exchanged. Lengths in the head's own units. Sockets are looked up by name.
"""

from __future__ import annotations

from collections.abc import Sequence

import bpy

from .image_reader import base_colour_texture, principled_of
from .skin_group import GROUP, SkinSet, remove_group

ORIGINAL, KEPT_BEFORE = "dimple_original", "dimple_original_kept"
"""Custom properties of the copy: the artist's material, and whether that had a fake user."""

SCATTERING_MM = 1.2
SCATTERING_RGB = (1.0, 0.35, 0.18)
"""Free path of light in skin, by colour: it goes deepest in red."""
SPARE = 320.0


def original_of(material: bpy.types.Material | None) -> bpy.types.Material | None:
    """The artist's own material behind one that Dimple has dressed; any other is its own."""
    return material.get(ORIGINAL, material) if material is not None else None


def group_node(material: bpy.types.Material | None) -> bpy.types.Node | None:
    """The skin's group in a material."""
    if material is None or material.node_tree is None:
        return None
    return material.node_tree.nodes.get(GROUP)


def dress(
    head: bpy.types.Object,
    slot: int,
    tree: bpy.types.NodeTree,
    sets: Sequence[SkinSet],
    mm_per_unit: float,
) -> bpy.types.Material:
    """Show the group `tree` in the head's material slot, its weights driven by the head's shape keys."""
    if not head.material_slots:
        head.data.materials.append(None)
    worn = head.material_slots[slot].material
    node = group_node(worn)
    if node is not None:
        material = worn
        _exchange(material, node, tree)
    else:
        material = _copied(worn, head.name)
        node = material.node_tree.nodes.new("ShaderNodeGroup")
        node.name = node.label = GROUP
        node.node_tree, node.width = tree, 220.0
        principled = principled_of(material)
        node.location = (principled.location.x - SPARE, principled.location.y - SPARE)
        _connect(material, node)
        _scatter(principled, mm_per_unit)
        head.material_slots[slot].material = material
    _drive(head, material, node, sets)
    return material


def undress(head: bpy.types.Object, slot: int) -> None:
    """Put the artist's own material back into the slot, as it was."""
    material = head.material_slots[slot].material
    node = group_node(material)
    if node is None:
        return
    original, tree = material.get(ORIGINAL), node.node_tree
    head.material_slots[slot].material = original
    if original is not None:
        original.use_fake_user = bool(material.get(KEPT_BEFORE, False))
    if material.users == 0:
        bpy.data.materials.remove(material)
        if tree is not None and tree.users == 0:
            remove_group(tree)


def _copied(worn: bpy.types.Material | None, name: str) -> bpy.types.Material:
    """A copy of the artist's material with a Principled BSDF in it; a new one where there is none."""
    if worn is not None and principled_of(worn) is not None:
        material = worn.copy()
    else:
        material = bpy.data.materials.new(f"{name} skin")
        if not material.use_nodes:  # 5.0: always on, and setting it is deprecated
            material.use_nodes = True
    if worn is not None:
        material.name = f"{worn.name} (Dimple)"
        material[ORIGINAL], material[KEPT_BEFORE] = worn, worn.use_fake_user
        worn.use_fake_user = True
    return material


def _exchange(material: bpy.types.Material, node: bpy.types.Node, tree: bpy.types.NodeTree) -> None:
    """Give the group node another tree; the links that the artist has made from it stay."""
    old = node.node_tree
    ends = {output.name: [link.to_socket for link in output.links] for output in node.outputs}
    node.node_tree = tree
    for name, sockets in ends.items():
        for socket in sockets:
            material.node_tree.links.new(node.outputs[name], socket)
    if old is not None and old.users == 0:
        remove_group(old)


def _connect(material: bpy.types.Material, node: bpy.types.Node) -> None:
    """Lead the group's outputs to the Principled BSDF; the albedo takes the place of the neutral texture."""
    links, principled = material.node_tree.links, principled_of(material)
    texture = base_colour_texture(material)
    entries = [principled.inputs["Base Color"]]
    if texture is not None:
        entries = [link.to_socket for link in texture[1]]
    for entry in entries:
        links.new(node.outputs["Albedo"], entry)
    wanted = {"Specular": "Specular IOR Level", "Roughness": "Roughness", "Normal": "Normal"}
    for output, name in wanted.items():
        links.new(node.outputs[output], principled.inputs[name])


def _scatter(principled: bpy.types.Node, mm_per_unit: float) -> None:
    """Let light into the skin, unless the artist has decided about that."""
    weight = principled.inputs["Subsurface Weight"]
    if weight.is_linked or weight.default_value > 0:
        return
    weight.default_value = 1.0
    principled.inputs["Subsurface Radius"].default_value = SCATTERING_RGB
    principled.inputs["Subsurface Scale"].default_value = SCATTERING_MM / mm_per_unit


def _drive(
    head: bpy.types.Object, material: bpy.types.Material, node: bpy.types.Node, sets: Sequence[SkinSet]
) -> None:
    """Let each weight follow the shape key of its name."""
    tree, key = material.node_tree, head.data.shape_keys
    if tree.animation_data is not None:
        own = f"{node.path_from_id()}.inputs"
        for curve in [curve for curve in tree.animation_data.drivers if curve.data_path.startswith(own)]:
            tree.animation_data.drivers.remove(curve)
    for weight in (weight for skin_set in sets for weight in skin_set.weights if weight.driven):
        if key is None or weight.name not in key.key_blocks:
            continue
        driver = node.inputs[weight.name].driver_add("default_value").driver
        driver.type = "SUM"  # evaluated without Python, hence without a prompt
        variable = driver.variables.new()
        variable.name, variable.type = "value", "SINGLE_PROP"
        target = variable.targets[0]
        target.id_type, target.id = "KEY", key
        target.data_path = f'key_blocks["{bpy.utils.escape_identifier(weight.name)}"].value'
