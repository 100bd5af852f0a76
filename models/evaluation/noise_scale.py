"""How strong the initial noise should be: so strong that animations differ as much as people do.

A network that has not learned everything about a person takes for chance what it cannot tell, so its
animations differ more than true ones. Scaling the initial noise of a sampler without further noise scales
that spread. It is chosen on validation people, who are in no other figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..animate_me import SAMPLERS, AnimateMe
from ..expression import LABELS
from .comparison import OnRequest, figure
from .draws import Draws
from .ground_truth import GroundTruth, balanced_pairs
from .metrics import FaceRegion, root_ratio, roughness, specificity_mm

NOISE_SCALES = (1.0, 0.8, 0.7, 0.6)
FRAMES = (20, 39)
"""On the way, and the apex."""


def compare_noise_scales(
    checkpoint: Path,
    validation: GroundTruth,
    *,
    people: int = 18,
    labels: Sequence[str] = LABELS,
    noise_scales: Sequence[float] = NOISE_SCALES,
    seeds: int = 3,
    device: str = "auto",
    half: str = "auto",
    on_request: OnRequest | None = None,
) -> dict[str, Any]:
    """{"settings", "rows"}: a row for each scale, all with the same noise, one person for each label.

    ``diversity_ratio``: spread over seeds to that of people with this face, ``apex_diversity_ratio`` at the
    apex. ``single_mm`` is the error of one animation, ``mean_mm`` that of the mean of the seeds.
    Raises CheckpointError.
    """
    model = AnimateMe.from_checkpoint(checkpoint, device, half)
    region = FaceRegion.of(model.head)
    frames, apex = list(FRAMES), [FRAMES[-1]]
    presets = [replace(SAMPLERS["full"], noise_scale=scale) for scale in noise_scales]
    measured: list[list[list[float]]] = [[] for _ in presets]
    pairs = balanced_pairs(people, labels, 1)
    for number, (person, label) in enumerate(pairs):
        request = validation.request(person, label, 0, seed=0)
        draws = Draws(model, request, seed=100 * number)
        truth = region(request.truth[frames])
        for preset, found in zip(presets, measured, strict=True):
            samples = region(draws.samples(preset, frames, seeds))
            errors = np.stack([specificity_mm(sample, truth) for sample in samples])
            rough = float(np.mean([roughness(sample, region.laplacian) for sample in samples]))
            found.append(
                [
                    *draws.variance(region, preset, frames, seeds),
                    *draws.variance(region, preset, apex, seeds),
                    rough,
                    roughness(truth, region.laplacian),
                    float(errors.mean()),
                    float(errors[:, -1].mean()),
                    float(specificity_mm(samples.mean(axis=0), truth).mean()),
                ]
            )
        if on_request is not None:
            on_request(number + 1, len(pairs))
    rows: list[dict[str, Any]] = []
    for scale, found in zip(noise_scales, measured, strict=True):
        own, true, apex_own, apex_true, rough, true_rough, single, single_apex, mean = np.mean(found, axis=0)
        rows.append(
            {
                "noise_scale": scale,
                "diversity_ratio": figure(root_ratio(own, true)),
                "apex_diversity_ratio": figure(root_ratio(apex_own, apex_true)),
                "single_mm": figure(single),
                "single_apex_mm": figure(single_apex),
                "mean_mm": figure(mean),
                "laplacian_ratio": figure(root_ratio(rough, true_rough)),
            }
        )
    settings = {"checkpoint": str(checkpoint), "seeds": seeds, "frames": FRAMES, "pairs": pairs}
    return {"settings": settings, "rows": rows}
