"""People: from one linear face model to faces that each move in their own, non-linear way.

`make_person` draws an identity and gives a `Person`: a rest face, expression shapes re-solved on it, a jaw,
two eyeballs and a temperament. `Person.deform` turns weights of expression units into the deformation of the
skin.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from ..expression import PAIRS, UNIT_INDEX, UNIT_NAMES
from .correctives import BLINKS, LID_INDICES, effective_weights
from .eyeballs import Eyeball
from .face_model import FaceModel
from .jaw import CLOSE_INDEX, JAW_INDICES, PersonJaw

SPLIT_SEEDS: Mapping[str, int] = MappingProxyType(
    {"train": 1_000_000, "validation": 2_000_000, "test": 3_000_000}
)
"""First seed of each split. A split takes consecutive seeds, so nobody is in two of them."""

MAX_COEFFICIENT = 2.5
"""Identity coefficients are N(0, 1), clamped here: rarer faces look like nobody."""
ASYMMETRIC_SHARE = 0.3
"""Share of people whose two halves differ by a smooth warp of 1 to 2 mm."""

GAIN_CENTRE, GAIN_RANGE = 0.95, 0.25
"""Gains lie in 0.7..1.2."""
ANATOMY_SHARE = 0.6
"""Share of a gain's variance that the identity coefficients decide; the rest is the person's own habit."""
ANATOMY_MODES = 15
"""Leading identity modes that decide the anatomical part: the 90 % of a face's shape that one sees."""
ANATOMY_SEED = 57
SIDEDNESS = 0.04
"""Standard deviation of the difference in strength between the two sides, relative."""

GAIN_GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "inner brow": ("browInnerUp",),
        "outer brow": ("browOuterUp",),
        "frown of the brow": ("browDown",),
        "eyes": ("eyeSquint", "eyeWide"),
        "cheeks": ("cheekSquint", "cheekRaiser"),
        "puff": ("cheekPuff",),
        "nose": ("noseSneer", "mouthUpperUp"),
        "smile": ("mouthSmile", "mouthDimple"),
        "corners down": ("mouthFrown", "mouthLowerDown"),
        "stretch": ("mouthStretch", "mouthPress"),
        "pucker": ("mouthPucker", "mouthFunnel"),
        "roll": ("mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper"),
        "jaw": ("jawOpen", "jawForward", "jawLeft", "jawRight", "mouthLeft", "mouthRight", "mouthClose"),
    }
)
"""Units that are strong or weak together. Blinks always close and gaze always arrives: they have no gain."""


@dataclass(frozen=True)
class Identity:
    """Who somebody is, before they move."""

    coefficients: NDArray[np.float32]
    """(100,) of the linear identity model."""
    neutral: NDArray[np.float32]
    """(V, 3) rest face, mm: lips apart, nothing inside the eyeballs."""
    eyeballs: tuple[Eyeball, Eyeball]
    gains: NDArray[np.float32]
    """(57,) personal strength of each unit."""


class Person:
    """One face that can move: an identity with its own shapes and jaw."""

    def __init__(self, model: FaceModel, identity: Identity) -> None:
        self.model = model
        self.identity = identity
        self.neutral = identity.neutral
        shapes = model.transfer(self.neutral)
        self.jaw = PersonJaw(model.jaw, model.mean, self.neutral)
        self.jaw.unbend(shapes)
        self.lid_shapes = [
            mask.weights[:, None] * shapes[units][:, mask.vertices]
            for mask, units in zip(model.lid_masks, LID_INDICES, strict=True)
        ]
        self.shapes = shapes

    def deform(self, weights: NDArray[np.floating]) -> NDArray[np.float32]:
        """(B, V, 3) skin deformation, mm, at unit weights (B, 57) of 0..1.5; zero weights give zero."""
        effective = effective_weights(weights * self.identity.gains)
        deformation = (effective @ self.shapes.reshape(len(UNIT_NAMES), -1)).reshape(-1, *self.neutral.shape)
        self._yield_to_blink(deformation, effective)
        self.jaw.rotate(deformation, effective)
        solve_contact(self.model, self.neutral, self.identity.eyeballs, deformation, effective)
        return deformation

    def _yield_to_blink(self, deformation: NDArray[np.float32], weights: NDArray[np.float32]) -> None:
        """As a lid closes, other units that move it fade from the lids: their maximum, not their sum."""
        for side, (mask, units) in enumerate(zip(self.model.lid_masks, LID_INDICES, strict=True)):
            surplus = weights[:, BLINKS[side], None] * weights[:, units]
            shapes = self.lid_shapes[side]
            fading = surplus @ shapes.reshape(len(shapes), -1)
            deformation[:, mask.vertices] -= fading.reshape(len(weights), -1, 3)


def make_person(seed: int, model: FaceModel) -> Person:
    """The person drawn by `draw_identity`, able to move."""
    return Person(model, draw_identity(seed, model))


