"""The strength of the initial noise: what it does to samples, and how it is chosen."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from models.animate_me import SAMPLERS, AnimateMe, Sampler
from models.diffusion import make_scheduler, sample_consistent, training_schedule
from models.evaluation.noise_scale import compare_noise_scales
from models.expression import parse_expression, profile
from models.head import Head
from tests.models.conftest import TinyRun
from tests.models.tiny_truth import LABELS, TinyTruth


def gaussian_samples(noise_scale: float) -> torch.Tensor:
    """Of data N(0, 0.5^2), whose best denoiser is known: E[x0 | xt]."""
    schedule = training_schedule()
    alpha_bars = schedule.alphas_cumprod

    def predict(noisy: torch.Tensor, timestep: int, which: torch.Tensor) -> torch.Tensor:
        alpha_bar = alpha_bars[timestep]
        return noisy * alpha_bar.sqrt() * 0.25 / (alpha_bar * 0.25 + 1 - alpha_bar)

    return sample_consistent(
        predict,
        lambda: make_scheduler("dpm", schedule),
        1,
        (20_000,),
        steps=20,
        seed=1,
        noise_scale=noise_scale,
    )


def test_spread_of_samples_follows_the_noise() -> None:
    whole, half = (float(gaussian_samples(scale).std()) for scale in (1.0, 0.5))
    assert whole == pytest.approx(0.5, rel=0.1)
    assert half == pytest.approx(whole / 2, rel=0.01)


def test_less_noise_brings_animations_together_but_not_to_a_halt(model: AnimateMe, head: Head) -> None:
    signal = (profile("ease", 5)[:, None] * parse_expression(LABELS[2])).astype(np.float32)

    def apexes(noise_scale: float) -> np.ndarray:
        preset = replace(SAMPLERS["full"], noise_scale=noise_scale)
        skin = head.neutral_vertices
        return np.stack([model.animate_skin(skin, signal, seed, preset=preset)[-1] for seed in range(6)])

    whole, less = apexes(1.0), apexes(0.5)
    assert 0.3 < less.std(0).mean() / whole.std(0).mean() < 0.75
    assert np.linalg.norm(less.mean(0)) == pytest.approx(np.linalg.norm(whole.mean(0)), rel=0.1)


def test_a_preset_keeps_its_noise_when_steps_are_chosen(
    model: AnimateMe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.animate_me.SAMPLERS", {"default": Sampler("dpm", 10, 1000, noise_scale=0.6)})
    assert model.sampler("default", steps=4) == Sampler("dpm", 4, 1000, noise_scale=0.6)


def test_scales_are_compared_on_the_same_noise(trained: TinyRun, head: Head) -> None:
    result = compare_noise_scales(
        trained.checkpoint,
        TinyTruthWithStyles(head),
        people=2,
        labels=LABELS[2:],
        noise_scales=(1.0, 0.5, 0.0),
        seeds=3,
        device="cpu",
        half="off",
    )
    whole, half, none = json.loads(json.dumps(result))["rows"]
    assert whole["diversity_ratio"] > half["diversity_ratio"] > none["diversity_ratio"] == 0
    assert none["single_mm"] == pytest.approx(none["mean_mm"], abs=1e-3)
    assert whole["single_mm"] > whole["mean_mm"]


class TinyTruthWithStyles(TinyTruth):
    """Asked for no others, it still knows how various its people are."""

    def request(self, person: int, label: str, others: int, seed: int):  # type: ignore[no-untyped-def]
        return super().request(person, label, others + 6, seed)
