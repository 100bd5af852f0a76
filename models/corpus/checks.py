"""What the corpus promises, measured, and pictures to look at.

Lids meet at a full blink and never cross, lips do not cross, the jaw stays on its arc, and people differ from
the generic face: each promise is a figure here, over people of the test split.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..expression import LABELS, UNIT_NAMES, expression_stage
from .eyeballs import CORNEA_ANGLE
from .face_model import FaceModel
from .frames import preset, random_mixture
from .people import SPLIT_SEEDS, Person, generic_person, make_person
from .performance import draw_frames
from .shading import Surface, contact_sheet, shaded, sphere, unit_sphere

FOLLOWING_JAW = 0.8
"""Skin of at least this jaw weight is asked for its arc: chin and lower lip."""
BLINKS = (
    ("eyeBlink",),
    ("eyeBlink", "eyeSquint"),
    ("eyeBlink", "cheekSquint"),
    ("eyeBlink", "eyeLookDown"),
    ("eyeBlink", "eyeWide"),
    ("eyeBlink", "browDown", "noseSneer"),
)
FACE_VIEW = ((0.0, -5.0, 60.0), 250.0)
EYE_VIEW = ((0.0, 36.0, 90.0), 110.0)
MOUTH_VIEW = ((0.0, -40.0, 90.0), 100.0)
"""Centre and width of a picture, mm."""
SHEETS = {
    "faces": (
        FACE_VIEW,
        (
            "",
            "eyeBlink",
            "jawOpen",
            "mouthSmile",
            "mouthPucker",
            "jawOpen mouthClose",
            "jawLeft mouthSmileLeft",
        ),
    ),
    "emotions": (
        FACE_VIEW,
        ("happiness", "sadness", "anger", "fear", "disgust", "surprise", "mouth_extreme"),
    ),
    "eyes": (
        EYE_VIEW,
        (
            "",
            "eyeBlink=0.5",
            "eyeBlink",
            "eyeBlink eyeSquint cheekSquint",
            "eyeWide",
            "eyeLookDown",
            "eyeSquint",
        ),
    ),
    "mouths": (
        MOUTH_VIEW,
        (
            "",
            "jawOpen mouthClose",
            "jawOpen=0.5 mouthClose=0.5",
            "mouthPress mouthSmile",
            "mouthRollLower mouthRollUpper",
            "mouthFunnel",
            "mouthShrugLower mouthShrugUpper",
        ),
    ),
}
"""Pictures by name: the view, and the expressions of its columns; each row is a person."""
SKIN_COLOUR = np.array([0.80, 0.62, 0.53], np.float32)
PIXELS = 280


def check(model: FaceModel, people: int = 20, frames: int = 1000, seed: int = 0) -> dict[str, float]:
    """Measure the corpus on `people` of the test split (mm), its lips on `frames` random frames in all."""
    rng = np.random.default_rng([seed, 2])
    start = time.perf_counter()
    faces = [make_person(SPLIT_SEEDS["test"] + index, model) for index in range(people)]
    seconds = time.perf_counter() - start
    figures = {"seconds_per_person": seconds / people}
    figures |= _lids(faces) | _lips(faces, frames // people, rng) | _jaw(faces) | _identity(faces)
    return {name: round(float(value), 4) for name, value in figures.items()}


def _lids(people: Sequence[Person]) -> dict[str, float]:
    """Distance and signed gap of paired lid vertices at a full blink, alone and with other units."""
    weights = np.stack([expression_stage(texts) for texts in BLINKS])
    distances, gaps, alone = [], [], []
    for person in people:
        vertices = person.neutral + person.deform(weights)
        for lids, pairs in zip(person.model.lids, person.model.skin.lid_pairs, strict=True):
            distance = np.linalg.norm(vertices[:, pairs[:, 0]] - vertices[:, pairs[:, 1]], axis=2)
            distances.append(distance.max())
            alone.append(distance[0].max())
            gaps.append(lids.gaps(vertices).min())
    return {
        "lid_gap_blink_max": max(alone),
        "lid_gap_blink_with_others_max": max(distances),
        "lid_crossing_max": max(0.0, -min(gaps)),
    }


def _lips(people: Sequence[Person], frames: int, rng: np.random.Generator) -> dict[str, float]:
    """Crossing of facing lip vertices over random mixtures, that of a plain sum of shapes, and speed."""
    crossing, summed, start, seconds = [], [], 0.0, 0.0
    for person in people:
        mixtures = np.stack([random_mixture(rng) for _ in range(frames)])
        weights, _ = draw_frames(mixtures, rng)
        start = time.perf_counter()
        deformation = person.deform(weights)
        seconds += time.perf_counter() - start
        model = person.model
        crossing.append(-model.lips.gaps(person.neutral + deformation).min())
        linear = (weights @ model.shapes.reshape(len(UNIT_NAMES), -1)).reshape(deformation.shape)
        summed.append(-model.lips.gaps(person.neutral + linear).min())
    return {
        "lip_crossing_max": max(0.0, *crossing),
        "lip_crossing_of_plain_sum_max": max(summed),
        "milliseconds_per_frame": 1e3 * seconds / (frames * len(people)),
    }


def _jaw(people: Sequence[Person]) -> dict[str, float]:
    """How far skin that follows the jaw leaves the arc between its ends, and how far a blend shape's chord
    does.

    The arc of a point turns about the person's hinge; its radius may change evenly, because skin slides on
    bone.
    """
    steps = np.linspace(0.0, 1.0, 11)
    weights = steps[:, None] * expression_stage(["jawOpen"])
    off_arc, off_chord = [], []
    for person in people:
        following = person.model.jaw.weights > FOLLOWING_JAW
        axis = person.jaw.twists[0] / np.linalg.norm(person.jaw.twists[0])
        arms = (person.neutral + person.deform(weights) - person.jaw.pivot)[:, following]
        chord = arms[0] + steps[:, None, None] * (arms[-1] - arms[0])
        for path, errors in ((arms, off_arc), (chord, off_chord)):
            radius = np.linalg.norm(path - (path @ axis)[..., None] * axis, axis=2)
            even = radius[0] + steps[:, None] * (radius[-1] - radius[0])
            errors.append(np.abs(radius - even).max())
    return {"jaw_off_arc_max": max(off_arc), "jaw_chord_off_arc_max": max(off_chord)}


def _identity(people: Sequence[Person]) -> dict[str, float]:
    """Mean difference between a person and the generic face doing the same labels, relative to the motion."""
    model = people[0].model
    weights = np.stack([preset(label) for label in LABELS])
    face = model.face
    generic = generic_person(model).deform(weights)[:, face]
    linear = (weights @ model.shapes.reshape(len(UNIT_NAMES), -1)).reshape(len(weights), -1, 3)[:, face]
    moved = np.stack([person.deform(weights)[:, face] for person in people])
    motion = np.linalg.norm(moved, axis=3).mean()
    return {
        "identity_effect": np.linalg.norm(moved - generic, axis=3).mean() / motion,
        "nonlinearity_of_generic": np.linalg.norm(generic - linear, axis=2).mean()
        / np.linalg.norm(generic, axis=2).mean(),
        "label_motion_mm": motion,
    }


def draw_sheets(model: FaceModel, folder: Path, people: int = 4, seed: int = 0) -> list[Path]:
    """Write a picture per entry of SHEETS and one of random mixtures; a row is a person of the test split."""
    folder.mkdir(parents=True, exist_ok=True)
    faces = [make_person(SPLIT_SEEDS["test"] + index, model) for index in range(people)]
    rng = np.random.default_rng([seed, 3])
    sheets = {
        name: (
            view,
            [
                [
                    expression_stage(text.split()) if text else np.zeros(len(UNIT_NAMES), np.float32)
                    for text in texts
                ]
            ]
            * people,
        )
        for name, (view, texts) in SHEETS.items()
    }
    sheets["mixtures"] = (FACE_VIEW, [[random_mixture(rng) for _ in range(7)] for _ in faces])
    written = []
    for name, ((centre, width), rows) in sheets.items():
        pictures = [
            shaded(_surfaces(person, stage), centre, width, PIXELS)
            for person, row in zip(faces, rows, strict=True)
            for stage in row
        ]
        written.append(folder / f"{name}.png")
        Image.fromarray(contact_sheet(pictures, len(rows[0]))).save(written[-1])
    return written


def _surfaces(person: Person, stage: NDArray[np.float32]) -> list[Surface]:
    """The skin and both eyeballs of a person at one stage (57,)."""
    vertices = person.neutral + person.deform(stage[None])[0]
    surfaces = [Surface(vertices, person.model.skin.triangles, SKIN_COLOUR)]
    directions, triangles = unit_sphere()
    gaze = person.model.eyes.gaze(stage[None])[0]
    for eyeball, axis in zip(person.identity.eyeballs, gaze, strict=True):
        angle = np.arccos(np.clip(directions @ axis, -1.0, 1.0))[:, None]
        white, iris, pupil = np.full(3, 0.9), np.array([0.25, 0.4, 0.5]), np.full(3, 0.02)
        colours = np.where(angle < 0.14, pupil, np.where(angle < 0.85 * CORNEA_ANGLE, iris, white)).astype(
            np.float32
        )
        radii = eyeball.surface(directions[None], axis[None])[0]
        surfaces.append(Surface(sphere(eyeball.centre, radii, directions), triangles, colours))
    return surfaces
