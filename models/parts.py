"""How eyes, teeth and tongue follow a face whose skin alone was generated.

Nothing here is diffused. An eye turns rigidly about its own centre by the look units, on Listing's law: one
rotation vector per unit, added up, so no combination twists the eye about its gaze. The lower teeth and the
tongue follow the jaw, and where the jaw went is read from the generated skin itself, so a person who opens it
wider takes them along. All of it happens in the units and axes of the artist's head.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .alignment import similarity_to
from .head import Head

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int32]

JAW_UNITS = ("jawOpen", "jawForward", "jawLeft", "jawRight")
JAW_PARTS = ("teeth_lower", "tongue")
JAW_EVIDENCE = 0.3
"""Skin with at least this ``jaw_weight`` is asked where the jaw went."""
JAW_RIDGE = 30.0
"""mm^2; how much motion of that skin, summed in squares, a unit has to explain before it is believed."""


def follow(
    head: Head, neutral_vertices: Floats, skin_deformation: Floats, expression_signal: Floats
) -> Floats:
    """Deformation of the whole head (K, V, 3) from that of its skin (K, Vs, 3) and the signal (K, 57).

    ``neutral_vertices`` (V, 3) is any head of this topology, in any units, axes and place; deformations are
    in the same. A head of skin only, (Vs, 3), has nothing to follow: its deformation is returned as it is.
    Raises InputError when the head has no extent.
    """
    skin = head.skin_vertices
    if len(neutral_vertices) == skin:
        return skin_deformation
    deformation = np.zeros((len(skin_deformation), *neutral_vertices.shape), np.float32)
    deformation[:, :skin] = skin_deformation
    for side in ("left", "right"):
        start, end = head.parts[f"eye_{side}"]
        deformation[:, start:end] = eye_deformation(head, side, neutral_vertices, expression_signal)
    pose = similarity_to(head.neutral_vertices[:skin], neutral_vertices[:skin])
    motion = pose.scale * (skin_deformation @ pose.rotation.T)
    turn, shift = jaw_motion(head, motion.astype(np.float32))
    for name in JAW_PARTS:
        start, end = head.parts.get(name, (0, 0))
        part = pose.apply(neutral_vertices[start:end]).astype(np.float64)
        moved = part @ turn.transpose(0, 2, 1) + shift[:, None] - part
        deformation[:, start:end] = pose.invert_vectors(moved)
    return deformation


def eye_deformation(head: Head, side: str, neutral_vertices: Floats, expression_signal: Floats) -> Floats:
    """(K, P, 3) the "left" or "right" eye turned about the centre of its globe, its pupil dilated."""
    start, end = head.parts[f"eye_{side}"]
    generic = head.neutral_vertices[start:end].astype(np.float64)
    pupil = _unit(head, f"pupilDilate{side.title()}")

    pose = similarity_to(head.neutral_vertices, neutral_vertices)
    vertices = neutral_vertices[start:end].astype(np.float64)
    arms = vertices - sphere_centre(neutral_vertices[_globe(head, side)])
    offsets = pose.invert_vectors(head.expression_basis[pupil, start:end])
    dilated = arms + expression_signal[:, pupil, None, None] * offsets
    turns = expression_signal.astype(np.float64) @ _eye_turns(head, generic, start, end, pupil)
    rotations = rotation_matrices(turns @ pose.rotation)
    return (dilated @ rotations.transpose(0, 2, 1) - arms).astype(np.float32)


def _eye_turns(head: Head, generic: Doubles, start: int, end: int, pupil: int) -> Doubles:
    """(57, 3) rotation vector of the eye at weight 1 of each unit, read from the head's generic shapes."""
    moving = np.flatnonzero(head.expression_q[:, start:end].any(axis=(1, 2)))
    turns = np.zeros((len(head.expression_q), 3))
    for unit in moving[moving != pupil]:
        rotation, _ = rigid_motions(generic, generic[None] + head.expression_basis[unit, start:end])
        turns[unit] = rotation_vector(rotation[0])
    return turns


