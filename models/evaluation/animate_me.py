"""Evaluating AnimateMe on people it has never seen, beside everything that it has to beat.

Each pair of a person and a label is one request (``ground_truth``). Every method answers it, and all answers
are measured over the face region against what the person truly did. Sampling many seeds is costly, so some
rows look at a part of the frames or requests only; they say which, and repeat the error of the other methods
on exactly that part (``same_part_mm``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..animate_me import SAMPLERS, AnimateMe, Sampler
from ..corpus.cache import FrameCache
from ..expression import LABELS
from ..micro_motion import add_micro_motion
from .baselines import Baselines
from .comparison import REFERENCE, Comparison, OnRequest
from .draws import Draws
from .ground_truth import GroundTruth, Request, balanced_pairs
from .metrics import FaceRegion

MEAN_FRAMES = (8, 9, 10, 22, 23, 24, 37, 38, 39)
"""Frames of the row that averages many seeds: early, middle and apex, three in a row for the jitter."""
MICRO_MOTION_RATE = 19.0
"""Frames per second of the row with micro-motion: 39 steps in the 2.05 s of the median true performance."""
PAPER_FRAMES = (20, 21, 22, 37, 38, 39)
COMPARED = (
    "linear_blendshape",
    "additive",
    "personal_additive",
    "deformation_transfer",
    "true_mean",
    "ours",
)
"""Methods whose error is repeated beside a row that covers a part only."""


@dataclass(frozen=True)
class Plan:
    """How much is evaluated. The defaults take about ten minutes on two cores."""

    people: int = 12
    labels: Sequence[str] = LABELS
    people_per_label: int = 2  # taken in turn; as many as ``people`` for everybody with every label
    others: int = 16  # further true performances of each request
    seeds: int = 16  # of the mean
    diversity_seeds: int = 6  # of a sampler that is not averaged, at the apex
    paper_requests: int = 6
    seed: int = 0


TEN_MINUTES = Plan()


def evaluate_animate_me(
    checkpoint: Path,
    truth: GroundTruth,
    corpus: Path,
    plan: Plan = TEN_MINUTES,
    *,
    device: str = "auto",
    half: str = "auto",
    on_request: OnRequest | None = None,
) -> dict[str, Any]:
    """{"settings", "rows"}: one row a method, on test people, all in one run.

    corpus: folder with the ``train`` split, on which the baselines are fitted.
    Raises CheckpointError and InputError.
    """
    model = AnimateMe.from_checkpoint(checkpoint, device, half)
    skin = model.head.skin_vertices
    cache = FrameCache.open(corpus / "train", model.head.neutral_vertices[:skin])
    baselines = Baselines.fit(model, cache, plan.labels)
    comparison = Comparison(FaceRegion.of(model.head))
    pairs = balanced_pairs(plan.people, plan.labels, plan.people_per_label)
    with_paper = {round(number) for number in np.linspace(0, len(pairs) - 1, plan.paper_requests)}
    for number, (person, label) in enumerate(pairs):
        request = truth.request(person, label, plan.others, plan.seed)
        _answer_unsampled(comparison, number, request, baselines)
        _answer_sampled(comparison, number, request, model, plan, number in with_paper)
        if on_request is not None:
            on_request(number + 1, len(pairs))
    settings = {
        **asdict(plan),
        "checkpoint": str(checkpoint),
        "device": str(model.device),
        "half": half,
        "samplers": {name: asdict(preset) for name, preset in SAMPLERS.items()},
        "requests": [f"person {person}: {label}" for person, label in pairs],
    }
    return {"settings": settings, "rows": [comparison.row(name, COMPARED) for name in comparison.answers]}


def _answer_unsampled(comparison: Comparison, number: int, request: Request, baselines: Baselines) -> None:
    """Baselines, and what truth itself would score: the mean of other performances, and one of them."""
    predictions = baselines.predict(request.label, request.neutral, request.signal)
    predictions["true_mean"] = request.others.mean(axis=0)
    predictions["true_other"] = request.others[0]
    everything = range(len(request.signal))
    for name, deformation in predictions.items():
        comparison.add(name, number, request, predictions["additive"], deformation, everything)


def _answer_sampled(
    comparison: Comparison, number: int, request: Request, model: AnimateMe, plan: Plan, with_paper: bool
) -> None:
    """The rows of our own network, each with another sampler."""
    draws = Draws(model, request, seed=1000 * (plan.seed + 1) + 100 * number)
    apex = len(request.signal) - 1

    def add(name: str, preset: Sampler, frames: Sequence[int], seeds: int = 1) -> None:
        mean = draws.samples(preset, frames, seeds).mean(axis=0)
        cost = draws.cost(preset, seeds)
        comparison.add(name, number, request, draws.additive, mean, frames, cost)

    add("ours", SAMPLERS["default"], range(apex + 1))
    _answer_with_micro_motion(comparison, number, request, draws)
    add(f"ours_mean{plan.seeds}", SAMPLERS["default"], MEAN_FRAMES, plan.seeds)
    add(REFERENCE, SAMPLERS["full"], range(apex + 1))
    add("ours_late", SAMPLERS["late"], range(apex + 1))
    for name, preset in (("ours", "default"), (REFERENCE, "full"), ("ours_late", "late")):
        variance = draws.variance(comparison.region, SAMPLERS[preset], [apex], plan.diversity_seeds)
        comparison.variances.setdefault(name, []).append(variance)
    if with_paper:
        add("ours_paper_sampler", SAMPLERS["paper"], PAPER_FRAMES)


def _answer_with_micro_motion(comparison: Comparison, number: int, request: Request, draws: Draws) -> None:
    """Our sample of the same seed for the signal with captured micro-motion on it."""
    signal = add_micro_motion(request.signal, MICRO_MOTION_RATE, draws.seed)
    alive = Draws(draws.model, replace(request, signal=signal), draws.seed)
    preset, frames = SAMPLERS["default"], range(len(signal))
    moved = alive.samples(preset, frames, 1)[0]
    comparison.add("ours_micro_motion", number, request, draws.additive, moved, frames, alive.cost(preset, 1))
