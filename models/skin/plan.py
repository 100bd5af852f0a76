"""What an appearance job is to show: the expression stage and the motion of every set of maps."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..alignment import similarity_to
from ..errors import InputError
from ..expression import MAX_WEIGHT, expression_stage
from ..head import Head
from ..motion_stage import stages_of_motion
from ..words import express
from .sets import KeySet, choose_sets

Floats = NDArray[np.float32]

MOST_FRAMES = 10000


@dataclass(frozen=True)
class Subject:
    """One set of maps: what the face does, and what its files are called."""

    label: str
    folder: str  # inside the job's own; empty for that itself
    suffix: str  # after the map's name: "_0012" in a sequence
    stage: Floats  # (M,)
    deformation: Floats | None = None  # (V, 3) in the artist's units, where the motion is known
    weights: tuple[tuple[str, str], ...] = ()  # names that bring it in, each with its side of the face


@dataclass(frozen=True)
class Plan:
    """The subjects of a job beside the skin at rest."""

    subjects: tuple[Subject, ...]
    frames: int = 0  # of a sequence

    @property
    def facts(self) -> dict[str, Any]:
        """The sets, neutral first, for who makes a material of them."""
        rest = {"label": "neutral", "folder": "neutral", "weights": []}
        if self.frames:
            return {"sets": [{"label": "frames", "folder": "", "weights": []}], "frames": self.frames}
        sets = [
            {"label": s.label, "folder": s.folder, "weights": [list(weight) for weight in s.weights]}
            for s in self.subjects
        ]
        return {"sets": [rest, *sets], "frames": 0}


def plan_expression(expressions: Sequence[str], intensity: float, words: Path) -> Plan:
    """Maps of one expression, by names ("jawOpen=0.5") or in words ("nose wrinkle"), which add up.

    ``words`` is the folder of the text checkpoint. Raises InputError for what says nothing of a face.
    """
    if not expressions:
        raise InputError("There is no expression to make maps of: name one, as in “happiness”.")
    label = ", ".join(expressions)
    if not isfinite(intensity) or not 0.0 <= intensity <= MAX_WEIGHT:
        raise InputError(f"The intensity must be a number from 0 to {MAX_WEIGHT}, not {intensity}.")
    stages = [_stage_of(text, words) for text in expressions]
    stage = (intensity * np.sum(stages, axis=0)).clip(0.0, MAX_WEIGHT).astype(np.float32)
    return Plan((Subject(label, "", "", stage, weights=((label, "both"),)),))


def plan_keys(head: Head, neutral: Floats, names: Sequence[str], deformations: Floats, most: int) -> Plan:
    """Maps of the shape keys, or pairs of them, that fold the skin most.

    neutral (V, 3) and deformations (N, V, 3) in the head's topology and the artist's units.
    Raises InputError where no key moves the skin.
    """
    sets = choose_sets(names, neutral, head.skin_triangles, deformations, most)
    if not sets:
        raise InputError("None of the shape keys moves the skin: make a library for this head first.")
    motions = np.stack([deformations[list(entry.keys)].sum(axis=0) for entry in sets])
    subjects: list[Subject] = []
    for entry, stage, motion in zip(sets, _stages(head, neutral, motions), motions, strict=True):
        folder = _folder_name(entry.label, {"neutral", *(subject.folder for subject in subjects)})
        subjects.append(Subject(entry.label, folder, "", stage, motion, _weights(entry, names)))
    return Plan(tuple(subjects))


def plan_frames(head: Head, neutral: Floats, deformations: Floats) -> Plan:
    """A sequence of maps, one set for each of the motions (K, V, 3). Raises InputError for too many."""
    if not 1 <= len(deformations) <= MOST_FRAMES:
        raise InputError(f"A sequence has 1 to {MOST_FRAMES:,} frames, not {len(deformations):,}.")
    stages = _stages(head, neutral, deformations)
    subjects = [
        Subject(f"frame {number}", "", f"_{number:04d}", stage, motion)
        for number, (stage, motion) in enumerate(zip(stages, deformations, strict=True), start=1)
    ]
    return Plan(tuple(subjects), frames=len(subjects))


def _stage_of(text: str, words: Path) -> Floats:
    """(M,) the stage of one name or description."""
    try:
        return expression_stage([text])
    except InputError as unknown_name:
        try:
            return express(text, words).stage
        except InputError:
            raise unknown_name from None


def _weights(entry: KeySet, names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    return tuple((names[key], side) for key, side in zip(entry.keys, entry.sides, strict=True))


def _stages(head: Head, neutral: Floats, motions: Floats) -> Floats:
    """(K, M) what stage each motion (K, V, 3) in the head's own units shows."""
    skin = slice(head.skin_vertices)
    pose = similarity_to(head.neutral_vertices[skin], neutral[skin])
    return stages_of_motion(head, (pose.scale * motions[:, skin] @ pose.rotation.T).astype(np.float32))


def _folder_name(label: str, taken: Collection[str]) -> str:
    """A folder for a set: its label, without what file systems do not like or cannot tell apart."""
    stem = re.sub(r"[^\w+-]+", "_", label).strip("_")[:48] or "set"
    used = {other.lower() for other in taken}
    name, number = stem, 1
    while name.lower() in used:
        number += 1
        name = f"{stem}_{number}"
    return name
