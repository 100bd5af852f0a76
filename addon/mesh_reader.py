"""Reading a head from Blender: base mesh coordinates, triangles and the name of its topology.

Always the base mesh, never evaluated geometry: modifiers change the number of vertices.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import bpy
import numpy as np
from numpy.typing import NDArray

from ..bridge import protocol


class HeadError(ValueError):
    """This head cannot be used. The message is one sentence for the artist that says what to do."""


@dataclass(frozen=True)
class HeadMesh:
    """A neutral head in its own units and axes."""

    neutral_vertices: NDArray[np.float32]  # (V, 3)
    triangles: NDArray[np.int32]  # (F, 3)
    fingerprint: str


def refusal(head: bpy.types.Object | None) -> str | None:
    """Why nothing can be written to this object now, and the way out; None when all is well. Cheap."""
    if head is None:
        return "Select a head, or choose one in the Head field"
    if head.type != "MESH":
        return f"“{head.name}” is no mesh: choose a mesh object as the head"
    mesh = head.data
    if head.override_library is not None or mesh.override_library is not None:
        return f"“{head.name}” is a library override: use Object > Library Override > Make > Make Local first"
    if head.library is not None or mesh.library is not None:
        return f"“{head.name}” is linked from another file: use Object > Relations > Make Local first"
    if head.mode != "OBJECT":
        return f"“{head.name}” is in {head.mode.replace('_', ' ').title()} Mode: go back to Object Mode first"
    if len(mesh.polygons) == 0:
        return f"“{head.name}” has no faces: choose a mesh with a face on it"
    key = mesh.shape_keys
    if key is not None and not key.use_relative:
        return f"“{head.name}” has absolute shape keys: turn on Relative in its Shape Keys panel first"
    if key is not None and key.animation_data is not None and key.animation_data.use_tweak_mode:
        return f"The shape keys of “{head.name}” are in NLA tweak mode: press Tab in the NLA editor first"
    return None


def read_neutral(mesh: bpy.types.Mesh) -> NDArray[np.float32]:
    """(V, 3) the reference key where there are shape keys, else the vertices."""
    vertices = np.empty((len(mesh.vertices), 3), np.float32)
    if mesh.shape_keys is not None:
        mesh.shape_keys.reference_key.points.foreach_get("co", vertices.ravel())
    else:
        mesh.vertices.foreach_get("co", vertices.ravel())
    return vertices


def read_fingerprint(mesh: bpy.types.Mesh) -> str:
    """Names the mesh's topology by its vertex count and sorted edges, as the checkpoint's head does.

    Edges, not triangles: how Blender splits a quad depends on the positions of its corners.
    """
    edges = np.empty((len(mesh.edges), 2), np.int32)
    mesh.edges.foreach_get("vertices", edges.ravel())
    edges.sort(axis=1)
    edges = edges[np.lexsort((edges[:, 1], edges[:, 0]))]
    return protocol.fingerprint(len(mesh.vertices), edges.astype("<i4").tobytes())


def read_head(head: bpy.types.Object) -> HeadMesh:
    """The head's neutral, ready for the worker. Raises HeadError."""
    if (reason := refusal(head)) is not None:
        raise HeadError(f"{reason}.")
    mesh = head.data
    vertices = read_neutral(mesh)
    if not np.isfinite(vertices).all():
        raise HeadError(f"“{head.name}” has vertices at infinity or not-a-number: repair the mesh first.")
    mesh.calc_loop_triangles()
    triangles = np.empty((len(mesh.loop_triangles), 3), np.int32)
    mesh.loop_triangles.foreach_get("vertices", triangles.ravel())
    if not _area(vertices, triangles) > 0:
        raise HeadError(f"The faces of “{head.name}” have no area: its vertices lie on one point or line.")
    return HeadMesh(vertices, triangles, read_fingerprint(mesh))


def geometry_name(fingerprint: str, neutral_vertices: NDArray[np.float32]) -> str:
    """Names a neutral head by its topology and every position, so that any change shows."""
    return f"{fingerprint}-{hashlib.sha256(neutral_vertices.tobytes()).hexdigest()[:32]}"


def find_object(name: str, session_uid: int) -> bpy.types.Object | None:
    """The object again, also when it was renamed; None when it is gone."""
    named = bpy.data.objects.get(name)
    if named is not None and named.session_uid == session_uid:
        return named
    return next((other for other in bpy.data.objects if other.session_uid == session_uid), None)


def _area(vertices: NDArray[np.float32], triangles: NDArray[np.int32]) -> float:
    """Area of all triangles of the head scaled to size 1; 0 where it has no size."""
    corners = vertices.astype(np.float64)
    size = np.ptp(corners, axis=0).max()
    if size == 0:
        return 0.0
    a, b, c = ((corners / size)[triangles[:, i]] for i in range(3))
    area = 0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1).sum()
    return float(area) if area > 1e-9 else 0.0
