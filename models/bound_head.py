"""Any artist's head as a model of the Dimple head animates it, and the way back to the artist's own mesh.

A head in the Dimple head's topology, renumbered or not, is animated as it is; any other through its binding.
Objects beside it, its companions, follow either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import binding_cache
from .alignment import similarity_to
from .animate_me import identity_solver
from .binding import Binding, OnStep, bind
from .binding_pose import Pose
from .binding_template import LANDMARKS
from .binding_transfer import Attachment, Rule
from .errors import InputError
from .head import Head
from .parts import sphere_centre
from .recognition import SAME_SHAPE, recognise

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int32]

BINDING_PARTS = frozenset({"eye_left", "eye_right", "teeth_upper", "teeth_lower"})
"""What a head must have to be bound to others."""
PART_RULES: Mapping[str, Rule] = {
    "eye_left": Rule.EYE_LEFT,
    "eye_right": Rule.EYE_RIGHT,
    "teeth_lower": Rule.JAW,
    "tongue": Rule.JAW,
}
TEETH_MARGIN = 5.0
"""mm round the fitted teeth within which the artist's are looked for."""
FRAMES_AT_ONCE = 16
"""Frames carried over between two reports of progress."""
ROLES: Mapping[int, str] = {
    Rule.STILL: "stays still",
    Rule.SKIN: "moves like skin",
    Rule.INNER: "lines the mouth",
    Rule.FILL: "moves like skin",
    Rule.FOLLOW: "follows the skin",
    Rule.EYE_LEFT: "left eye",
    Rule.EYE_RIGHT: "right eye",
    Rule.JAW: "goes with the jaw",
}
SMALLEST_ROLE = 0.05
"""Share of a companion's vertices from which a role is worth telling."""


@dataclass(frozen=True)
class Mesh:
    """Vertices (V, 3) in the artist's units and axes, triangles (F, 3)."""

    vertices: Floats
    triangles: Ints


@dataclass(frozen=True)
class ArtistHead:
    """What an artist gives: the mesh with the face, places of landmarks on it, other objects in its space."""

    mesh: Mesh
    landmarks: Mapping[str, Floats] = field(default_factory=dict[str, Floats])
    companions: Mapping[str, Mesh] = field(default_factory=dict[str, Mesh])


@dataclass(frozen=True)
class BoundHead:
    """A head that a model can animate.

    ``neutral_vertices`` (Vm, 3) is what the model is given. A recognised head has an ``order`` (Vm,): the
    vertex of the artist's mesh that each vertex of the Dimple head is; it has a binding only when something
    follows it.
    """

    neutral_vertices: Floats
    vertex_count: int  # of the artist's mesh
    mm_per_unit: float
    binding: Binding | None
    order: Ints | None

    @property
    def facts(self) -> dict[str, Any]:
        """How the head was recognised or bound, for who tells the artist."""
        facts: dict[str, Any] = {"mm_per_unit": self.mm_per_unit, "recognised": self.order is not None}
        if self.binding is not None:
            facts |= {
                "score": float(self.binding.score),
                "warnings": [self.binding.sentence] if self.binding.sentence else [],
                "found_landmarks": found_landmarks(self.binding),
                "roles": companion_roles(self.binding),
            }
        return facts

    def carry(
        self,
        deformation: Floats,
        expression_signal: Floats,
        *,
        keep_contact: bool = True,
        on_step: OnStep | None = None,
    ) -> dict[str, Floats]:
        """Deformations (K, V, 3) of the artist's mesh, under the name "", and of every companion.

        deformation (K, Vm, 3) is what a model made of ``neutral_vertices``, in their units and axes;
        expression_signal (K, 57). All that comes back is in the artist's units and axes.
        """
        chunks: list[dict[str, Floats]] = []
        for start in range(0, len(deformation), FRAMES_AT_ONCE):
            if on_step is not None:
                on_step(start, len(deformation))
            part = slice(start, start + FRAMES_AT_ONCE)
            chunks.append(self._carry(deformation[part], expression_signal[part], keep_contact))
        return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}

    def _carry(self, deformation: Floats, signal: Floats, keep_contact: bool) -> dict[str, Floats]:
        if self.order is None:
            assert self.binding is not None
            return self.binding.transfer_all(deformation, signal, keep_contact=keep_contact)
        own = np.zeros((len(deformation), self.vertex_count, 3), np.float32)
        own[:, self.order] = deformation
        if self.binding is None or not self.binding.companions:
            return {"": own}
        pose = self.binding.pose
        in_model = (deformation.astype(np.float64) @ pose.rotation / pose.scale).astype(np.float32)
        followers = replace(self.binding, attachment=_part_of(self.binding.attachment, slice(0)))
        return {**followers.transfer_all(in_model, signal, keep_contact=False), "": own}


