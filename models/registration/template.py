"""The Dimple head as binding uses it: which of its vertices say what about a face."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from ..head import Head
from .surface import border_vertices, vertex_normals

Doubles = NDArray[np.float64]
Ints = NDArray[np.int32]

LANDMARKS: Mapping[str, int] = MappingProxyType(
    {
        "eyeOuterRight": 36,
        "eyeInnerRight": 39,
        "eyeInnerLeft": 42,
        "eyeOuterLeft": 45,
        "noseTip": 30,
        "mouthRight": 48,
        "mouthLeft": 54,
        "chin": 8,
    }
)
"""Landmarks an artist may set, and their place among the 68 of the head. Left is the character's."""
FEATURES = 17
"""The first so many of the 68 landmarks are the outline of the jaw; the others brows, nose, eyes, mouth."""
FEATURE_REACH = 24.0
"""mm round brows, eyes, nose, mouth and chin that make up the narrow face."""
OPENINGS = ("eyeBlinkLeft", "eyeBlinkRight", "jawOpen")
"""Units that a rest pose may hold: a fit must not take closed lids or an open jaw for a person's shape."""


@dataclass(frozen=True)
class Template:
    """Skin of the head (Vs vertices) with the weights that the fit gives to its regions."""

    head: Head
    vertices: Doubles  # (Vs, 3) the mean person, mm
    triangles: Ints  # (T, 3)
    normals: Doubles  # (Vs, 3)
    modes: Doubles  # (I, Vs, 3) mm per standard deviation
    openings: Doubles  # (3, Vs, 3) mm at weight 1
    outside: NDArray[np.bool_]  # (Vs,) skin; neither mouth bag nor eye socket
    weight: Doubles  # (Vs,) 1 narrow face, 0.5 face, 0.15 cranium and neck, 0 inside and on the rim
    narrow: NDArray[np.bool_]  # (Vs,) the face without the rims of lips and lids: what is scored
    rim: NDArray[np.bool_]  # (Vs,) the open border of the neck
    landmarks: Mapping[str, int]


def template_of(head: Head) -> Template:
    """What binding needs of a head."""
    skin = head.skin_vertices
    vertices = head.neutral_vertices[:skin].astype(np.float64)
    triangles = head.skin_triangles
    skin_faces = head.faces[head.face_material == list(head.config["material_names"]).index("skin")]
    outside = np.zeros(skin, bool)
    outside[skin_faces[skin_faces >= 0]] = True
    rim = np.zeros(skin, bool)
    rim[border_vertices(triangles)] = True

    features = vertices[np.r_[head.landmarks68[FEATURES:], head.landmarks68[6:11]]]
    distance = np.linalg.norm(vertices[:, None] - features, axis=2).min(axis=1)
    face = outside & (head.face_mask[:skin] > 0.5)
    narrow = face & (distance < FEATURE_REACH)
    weight = np.where(narrow, 1.0, np.where(face, 0.5, 0.15)) * (outside & ~rim)

    first, last = head.config["lip_contact_rings"]
    edge = int(head.config["lid_edge_ring"])
    borders = np.r_[
        head.mouth_rings[first : last + 2].ravel(), head.eye_rings[:, edge - 1 : edge + 2].ravel()
    ]
    names = list(head.config["unit_names"])
    return Template(
        head=head,
        vertices=vertices,
        triangles=triangles,
        normals=vertex_normals(vertices, triangles),
        modes=head.identity_basis[:, :skin].astype(np.float64),
        openings=head.expression_basis[[names.index(n) for n in OPENINGS], :skin].astype(np.float64),
        outside=outside,
        weight=weight,
        narrow=narrow & ~np.isin(np.arange(skin), borders),
        rim=rim,
        landmarks={name: int(head.landmarks68[index]) for name, index in LANDMARKS.items()},
    )
