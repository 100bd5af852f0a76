"""Are new people new? How far they are from everybody the models were trained on, and from each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .alignment import similarity_to
from .comparison import Row, figure
from .corpus.cache import FrameCache
from .head import Head
from .identity import FIRST_SEED, sample_identity
from .metrics import FaceRegion, face_distances

Floats = NDArray[np.float32]


def evaluate_identity(
    head_folder: Path, corpus: Path, *, people: int = 100, first_seed: int = 0
) -> dict[str, Any]:
    """{"settings", "rows"}: nearest-neighbour distances of neutral faces, mm, all aligned to the mean person.

    ``nearest_training_mm`` is the mean distance of corresponding vertices of the face region to the most
    similar training person. New people are as new as real ones when theirs is like that of
    ``training_people`` to the others of them, and as various when their mean distances to each other
    (``between_mm``) and to the mean person are. ``linear_prior`` draws the identity modes alone,
    ``new_people`` is what Dimple makes, and ``test_people`` are true people kept apart, where the corpus
    has them. Raises CheckpointError and InputError.
    """
    head = Head.load(head_folder)
    region = FaceRegion.of(head)
    skin = head.skin_vertices
    mean = head.neutral_vertices[:skin]

    def aligned(neutral: Floats) -> Floats:
        return region(similarity_to(mean, neutral[:skin]).apply(neutral[:skin]))

    seeds = range(first_seed, first_seed + people)
    faces = {
        "training_people": _faces(corpus / "train", mean, region),
        "new_people": np.stack([aligned(sample_identity(head, seed)) for seed in seeds]),
        "linear_prior": np.stack([aligned(_linear_draw(head, seed)) for seed in seeds]),
    }
    if (corpus / "test").is_dir():
        faces["test_people"] = _faces(corpus / "test", mean, region)
    training = faces["training_people"]
    rows = [_row(name, group, training, region(mean)) for name, group in faces.items()]
    return {"settings": {"people": people, "first_seed": first_seed, "training": len(training)}, "rows": rows}


def _faces(split: Path, mean: Floats, region: FaceRegion) -> Floats:
    return region(FrameCache.open(split, mean).neutral_offsets + mean)


def _linear_draw(head: Head, seed: int) -> Floats:
    drawn = (
        np.random.default_rng([FIRST_SEED, 1, seed]).standard_normal(len(head.identity_q)).astype(np.float32)
    )
    return head.neutral_vertices + np.tensordot(drawn, head.identity_basis, axes=1)


def _row(name: str, faces: Floats, training: Floats, mean: Floats) -> Row:
    to_training, between = face_distances(faces, training), face_distances(faces, faces)
    others = between + np.diag(np.full(len(faces), np.inf, np.float32))
    nearest = (others if faces is training else to_training).min(axis=1)
    return {
        "name": name,
        "people": len(faces),
        "nearest_training_mm": figure(nearest.mean()),
        "nearest_training_mm_smallest": figure(nearest.min()),
        "between_mm": figure(between.sum() / (len(faces) * (len(faces) - 1))),
        "to_mean_mm": figure(face_distances(mean[None], faces).mean()),
    }