def bind_head(
    head: Head,
    artist: ArtistHead,
    *,
    cache: Path | None = None,
    always: bool = False,
    on_step: OnStep | None = None,
) -> BoundHead:
    """Recognise the artist's head or else bind it, unless that is in the ``cache`` already.

    ``always``: with a binding, also where a recognised head could do without. Raises InputError when the mesh
    cannot be used or shows no face.
    """
    order = head_order(head, artist.mesh)
    if order is not None:
        own = artist.mesh.vertices[order]
        wanted = always or bool(artist.companions)
        binding = _recognised(head, artist.mesh, order) if wanted else None
        skin = head.skin_vertices
        scale = similarity_to(head.neutral_vertices[:skin], own[:skin]).scale
        bound = BoundHead(own, len(artist.mesh.vertices), scale, binding, order)
    else:
        binding = _bound(head, artist, cache, on_step)
        scale = 1.0 / binding.pose.scale
        bound = BoundHead(binding.neutral_vertices, len(artist.mesh.vertices), scale, binding, None)
    if artist.companions and bound.binding is not None:
        bound = replace(bound, binding=_with_companions(bound.binding, artist))
    return bound


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


def companion_roles(binding: Binding) -> dict[str, str]:
    """What was found that each companion does, in words."""
    roles: dict[str, str] = {}
    for name, attachment in binding.companions.items():
        rules, counts = np.unique(attachment.rule, return_counts=True)
        told = [ROLES[int(r)] for r, n in zip(rules, counts, strict=True) if n > SMALLEST_ROLE * counts.sum()]
        roles[name] = ", ".join(dict.fromkeys(told))
    return roles


def found_landmarks(binding: Binding) -> dict[str, list[float]]:
    """Where the fitted head has its landmarks, in the artist's own space."""
    head = binding.head
    return {
        name: binding.fitted_vertices[head.landmarks68[index]].astype(float).tolist()
        for name, index in LANDMARKS.items()
    }


def _bound(head: Head, artist: ArtistHead, cache: Path | None, on_step: OnStep | None) -> Binding:
    _check_parts(head, len(artist.mesh.vertices))
    mesh = artist.mesh
    key = binding_cache.key(head, mesh.vertices, mesh.triangles, artist.landmarks)
    if cache is not None and (known := binding_cache.load(cache, key, head)) is not None:
        return known
    binding = bind(head, mesh.vertices, mesh.triangles, landmarks=artist.landmarks, on_step=on_step)
    if cache is not None:
        binding_cache.store(cache, key, binding)
    return binding


def _check_parts(head: Head, found: int) -> None:
    """Raises InputError when the head lacks what others are bound by."""
    if not head.parts.keys() >= BINDING_PARTS:
        raise InputError(
            f"This mesh has {found:,} vertices, and the checkpoint's head, which has "
            f"{len(head.neutral_vertices):,}, has no eyes and teeth by which to bind another: choose the "
            "checkpoint that comes with Dimple."
        )


def _with_companions(binding: Binding, artist: ArtistHead) -> Binding:
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
        name: _part_of(together, slice(start, end))
        for name, start, end in zip(artist.companions, starts, starts[1:], strict=False)
    }
    return replace(binding, companions=attachments)


def _teeth_triangles(binding: Binding, mesh: Mesh) -> Ints:
    """(F, 3) triangles of the mesh that stay or go with the jaw as a whole, where the fitted teeth are."""
    head = binding.head
    ends = [head.parts[name] for name in ("teeth_upper", "teeth_lower")]
    teeth = np.concatenate([binding.neutral_vertices[start:end] for start, end in ends])
    places = binding.pose.to_model(mesh.vertices.astype(np.float64))
    low, high = teeth.min(axis=0) - TEETH_MARGIN, teeth.max(axis=0) + TEETH_MARGIN
    rigid = np.isin(binding.rule, (Rule.STILL, Rule.JAW)) & ((places > low) & (places < high)).all(axis=1)
    return mesh.triangles[rigid[mesh.triangles].all(axis=1)]


def _recognised(head: Head, mesh: Mesh, order: Ints) -> Binding:
    """The binding of a head in the Dimple head's own topology: every vertex is exactly one of the head's."""
    _check_parts(head, len(mesh.vertices))
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
    for name, (start, end) in head.parts.items():
        rule[start:end] = PART_RULES.get(name, Rule.STILL)
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
        weight=np.ones(count, np.float32),
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


def _part_of(attachment: Attachment, vertices: slice) -> Attachment:
    """The attachment of some of its vertices, none of which is filled in."""
    return replace(
        attachment,
        vertices=attachment.vertices[vertices],
        rule=attachment.rule[vertices],
        triangle=attachment.triangle[vertices],
        barycentric=attachment.barycentric[vertices],
        weight=attachment.weight[vertices],
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
