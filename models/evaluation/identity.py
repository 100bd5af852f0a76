"""Are new people new? How far they are from everybody the models were trained on, and from each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..alignment import similarity_to
from ..animate_me import identity_solver
from ..corpus.cache import FrameCache
from ..head import Head
from ..identity import FIRST_SEED, sample_identity
from ..topology import mesh_hierarchy
from .comparison import Row, figure
from .identity_autoencoder import LearnedPrior
from .metrics import FaceRegion, face_distances

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]


def evaluate_identity(
    head_folder: Path,
    corpus: Path,
    *,
    people: int = 100,
    first_seed: int = 0,
    autoencoder_minutes: float = 0.0,
) -> dict[str, Any]:
    """{"settings", "rows"}: nearest-neighbour distances of neutral faces, mm, all aligned to the mean person.

    ``nearest_training_mm`` is the mean distance of corresponding vertices of the face region to the most
    similar training person. New people are as new as real ones when theirs is like that of
    ``training_people`` (so many as there are new ones) to the others of them, and as various when their mean
    distances to each other (``between_mm``) and to the mean person are. ``linear_prior`` draws the identity
    modes alone, ``new_people`` is what Dimple makes, and ``test_people`` are true people, where the
    corpus has them. Raises CheckpointError and InputError.
    """
    head = Head.load(head_folder)
    region = FaceRegion.of(head)
    skin = head.skin_vertices
    mean = head.neutral_vertices[:skin]

    def aligned(neutral: Floats) -> Floats:
        return region(similarity_to(mean, neutral[:skin]).apply(neutral[:skin]))

    training_cache = FrameCache.open(corpus / "train", mean)
    seeds = range(first_seed, first_seed + people)
    training = region(training_cache.neutral_offsets + mean)
    some = np.random.default_rng(first_seed).permutation(len(training))[:people]
    faces = {
        "training_people": training[some],
        "new_people": np.stack([aligned(sample_identity(head, seed)) for seed in seeds]),
        "linear_prior": np.stack([aligned(_linear_draw(head, seed)) for seed in seeds]),
    }
    if (corpus / "test").is_dir():
        faces["test_people"] = _faces(corpus / "test", mean, region)
    reconstruction: dict[str, float | None] = {}
    if autoencoder_minutes > 0:
        hierarchy = mesh_hierarchy(head.skin_triangles, mean)
        learned = LearnedPrior(hierarchy, training_cache.neutral_offsets, autoencoder_minutes)
        drawn = learned.sample(people, np.random.default_rng([FIRST_SEED, first_seed]))
        faces["spiral_autoencoder"] = region(drawn + mean)
        if "test_people" in faces:
            true = FrameCache.open(corpus / "test", mean).neutral_offsets
            basis = head.identity_basis[:, :skin]
            linear = np.tensordot(identity_solver(head)(true), basis, axes=1)
            for name, again in (("spiral_autoencoder", learned.reconstruct(true)), ("linear_prior", linear)):
                error = np.linalg.norm(region(again - true), axis=2).mean()
                reconstruction[name] = figure(error)
    rows = [
        _row(name, group, training, region(mean), some if name == "training_people" else None)
        for name, group in faces.items()
    ]
    for row in rows:
        if row["name"] in reconstruction:
            row["reconstruction_mm"] = reconstruction[str(row["name"])]
    settings = {
        "people": people,
        "first_seed": first_seed,
        "training": len(training),
        "autoencoder_minutes": autoencoder_minutes,
    }
    return {"settings": settings, "rows": rows}


def _faces(split: Path, mean: Floats, region: FaceRegion) -> Floats:
    return region(FrameCache.open(split, mean).neutral_offsets + mean)


def _linear_draw(head: Head, seed: int) -> Floats:
    drawn = (
        np.random.default_rng([FIRST_SEED, 1, seed]).standard_normal(len(head.identity_q)).astype(np.float32)
    )
    return head.neutral_vertices + np.tensordot(drawn, head.identity_basis, axes=1)


def _row(name: str, faces: Floats, training: Floats, mean: Floats, own: Integers | None) -> Row:
    """``own``: where the faces are among the training people, who are not their own neighbours."""
    to_training, between = face_distances(faces, training), face_distances(faces, faces)
    if own is not None:
        to_training[np.arange(len(faces)), own] = np.inf
    nearest = to_training.min(axis=1)
    return {
        "name": name,
        "people": len(faces),
        "nearest_training_mm": figure(nearest.mean()),
        "nearest_training_mm_smallest": figure(nearest.min()),
        "between_mm": figure(between.sum() / (len(faces) * (len(faces) - 1))),
        "to_mean_mm": figure(face_distances(mean[None], faces).mean()),
    }
