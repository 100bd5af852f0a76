"""What a job about a head is given, and the way back: the head, its landmarks, and what follows it.

The worker sees all of it in one space: the head's own, or the world's proportions where the object's scale is
not the same along all axes or mirrors it. What it answers goes back into each mesh's own space.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import bpy
import numpy as np
from mathutils import Matrix
from numpy.typing import NDArray

from ..bridge.protocol import AnimateRequest, AppearanceRequest, BindRequest, LibraryRequest
from .binding_properties import companions_of, landmarks_of, parts_of
from .mesh_reader import (
    HeadError,
    HeadMesh,
    find_object,
    geometry_name,
    read_fingerprint,
    read_head,
    read_neutral,
    refusal,
)
from .preferences import binding_cache
from .session import Follower, Job, Target

Floats = NDArray[np.float32]
AnyRequest = TypeVar("AnyRequest", BindRequest, AnimateRequest, LibraryRequest, AppearanceRequest)

EVEN = 1e-4
"""Relative difference between the axes' scales that counts as none."""


@dataclass(frozen=True)
class HeadJob:
    """A head and all that belongs to it, ready for the worker."""

    name: str
    session_uid: int
    mesh: HeadMesh  # in its own space
    linear: Floats | None  # (3, 3) its own space -> the job's; None: they are the same
    arrays: Mapping[str, NDArray]
    landmarks: Mapping[str, tuple[float, ...]]
    followers: tuple[Follower, ...]
    parts: Mapping[str, str]  # what the artist says that a companion is

    @property
    def target(self) -> Target:
        """Where the result of the job goes."""
        return Target(
            self.name,
            self.session_uid,
            self.mesh.fingerprint,
            geometry_name(self.mesh.fingerprint, self.mesh.neutral_vertices),
            self.linear,
            self.followers,
        )

    def request(self, request: AnyRequest) -> AnyRequest:
        """A request about this head."""
        return replace(
            request,
            landmarks=dict(self.landmarks),
            companions=tuple(follower.name for follower in self.followers),
            companion_parts=dict(self.parts),
            cache=str(binding_cache()),
        )


def read_head_job(head: bpy.types.Object) -> HeadJob:
    """Everything a job about the head needs. Raises HeadError."""
    bpy.context.view_layer.update()  # where objects are
    mesh = read_head(head)
    if (reason := _mirrored_half(head, mesh.neutral_vertices)) is not None:
        raise HeadError(reason)
    space = _job_space(head)
    to_job = space.inverted() @ head.matrix_world
    linear = None if space == head.matrix_world else np.array(to_job.to_3x3(), np.float32)
    vertices, triangles = _placed(
        to_job if linear is not None else None, mesh.neutral_vertices, mesh.triangles
    )
    arrays: dict[str, NDArray] = {"neutral_vertices": vertices, "triangles": triangles}
    followers: list[Follower] = []
    for companion in companions_of(head):
        arrays |= _companion_arrays(companion, head, space, len(followers))
        own = np.array((space.inverted() @ companion.matrix_world).to_3x3(), np.float32)
        followers.append(
            Follower(companion.name, companion.session_uid, read_fingerprint(companion.data), own)
        )
    marks = {name: tuple(map(float, there(place, linear))) for name, place in landmarks_of(head).items()}
    return HeadJob(head.name, head.session_uid, mesh, linear, arrays, marks, tuple(followers), parts_of(head))


def companion_refusal(companion: bpy.types.Object, head: bpy.types.Object) -> str | None:
    """Why this object cannot follow the head, and the way out; None when it can."""
    if (reason := refusal(companion)) is not None:
        return f"{reason}, or take it off the list of what follows"
    if companion.data == head.data:
        return f"“{companion.name}” has the same mesh as the head: take it off the list of what follows"
    if companion.data.users > 1:
        return (
            f"“{companion.name}” shares its mesh with another object, but each needs shape keys of its own: "
            "use Object > Relations > Make Single User > Object & Data first"
        )
    return None


