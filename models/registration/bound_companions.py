"""Objects beside a bound head: what each of them is, and what to say of meshes that hold more than a head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from ..binding import Binding
from ..errors import InputError
from ..parts import sphere_centre
from .artist_head import PARTS, ArtistHead, Mesh
from .companions import Companions, follow
from .template import template_of
from .transfer import Attachment, Rule, length_share

Ints = NDArray[np.int32]

ROLES: Mapping[int, str] = MappingProxyType(
    {
        Rule.STILL: "stays still",
        Rule.SKIN: "moves like skin",
        Rule.INNER: "lines the mouth",
        Rule.FILL: "moves like skin",
        Rule.FOLLOW: "follows the skin",
        Rule.EYE_LEFT: "left eye",
        Rule.EYE_RIGHT: "right eye",
        Rule.JAW: "goes with the jaw",
        Rule.TONGUE: "tongue",
    }
)
SMALLEST_ROLE = 0.05
"""Share of a companion's vertices from which a role is worth telling."""
TEETH_MARGIN = 5.0
"""mm round the fitted teeth within which the artist's are looked for."""
LIKE_A_HEAD = 0.5
"""Share of the head's vertices and extent from which another part of the mesh may be a second head."""
SECOND_HEAD = (
    "Another separate part of this mesh is about as large as the head and stays still: if it is a second "
    "head, make it an object of its own with Mesh > Separate > By Loose Parts."
)


def with_companions(binding: Binding, artist: ArtistHead) -> Binding:
    """The binding with all companions, and teeth of the head itself beside them, looked at together.

    One tooth does not tell whether it is an upper or a lower one; two rows do.
    """
    mesh, rows = artist.mesh, _teeth_triangles(binding, artist.mesh)
    used, corners = np.unique(rows, return_inverse=True)
    meshes = [*artist.companions.values(), Mesh(mesh.vertices[used], corners.reshape(-1, 3).astype(np.int32))]
    starts = np.cumsum([0, *(len(part.vertices) for part in meshes)])
    vertices = np.concatenate([part.vertices for part in meshes])
    triangles = [part.triangles + start for part, start in zip(meshes, starts, strict=False)]
    together = binding.with_companion("", vertices, np.concatenate(triangles).astype(np.int32)).companions[""]
    attachments = {
        name: part_of(together, slice(start, end))
        for name, start, end in zip(artist.companions, starts, starts[1:], strict=False)
    }
    for name, part in artist.parts.items():
        if name in attachments:
            attachments[name] = _as_told(binding, attachments[name], part)
    return replace(binding, companions=attachments)


def _as_told(binding: Binding, found: Attachment, part: str) -> Attachment:
    """The attachment of a companion of which the artist has said what it is. Raises InputError."""
    head, fitted = binding.head, binding.neutral_vertices.astype(np.float64)
    places = binding.pose.to_model(found.vertices.astype(np.float64))
    rule = np.full(len(places), Rule.STILL, np.int8)
    match part:
        case "still":
            return replace(found, rule=rule)
        case "jaw":
            return replace(found, rule=np.full_like(rule, Rule.JAW))
        case "tongue":
            length = length_share(places).astype(np.float32)
            return replace(found, rule=np.full_like(rule, Rule.TONGUE), weight=length)
        case "eye":
            centres = [sphere_centre(fitted[slice(*head.parts[f"eye_{side}"])]) for side in ("left", "right")]
            nearest = int(np.linalg.norm(centres - places.mean(axis=0), axis=1).argmin())
            return replace(found, rule=np.full_like(rule, (Rule.EYE_LEFT, Rule.EYE_RIGHT)[nearest]))
        case "skin":
            hung = Companions(
                rule,
                np.zeros(len(places), np.int32),
                np.zeros((len(places), 3)),
                np.zeros(len(places)),
                found.pivots.astype(np.float64),
            )
            skin = fitted[: head.skin_vertices]
            follow(template_of(head), skin, places, np.arange(len(places)), hung)
            return replace(
                found,
                rule=hung.rule,
                triangle=hung.triangle,
                barycentric=hung.barycentric.astype(np.float32),
                weight=hung.weight.astype(np.float32),
            )
        case _:
            raise InputError(f"Nothing of a face is called “{part}”: it is {', '.join(PARTS)} or left open.")


def companion_roles(binding: Binding) -> dict[str, str]:
    """What was found that each companion does, in words."""
    roles: dict[str, str] = {}
    for name, attachment in binding.companions.items():
        rules, counts = np.unique(attachment.rule, return_counts=True)
        told = [ROLES[int(r)] for r, n in zip(rules, counts, strict=True) if n > SMALLEST_ROLE * counts.sum()]
        roles[name] = ", ".join(dict.fromkeys(told))
    return roles


def has_second_head(binding: Binding, mesh: Mesh) -> bool:
    """Whether a separate part of the mesh, as large as the one with the face and as dense, stays still."""
    count = len(mesh.vertices)
    pairs = np.concatenate([mesh.triangles[:, [0, 1]], mesh.triangles[:, [1, 2]]])
    graph = sp.coo_matrix((np.ones(len(pairs), np.int8), pairs.T), shape=(count, count))
    _, island = connected_components(graph, directed=False)
    sizes = np.bincount(island)
    face = int(np.bincount(island[binding.rule == Rule.SKIN], minlength=len(sizes)).argmax())
    moving = np.bincount(island[binding.rule != Rule.STILL], minlength=len(sizes))
    extent = np.ptp(mesh.vertices[island == face], axis=0).max()
    rivals = np.flatnonzero((sizes > LIKE_A_HEAD * sizes[face]) & (moving == 0))
    return any(np.ptp(mesh.vertices[island == part], axis=0).max() > LIKE_A_HEAD * extent for part in rivals)


def part_of(attachment: Attachment, vertices: slice) -> Attachment:
    """The attachment of some of its vertices, none of which is filled in."""
    return replace(
        attachment,
        vertices=attachment.vertices[vertices],
        rule=attachment.rule[vertices],
        triangle=attachment.triangle[vertices],
        barycentric=attachment.barycentric[vertices],
        weight=attachment.weight[vertices],
    )


def _teeth_triangles(binding: Binding, mesh: Mesh) -> Ints:
    """(F, 3) triangles of the mesh that stay or go with the jaw as a whole, where the fitted teeth are."""
    head = binding.head
    ends = [head.parts[name] for name in ("teeth_upper", "teeth_lower")]
    teeth = np.concatenate([binding.neutral_vertices[start:end] for start, end in ends])
    places = binding.pose.to_model(mesh.vertices.astype(np.float64))
    low, high = teeth.min(axis=0) - TEETH_MARGIN, teeth.max(axis=0) + TEETH_MARGIN
    rigid = np.isin(binding.rule, (Rule.STILL, Rule.JAW, Rule.TONGUE))
    rigid &= ((places > low) & (places < high)).all(axis=1)
    return mesh.triangles[rigid[mesh.triangles].all(axis=1)]
