"""What an artist gives to be animated: meshes in the artist's own units and axes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]


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
