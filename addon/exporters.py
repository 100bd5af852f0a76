"""Writing an animation for other programs: .npz, .mdd, .glb and .blend.

Every file is written under another name in the same folder and put in place when it is complete, so that a
full disk or Ctrl-C leaves an earlier file of that name as it was.
"""

import os
import struct
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np
from numpy.typing import NDArray

from . import action_writer
from .companion_writer import Following
from .head_job import back
from .mesh_reader import HeadMesh

VERTEX_ATTRIBUTE = "_DIMPLE_VERTEX"
"""Number of each vertex in a .glb, in the capitals glTF gives such names.

glTF splits vertices along UV seams; this tells how to put them together."""


@dataclass(frozen=True)
class Animation:
    """K frames of a head of V vertices and F triangles, in the head's own units and axes."""

    neutral_vertices: NDArray[np.float32]  # (V, 3)
    triangles: NDArray[np.int32]  # (F, 3)
    deformations: NDArray[np.float32]  # (K, V, 3)
    expression_signal: NDArray[np.float32]  # (K, M)
    unit_names: tuple[str, ...]  # (M,)
    frame_rate: float  # frames a second
    followers: Sequence[Following] = ()  # what moves with the head
    drawn_signal: NDArray[np.float32] | None = None  # (K, M) before micro-motion and blinks
    remarks: tuple[str, ...] = ()  # what the artist should know of the signal


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to; it takes the place of `path` if the block ends without an error."""
    unfinished = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_npz(path: Path, animation: Animation) -> None:
    """All arrays of the animation under their own names, compressed. Raises OSError."""
    with replacing(path) as unfinished:
        np.savez_compressed(
            unfinished,
            neutral_vertices=animation.neutral_vertices,
            triangles=animation.triangles,
            deformations=animation.deformations,
            expression_signal=animation.expression_signal,
            unit_names=np.array(animation.unit_names),
            frame_rate=np.float64(animation.frame_rate),
            **companion_arrays(animation.followers, "deformations"),
        )


def companion_arrays(followers: Sequence[Following], stem: str) -> dict[str, NDArray]:
    """companion_names, and of the i-th companion_i_<stem> in its own units and axes; nothing without any."""
    if not followers:
        return {}
    return {
        "companion_names": np.array([following.companion.name for following in followers]),
        **{f"companion_{i}_{stem}": back(own.deformations, own.linear) for i, own in enumerate(followers)},
    }


def write_head_npz(path: Path, mesh: HeadMesh) -> None:
    """A neutral head: `neutral_vertices` (V, 3) and `triangles` (F, 3), compressed. Raises OSError."""
    with replacing(path) as unfinished:
        np.savez_compressed(unfinished, neutral_vertices=mesh.neutral_vertices, triangles=mesh.triangles)


def write_mdd(path: Path, animation: Animation) -> None:
    """A LightWave point cache: vertex positions of every frame, in the head's own units and axes.

    All big-endian: int32 frames K, int32 points V, float32 seconds (K,), float32 positions (K, V, 3).
    Blender reads it with the Mesh Cache modifier, axes left as Forward +Y, Up +Z. Raises OSError.
    """
    frames, points, _ = animation.deformations.shape
    seconds = np.arange(frames) / animation.frame_rate
    with replacing(path) as unfinished, unfinished.open("wb") as file:
        file.write(struct.pack(">2i", frames, points))
        file.write(seconds.astype(">f4").tobytes())
        for deformation in animation.deformations:
            file.write((animation.neutral_vertices + deformation).astype(">f4").tobytes())


def write_glb(path: Path, head: bpy.types.Object, companions: Sequence[bpy.types.Object] = ()) -> None:
    """A binary glTF of one head, its shape keys as named morph targets and its action as an animation.

    `companions` come with it, animated by the same action, for glTF knows no drivers.

    The clip begins at 0 s. Raises OSError, or RuntimeError when Blender's exporter fails.
    """
    _number_vertices(head.data)
    select_only(head, *companions)
    for companion in companions:
        if companion.data.shape_keys is not None:
            action_writer.share_action(companion.data.shape_keys, head.data.shape_keys)
    with replacing(path) as unfinished:
        bpy.ops.export_scene.gltf(
            filepath=str(unfinished),
            export_format="GLB",
            use_selection=True,
            export_attributes=True,
            export_morph=True,
            export_animation_mode="ACTIVE_ACTIONS",
            export_anim_slide_to_zero=True,
            export_extras=True,
        )


def write_obj(path: Path, head: bpy.types.Object) -> None:
    """The neutral head as a Wavefront OBJ: quads, UVs, a material library; +Y up as other programs expect.

    Raises OSError, or RuntimeError when Blender's exporter fails.
    """
    select_only(head)
    with tempfile.TemporaryDirectory(prefix=".dimple-", dir=path.parent) as folder:
        bpy.ops.wm.obj_export(
            filepath=str(Path(folder) / path.name), export_selected_objects=True, apply_modifiers=False
        )
        for written in Path(folder).iterdir():  # the .obj names its .mtl: both need their final names
            written.replace(path.with_name(written.name))


def write_blend(path: Path, head: bpy.types.Object) -> None:
    """The whole file, compressed, as an artist wants to open it: the head selected, time at the clip's start.

    Raises OSError, or RuntimeError when Blender cannot write it.
    """
    scene = bpy.context.scene
    scene.frame_set(scene.frame_start)
    select_only(head)
    with replacing(path) as unfinished:
        # copy: the file that is open keeps its name, so nothing points at the unfinished one
        bpy.ops.wm.save_as_mainfile(filepath=str(unfinished), compress=True, copy=True)


def select_only(head: bpy.types.Object, *others: bpy.types.Object) -> None:
    """Make `head`, and `others` with it, the selected and `head` the active object of its view layer."""
    for selected in bpy.context.selected_objects:
        selected.select_set(False)
    for chosen in (head, *others):
        chosen.select_set(True)
    bpy.context.view_layer.objects.active = head


def _number_vertices(mesh: bpy.types.Mesh) -> None:
    attribute = mesh.attributes.get(VERTEX_ATTRIBUTE)
    if attribute is None:
        attribute = mesh.attributes.new(VERTEX_ATTRIBUTE, "FLOAT", "POINT")
    attribute.data.foreach_set("value", np.arange(len(mesh.vertices), dtype=np.float32))
