"""Heads in the Dimple head's own topology, renumbered or not: they need no fitting."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..alignment import similarity_to
from ..animate_me import identity_solver
from ..binding import Binding
from ..errors import InputError
from ..head import Head
from ..parts import sphere_centre
from .artist_head import Mesh
from .pose import Pose
from .recognition import SAME_SHAPE, recognise
from .transfer import Attachment, Rule, length_share

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

PART_RULES: Mapping[str, Rule] = MappingProxyType(
    {"eye_left": Rule.EYE_LEFT, "eye_right": Rule.EYE_RIGHT, "teeth_lower": Rule.JAW, "tongue": Rule.TONGUE}
)


def head_order(head: Head, mesh: Mesh) -> Ints | None:
    """(Vm,) the mesh's vertex that each of the head's, whole or skin alone, is; None for other meshes."""
    count, skin = len(mesh.vertices), head.skin_vertices
    if count not in (len(head.neutral_vertices), skin):
        return None
    faces = head.faces[(head.faces < count).all(axis=1)]
    if is_split_of(mesh.triangles, faces) and _is_alike(head, mesh.vertices):
        return np.arange(count, dtype=np.int32)
    return recognise(head, mesh.vertices, mesh.triangles)


def is_split_of(triangles: Ints, faces: Ints) -> bool:
    """Whether the triangles are the faces (F, 4), -1 pads triangles, each quad cut along either diagonal."""
    quads = faces[faces[:, 3] >= 0]
    single = faces[faces[:, 3] < 0][:, :3]
    if len(triangles) != 2 * len(quads) + len(single) or triangles.min() < 0 or triangles.max() > faces.max():
        return False
    sides = np.union1d(_edges(quads), _edges(single))
    diagonals = _keys(np.concatenate([quads[:, [0, 2]], quads[:, [1, 3]]]))
    edges = np.unique(_edges(triangles))
    return bool(np.isin(sides, edges).all() and np.isin(edges, np.union1d(sides, diagonals)).all())


def recognised_binding(head: Head, mesh: Mesh, order: Ints) -> Binding:
    """The binding of a head in the Dimple head's own topology: every vertex is exactly one of the head's."""
    skin, count = head.skin_vertices, len(mesh.vertices)
    own = mesh.vertices[order]
    similarity = similarity_to(head.neutral_vertices[:skin], own[:skin])
    rotation = similarity.rotation.astype(np.float64).T
    pose = Pose(
        1.0 / similarity.scale,
        rotation,
        -rotation @ similarity.translation.astype(np.float64) / similarity.scale,
    )
    aligned = similarity.apply(own)
    coefficients = identity_solver(head)(aligned[:skin] - head.neutral_vertices[:skin])
    person = head.neutral_vertices + np.tensordot(coefficients, head.identity_basis, 1)
    whole = np.concatenate([aligned, person[len(aligned) :]]).astype(np.float64)

    rule = np.full(len(order), Rule.SKIN, np.int8)
    weight = np.ones(len(order), np.float32)
    for name, (start, end) in head.parts.items():
        rule[start:end] = PART_RULES.get(name, Rule.STILL)
    start, end = head.parts.get("tongue", (0, 0))
    if start < end <= len(order):
        weight[start:end] = length_share(whole[start:end])
    triangle, corner = np.zeros(len(order), np.int32), np.zeros(len(order), np.int32)
    for place in range(3):
        triangle[head.skin_triangles[:, place]] = np.arange(len(head.skin_triangles))
        corner[head.skin_triangles[:, place]] = place
    barycentric = np.eye(3, dtype=np.float32)[corner]
    pivots = [sphere_centre(whole[slice(*head.parts[f"eye_{side}"])]) for side in ("left", "right")]
    attachment = Attachment(
        vertices=mesh.vertices,
        rule=_scattered(rule, order, count),
        triangle=_scattered(triangle, order, count),
        barycentric=_scattered(barycentric, order, count),
        weight=_scattered(weight, order, count),
        pivots=pose.from_model(np.array(pivots)).astype(np.float32),
        mm_per_unit=np.array(similarity.scale, np.float32),
        edges=np.zeros((0, 2), np.int32),
    )
    return Binding(
        head=head,
        pose=pose,
        fitted_vertices=pose.from_model(whole).astype(np.float32),
        identity=coefficients,
        confidence=np.ones(count, np.float32),
        attachment=attachment,
        companions={},
        score=1.0,
        sentence="",
    )


def _scattered(values: NDArray[Any], order: Ints, count: int) -> NDArray[Any]:
    """Values of the head's vertices (Vm, ...) at the mesh's own (V, ...)."""
    result = np.zeros((count, *values.shape[1:]), values.dtype)
    result[order] = values
    return result


def _is_alike(head: Head, vertices: Floats) -> bool:
    """Whether vertices in the head's order also have about its shape; a mirrored head has not."""
    model = head.neutral_vertices[: len(vertices)]
    try:
        pose = similarity_to(model, vertices)
    except InputError:
        return False
    size = float(np.sqrt(np.square(model - model.mean(axis=0)).sum(axis=1).mean()))
    return float(np.sqrt(np.square(pose.apply(vertices) - model).sum(axis=1).mean())) < SAME_SHAPE * size


def _edges(polygons: Ints) -> NDArray[np.int64]:
    return _keys(np.stack([polygons, np.roll(polygons, -1, axis=1)], axis=2).reshape(-1, 2))


def _keys(pairs: Ints) -> NDArray[np.int64]:
    """One number for each undirected pair of vertices."""
    ordered = np.sort(pairs.astype(np.int64), axis=1)
    return (ordered[:, 0] << 32) | ordered[:, 1]
