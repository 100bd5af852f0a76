"""Building a mesh object of the arrays of a head: quads, UVs, material slots, smooth shading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import bpy
import numpy as np
from numpy.typing import NDArray

from .iris_shader import ATTRIBUTE, iris_places
from .material_writer import IRIS, make_material
from .mesh_reader import HeadError

METRES = 0.001
HEAD_RESULTS = ("neutral_vertices", "faces", "uv", "uv_faces", "face_material")
"""The results of a job that makes a head, in the order of `HeadArrays`."""


@dataclass(frozen=True)
class HeadArrays:
    """A head in model space: millimetres, +Y up, +Z out of the face."""

    neutral_vertices: NDArray[np.float32]  # (V, 3)
    faces: NDArray[np.int32]  # (F, 4), -1 pads triangles
    uv: NDArray[np.float32]  # (U, 2)
    uv_faces: NDArray[np.int32]  # (F, 4) into uv, padded like faces
    face_material: NDArray[np.int16]  # (F,) into material_names
    material_names: Sequence[str]


def blender_space(vertices: NDArray[np.float32]) -> NDArray[np.float32]:
    """Model space (mm, +Y up, +Z forward) to Blender's (m, +Z up, facing -Y): a rotation and a scale."""
    x, y, z = vertices.T
    return np.ascontiguousarray(np.stack([x, -z, y], axis=1) * np.float32(METRES), np.float32)


def build_head(arrays: HeadArrays, name: str, seed: int | None = None) -> bpy.types.Object:
    """A new object, not yet in any collection, of the person of this seed.

    Raises HeadError when the arrays make no valid mesh.
    """
    mesh = bpy.data.meshes.new(name)
    corners = arrays.faces >= 0
    sizes = corners.sum(axis=1)
    mesh.vertices.add(len(arrays.neutral_vertices))
    mesh.vertices.foreach_set("co", blender_space(arrays.neutral_vertices).ravel())
    mesh.loops.add(int(sizes.sum()))
    mesh.loops.foreach_set("vertex_index", arrays.faces[corners].astype(np.int32))
    mesh.polygons.add(len(arrays.faces))
    mesh.polygons.foreach_set("loop_start", np.concatenate([[0], sizes.cumsum()[:-1]]).astype(np.int32))
    mesh.polygons.foreach_set("material_index", arrays.face_material.astype(np.int32))
    mesh.update(calc_edges=True)
    layer = mesh.uv_layers.new(name="UVMap")
    layer.uv.foreach_set("vector", arrays.uv[arrays.uv_faces[corners]].astype(np.float32).ravel())
    if mesh.validate():
        bpy.data.meshes.remove(mesh)
        raise HeadError("The checkpoint's head is no valid mesh: install Dimple again.")
    mesh.shade_smooth()
    for number, material_name in enumerate(arrays.material_names):
        mesh.materials.append(make_material(material_name, seed))
        if material_name == IRIS:
            places = iris_places(arrays.neutral_vertices, arrays.faces[arrays.face_material == number])
            mesh.attributes.new(ATTRIBUTE, "FLOAT_VECTOR", "POINT").data.foreach_set("vector", places.ravel())
    return bpy.data.objects.new(name, mesh)