def draw_identity(seed: int, model: FaceModel) -> Identity:
    """Draw somebody: the same seed gives the same identity."""
    rng = np.random.default_rng(seed)
    drawn = rng.standard_normal(len(model.identities))
    coefficients = np.clip(drawn, -MAX_COEFFICIENT, MAX_COEFFICIENT).astype(np.float32)
    gains = personal_gains(coefficients, rng)
    neutral, eyeballs = model.neutral(coefficients), model.eyes.eyeballs(coefficients)
    if rng.random() < ASYMMETRIC_SHARE:
        warp = AsymmetricWarp(rng)
        neutral = neutral + warp(neutral)
        eyeballs = (warp.moved(eyeballs[0]), warp.moved(eyeballs[1]))
    return Identity(coefficients, at_rest(model, neutral, eyeballs), eyeballs, gains)


def generic_person(model: FaceModel) -> Person:
    """The mean face with unit gains: what an identity-blind model takes everybody for."""
    coefficients = np.zeros(len(model.identities), np.float32)
    eyeballs = model.eyes.eyeballs(coefficients)
    gains = np.ones(len(UNIT_NAMES), np.float32)
    return Person(model, Identity(coefficients, at_rest(model, model.mean, eyeballs), eyeballs, gains))


def at_rest(
    model: FaceModel, neutral: NDArray[np.float32], eyeballs: tuple[Eyeball, Eyeball]
) -> NDArray[np.float32]:
    """(V, 3) the face with crossed lips parted and nothing inside the eyeballs: rest is a fixed point."""
    correction = np.zeros((1, *neutral.shape), np.float32)
    solve_contact(model, neutral, eyeballs, correction, np.zeros((1, len(UNIT_NAMES)), np.float32))
    return neutral + correction[0]


def solve_contact(
    model: FaceModel,
    neutral: NDArray[np.float32],
    eyeballs: tuple[Eyeball, Eyeball],
    deformation: NDArray[np.float32],
    weights: NDArray[np.float32],
) -> None:
    """Lid and lip contact of `deformation` (B, V, 3), in place, at effective weights (B, 57)."""
    gaze = model.eyes.gaze(weights)
    for side, lids in enumerate(model.lids):
        lids.solve(neutral, deformation, eyeballs[side], gaze[:, side], weights[:, BLINKS[side]])
    closing = weights[:, CLOSE_INDEX] / np.maximum(weights[:, JAW_INDICES[0]], 1e-3)
    model.lips.solve(neutral, deformation, np.minimum(closing, 1.0))


def personal_gains(coefficients: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """(57,) strength of each unit in 0.7..1.2 before sidedness.

    Per group: 0.95 + 0.25 tanh(0.8 z), where z mixes a fixed direction in the leading identity coefficients
    (anatomy: it can be learned from the rest face) with a draw of the person's own (habit: it cannot).
    """
    directions = np.random.default_rng(ANATOMY_SEED).standard_normal((len(GAIN_GROUPS), ANATOMY_MODES))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    anatomy = directions @ coefficients[:ANATOMY_MODES]
    habit = rng.standard_normal(len(GAIN_GROUPS))
    mixed = np.sqrt(ANATOMY_SHARE) * anatomy + np.sqrt(1.0 - ANATOMY_SHARE) * habit
    group_gains = GAIN_CENTRE + GAIN_RANGE * np.tanh(0.8 * mixed)
    sidedness = np.clip(SIDEDNESS * rng.standard_normal(len(GAIN_GROUPS)), -0.1, 0.1)
    gains = np.ones(len(UNIT_NAMES), np.float32)
    for names, gain, side in zip(GAIN_GROUPS.values(), group_gains, sidedness, strict=True):
        for name in names:
            if name in PAIRS:
                left, right = PAIRS[name]
                gains[UNIT_INDEX[left]], gains[UNIT_INDEX[right]] = gain * (1 + side), gain * (1 - side)
            else:
                gains[UNIT_INDEX[name]] = gain
    return gains


class AsymmetricWarp:
    """A smooth warp of space that differs between the sides of a face: a shear and a few soft bumps."""

    def __init__(self, rng: np.random.Generator) -> None:
        # mm per mm of distance from the midplane: one side of the face higher, deeper, wider by about 1 mm
        self.shear = 0.012 * rng.standard_normal(3)
        side = rng.choice([-1.0, 1.0], 3)
        self.centres = np.column_stack([40.0 * side, rng.uniform(-60.0, 60.0, 3), np.full(3, 75.0)])
        self.pushes = 0.9 * rng.standard_normal((3, 3))
        self.width = 35.0

    def __call__(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, 3) displacement of points (N, 3), mm."""
        squared = np.square(points[:, None] - self.centres).sum(2)
        bumps = np.exp(-0.5 * squared / self.width**2) @ self.pushes
        return (points[:, :1] * self.shear + bumps).astype(np.float32)

    def moved(self, eyeball: Eyeball) -> Eyeball:
        """The eyeball carried along by its centre."""
        return Eyeball(eyeball.centre + self(eyeball.centre[None])[0], eyeball.radius)
