"""The network's shapes, gradients and conditioning."""

import pytest
import torch
from torch import Tensor

from models.additive import AdditiveModel, RawMotion
from models.denoiser import DenoiserConfig, ModalDenoiser, SpiralDenoiser, time_features
from models.diffusion import training_schedule
from models.topology import Level

SMALL = DenoiserConfig(
    identity_coefficients=6,
    channels=(8, 12, 12, 12),
    identity_channels=(4, 6, 6, 8),
    context=24,
    modal_rank=10,
    modal_width=32,
    modal_blocks=2,
    modal_context=20,
)
PAPER = DenoiserConfig(
    **{
        **SMALL.__dict__,
        "modal_width": 0,
        "target": "raw",
        "prediction_type": "epsilon",
    }
)
BATCH = 3
ALPHA_BARS = training_schedule().alphas_cumprod


def network(config: DenoiserConfig, hierarchy: list[Level]) -> SpiralDenoiser:
    torch.manual_seed(0)
    denoiser = SpiralDenoiser(config, hierarchy)
    for parameter in denoiser.parameters():  # the layers that start at zero hide everything behind them
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    if isinstance(denoiser.target, AdditiveModel):
        torch.nn.init.orthogonal_(denoiser.target.basis)
    return denoiser


def inputs(hierarchy: list[Level]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    vertices = len(hierarchy[0].vertices)
    timestep = torch.tensor([10, 400, 990])
    return {
        "noisy": torch.randn(BATCH, vertices, 3, generator=generator),
        "timestep": timestep,
        "alpha_bar": ALPHA_BARS[timestep],
        "stage": torch.rand(BATCH, 57, generator=generator),
        "neutral_offset": 3 * torch.randn(BATCH, vertices, 3, generator=generator),
    }


def predict(denoiser: SpiralDenoiser, batch: dict[str, Tensor]) -> Tensor:
    coefficients = torch.linspace(-1, 1, 6).expand(BATCH, -1)
    return denoiser(**batch, identity=denoiser.identity_code(batch["neutral_offset"], coefficients))


@pytest.mark.parametrize("config", [SMALL, PAPER], ids=["default", "paper"])
def test_prediction_has_the_shape_of_the_noise_and_all_learn(
    config: DenoiserConfig, hierarchy: list[Level]
) -> None:
    denoiser, batch = network(config, hierarchy), inputs(hierarchy)
    prediction = predict(denoiser, batch)
    assert prediction.shape == batch["noisy"].shape
    prediction.square().sum().backward()
    for name, parameter in denoiser.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("what", ["noisy", "timestep", "stage", "neutral_offset"])
@pytest.mark.parametrize("config", [SMALL, PAPER], ids=["default", "paper"])
def test_prediction_depends_on_everything_it_is_given(
    config: DenoiserConfig, what: str, hierarchy: list[Level]
) -> None:
    denoiser, batch = network(config, hierarchy), inputs(hierarchy)
    changed = batch | {what: batch[what].roll(1, dims=0)}
    with torch.inference_mode():
        difference = predict(denoiser, changed) - predict(denoiser, batch)
    assert float(difference.abs().mean()) > 1e-4


def test_samples_of_a_batch_know_nothing_of_each_other(hierarchy: list[Level]) -> None:
    denoiser, batch = network(SMALL, hierarchy), inputs(hierarchy)
    together = predict(denoiser, batch)
    backwards = predict(denoiser, {name: value.flip(0) for name, value in batch.items()})
    torch.testing.assert_close(backwards.flip(0), together, atol=1e-5, rtol=1e-4)


def test_an_untrained_default_is_the_linear_optimum_of_its_directions(hierarchy: list[Level]) -> None:
    # the layers that leave the network start at zero: what is left is known in closed form
    denoiser = SpiralDenoiser(SMALL, hierarchy)
    assert isinstance(denoiser.target, AdditiveModel)
    torch.nn.init.orthogonal_(denoiser.target.basis)
    torch.nn.init.uniform_(denoiser.target.unit_spread, 0.3, 2)
    batch = inputs(hierarchy)
    share = batch["stage"].square() / batch["stage"].square().sum(1, keepdim=True)  # all units move alike
    alpha_bar, variance = batch["alpha_bar"][:, None], share @ denoiser.target.unit_spread.square()
    coordinates = batch["noisy"].flatten(1) @ denoiser.target.basis.T
    optimum = coordinates * alpha_bar.sqrt() * variance / (alpha_bar * variance + 1 - alpha_bar)
    expected = (optimum @ denoiser.target.basis).unflatten(1, (-1, 3))
    torch.testing.assert_close(predict(denoiser, batch), expected, atol=1e-5, rtol=1e-4)


def modal_prediction(noisy: Tensor, expected: Tensor, alpha_bar: float, *, trained: bool) -> Tensor:
    torch.manual_seed(0)
    modal = ModalDenoiser(rank=5, width=8, blocks=1, inputs=64 + 57 + 6, context=4)
    if trained:
        torch.nn.init.normal_(modal.leave.weight)
    timestep, alpha_bars = torch.tensor([5, 900]), torch.full((2,), alpha_bar)
    stage, coefficients = torch.rand(2, 57), torch.randn(2, 6)
    return modal(noisy, timestep, alpha_bars, stage, coefficients, expected, torch.full((2, 5), 0.7))


def test_without_noise_the_modal_path_lets_through_what_it_sees() -> None:
    clean, expected = torch.randn(2, 5), torch.randn(2, 5)
    torch.testing.assert_close(modal_prediction(clean, expected, 1.0, trained=True), clean)


def test_in_pure_noise_an_untrained_modal_path_says_what_is_expected() -> None:
    noise, expected = torch.randn(2, 5), torch.randn(2, 5)
    torch.testing.assert_close(modal_prediction(noise, expected, 0.0, trained=False), expected)
    assert not torch.allclose(modal_prediction(noise, expected, 0.0, trained=True), expected)


def test_half_precision_stays_close(hierarchy: list[Level]) -> None:
    denoiser, batch = network(SMALL, hierarchy), inputs(hierarchy)
    with torch.inference_mode():
        full = predict(denoiser, batch)
        half = predict(denoiser.half(), batch)
    assert half.dtype == torch.float32
    assert float((half - full).square().mean() / full.square().mean()) < 1e-3
    assert not torch.equal(half, full)


def test_neighbouring_timesteps_look_alike_and_distant_ones_do_not() -> None:
    features = time_features(torch.tensor([0, 500, 501, 999]))
    assert features.shape == (4, 64)
    near, far = (features[1] - features[2]).norm(), (features[0] - features[3]).norm()
    assert 0 < near < 0.3 * far


def test_the_modal_path_refuses_targets_it_cannot_denoise(hierarchy: list[Level]) -> None:
    with pytest.raises(ValueError, match="modal"):
        SpiralDenoiser(DenoiserConfig(target="raw"), hierarchy)


def test_raw_target_is_one_scale() -> None:
    target = RawMotion()
    target.scale.fill_(2.5)
    deformation = torch.randn(2, 4, 3)
    torch.testing.assert_close(target.relative(deformation, torch.zeros(2, 57)), deformation / 2.5)
    torch.testing.assert_close(
        target.absolute(target.relative(deformation, torch.zeros(2, 57)), torch.zeros(2, 57)), deformation
    )


def test_configuration_survives_json_lists() -> None:
    assert DenoiserConfig.from_dict({"channels": [1, 2, 3, 4]}).channels == (1, 2, 3, 4)
    with pytest.raises(TypeError):
        DenoiserConfig.from_dict({"chanels": [1]})
