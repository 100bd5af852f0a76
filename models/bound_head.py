"""Any artist's head as a model of the Dimple head animates it, and the way back to the artist's own mesh.

A head in the Dimple head's topology, renumbered or not, is animated as it is; any other through its binding.
Objects beside it, its companions, follow either.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .alignment import similarity_to
from .binding import Binding, OnStep, bind
from .errors import InputError
from .head import Head
from .registration import cache as binding_cache
from .registration.artist_head import ArtistHead
from .registration.bound_companions import (
    SECOND_HEAD,
    companion_roles,
    has_second_head,
    part_of,
    with_companions,
)
from .registration.own_topology import head_order, recognised_binding
from .registration.template import LANDMARKS

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

BINDING_PARTS = frozenset({"eye_left", "eye_right", "teeth_upper", "teeth_lower"})
"""What a head must have to be bound to others."""
FRAMES_AT_ONCE = 16
"""Frames carried over between two reports of progress."""


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
    remarks: tuple[str, ...] = ()  # what the artist should know besides the binding's own sentence

    @property
    def facts(self) -> dict[str, Any]:
        """How the head was recognised or bound, for who tells the artist."""
        facts: dict[str, Any] = {"mm_per_unit": self.mm_per_unit, "recognised": self.order is not None}
        if self.binding is not None:
            facts |= {
                "score": float(self.binding.score),
                "warnings": [text for text in (self.binding.sentence, *self.remarks) if text],
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
        return {**self._followers.transfer_all(in_model, signal, keep_contact=False), "": own}

    @cached_property
    def _followers(self) -> Binding:
        """The binding of the companions alone."""
        assert self.binding is not None
        return replace(self.binding, attachment=part_of(self.binding.attachment, slice(0)))


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
        if wanted:
            _check_parts(head, len(own))
        binding = recognised_binding(head, artist.mesh, order) if wanted else None
        skin = head.skin_vertices
        scale = similarity_to(head.neutral_vertices[:skin], own[:skin]).scale
        bound = BoundHead(own, len(artist.mesh.vertices), scale, binding, order)
    else:
        binding = _bound(head, artist, cache, on_step)
        scale = 1.0 / binding.pose.scale
        remarks = (SECOND_HEAD,) if has_second_head(binding, artist.mesh) else ()
        bound = BoundHead(binding.neutral_vertices, len(artist.mesh.vertices), scale, binding, None, remarks)
    if artist.companions and bound.binding is not None:
        bound = replace(bound, binding=with_companions(bound.binding, artist))
    return bound


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