def jaw_motion(head: Head, skin_deformation: Floats) -> tuple[Doubles, Doubles]:
    """Rotations (K, 3, 3) and translations (K, 3), mm, of the jaw in model space, from its skin's (K, Vs, 3).

    No skin is rigid with the jaw: chin and mouth bag also move with the lips, so a rigid fit to them takes a
    pucker for a jaw. Instead all units together explain the skin's motion, by ridge regression; what the jaw
    units explain moves the generic teeth, and the motion of those is made rigid.
    """
    names = list(head.config["unit_names"])
    units = [names.index(name) for name in JAW_UNITS]
    asked = np.flatnonzero(head.jaw_weight >= JAW_EVIDENCE)
    weight = np.sqrt(head.jaw_weight[asked].astype(np.float64))[:, None]
    design = (head.expression_basis[:, asked] * weight).reshape(len(names), -1)
    observed = (skin_deformation[:, asked] * weight).reshape(len(skin_deformation), -1)
    gram = design @ design.T + JAW_RIDGE * np.eye(len(names))
    amounts = np.linalg.solve(gram, design @ observed.T)[units].T

    start, end = head.parts["teeth_lower"]
    teeth = head.neutral_vertices[start:end].astype(np.float64)
    moved = teeth + np.tensordot(amounts, head.expression_basis[units, start:end], 1)
    return rigid_motions(teeth, moved)


def rigid_motions(source: NDArray[np.floating], targets: NDArray[np.floating]) -> tuple[Doubles, Doubles]:
    """Rotations (K, 3, 3) and translations (K, 3) that best carry ``source`` (N, 3) to ``targets`` (K, N, 3).

    The method of Kabsch (1976), all frames at once.
    """
    centre, centres = source.mean(axis=0, dtype=np.float64), targets.mean(axis=1, dtype=np.float64)
    u, _, vt = np.linalg.svd((targets - centres[:, None]).transpose(0, 2, 1) @ (source - centre))
    u[:, :, 2] *= np.sign(np.linalg.det(u @ vt))[:, None]
    rotation = u @ vt
    return rotation, centres - rotation @ centre


def rotation_matrices(vectors: Doubles) -> Doubles:
    """(K, 3, 3) rotations by rotation vectors (K, 3) in radians (Rodrigues); zero gives the identity."""
    angle = np.linalg.norm(vectors, axis=1)[:, None, None]
    cross = np.cross(np.eye(3), vectors[:, None])
    versine = 0.5 * np.sinc(angle / (2.0 * np.pi)) ** 2
    return np.eye(3) + np.sinc(angle / np.pi) * cross + versine * (cross @ cross)


def rotation_vector(rotation: Doubles) -> Doubles:
    """(3,) rotation vector of a rotation (3, 3) by less than half a turn."""
    axial = 0.5 * np.array(
        [rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0], rotation[1, 0] - rotation[0, 1]]
    )
    sine = np.linalg.norm(axial)
    angle = np.arctan2(sine, 0.5 * (np.trace(rotation) - 1.0))
    return axial * (angle / sine if sine > 0.0 else 1.0)


def sphere_centre(points: NDArray[np.floating]) -> Doubles:
    """(3,) centre of the least-squares sphere through points (N, 3): |p|^2 = 2 c.p + r^2 - |c|^2."""
    mean = points.mean(axis=0, dtype=np.float64)
    local = points - mean
    system = np.concatenate([2.0 * local, np.ones((len(local), 1))], axis=1)
    return mean + np.linalg.lstsq(system, (local**2).sum(axis=1), rcond=None)[0][:3]


def _unit(head: Head, name: str) -> int:
    return list(head.config["unit_names"]).index(name)


def _globe(head: Head, side: str) -> Ints:
    """Vertices of the white of one eye: they lie on a sphere."""
    start, end = head.parts[f"eye_{side}"]
    white = head.face_material == list(head.config["material_names"]).index("sclera")
    vertices = np.unique(head.faces[white])
    return vertices[(vertices >= start) & (vertices < end)]
