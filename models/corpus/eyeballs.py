"""Eyeballs as colliders: where a person's eyes sit, how large they are and where they look.

ICT-FaceKit's eyeballs move with the identity modes; its gaze units move only the lids, so the turn of the
eyes is ours. A sphere is fitted to the back of each
sclera (the front is not round), linearised in the identity coefficients, and drawn in a little so that the
lid edges of the mean face stay outside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from ..expression import UNIT_INDEX
from .ict import ICT

GAZE_DEGREES: Mapping[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = MappingProxyType(
    {
        "eyeLookUpLeft": ((-25.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
        "eyeLookUpRight": ((0.0, 0.0, 0.0), (-25.0, 0.0, 0.0)),
        "eyeLookDownLeft": ((30.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
        "eyeLookDownRight": ((0.0, 0.0, 0.0), (30.0, 0.0, 0.0)),
        "eyeLookInLeft": ((0.0, -30.0, 0.0), (0.0, 0.0, 0.0)),
        "eyeLookInRight": ((0.0, 0.0, 0.0), (0.0, 30.0, 0.0)),
        "eyeLookOutLeft": ((0.0, 30.0, 0.0), (0.0, 0.0, 0.0)),
        "eyeLookOutRight": ((0.0, 0.0, 0.0), (0.0, -30.0, 0.0)),
    }
)
"""Rotation vectors of the left and the right eye at weight 1 of the gaze units."""
GAZE_TURNS = np.zeros((len(UNIT_INDEX), 2, 3))
for _name, _turns in GAZE_DEGREES.items():
    GAZE_TURNS[UNIT_INDEX[_name]] = np.radians(_turns)

REAR_OF_APEX = 8.5
"""mm behind the corneal apex where the round part of ICT's sclera begins."""
NESTING = 0.27
"""mm by which the collider is smaller than the fitted sphere."""
CORNEA_RISE = 1.0
CORNEA_ANGLE = 0.45
"""The cornea stands out of the eyeball by this many mm, over a cap of this half angle in radians."""


@dataclass(frozen=True)
class Eyeball:
    """One person's eyeball: a sphere with a corneal cap."""

    centre: NDArray[np.float32]
    """(3,) mm."""
    radius: float

    def surface(self, directions: NDArray[np.float32], gaze: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, N) height, mm, over the centre along unit `directions` (B, N, 3) at unit `gaze` (B, 3)."""
        cosine = np.einsum("bni,bi->bn", directions, gaze)
        cap = np.clip((1.0 - cosine) / np.float32(1.0 - np.cos(CORNEA_ANGLE)), 0.0, 1.0)
        return np.float32(self.radius) + np.float32(CORNEA_RISE) * (1.0 - cap) ** 2


@dataclass(frozen=True)
class EyeModel:
    """Both eyeballs (left first) as a linear function of identity."""

    centres: NDArray[np.float32]
    """(2, 3) of the mean person, mm."""
    radii: NDArray[np.float32]
    """(2,)"""
    centre_modes: NDArray[np.float32]
    """(100, 2, 3) mm per standard deviation."""
    radius_modes: NDArray[np.float32]
    """(100, 2)"""
    axes: NDArray[np.float32]
    """(2, 3) unit gaze at rest."""

    @staticmethod
    def fit(ict: ICT) -> EyeModel:
        """Fit spheres to the scleras of ICT-FaceKit."""
        centres, radii, centre_modes, radius_modes, axes = [], [], [], [], []
        for side in ("left", "right"):
            sclera = slice(*ict.vertex_regions[f"sclera {side}"])
            points = ict.neutral[sclera].astype(np.float64)
            rear = points[:, 2] < points[:, 2].max() - REAR_OF_APEX
            sphere = _sphere(points[rear])
            # the fit is nearly linear in a standard deviation: central differences are its modes
            modes = ict.identities[:, sclera][:, rear]
            slopes = np.array(
                [(_sphere(points[rear] + mode) - _sphere(points[rear] - mode)) / 2 for mode in modes]
            )
            apex = points[points[:, 2].argmax()] - sphere[:3]
            centres.append(sphere[:3])
            radii.append(sphere[3] - NESTING)
            centre_modes.append(slopes[:, :3])
            radius_modes.append(slopes[:, 3])
            axes.append(apex / np.linalg.norm(apex))
        return EyeModel(
            centres=np.array(centres, np.float32),
            radii=np.array(radii, np.float32),
            centre_modes=np.stack(centre_modes, axis=1).astype(np.float32),
            radius_modes=np.stack(radius_modes, axis=1).astype(np.float32),
            axes=np.array(axes, np.float32),
        )

    def eyeballs(self, coefficients: NDArray[np.float32]) -> tuple[Eyeball, Eyeball]:
        """The left and right eyeball of the identity with `coefficients` (100,)."""
        centres = self.centres + np.tensordot(coefficients, self.centre_modes, 1)
        radii = self.radii + coefficients @ self.radius_modes
        return Eyeball(centres[0], float(radii[0])), Eyeball(centres[1], float(radii[1]))

    def gaze(self, weights: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, 2, 3) unit gaze of both eyes at weights (B, 57)."""
        twists = np.einsum("bu,uei->bei", weights, GAZE_TURNS)
        turned = Rotation.from_rotvec(twists.reshape(-1, 3)).apply(np.tile(self.axes, (len(weights), 1)))
        return turned.reshape(twists.shape).astype(np.float32)


def _sphere(points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Least-squares sphere (x, y, z, radius) through points (N, 3): |p|^2 = 2 c.p + r^2 - |c|^2 is linear."""
    mean = points.mean(0, dtype=np.float64)
    local = points - mean
    system = np.column_stack([2 * local, np.ones(len(local))])
    solution = np.linalg.lstsq(system, np.einsum("ij,ij->i", local, local), rcond=None)[0]
    return np.append(solution[:3] + mean, np.sqrt(solution[3] + solution[:3] @ solution[:3]))
