"""New people: neutral faces of nobody.

The prior is the linear identity model itself: its modes are the principal components of registered scans,
so their coefficients are independent and standard normal, and what a network learns from draws of them
can at best be equal. Coefficients are clamped, and many people get a smooth lopsidedness, as in life.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .head import Head
from .parts import sphere_centre

Floats = NDArray[np.float32]

FIRST_SEED = 9_000_000
"""Seeds of new people start here; the corpus draws its people from lower ones, so none is met again."""
LARGEST_COEFFICIENT = 2.5
"""Sigmas: rarer faces look like nobody."""
ASYMMETRIC_SHARE = 0.3
"""Share of people whose two halves differ by a smooth warp of 1 to 2 mm."""

EYE_CLEARANCE = 0.25
"""mm between an eyeball and the skin that lies on it."""


class AsymmetricWarp:
    """A smooth displacement of space, unlike on the two sides of a face: a shear and a few soft bumps."""

    def __init__(self, random: np.random.Generator) -> None:
        # mm per mm of distance from the midplane: one side of the face higher, deeper, wider by about 1 mm
        self.shear = 0.012 * random.standard_normal(3)
        side = random.choice([-1.0, 1.0], 3)
        self.centres = np.column_stack([40.0 * side, random.uniform(-60.0, 60.0, 3), np.full(3, 75.0)])
        self.pushes = 0.9 * random.standard_normal((3, 3))
        self.width = 35.0

    def __call__(self, points: Floats) -> Floats:
        """(N, 3) displacement of points (N, 3), mm."""
        squared = np.square(points[:, None] - self.centres).sum(2)
        bumps = np.exp(-0.5 * squared / self.width**2) @ self.pushes
        return (points[:, :1] * self.shear + bumps).astype(np.float32)


def sample_coefficients(modes: int, random: np.random.Generator) -> Floats:
    """(modes,) identity coefficients in sigmas: standard normal, clamped."""
    drawn = random.standard_normal(modes)
    return np.clip(drawn, -LARGEST_COEFFICIENT, LARGEST_COEFFICIENT).astype(np.float32)


def clear_of_eyes(head: Head, neutral: Floats) -> Floats:
    """Neutral (V, 3), mm, with the skin that an eyeball would pierce (sockets, mostly) laid upon it."""
    skin = np.arange(head.skin_vertices)
    sclera = head.faces[head.face_material == head.config["material_names"].index("sclera")]
    cleared = neutral.copy()
    for side in ("eye_left", "eye_right"):
        start, end = head.parts[side]
        globe = np.unique(sclera[(sclera >= start) & (sclera < end)])
        centre = sphere_centre(neutral[globe])
        radius = np.linalg.norm(neutral[globe] - centre, axis=1).mean() + EYE_CLEARANCE
        arms = neutral[skin] - centre
        distance = np.linalg.norm(arms, axis=1)
        pierced = skin[distance < radius]
        cleared[pierced] = centre + arms[pierced] * (radius / distance[pierced])[:, None]
    return cleared


def sample_identity(head: Head, seed: int) -> Floats:
    """Neutral vertices (V, 3), mm, of person ``seed`` (any integer); eyes and teeth included."""
    random = np.random.default_rng([FIRST_SEED, abs(seed), seed < 0])
    coefficients = sample_coefficients(len(head.identity_q), random)
    neutral = head.neutral_vertices + np.tensordot(coefficients, head.identity_basis, axes=1)
    if random.random() < ASYMMETRIC_SHARE:
        neutral = neutral + AsymmetricWarp(random)(neutral)
    return clear_of_eyes(head, neutral.astype(np.float32)) if head.parts else neutral.astype(np.float32)
