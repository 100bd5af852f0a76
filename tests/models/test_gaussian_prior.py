"""The closed-form denoiser of normally distributed latents, and the prompts of the ablation."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest
import torch

from models.diffusion import make_scheduler, prediction_of, sample_consistent, training_schedule
from models.exp_diff import LatentDenoiser
from models.expression import UNIT_INDEX, UNIT_NAMES
from models.prompts import OneHotPrompts, PromptEmbedder
from models.skin.gaussian_prior import GaussianPrior
from tests.models.test_latent_denoiser import TINY, told
from tests.models.tiny_appearance import CHECKPOINTS


def prior() -> GaussianPrior:
    """Two directions over the four channels of texture at each of 2 x 2 places, beside one of geometry."""
    made = GaussianPrior(2, 1, 4, 2)
    directions, _ = torch.linalg.qr(torch.randn(4, 4, 2, generator=torch.Generator().manual_seed(0)))
    made.directions.copy_(directions.transpose(1, 2))
    made.variance.copy_(torch.tensor([5.0, 2.0]) * torch.arange(1, 5)[:, None])
    made.left.fill_(0.3)
    return made


def covariance(known: GaussianPrior) -> torch.Tensor:
    """(4, 4, 4) of the channels at each place."""
    directions = known.directions
    modal = directions.transpose(1, 2) @ torch.diag_embed(known.variance - 0.3) @ directions
    return 0.3 * torch.eye(4) + modal


@pytest.mark.parametrize("alpha_bar", [0.999, 0.5, 1e-4])
def test_the_estimate_is_the_posterior_mean(alpha_bar: float) -> None:
    known = prior()
    noisy = torch.randn(3, 5, 2, 2, generator=torch.Generator().manual_seed(1))
    found = known.clean(noisy, torch.full((3,), alpha_bar))
    marginal = alpha_bar * covariance(known) + (1 - alpha_bar) * torch.eye(4)
    wanted = alpha_bar**0.5 * known.places(noisy) @ torch.linalg.solve(marginal, covariance(known))
    assert torch.allclose(known.places(found), wanted, atol=1e-5)
    assert torch.allclose(found[:, :1], alpha_bar**0.5 * noisy[:, :1])


def test_samples_vary_as_the_prior_says() -> None:
    known, schedule = prior(), training_schedule("sample")

    def predict(noisy: torch.Tensor, timestep: int, which: torch.Tensor) -> torch.Tensor:
        return known.clean(noisy, schedule.alphas_cumprod[torch.full((len(which),), timestep)])

    def sample(seed: int) -> torch.Tensor:
        return sample_consistent(
            predict, lambda: make_scheduler("dpm", schedule), 1, (5, 2, 2), steps=20, seed=seed
        )

    places = known.places(torch.cat([sample(seed) for seed in range(600)]))
    found = places.transpose(1, 2) @ places / 600
    error = (found - covariance(known)).norm(dim=(1, 2)) / covariance(known).norm(dim=(1, 2))
    assert error.max() < 0.2


@pytest.mark.parametrize("kind", ["epsilon", "sample", "v_prediction"])
def test_predictions_of_every_kind_come_from_one_estimate(
    kind: Literal["epsilon", "sample", "v_prediction"],
) -> None:
    clean, noise = torch.randn(2, 2, 3, generator=torch.Generator().manual_seed(0))
    alpha_bar = torch.tensor([0.9, 0.2])
    root, rest = alpha_bar.sqrt()[:, None], (1 - alpha_bar).sqrt()[:, None]
    wanted = {"epsilon": noise, "sample": clean, "v_prediction": root * noise - rest * clean}[kind]
    found = prediction_of(kind, clean, root * clean + rest * noise, alpha_bar)
    assert torch.allclose(found, wanted, atol=1e-5)


def test_an_untrained_denoiser_with_a_prior_predicts_what_the_prior_knows() -> None:
    config = replace(TINY, prior_rank=3)
    torch.manual_seed(0)
    model = LatentDenoiser(config).eval()
    assert model.prior is not None
    model.prior.variance.fill_(4.0)
    directions, _ = torch.linalg.qr(torch.randn_like(model.prior.directions).transpose(1, 2))
    model.prior.directions.copy_(directions.transpose(1, 2))
    noisy, timestep = torch.randn(2, *config.shape), torch.tensor([10, 900])
    alpha_bar = model.alpha_bars[timestep]
    with torch.no_grad():
        found = model(noisy, timestep, told(config))
        wanted = prediction_of("v_prediction", model.prior.clean(noisy, alpha_bar), noisy, alpha_bar)
    assert torch.allclose(found, wanted, atol=1e-5)


def test_one_hot_prompts_know_the_strongest_unit_and_no_words() -> None:
    prompts = OneHotPrompts.load(CHECKPOINTS / "text")
    assert isinstance(prompts, PromptEmbedder)
    smile, jaw, nothing = prompts.embed(["a smile", "jaw open", "qwrtz"])
    assert UNIT_NAMES[int(smile.argmax())].startswith("mouthSmile")
    assert smile.sum() == 1
    assert jaw[UNIT_INDEX["jawOpen"]] == 1
    assert not nothing.any()
    faint = torch.zeros(1, len(UNIT_NAMES)).numpy()
    faint[0, 7] = 0.01
    assert prompts.of_stages(faint)[0, 7] == 1
