"""Consistent noise sampling (AnimateMe section 3.4) with networks whose answer is known."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from models.diffusion import make_scheduler, sample_consistent, shared_noise, training_schedule

SHAPE = (5, 3)
FRAMES = 6
ALPHA_BARS = training_schedule().alphas_cumprod
SIGNAL = torch.linspace(0, 1, FRAMES)


class Gaussian:
    """The optimal prediction of clean data N(signal_i, spread^2), and a record of what it was asked."""

    def __init__(self, signal: Tensor = SIGNAL, spread: float = 0.5) -> None:
        self.signal, self.variance = signal, spread**2
        self.asked: list[tuple[int, list[int], Tensor]] = []

    def __call__(self, noisy: Tensor, timestep: int, which: Tensor) -> Tensor:
        self.asked.append((timestep, which.tolist(), noisy.clone()))
        alpha_bar = ALPHA_BARS[timestep]
        mean = self.signal[which].reshape(-1, *(1,) * (noisy.ndim - 1))
        gain = alpha_bar.sqrt() * self.variance / (alpha_bar * self.variance + 1 - alpha_bar)
        return mean + gain * (noisy - alpha_bar.sqrt() * mean)


def sample(
    predict: Callable[[Tensor, int, Tensor], Tensor], scheduler: str = "ddim", **options: object
) -> Tensor:
    options = {"steps": 10, "seed": 3, **options}
    frames = options.pop("frames", FRAMES)
    shape = options.pop("shape", SHAPE)
    return sample_consistent(
        predict, lambda: make_scheduler(scheduler, training_schedule()), frames, shape, **options
    )


def test_the_schedule_is_the_papers() -> None:
    beta = np.linspace(1e-4, 0.02, 1000)
    np.testing.assert_allclose(ALPHA_BARS.numpy(), np.cumprod(1 - beta), rtol=2e-4)


@pytest.mark.parametrize(("name", "steps"), [("ddpm", 1000), ("ddim", 50), ("dpm", 20)])
def test_every_sampler_finds_what_is_certain(name: str, steps: int) -> None:
    certain = torch.randn(*SHAPE)
    found = sample(lambda noisy, t, which: certain.expand_as(noisy), name, steps=steps)
    torch.testing.assert_close(found, certain.expand(FRAMES, *SHAPE), atol=2e-2, rtol=0)


@pytest.mark.parametrize(("name", "steps"), [("ddpm", 1000), ("ddim", 100), ("dpm", 25)])
def test_every_sampler_has_the_spread_of_the_data(name: str, steps: int) -> None:
    found = sample(Gaussian(torch.tensor([0.7])), name, steps=steps, frames=1, shape=(4000,))
    assert float(found.mean()) == pytest.approx(0.7, abs=0.03)
    assert float(found.std()) == pytest.approx(0.5, rel=0.06)


@pytest.mark.parametrize("prediction_type", ["sample", "epsilon", "v_prediction"])
def test_prediction_types_agree(prediction_type: str) -> None:
    ideal = Gaussian()

    def predict(noisy: Tensor, timestep: int, which: Tensor) -> Tensor:
        clean = ideal(noisy, timestep, which)
        root, rest = ALPHA_BARS[timestep].sqrt(), (1 - ALPHA_BARS[timestep]).sqrt()
        noise = (noisy - root * clean) / rest
        return {"sample": clean, "epsilon": noise, "v_prediction": root * noise - rest * clean}[
            prediction_type
        ]

    schedule = training_schedule(prediction_type)
    found = sample_consistent(
        predict, lambda: make_scheduler("ddim", schedule), FRAMES, SHAPE, steps=20, seed=3
    )
    torch.testing.assert_close(found, sample(Gaussian(), steps=20), atol=1e-3, rtol=1e-3)


def test_frames_may_begin_with_noise_of_their_own() -> None:
    shared = shared_noise(3, SHAPE)
    told = sample(Gaussian(), noise=shared.expand(FRAMES, *SHAPE))
    torch.testing.assert_close(told, sample(Gaussian()))
    other = shared_noise(3, SHAPE, stream=1)
    assert not torch.allclose(other, shared)
    mixed = sample(Gaussian(), noise=torch.stack([shared] * (FRAMES - 1) + [other]))
    torch.testing.assert_close(mixed[:-1], told[:-1])
    assert not torch.allclose(mixed[-1], told[-1])


@pytest.mark.parametrize("name", ["ddpm", "ddim", "dpm"])
@pytest.mark.parametrize("late_start", [1000, 500])
def test_equal_signals_give_equal_frames(name: str, late_start: int) -> None:
    signal = torch.tensor([0.0, 0.4, 1.0, 0.4, 0.4, 0.0])
    found = sample(Gaussian(signal), name, late_start=late_start)
    torch.testing.assert_close(found[1], found[3])
    torch.testing.assert_close(found[1], found[4])
    # a multistep solver takes its first step after the hand-over without history
    tolerance = 0.05 if name == "dpm" and late_start < 1000 else 1e-5
    torch.testing.assert_close(found[0], found[5], atol=tolerance, rtol=0)
    assert float((found[0] - found[1]).abs().max()) > 0.2


@pytest.mark.parametrize("late_start", [999, 1000, 5000])
def test_late_start_at_the_beginning_is_the_full_chain(late_start: int) -> None:
    predict = Gaussian()
    found = sample(predict, late_start=late_start)
    assert {t for t, _, _ in predict.asked} == {t for t, which, _ in predict.asked if 0 in which}
    torch.testing.assert_close(found, sample(Gaussian()))


def test_all_frames_start_from_one_noise() -> None:
    predict = Gaussian()
    sample(predict)
    first = predict.asked[0][2]
    torch.testing.assert_close(first, first[:1].expand_as(first))


@pytest.mark.parametrize("first_frame", [0, 4])
def test_frames_take_over_the_state_of_one_at_late_start(first_frame: int) -> None:
    predict = Gaussian()
    sample(predict, "ddpm", steps=20, late_start=400, first_frame=first_frame)
    alone = [(t, state) for t, which, state in predict.asked if which == [first_frame]]
    others = [(t, which, state) for t, which, state in predict.asked if which != [first_frame]]
    assert len(alone) == 20
    assert {t for t, _, _ in others} == {t for t, _ in alone if t <= 400}
    assert all(which == [i for i in range(FRAMES) if i != first_frame] for _, which, _ in others)
    timestep, _, taken_over = others[0]
    assert timestep == max(t for t, _ in alone if t <= 400)
    torch.testing.assert_close(taken_over, dict(alone)[timestep].expand(FRAMES - 1, *SHAPE))


def test_the_order_of_the_frames_does_not_matter() -> None:
    order = torch.tensor([0, 4, 2, 5, 1, 3])
    for late_start in (1000, 500):
        shuffled = sample(Gaussian(SIGNAL[order]), late_start=late_start)
        torch.testing.assert_close(shuffled, sample(Gaussian(), late_start=late_start)[order])


@pytest.mark.parametrize("name", ["ddpm", "ddim", "dpm"])
@pytest.mark.parametrize("frames_per_chunk", [1, 4])
@pytest.mark.parametrize("late_start", [1000, 500])
def test_chunks_do_not_matter(name: str, frames_per_chunk: int, late_start: int) -> None:
    whole = sample(Gaussian(), name, late_start=late_start)
    predict = Gaussian()
    in_chunks = sample(predict, name, late_start=late_start, frames_per_chunk=frames_per_chunk)
    assert max(len(which) for _, which, _ in predict.asked) <= frames_per_chunk
    torch.testing.assert_close(in_chunks, whole, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("late_start", [1000, 500])
def test_changing_one_signal_changes_that_frame_only(late_start: int) -> None:
    changed = SIGNAL.clone()
    changed[2] = 0.9
    before = sample(Gaussian(), late_start=late_start)
    after = sample(Gaussian(changed), late_start=late_start)
    same = [0, 1, 3, 4, 5]
    torch.testing.assert_close(after[same], before[same], atol=0, rtol=0)
    assert float((after[2] - before[2]).abs().max()) > 0.1


@pytest.mark.parametrize("name", ["ddpm", "ddim", "dpm"])
def test_the_seed_decides(name: str) -> None:
    first, again, other = (sample(Gaussian(), name, seed=seed) for seed in (5, 5, 6))
    torch.testing.assert_close(first, again, atol=0, rtol=0)
    assert float((first - other).abs().mean()) > 0.05


def test_seeds_of_any_sign_and_size_are_different_noise() -> None:
    seeds = [0, 1, -1, 2**31 - 1, 2**31, 2**40]
    results = [sample(Gaussian(), seed=seed) for seed in seeds]
    for index, one in enumerate(results):
        for other in results[:index]:
            assert float((one - other).abs().mean()) > 0.05


@pytest.mark.parametrize(("late_start", "frames_per_chunk"), [(1000, 64), (500, 64), (500, 2)])
def test_progress_counts_every_step_to_the_end(late_start: int, frames_per_chunk: int) -> None:
    seen: list[tuple[int, int]] = []
    sample(
        Gaussian(),
        late_start=late_start,
        frames_per_chunk=frames_per_chunk,
        on_step=lambda done, total: seen.append((done, total)),
    )
    total = seen[0][1]
    assert seen == [(i + 1, total) for i in range(total)]


def test_an_exception_in_progress_ends_the_sampling() -> None:
    predict = Gaussian()

    def cancel(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sample(predict, on_step=cancel)
    assert len(predict.asked) == 3


def test_one_frame_is_enough() -> None:
    for late_start in (1000, 500):
        found = sample(Gaussian(torch.tensor([0.3])), frames=1, late_start=late_start)
        assert found.shape == (1, *SHAPE)
        assert torch.isfinite(found).all()


def test_an_unknown_scheduler_is_refused() -> None:
    with pytest.raises(ValueError, match="euler"):
        make_scheduler("euler", training_schedule())


def test_a_chain_may_begin_with_noised_clean_states() -> None:
    """ExpDiff III-C: neutral latents are noised as in eq. 2, then denoised."""
    predict, clean = Gaussian(), torch.randn(FRAMES, *SHAPE)
    sample(predict, begin=650, initial=clean)
    timestep, which, state = predict.asked[0]
    assert 550 < timestep <= 650
    assert which == list(range(FRAMES))
    noise = (state - ALPHA_BARS[timestep].sqrt() * clean) / (1 - ALPHA_BARS[timestep]).sqrt()
    torch.testing.assert_close(noise, noise[:1].expand_as(noise), atol=1e-5, rtol=0)
    assert float(noise[0].std()) == pytest.approx(1, abs=0.6)
    assert all(t <= 650 for t, _, _ in predict.asked)
    handed_over = Gaussian()
    sample(handed_over, begin=900, initial=clean, late_start=400)
    assert next(which for _, which, _ in handed_over.asked) == [0]
    late = next(state for t, which, state in handed_over.asked if 0 not in which)
    torch.testing.assert_close(late, late[:1].expand_as(late))
