"""Carrying the motion of the fitted Dimple head to the vertices of an artist's mesh.

Every vertex has one rule. Skin takes the displacement of its place on the template, as an offset in the axes
of the artist's head: of the rules measured, this one is nearest to the truth. Inner surfaces copy their
nearest place whatever it faces. Skin without a match is filled in by a harmonic field that decays to rest.
Eyeballs turn, teeth go with the jaw, both rigidly; so does the tongue, until it is put out.
"""

# The stubs of scipy and fast_simplification know less than they take; arrays read from files are untyped.
# pyright: reportArgumentType=false, reportAssignmentType=false, reportCallIssue=false
# pyright: reportOptionalMemberAccess=false
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import IntEnum
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import splu

from .. import parts
from ..expression import UNIT_INDEX
from ..head import Head
from .contact import ContactKeeper, Worn
from .pose import Pose

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int32]

JAW, CLOSE = UNIT_INDEX["jawOpen"], UNIT_INDEX["mouthClose"]
LEAST_TONGUE = 1e-3
"""mm of the tongue beside the jaw from which it moves; less is rounding."""
DECAY = 30.0
"""mm over the surface within which motion that is filled in decays to a third."""


class Rule(IntEnum):
    """What a vertex of the artist's mesh moves with."""

    STILL = 0  # the skull, the body, whatever is far away
    SKIN = 1  # its own place on the fitted skin
    INNER = 2  # the nearest place of the fitted skin: mouth bag, eye sockets, nostrils
    FILL = 3  # its neighbours
    FOLLOW = 4  # the skin under it: lashes, brows, tear lines
    EYE_LEFT = 5
    EYE_RIGHT = 6
    JAW = 7  # lower teeth
    TONGUE = 8  # the jaw, and what the fitted tongue does beside it


PLACED = (Rule.SKIN, Rule.INNER, Rule.FOLLOW)


@dataclass(frozen=True)
class Motion:
    """What the fitted head does over K frames, in model space, mm."""

    skin: Floats  # (K, Vs, 3)
    eyes: tuple[Doubles, Doubles]  # (K, 3, 3) rotations, left and right
    jaw_rotation: Doubles  # (K, 3, 3)
    jaw_translation: Doubles  # (K, 3)
    tongue: Doubles  # (K, 2, 3) what it does beside the jaw, per share of its length and per square of that
    moving: NDArray[np.bool_]  # (K,) anything moves at all


class HeadMotion:
    """Turns what the model generates for a fitted head into its motion, lips and lids kept from crossing."""

    def __init__(self, head: Head, fitted: Floats, worn: Worn) -> None:
        self.head = head
        self.fitted = fitted  # (V, 3) in model space, mm
        self.contact = ContactKeeper(head, fitted[: head.skin_vertices].astype(np.float64), worn)

    def __call__(self, deformation: Floats, expression_signal: Floats, keep_contact: bool = True) -> Motion:
        """deformation (K, V or Vs, 3) mm in model space; expression_signal (K, 57)."""
        skin = np.array(deformation[:, : self.head.skin_vertices], np.float32)
        signal = np.asarray(expression_signal, np.float32)
        tongue = self._tongue(deformation)
        if keep_contact:
            skin = self._parted(skin, signal)
        rotation, translation = parts.jaw_motion(self.head, skin)
        eyes = (self._eye("left", signal), self._eye("right", signal))
        out = np.abs(tongue).max(axis=(1, 2)) > LEAST_TONGUE
        moving = skin.any(axis=(1, 2)) | signal.any(axis=1) | out
        return Motion(skin, eyes, rotation, translation, tongue, moving)

    def _tongue(self, deformation: Floats) -> Doubles:
        """As `Motion.tongue`; nothing where only skin is given. The root only ever goes with the jaw."""
        tongue = slice(*self.head.parts.get("tongue", (0, 0)))
        rest = self.fitted[tongue].astype(np.float64)
        if not len(rest) or deformation.shape[1] < tongue.stop:
            return np.zeros((len(deformation), 2, 3))
        rotation, translation = parts.jaw_motion(self.head, deformation[:, : self.head.skin_vertices])
        beside = deformation[:, tongue] - (rest @ rotation.transpose(0, 2, 1) + translation[:, None] - rest)
        length = length_share(rest)
        design = np.stack([length, length**2], axis=1)
        return np.einsum("an,knc->kac", np.linalg.pinv(design), beside)

    def _parted(self, skin: Floats, signal: Floats) -> Floats:
        """The deformations (K, Vs, 3) with lips and lids parted.

        What closes a mouth that is not open is a shape made for the open jaw: lips are looked at there.
        """
        beyond = signal[:, CLOSE] - signal[:, JAW]
        opened = np.flatnonzero(beyond > 0)
        jaw = np.multiply.outer(beyond[opened], self.head.expression_basis[JAW, : skin.shape[1]])
        skin[opened] += jaw
        self.contact.part(skin)
        self.contact.part(jaw)
        skin[opened] -= jaw
        return skin

    def _eye(self, side: str, signal: Floats) -> Doubles:
        start, end = self.head.parts[f"eye_{side}"]
        still = signal.copy()
        names = list(self.head.config["unit_names"])
        still[:, names.index(f"pupilDilate{side.title()}")] = 0.0
        eye = self.fitted[start:end].astype(np.float64)
        moved = eye + parts.eye_deformation(self.head, side, self.fitted, still)
        return parts.rigid_motions(eye, moved)[0]


def length_share(tongue: NDArray[np.floating]) -> Doubles:
    """(N,) 0 at the root and 1 at the tip of a tongue (N, 3) in model space."""
    depth = tongue[:, 2].astype(np.float64)
    return (depth - depth.min()) / max(float(np.ptp(depth)), 1e-6)


