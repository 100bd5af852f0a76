"""Samples of a trained model for one request, drawn once and timed."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..alignment import similarity_to
from ..animate_me import AnimateMe, Sampler
from ..diffusion import make_scheduler
from .baselines import additive_motion
from .comparison import Cost
from .ground_truth import Request
from .metrics import FaceRegion, spread

Floats = NDArray[np.float32]


class Draws:
    """Samples of one request. Each (sampler, seed) is drawn once, however many rows look at it."""

    def __init__(self, model: AnimateMe, request: Request, seed: int) -> None:
        self.model, self.request, self.seed = model, request, seed
        mean_skin = model.head.neutral_vertices[: model.head.skin_vertices]
        self.similarity = similarity_to(mean_skin, request.neutral)
        self.aligned = self.similarity.apply(request.neutral)
        self.additive = self.similarity.invert_vectors(additive_motion(model, request.signal))
        self._drawn: dict[tuple[Sampler, int], tuple[NDArray[np.int64], Floats]] = {}
        self._costs: dict[Sampler, list[Cost]] = {}

    def samples(self, preset: Sampler, frames: Sequence[int], seeds: int) -> Floats:
        """(N, F, V, 3) mm in the person's own space, of the first N seeds."""
        return np.stack([self._sample(preset, frames, self.seed + i) for i in range(seeds)])

    def cost(self, preset: Sampler, seeds: int) -> Cost:
        """Of ``seeds`` whole animations; seconds in proportion to the evaluations that were timed."""
        seconds = sum(cost.seconds for cost in self._costs[preset])
        timed = sum(cost.evaluations for cost in self._costs[preset])
        whole = seeds * network_evaluations(self.model, preset, len(self.request.signal))
        return Cost(seconds / timed * whole, whole)

    def variance(
        self, region: FaceRegion, preset: Sampler, frames: Sequence[int], seeds: int
    ) -> tuple[float, float]:
        """Mean variance, mm^2, at the given frames: between seeds, and between true performances by
        people of this face. Whose habits it has is not to be seen on a neutral face."""
        truths = self.request.lookalikes[:, list(frames)]
        return spread(region(self.samples(preset, frames, seeds))), spread(region(truths))

    def _sample(self, preset: Sampler, frames: Sequence[int], seed: int) -> Floats:
        known, deformation = self._drawn.get((preset, seed), (np.zeros(0, np.int64), None))
        if deformation is None or not np.isin(frames, known).all():
            signal = self.request.signal
            # the frames that may hand their state to others come along, so a part equals the whole
            known = np.unique([0, int(np.square(signal).sum(axis=1).argmax()), *frames])
            started = time.perf_counter()
            moved = self.model.animate_skin(self.aligned, signal[known], seed, preset=preset)
            evaluations = network_evaluations(self.model, preset, len(known))
            self._costs.setdefault(preset, []).append(Cost(time.perf_counter() - started, evaluations))
            deformation = self.similarity.invert_vectors(moved)
            self._drawn[preset, seed] = known, deformation
        return deformation[np.searchsorted(known, list(frames))]


def network_evaluations(model: AnimateMe, preset: Sampler, frames: int) -> int:
    """How often the network looks at one frame at one timestep, for an animation of ``frames``."""
    scheduler = make_scheduler(preset.scheduler, model.schedule)
    scheduler.set_timesteps(preset.steps)
    remaining = int((scheduler.timesteps <= preset.late_start).sum())
    if remaining == len(scheduler.timesteps):
        return frames * remaining
    return len(scheduler.timesteps) + (frames - 1) * remaining
