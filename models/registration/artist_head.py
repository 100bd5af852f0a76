"""What an artist gives to be animated: meshes in the artist's own units and axes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

PARTS = ("eye", "jaw", "tongue", "skin", "still")
"""An eyeball; lower teeth or tongue; what hangs on the skin under it; what the skull holds."""


@dataclass(frozen=True)
class Mesh:
    """Vertices (V, 3) in the artist's units and axes, triangles (F, 3)."""

    vertices: Floats
    triangles: Ints


@dataclass(frozen=True)
class ArtistHead:
    """What an artist gives: the mesh with the face, places of landmarks on it, other objects in its space.

    ``parts`` says of some companions what they are, one of PARTS; of others it is found out.
    """

    mesh: Mesh
    landmarks: Mapping[str, Floats] = field(default_factory=dict[str, Floats])
    companions: Mapping[str, Mesh] = field(default_factory=dict[str, Mesh])
    parts: Mapping[str, str] = field(default_factory=dict[str, str])