@dataclass(frozen=True)
class Attachment:
    """How each of V vertices hangs on the fitted head; ``vertices`` in the artist's own space."""

    vertices: Floats  # (V, 3)
    rule: NDArray[np.int8]  # (V,) of Rule
    triangle: Ints  # (V,) into the skin's triangles
    barycentric: Floats  # (V, 3)
    weight: (
        Floats  # (V,) 0..1, how much of the motion a placed vertex takes; how far out on the tongue one is
    )
    mm_per_unit: Floats  # ()
    pivots: Floats  # (2, 3) centres that eyes turn about, left and right
    edges: Ints  # (E, 2) undirected, those that touch a filled vertex

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Its fields by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Attachment:
        """The inverse of ``arrays``. Raises KeyError when one is missing."""
        return cls(**{field.name: arrays[field.name] for field in fields(cls)})

    def worn(self, triangles: Ints, skin_vertices: int, pose: Pose) -> Worn:
        """The skin of this mesh on the fitted one, which has these triangles."""
        rows, place = self._places(triangles, skin_vertices)
        skin = np.flatnonzero(self.rule[rows] == Rule.SKIN)
        return Worn(pose.to_model(self.vertices[rows[skin]].astype(np.float64)), place[skin])

    def move(self, triangles: Ints, pose: Pose, motion: Motion) -> Floats:
        """Deformation (K, V, 3) in the artist's own units and axes; ``triangles`` are those of the skin."""
        frames = len(motion.skin)
        linear = (pose.scale * pose.rotation.T).astype(np.float32)  # model space -> artist's, for row vectors
        rows, place = self._places(triangles, motion.skin.shape[1])
        result = np.zeros((frames, len(self.vertices), 3), np.float32)
        for frame in range(frames):
            result[frame, rows] = (place @ motion.skin[frame]) @ linear
        moving = np.flatnonzero(motion.moving)  # a frame at rest stays exactly at rest
        for rule, centre, rotation, shift in self._rigid(pose, motion):
            chosen = np.flatnonzero(self.rule == rule)
            if len(chosen):
                rotation, shift = rotation[moving], shift[moving]
                arms = self.vertices[chosen].astype(np.float64) - centre
                result[np.ix_(moving, chosen)] = arms @ rotation.transpose(0, 2, 1) - arms + shift[:, None]
        tongue = np.flatnonzero(self.rule == Rule.TONGUE)
        length = self.weight[tongue, None] ** [1, 2]
        result[np.ix_(moving, tongue)] += length @ (motion.tongue[moving] @ linear)
        if (self.rule == Rule.FILL).any():
            filled, known, fill = self._fill
            for frame in range(frames):
                result[frame, filled] = fill(result[frame, known])
        return result

    def _places(self, triangles: Ints, skin: int) -> tuple[NDArray[np.int64], sp.csr_matrix]:
        rows = np.flatnonzero(np.isin(self.rule, PLACED))
        values = self.barycentric[rows] * self.weight[rows, None]
        starts = np.arange(0, 3 * len(rows) + 1, 3)
        columns = triangles[self.triangle[rows]].ravel()
        return rows, sp.csr_matrix((values.ravel(), columns, starts), shape=(len(rows), skin))

    def _rigid(self, pose: Pose, motion: Motion) -> list[tuple[Rule, Doubles, Doubles, Doubles]]:
        """(rule, pivot, rotations (K, 3, 3), shift of the pivot (K, 3)) in the artist's space."""
        turn = pose.rotation
        none = np.zeros((len(motion.skin), 3))
        eyes = [
            (rule, self.pivots[side].astype(np.float64), turn @ motion.eyes[side] @ turn.T, none)
            for side, rule in enumerate((Rule.EYE_LEFT, Rule.EYE_RIGHT))
        ]
        # x -> J x + j in model space carries its origin, seen from the artist's, by scale R j
        shift = pose.scale * motion.jaw_translation @ turn.T
        jaw = turn @ motion.jaw_rotation @ turn.T
        return [*eyes, *((rule, pose.translation, jaw, shift) for rule in (Rule.JAW, Rule.TONGUE))]

    @cached_property
    def _fill(self) -> tuple[NDArray[np.int64], NDArray[np.int64], Callable[[Floats], Floats]]:
        """Filled vertices, those round them, and the map from the latter's displacements to the former's.

        It solves (L + d (h / DECAY)^2) x = 0, a screened harmonic field: L is the graph's Laplacian, d a
        vertex's degree, h the mean length of its edges.
        """
        count = len(self.vertices)
        ones = np.ones(len(self.edges))
        graph = sp.coo_matrix((ones, self.edges.T), shape=(count, count)).tocsr()
        graph = graph + graph.T
        filled = np.flatnonzero(self.rule == Rule.FILL)
        degree = np.asarray(graph.sum(axis=1)).ravel()[filled]
        length = np.linalg.norm(self.vertices[self.edges[:, 0]] - self.vertices[self.edges[:, 1]], axis=1)
        total = np.bincount(self.edges.ravel(), np.repeat(length * self.mm_per_unit, 2), count)[filled]
        screen = (total / DECAY) ** 2 / np.maximum(degree, 1) + 1e-9
        inner = graph[filled]
        known = np.setdiff1d(np.unique(self.edges), filled)
        system = (sp.diags(degree + screen) - inner[:, filled]).tocsc()
        factors = splu(
            system, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
        )
        border = inner[:, known].tocsr()

        def fill(values: Floats) -> Floats:
            return factors.solve(border @ values.astype(np.float64)).astype(np.float32)

        return filled, known, fill
