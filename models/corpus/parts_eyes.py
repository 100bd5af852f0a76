"""Eyeballs: a globe with a corneal bump, its pole on the gaze axis and every ring a circle around it.

The eye is one closed surface. Rings lie on the pupil's edge, within the iris and on both edges of the limbus,
its dark rim, so that one flat material per face already gives a readable eye and the pupil can dilate.
"""

from __future__ import annotations

import numpy as np

from models.corpus.parts import Doubles, Ints, Island, Part, fan, grid, turned, upright

GLOBE_RADIUS = 15.1
"""mm; ICT's sclera (15.4) shrunk until the lid margins stay outside it, open and closed."""
GLOBE_CENTRE = np.array([31.07, 36.03, 78.88])
"""Centre of the sphere fitted to the rear of ICT's left eyeball (residual 0.16 mm)."""
GAZE_YAW = 4.0
"""Degrees by which the optical axis points outwards at rest: the line of sight is 4 to 5 degrees nasal."""
LIMBUS_RADIUS = 6.0
CORNEA_BUMP = 0.9
"""mm by which the corneal apex stands off the globe."""
IRIS_RECESS = 0.45
"""mm by which the iris dips below the cornea's dome half way between pupil and limbus."""
PUPIL_RADIUS = 1.9
DILATED_PUPIL_RADIUS = 3.9
"""mm, the widest pupil of an adult; ICT's own unit lets the pupil swallow the whole iris."""

COLUMNS = 24
IRIS_RINGS = (PUPIL_RADIUS, 2.7, 3.8, 4.9, 5.6, LIMBUS_RADIUS)
"""Distance of the front rings from the gaze axis, mm."""
GLOBE_RINGS = (29.0, 38.0, 51.0, 68.0, 89.0, 113.0, 143.0)
"""Angle of the other rings from the gaze axis, degrees."""
BANDS = (("iris", 4), ("limbus", 1), ("sclera", len(GLOBE_RINGS)))
"""Rows of quads outwards from the pupil's edge."""


def gaze_axis() -> Doubles:
    """(3,) unit vector of the left eye's resting gaze."""
    yaw = np.radians(GAZE_YAW)
    return np.array([np.sin(yaw), 0.0, np.cos(yaw)])


def profile_height(radius: Doubles) -> Doubles:
    """(N,) height over the globe's centre of the front surface at a distance (N,) from the gaze axis, mm.

    Dome (1 - u^2)^2 and dip u^2 (1 - u^2)^2 meet the globe at the limbus, u = 1, without step or crease.
    """
    dome = np.clip(1.0 - (radius / LIMBUS_RADIUS) ** 2, 0.0, None)
    dip = 6.75 * dome**2 * (1.0 - dome)
    return np.sqrt(GLOBE_RADIUS**2 - radius**2) + CORNEA_BUMP * dome**2 - IRIS_RECESS * dip


def left_eye() -> Part:
    """The left eyeball on the mean person: front pole, rings outwards, rear pole."""
    angles = np.radians(GLOBE_RINGS)
    radii = np.concatenate([IRIS_RINGS, GLOBE_RADIUS * np.sin(angles)])
    heights = np.concatenate([profile_height(np.array(IRIS_RINGS)), GLOBE_RADIUS * np.cos(angles)])
    front = [0.0, 0.0, profile_height(np.zeros(1))[0]]
    turn = (np.arange(COLUMNS) + 0.5) * (2.0 * np.pi / COLUMNS)
    circles = np.stack(
        np.broadcast_arrays(radii[:, None] * np.cos(turn), radii[:, None] * np.sin(turn), heights[:, None]),
        axis=-1,
    ).reshape(-1, 3)
    local = np.concatenate([[front], circles, [[0.0, 0.0, -GLOBE_RADIUS]]])

    rear = len(local) - 1
    first_ring = np.arange(1, COLUMNS + 1, dtype=np.int32)
    last_ring = np.arange(rear - COLUMNS, rear, dtype=np.int32)
    pupil = fan(first_ring, 0)
    quads = turned(grid(len(radii), COLUMNS, closed_columns=True)) + 1
    back = turned(fan(last_ring, rear))
    materials = ["pupil"] * COLUMNS
    for name, rows in BANDS:
        materials += [name] * (rows * COLUMNS)
    materials += ["sclera"] * COLUMNS
    faces = np.concatenate([pupil, quads, back]).astype(np.int32)
    return Part(
        vertices=GLOBE_CENTRE + local @ _gaze_frame().T,
        faces=faces,
        materials=tuple(materials),
        mirror=np.arange(len(local), dtype=np.int32),
        islands=(_polar_island(local, faces, last_ring, rear),),
    )


def pupil_dilation() -> Doubles:
    """(P, 3) displacement of the left eye when the pupil is widest: the iris gathers towards its rim."""
    eye = left_eye().vertices
    local = (eye - GLOBE_CENTRE) @ _gaze_frame()
    radius = np.hypot(local[:, 0], local[:, 1])
    rim = IRIS_RINGS[-2]
    share = np.clip((rim - radius) / (rim - PUPIL_RADIUS), 0.0, 1.0) * (local[:, 2] > 0)
    wide = radius + (DILATED_PUPIL_RADIUS - PUPIL_RADIUS) * share * np.clip(radius / PUPIL_RADIUS, 0.0, 1.0)
    offset = np.zeros_like(local)
    ring = (radius > 0) & (share > 0)
    offset[ring, :2] = local[ring, :2] * (wide[ring] / radius[ring] - 1.0)[:, None]
    offset[ring, 2] = profile_height(wide[ring]) - profile_height(radius[ring])
    return offset @ _gaze_frame().T


def _gaze_frame() -> Doubles:
    """(3, 3) columns: sideways, up, along the gaze."""
    axis = gaze_axis()
    up = np.array([0.0, 1.0, 0.0])
    return np.stack([np.cross(up, axis), up, axis], axis=1)


def _polar_island(local: Doubles, faces: Ints, last_ring: Ints, rear: int) -> Island:
    """The whole eye as one disc round the pupil; the root of the angle gives the front most of it.

    The rear pole becomes one corner per triangle on the disc's rim.
    """
    angle = np.arctan2(np.hypot(local[:, 0], local[:, 1]), local[:, 2])
    distance = GLOBE_RADIUS * np.pi / 2.0 * np.sqrt(angle / np.pi)
    turn = np.arctan2(local[:, 1], local[:, 0])
    edge_turn = turn[last_ring] + np.pi / COLUMNS
    edge = distance[rear] * np.stack([np.cos(edge_turn), np.sin(edge_turn)], axis=1)
    uv = np.concatenate([distance[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1), edge])
    uv_faces = faces.copy()
    back = np.flatnonzero((faces == rear).any(axis=1))
    uv_faces[back, 1] = len(local) + np.arange(COLUMNS)
    return upright(Island(uv, uv_faces, np.arange(len(faces), dtype=np.int32)))
