"""Which late_start, and which frame to hand over from: the choice that AnimateMe section 3.4 leaves open."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..animate_me import SAMPLERS, AnimateMe, Sampler
from ..corpus.performance import FRAMES
from ..diffusion import TRAIN_TIMESTEPS
from ..expression import LABELS
from .comparison import OnRequest, Row, figure
from .draws import Draws, network_evaluations
from .ground_truth import GroundTruth, balanced_pairs
from .metrics import FaceRegion, motion, root_ratio, specificity_mm

LATE_STARTS = (200, 400, 600, 700, 800, 900, TRAIN_TIMESTEPS)
HANDING_OVER = ("neutral", "peak")
MIDDLE_FRAMES = (12, 20, 28)
"""Neither the neutral nor the apex: those take the whole chain where they hand over."""


def compare_late_starts(
    checkpoint: Path,
    truth: GroundTruth,
    *,
    people: int = 12,
    labels: Sequence[str] = LABELS,
    late_starts: Sequence[int] = LATE_STARTS,
    seeds: int = 4,
    others: int = 16,
    device: str = "auto",
    half: str = "auto",
    on_request: OnRequest | None = None,
) -> dict[str, Any]:
    """{"settings", "rows"}: what a handed-over state costs, a row for each late_start and handing frame.

    ``residual_ratio`` (to the whole chain) and ``diversity_ratio`` (to true performances) show what the
    hand-over erases. ``single_mm`` is the error of one sample, ``mean_mm`` that of the mean of the seeds,
    ``additive_mm`` what remains when everything the network adds is erased.
    """
    model = AnimateMe.from_checkpoint(checkpoint, device, half)
    region = FaceRegion.of(model.head)
    whole = SAMPLERS["full"]
    presets = [Sampler(whole.scheduler, whole.steps, t, first) for first in HANDING_OVER for t in late_starts]
    measured: dict[Sampler, list[list[float]]] = {preset: [] for preset in presets}
    pairs = balanced_pairs(people, labels, 1)
    for number, (person, label) in enumerate(pairs):
        request = truth.request(person, label, others, seed=0)
        draws = Draws(model, request, seed=100 * number)
        reference = _measure(draws, whole, seeds, region)
        for preset in presets:
            measured[preset].append([*_measure(draws, preset, seeds, region), reference[0]])
        if on_request is not None:
            on_request(number + 1, len(pairs))
    return {
        "settings": {"checkpoint": str(checkpoint), "seeds": seeds, "frames": MIDDLE_FRAMES, "pairs": pairs},
        "rows": [_row(model, preset, np.mean(measured[preset], axis=0).tolist()) for preset in presets],
    }


def _measure(draws: Draws, preset: Sampler, seeds: int, region: FaceRegion) -> list[float]:
    """Mean squares, mm^2: residual, variance, true variance; errors, mm: of one sample, mean, additive."""
    frames = list(MIDDLE_FRAMES)
    samples = region(draws.samples(preset, frames, seeds))
    wanted, additive = region(draws.request.truth[frames]), region(draws.additive[frames])
    return [
        float(np.mean([motion(sample - additive) for sample in samples])),
        *draws.variance(region, preset, frames, seeds),
        float(np.mean([specificity_mm(sample, wanted) for sample in samples])),
        float(specificity_mm(samples.mean(axis=0), wanted).mean()),
        float(specificity_mm(additive, wanted).mean()),
    ]


def _row(model: AnimateMe, preset: Sampler, means: Sequence[float]) -> Row:
    residual, variance, true_variance, single, mean, additive, whole_residual = means
    return {
        "name": f"{preset.late_start} from the {preset.first_frame} frame",
        "residual_ratio": figure(root_ratio(residual, whole_residual)),
        "diversity_ratio": figure(root_ratio(variance, true_variance)),
        "single_mm": figure(single),
        "mean_mm": figure(mean),
        "additive_mm": figure(additive),
        "network_evaluations": network_evaluations(model, preset, FRAMES),
    }
