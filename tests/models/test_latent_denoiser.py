"""The latent denoiser: what attention mixes, what it does not, conditions, gradients, one sequence learnt."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from models.diffusion import training_schedule
from models.exp_diff import (
    BRDF,
    MAPS,
    Condition,
    LatentDenoiser,
    LatentDenoiserConfig,
    repeat_texture,
)
from models.expected_maps import ExpectedLatents
from models.skin.latent_blocks import from_windows, side_by_side, to_windows
from models.training.latents import Denoising

TINY = LatentDenoiserConfig(
    latent_channels=3,
    latent_size=8,
    units=5,
    text_dimension=6,
    channels=(8, 16),
    condition=16,
    context=16,
    place_channels=2,
)


def network(config: LatentDenoiserConfig = TINY) -> LatentDenoiser:
    """With nothing left at zero, so that every path does something."""
    torch.manual_seed(0)
    model = LatentDenoiser(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.any():
                parameter.normal_(0, 0.3)
    return model.eval()


def told(config: LatentDenoiserConfig, batch: int = 2) -> Condition:
    torch.manual_seed(1)
    shape = config.shape
    return Condition(
        torch.randn(batch, *shape),
        torch.randn(batch, len(config.maps) * config.guide_channels, *shape[1:]),
        torch.rand(batch, config.units),
        torch.randn(batch, config.text_dimension),
        torch.ones(batch),
        torch.zeros(batch),
    )


def reaction(config: LatentDenoiserConfig, perturbed: str, seen: str) -> float:
    """How much the prediction of one map changes with the noisy latent of another."""
    model, known = network(config), told(config)
    noisy = torch.randn(2, *config.shape, generator=torch.Generator().manual_seed(2))
    other = noisy.clone().unflatten(1, (len(MAPS), -1))
    other[:, MAPS.index(perturbed)] += 1.0
    t = torch.full((2,), 300)
    with torch.no_grad():
        change = model(other.flatten(1, 2), t, known) - model(noisy, t, known)
    return float(change.unflatten(1, (len(MAPS), -1))[:, MAPS.index(seen)].abs().max())


@pytest.mark.parametrize("seen", MAPS)
def test_attention_mixes_the_maps(seen: str) -> None:
    for perturbed in MAPS:
        assert reaction(TINY, perturbed, seen) > 1e-4, (perturbed, seen)


def test_without_attention_every_map_is_alone() -> None:
    alone = replace(TINY, joint_attention=False, geometry_attention=False)
    assert reaction(alone, "albedo", "albedo") > 1e-4
    for perturbed, seen in (("albedo", "relief"), ("relief", "albedo"), ("position", "relief")):
        assert reaction(alone, perturbed, seen) == 0.0
    textures = replace(TINY, geometry_attention=False)
    assert reaction(textures, "albedo", "relief") > 1e-4
    assert reaction(textures, "position", "relief") == 0.0
    geometry = replace(TINY, joint_attention=False)
    assert reaction(geometry, "position", "relief") > 1e-4
    assert reaction(geometry, "relief", "position") > 1e-4


@pytest.mark.parametrize("part", ["neutral", "stage", "text", "told", "moved", "guide"])
def test_every_condition_counts(part: str) -> None:
    config = replace(TINY, guide_channels=2)
    model, known = network(config), told(config)
    noisy, t = torch.randn(2, *config.shape), torch.full((2,), 500)
    changed = replace(known, **{part: 1 - getattr(known, part)})
    with torch.no_grad():
        assert (model(noisy, t, known) - model(noisy, t, changed)).abs().max() > 1e-4
        untold = replace(known, told=torch.zeros(2))
        hidden = replace(untold, stage=1 - known.stage, text=1 - known.text)
        assert torch.equal(model(noisy, t, untold), model(noisy, t, hidden))


def test_stage_comes_in_by_cross_attention_alone() -> None:
    """AnimateMe 4.2: intensity and label by cross-attention."""
    config = replace(TINY, maps=("albedo",), stage_in_condition=False)
    model, known = network(config), told(config)
    noisy, t = torch.randn(2, *config.shape), torch.full((2,), 500)
    assert model.condition[0].in_features == 65
    with torch.no_grad():
        other = replace(known, stage=1 - known.stage)
        assert (model(noisy, t, known) - model(noisy, t, other)).abs().max() > 1e-4


def test_frames_are_independent_and_gradients_reach_everything() -> None:
    torch.manual_seed(0)
    model = network()
    known, noisy, t = told(TINY, 3), torch.randn(3, *TINY.shape), torch.tensor([10, 500, 990])
    whole = model(noisy, t, known)
    assert whole.shape == noisy.shape
    each = [model(noisy[i : i + 1], t[i : i + 1], known[torch.tensor([i])]) for i in range(3)]
    assert torch.allclose(whole, torch.cat(each), atol=1e-5)
    half = replace(known, told=torch.tensor([1.0, 0.0, 1.0]))
    model(noisy, t, half).square().mean().backward()
    missing = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert missing == []


def test_an_untrained_network_predicts_nothing() -> None:
    known, noisy = told(TINY), torch.randn(2, *TINY.shape)
    assert not LatentDenoiser(TINY)(noisy, torch.full((2,), 500), known).any()


def test_windows_come_back() -> None:
    x = torch.arange(2 * 6 * 8 * 8, dtype=torch.float32).reshape(2, 6, 8, 8)
    tokens = to_windows(x, 3, 4)
    assert tokens.shape == (8, 3, 16, 2)
    assert torch.equal(tokens[1, 2, 0], x[0, 4:6, 0, 4])  # the second window is to the right of the first
    assert torch.equal(from_windows(tokens, 8, 8, 4), x)


def test_maps_side_by_side() -> None:
    a, b = torch.tensor([0.0, 1, 2, 3]), torch.tensor([10.0, 20])
    joined = side_by_side([a.reshape(1, 4, 1, 1), b.reshape(1, 2, 1, 1)], 2)
    assert joined.flatten().tolist() == [0, 1, 10, 2, 3, 20]


def test_the_texture_is_repeated() -> None:
    position, texture = torch.zeros(1, 2, 1, 1), torch.ones(1, 2, 1, 1)
    assert repeat_texture(position, texture, MAPS).flatten().tolist() == [0.0] * 2 + [1.0] * 8
    assert repeat_texture(position, texture, BRDF).flatten().tolist() == [1.0] * 8


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_one_frame_is_learnt(prediction: str) -> None:
    torch.manual_seed(0)
    config = replace(TINY, prediction_type=prediction)
    model = LatentDenoiser(config)
    objective = Denoising(model, ExpectedLatents(MAPS, 3, 8, 0))
    known, clean = told(config, 1), torch.randn(1, *config.shape)
    alpha_bars = training_schedule(config.prediction_type).alphas_cumprod
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    losses: list[float] = []
    for _ in range(60):
        t = torch.randint(300, 700, (8,))
        eight = Condition(*(part.expand(8, *part.shape[1:]) for part in known.parts()))
        noise = torch.randn(8, *config.shape)
        loss = objective(clean.expand(8, -1, -1, -1), t, alpha_bars[t], noise, eight)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])
