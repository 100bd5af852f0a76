"""The table of AnimateMe (section 4.1, table 1): does it look like the expression, and like the truth?

Every method animates the same neutral faces of test people. An animation is judged by the classifier, and
compared vertex by vertex with what the person truly did. ``specificity_mm`` of one animation punishes a style
of its own, so the mean and the best of several animations stand beside it, and the row
``another_performance`` tells what the person would score against himself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..animate_me import SAMPLERS, AnimateMe
from ..corpus.cache import FrameCache
from ..corpus.frames import AMPLITUDE
from ..expression import LABELS
from ..training.baselines import TrainedExpressions
from .baselines import class_mean, generic_transfer
from .comparison import OnRequest, Row, figure
from .expression_classifier import ExpressionClassifier, judge
from .expression_methods import LinearBlendshape, Method, Ours, Question
from .expression_sequences import MotionBasis, Sequences
from .ground_truth import GroundTruth, Request, balanced_pairs
from .metrics import FaceRegion, acceleration, frechet_distance, root_ratio, specificity_mm, spread

Floats = NDArray[np.float32]

LAST_FRAMES = 5
"""The most extreme frames of figure 3."""


@dataclass(frozen=True)
class Table:
    """How much is evaluated."""

    people: int = 12
    labels: Sequence[str] = LABELS
    people_per_label: int = 2  # taken in turn
    animations: int = 4  # of each person and label, by methods that have a choice
    reference_people: int = 48  # further test people, whose true performances FID compares with
    seed: int = 0


FULL = Table(people_per_label=12, animations=50)
"""As many animations as in the paper."""


@dataclass
class Score:
    """What the animations of one method measure, request by request."""

    right: list[NDArray[np.bool_]] = field(default_factory=list)  # (N,)
    features: list[Floats] = field(default_factory=list)  # (N, F)
    error_mm: list[Floats] = field(default_factory=list)  # (N, K)
    error_of_mean_mm: list[Floats] = field(default_factory=list)  # (K,)
    variance: list[tuple[float, float]] = field(default_factory=list)  # at the apex: own, true
    acceleration: list[tuple[float, float]] = field(default_factory=list)

    def row(self, name: str, reference: Floats) -> Row:
        """The figures of the table. FID is between sets of one animation a request, and averaged over them:
        small sets look further away than they are, so all rows have sets of one size."""
        error = np.stack([request.mean(axis=0) for request in self.error_mm])
        sets = range(min(len(request) for request in self.features))
        fid = [frechet_distance(np.stack([f[i] for f in self.features]), reference) for i in sets]
        own, true = np.array(self.acceleration).mean(axis=0)
        row: Row = {
            "name": name,
            "animations": sum(len(right) for right in self.right),
            "classification_accuracy": figure(np.concatenate(self.right).mean()),
            "specificity_mm": figure(error.mean()),
            "last_frames_mm": figure(error[:, -LAST_FRAMES:].mean()),
            "best_of_n": figure(np.mean([request.mean(axis=1).min() for request in self.error_mm])),
            "mean_of_n": figure(np.mean(self.error_of_mean_mm)),
            "mean_of_n_last_frames_mm": figure(np.stack(self.error_of_mean_mm)[:, -LAST_FRAMES:].mean()),
            "fid": figure(np.mean(fid)),
            "acceleration_ratio": figure(root_ratio(float(own), float(true))),
            "specificity_mm_per_frame": [figure(value) for value in error.mean(axis=0)],
        }
        if self.variance:
            own, true = np.array(self.variance).mean(axis=0)
            row["diversity_mm"] = figure(own**0.5)
            row["diversity_ratio"] = figure(root_ratio(float(own), float(true)))
        return row


@dataclass(frozen=True)
class Judge:
    """What measures animations."""

    region: FaceRegion
    basis: MotionBasis
    classifier: ExpressionClassifier

    def add(self, score: Score, request: Request, question: Question, animations: Floats) -> None:
        """Measure animations (N, K, V, 3), model space, that answer a request."""
        told, features = judge(self.classifier, self.basis.encode(animations))
        score.right.append(told == question.label)
        score.features.append(features)
        own = question.similarity.invert_vectors(self.region(animations))
        truth = self.region(request.truth)
        frames = np.arange(len(truth))
        score.error_mm.append(np.stack([specificity_mm(one, truth) for one in own]))
        score.error_of_mean_mm.append(specificity_mm(own.mean(axis=0), truth))
        jitter = float(np.mean([acceleration(one, frames) for one in own]))
        score.acceleration.append((jitter, acceleration(truth, frames)))
        if len(own) > 1:
            true = spread(self.region(request.lookalikes[:, -1]))
            score.variance.append((spread(own[:, -1]), true))


def table_methods(
    model: AnimateMe, corpus: Path, trained: TrainedExpressions, table: Table
) -> dict[str, Method]:
    """The rows besides those of the truth."""
    head = model.head
    cache = FrameCache.open(corpus / "train", head.neutral_vertices[: head.skin_vertices])
    shapes = {number: class_mean(cache, label) for number, label in enumerate(table.labels)}
    preset = SAMPLERS["default"]
    return {
        "linear_blendshape": LinearBlendshape(shapes),
        "transferred_blendshape": LinearBlendshape(shapes, generic_transfer(head, list(shapes.values()))),
        "linear_3dmm": trained.linear_3dmm,
        "lstm_mesh_decoder": trained.lstm_mesh,
        "landmark_gan": trained.landmark_gan,
        "ours": Ours(model, preset),
        "ours_extreme": Ours(model, preset, (AMPLITUDE[1], AMPLITUDE[1])),
        "ours_local": Ours(trained.local, SAMPLERS["default"], (1.0, 1.0)),
        "ours_varying": Ours(model, preset, AMPLITUDE),
    }


def evaluate_expressions(
    checkpoint: Path,
    truth: GroundTruth,
    reference_truth: GroundTruth,
    corpus: Path,
    trained: TrainedExpressions,
    table: Table,
    *,
    device: str = "auto",
    half: str = "auto",
    on_request: OnRequest | None = None,
) -> dict[str, Any]:
    """{"settings", "rows"}: one row a method, on test people. Raises CheckpointError and InputError.

    reference_truth: the same people, asked for nothing but their own performances.
    """
    model = AnimateMe.from_checkpoint(checkpoint, device, half)
    judging = Judge(FaceRegion.of(model.head), trained.basis, trained.classifier)
    methods = table_methods(model, corpus, trained, table)
    scores: dict[str, Score] = {name: Score() for name in ("ground_truth", "another_performance", *methods)}
    pairs = balanced_pairs(table.people, table.labels, table.people_per_label)
    for number, (person, label) in enumerate(pairs):
        request = truth.request(person, label, table.animations, table.seed)
        question = Question.of(request, model.head, table.labels)
        seed = 1000 * (table.seed + 1) + 100 * number
        answers: dict[str, Floats] = {
            "ground_truth": question.similarity.apply_vectors(request.truth)[None],
            "another_performance": question.similarity.apply_vectors(request.others),
        }
        for name, animations in answers.items():
            judging.add(scores[name], request, question, animations)
        for name, method in methods.items():
            count = table.animations if method.stochastic else 1
            judging.add(scores[name], request, question, method.answer(question, count, seed))
        if on_request is not None:
            on_request(number + 1, len(pairs))
    others = range(table.people, table.people + table.reference_people)
    reference = Sequences.draw(
        reference_truth, others, table.labels, model.head, trained.basis, seed=table.seed + 1
    )
    told, features = judge(trained.classifier, reference.coordinates)
    halves = features[reference.person % 2 == 0], features[reference.person % 2 == 1]
    settings = {
        **asdict(table),
        "checkpoint": str(checkpoint),
        "training": trained.report,
        "sampler": asdict(SAMPLERS["default"]),
        "fid_floor_between_halves_of_the_truth": figure(frechet_distance(*halves)),
        "fid_reference": len(features),
        "classification_accuracy_of_reference": figure((told == reference.label).mean()),
        "intensity_known": _knowledge(methods),
    }
    return {"settings": settings, "rows": [score.row(name, features) for name, score in scores.items()]}


def _knowledge(methods: Mapping[str, Method]) -> list[str]:
    """Rows that are told how strong the true performance is; the others must guess."""
    blind = {"landmark_gan", "ours_extreme", "ours_local", "ours_varying"}
    return [name for name in methods if name not in blind]
