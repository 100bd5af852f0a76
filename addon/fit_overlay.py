"""The Dimple head as it was bent onto an artist's, shown as a wire object over it."""

from __future__ import annotations

import bpy
import numpy as np
from numpy.typing import NDArray

MARK = "dimple_fit_of"
"""Custom property of the overlay: what it belongs to by session_uid cannot be saved, so by name."""


def fit_of(head: bpy.types.Object) -> bpy.types.Object | None:
    """The overlay of this head."""
    return next((child for child in head.children if MARK in child), None)


def show_fit(
    head: bpy.types.Object, vertices: NDArray[np.float32], faces: NDArray[np.int32]
) -> bpy.types.Object:
    """Show vertices (V, 3), in the head's own space, and faces (F, 4), -1 pads triangles, over the head."""
    hide_fit(head)
    used, corners = np.unique(faces[faces >= 0], return_inverse=True)
    renumbered = np.full(faces.shape, -1, np.int64)
    renumbered[faces >= 0] = corners
    mesh = bpy.data.meshes.new("Dimple Fit")
    mesh.from_pydata(
        vertices[used].tolist(),
        [],
        [[corner for corner in face if corner >= 0] for face in renumbered.tolist()],
    )
    overlay = bpy.data.objects.new(f"Dimple Fit of {head.name}", mesh)
    overlay[MARK] = head.name
    overlay.parent = head
    overlay.display_type = "WIRE"
    overlay.show_in_front = True
    overlay.hide_render = overlay.hide_select = True
    for collection in head.users_collection:
        collection.objects.link(overlay)
    return overlay


def hide_fit(head: bpy.types.Object) -> None:
    """Remove the overlay of this head and its mesh."""
    overlay = fit_of(head)
    if overlay is not None:
        mesh = overlay.data
        bpy.data.objects.remove(overlay)
        if mesh.users == 0:
            bpy.data.meshes.remove(mesh)
