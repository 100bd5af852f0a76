"""Reading a head from a file: .obj, .ply, .glb, .blend or .npz.

Vertex positions stay as the file has them: no unit and no axis conversion reaches the mesh, so that what
Dimple writes fits the file again. Where Blender's axes differ, the object is turned, not the mesh.
"""

from collections.abc import Callable, Mapping
from math import radians
from pathlib import Path
from types import MappingProxyType

import bmesh
import bpy
import numpy as np
from mathutils import Matrix

from .exporters import VERTEX_ATTRIBUTE

GLTF_TO_BLENDER = Matrix.Rotation(radians(90.0), 4, "X")
"""glTF is +Y up, Blender +Z up: (x, y, z) becomes (x, -z, y)."""


class HeadFileError(ValueError):
    """The file holds no head that can be read. The message is one sentence that says what to do."""


def read_head(path: Path, name: str | None = None) -> bpy.types.Object:
    """The head in the file `path`, in an otherwise empty scene; a .blend file is opened instead.

    `name` chooses among several mesh objects. Raises HeadFileError.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise HeadFileError(f"“{path.name}” is none of the files a head is read from: {', '.join(READERS)}.")
    if not path.is_file():
        raise HeadFileError(f"There is no file “{path}”.")
    try:
        reader(path)
    except RuntimeError as error:  # how Blender's operators report a file they cannot read
        raise HeadFileError(f"Blender cannot read “{path.name}”: {_reason(error)}") from error
    head = _chosen(path, name)
    if not head.data.polygons:
        raise HeadFileError(f"“{head.name}” in “{path.name}” has no faces; a head is a mesh with faces.")
    if path.suffix.lower() == ".glb":
        _undo_gltf_conversion(head)
    return head


def empty_scene() -> None:
    """Forget the open file. Add-ons and preferences stay."""
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)


def _read_blend(path: Path) -> None:
    bpy.ops.wm.open_mainfile(filepath=str(path), load_ui=False, use_scripts=False)


def _read_obj(path: Path) -> None:
    empty_scene()
    # the file's axes become the object's rotation, its vertices are taken as they are
    bpy.ops.wm.obj_import(filepath=str(path), use_split_objects=False)


def _read_ply(path: Path) -> None:
    empty_scene()
    bpy.ops.wm.ply_import(filepath=str(path))


def _read_glb(path: Path) -> None:
    empty_scene()
    bpy.ops.import_scene.gltf(filepath=str(path))


def _read_npz(path: Path) -> None:
    """Makes a mesh of `neutral_vertices` (V, 3) and `triangles` (F, 3)."""
    empty_scene()
    name = f"“{path.name}”"
    try:
        with np.load(path, allow_pickle=False) as arrays:
            vertices, triangles = np.asarray(arrays["neutral_vertices"]), np.asarray(arrays["triangles"])
    except KeyError as error:
        raise HeadFileError(f"{name} lacks {error}: a head is neutral_vertices and triangles.") from error
    except (OSError, ValueError, EOFError) as error:
        raise HeadFileError(f"{name} is no readable .npz file: {error}.") from error
    if vertices.ndim != 2 or vertices.shape[1] != 3 or vertices.dtype.kind != "f":
        raise HeadFileError(f"neutral_vertices in {name} must be (V, 3) numbers, not {vertices.shape}.")
    if triangles.ndim != 2 or triangles.shape[1] != 3 or triangles.dtype.kind not in "iu":
        raise HeadFileError(f"triangles in {name} must be (F, 3) vertex numbers, not {triangles.shape}.")
    if triangles.size and not 0 <= triangles.min() <= triangles.max() < len(vertices):
        raise HeadFileError(f"triangles in {name} name vertices that are not there.")
    mesh = bpy.data.meshes.new(path.stem)
    mesh.from_pydata(vertices.tolist(), [], triangles.tolist())
    bpy.context.scene.collection.objects.link(bpy.data.objects.new(path.stem, mesh))


READERS: Mapping[str, Callable[[Path], None]] = MappingProxyType(
    {".obj": _read_obj, ".ply": _read_ply, ".glb": _read_glb, ".blend": _read_blend, ".npz": _read_npz}
)


def _chosen(path: Path, name: str | None) -> bpy.types.Object:
    """The mesh object called `name`, else the active one, else the only one."""
    heads = {head.name: head for head in bpy.context.scene.objects if head.type == "MESH"}
    if not heads:
        raise HeadFileError(f"“{path.name}” has no mesh in it.")
    names = ", ".join(sorted(heads))
    if name is not None:
        if name not in heads:
            raise HeadFileError(f"“{path.name}” has no mesh object “{name}”; it has {names}.")
        return heads[name]
    active = bpy.context.view_layer.objects.active
    if path.suffix.lower() == ".blend" and active is not None and active.name in heads:
        return active
    if len(heads) > 1:
        raise HeadFileError(f"“{path.name}” has several meshes; choose one with --object: {names}.")
    return next(iter(heads.values()))


def _undo_gltf_conversion(head: bpy.types.Object) -> None:
    """Give the mesh its glTF coordinates back and, where the file tells them, its own vertices."""
    head.data.transform(GLTF_TO_BLENDER.inverted(), shape_keys=True)
    head.matrix_basis = head.matrix_basis @ GLTF_TO_BLENDER
    bpy.context.view_layer.update()  # matrix_world follows
    if VERTEX_ATTRIBUTE in head.data.attributes:
        _join_split_vertices(head.data)


def _join_split_vertices(mesh: bpy.types.Mesh) -> None:
    """One vertex again where glTF needed several for their UVs; sorted as they were written."""
    welded = bmesh.new()
    welded.from_mesh(mesh)
    number = welded.verts.layers.float[VERTEX_ATTRIBUTE]
    first: dict[float, bmesh.types.BMVert] = {}
    split = {v: kept for v in welded.verts if (kept := first.setdefault(v[number], v)) is not v}
    bmesh.ops.weld_verts(welded, targetmap=split)
    welded.verts.sort(key=lambda v: v[number])
    welded.to_mesh(mesh)
    welded.free()


def _reason(error: RuntimeError) -> str:
    """Blender's message without its "Error: " and line breaks."""
    return " ".join(str(error).replace("Error:", "").split()) or "no reason given."
