"""Both halves of the Dimple head's skin in one mesh."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from .ict import SKIN_VERTICES
from .template_mesh import SKIN, HalfMesh
from .template_surface import Rows, count, stack

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Mesh:
    """The whole skin; see `template.SkinTemplate` for the meaning of the arrays."""

    faces: NDArray[np.int64]
    transfer: Rows
    """(V, 14062)"""
    mirror: NDArray[np.int64]
    eye_rings: NDArray[np.int64]
    mouth_rings: NDArray[np.int64]
    face_material: NDArray[np.int16]
    flow_lines: dict[str, NDArray[np.int64]]


def mirrored(mesh: HalfMesh) -> Mesh:
    """Both halves in one mesh: the left half with the midline first, then the right without it."""
    mesh, bridged = _without_flat_corners(mesh)
    half, total = mesh.half, count(mesh.points)
    on_midline = _on_midline(mesh)
    other = np.flatnonzero(~on_midline)
    number = np.append(np.arange(total), -1)
    number[other] = total + np.arange(len(other))
    mirror = np.concatenate([number[:-1], other])
    order = np.where(mesh.faces[:, 3:] < 0, [0, 2, 1, 3], [0, 3, 2, 1])
    faces = mesh.faces.copy()
    faces[bridged, 1] = mirror[faces[bridged, 3]]
    right = number[np.take_along_axis(mesh.faces, order, axis=1)][~bridged]
    carriers = [
        sparse.csr_matrix(
            (np.ones(len(target)), (np.arange(len(target)), target)), shape=(len(target), SKIN_VERTICES)
        )
        for target in (half.left, half.right)
    ]
    transfer = stack([mesh.points @ carriers[0], mesh.points[other] @ carriers[1]])
    mouth = np.concatenate([mesh.mouth, mirror[mesh.mouth[:, -2:0:-1]]], axis=1)
    eyes = np.stack([mesh.eye, mirror[mesh.eye]])
    material = np.concatenate([mesh.face_material, mesh.face_material[~bridged]])
    lines = {name: np.concatenate([mirror[line[:0:-1]], line]) for name, line in mesh.flow_lines.items()}
    return Mesh(np.concatenate([faces, right]), transfer, mirror, eyes, mouth, material, lines)


def _on_midline(mesh: HalfMesh) -> NDArray[np.bool_]:
    return np.asarray(np.abs(mesh.points @ mesh.half.vertices[:, 0]) == 0.0)


def _without_flat_corners(mesh: HalfMesh) -> tuple[HalfMesh, NDArray[np.bool_]]:
    """Drop the midline points that are the flat corner of a single quad: with its mirror image the quad
    becomes one across the midline. Such quads are turned so that corner 1 was the dropped one, and told by
    the mask (F,). The mouth bag keeps its points: its texture seam follows the midline."""
    total = count(mesh.points)
    on_midline = np.append(_on_midline(mesh), False)
    used = np.bincount(mesh.faces[mesh.faces >= 0], minlength=total)
    flat = np.append(used == 1, False)[mesh.faces]
    for neighbour in (1, -1):
        flat &= on_midline[np.roll(mesh.faces, neighbour, axis=1)]
    flat &= on_midline[mesh.faces] & (mesh.faces[:, 3:] >= 0) & (mesh.face_material == SKIN)[:, None]
    bridged = flat.any(axis=1)
    dropped = mesh.faces[flat]
    turned = mesh.faces.copy()
    for face in np.flatnonzero(bridged):
        turned[face] = np.roll(turned[face], 1 - int(np.argmax(flat[face])))
    kept = np.setdiff1d(np.arange(total), dropped)
    number = np.full(total + 1, -1)
    number[kept] = np.arange(len(kept))
    return (
        HalfMesh(
            mesh.half,
            mesh.points[kept],
            number[turned],
            number[mesh.eye],
            number[mesh.mouth],
            mesh.face_material,
            {name: number[line] for name, line in mesh.flow_lines.items()},
        ),
        bridged,
    )