def back(deformations: Floats, linear: Floats | None) -> Floats:
    """Displacements (..., 3) of the job's space in the mesh's own; for the head also places."""
    if linear is None:
        return deformations
    return np.ascontiguousarray(deformations @ np.linalg.inv(linear.astype(np.float64)).T, np.float32)


def there(points: Floats, linear: Floats | None) -> Floats:
    """Places (..., 3) in the head's own space as the job has them; the two have the same origin."""
    return points if linear is None else (points @ linear.T).astype(np.float32)


def _job_space(head: bpy.types.Object) -> Matrix:
    """The job's space as seen from the world. Raises HeadError for an object without extent."""
    matrix = head.matrix_world
    axes = np.array(matrix.to_3x3(), np.float64)
    lengths = np.linalg.norm(axes, axis=0)
    if not np.isfinite(axes).all() or abs(np.linalg.det(axes)) <= 1e-6 * lengths.max() ** 3:
        raise HeadError(f"“{head.name}” is scaled to nothing along an axis: correct its scale first.")
    gram = axes.T @ axes / lengths.max() ** 2
    even = np.abs(gram - np.eye(3)).max() < EVEN and np.linalg.det(axes) > 0
    return matrix.copy() if even else Matrix.Translation(matrix.translation)


def _placed(
    matrix: Matrix | None, vertices: Floats, triangles: NDArray[np.int32]
) -> tuple[Floats, NDArray[np.int32]]:
    """Vertices and triangles after a matrix, front sides still in front; None leaves them as they are."""
    if matrix is None:
        return vertices, triangles
    affine = np.array(matrix, np.float64)
    placed = np.ascontiguousarray(vertices @ affine[:3, :3].T + affine[:3, 3], np.float32)
    if np.linalg.det(affine[:3, :3]) < 0:
        triangles = np.ascontiguousarray(triangles[:, ::-1])
    return placed, triangles


def _companion_arrays(
    companion: bpy.types.Object, head: bpy.types.Object, space: Matrix, index: int
) -> dict[str, NDArray]:
    if (reason := companion_refusal(companion, head)) is not None:
        raise HeadError(f"{reason}.")
    mesh = companion.data
    mesh.calc_loop_triangles()
    triangles = np.empty((len(mesh.loop_triangles), 3), np.int32)
    mesh.loop_triangles.foreach_get("vertices", triangles.ravel())
    vertices, triangles = _placed(space.inverted() @ companion.matrix_world, read_neutral(mesh), triangles)
    if not np.isfinite(vertices).all():
        raise HeadError(
            f"“{companion.name}” has vertices at infinity or not-a-number: repair the mesh first."
        )
    return {f"companion_{index}_vertices": vertices, f"companion_{index}_triangles": triangles}


def _mirrored_half(head: bpy.types.Object, vertices: Floats) -> str | None:
    """What to do about a head of which a modifier makes the other half."""
    for modifier in head.modifiers:
        if modifier.type != "MIRROR" or not modifier.show_viewport or modifier.mirror_object is not None:
            continue
        size = float(np.ptp(vertices, axis=0).max())
        for axis in range(3):
            side = vertices[:, axis]
            if modifier.use_axis[axis] and min(abs(side.min()), abs(side.max())) < 0.02 * size:
                return (
                    f"The mesh of “{head.name}” is half a head that its modifier “{modifier.name}” mirrors: "
                    "apply the modifier first."
                )
    return None


def unchanged_head(job: Job, neutral: NDArray[np.float32], button: str) -> bpy.types.Object:
    """The head that a finished job is for, found again, when it still is what `button` was pressed for.

    neutral (V, 3): its neutral shape then. Raises HeadError when it is gone or has changed.
    """
    head = find_object(job.target.name, job.target.session_uid) if job.target is not None else None
    if head is None:
        raise HeadError(f"The head is gone: select another and press {button} again.")
    now = read_neutral(head.data)
    same_mesh = read_fingerprint(head.data) == job.target.fingerprint
    if not same_mesh or not np.allclose(now, neutral, rtol=1e-5, atol=1e-6):
        raise HeadError(f"“{head.name}” has changed since {button}: press it again.")
    return head
