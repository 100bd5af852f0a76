"""Consistent noise sampling (AnimateMe section 3.4) on diffusers schedulers; knows no network.

One initial noise and one noise sequence serve every frame of an animation. The first frame takes the
whole chain; its state at ``late_start`` (the paper's t_s) is handed to all others, which only take the
rest. The others run in one batch, or in chunks that fit the memory: the result is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, Protocol

import numpy as np
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from torch import Tensor

TRAIN_TIMESTEPS = 1000

Prediction = Literal["epsilon", "sample", "v_prediction"]

Predict = Callable[[Tensor, int, Tensor], Tensor]
"""(noisy (B, ...), timestep, frame indices (B,)) -> the network's prediction (B, ...)."""

OnStep = Callable[[int, int], None]
"""Called with (steps done, steps in all) after each denoising step; may raise to cancel."""


class Scheduler(Protocol):
    """What is used of a diffusers scheduler."""

    timesteps: Tensor
    config: Any

    def set_timesteps(self, num_inference_steps: int, device: torch.device | None = None) -> None:
        """Choose the timesteps of one run."""
        ...

    def scale_model_input(self, sample: Tensor, timestep: int) -> Tensor:
        """Scale the network's input."""
        ...

    def step(self, model_output: Tensor, timestep: int, sample: Tensor, **kwargs: Any) -> Any:
        """One step of the reverse process."""
        ...


def training_schedule(prediction_type: Prediction = "sample") -> DDPMScheduler:
    """The paper's schedule: 1000 linear steps, beta from 1e-4 to 0.02 (section 4.1)."""
    return DDPMScheduler(
        num_train_timesteps=TRAIN_TIMESTEPS,
        beta_start=1e-4,
        beta_end=0.02,
        beta_schedule="linear",
        prediction_type=prediction_type,
        clip_sample=False,
    )


def prediction_of(kind: Prediction, clean: Tensor, noisy: Tensor, alpha_bar: Tensor) -> Tensor:
    """What a network of this kind predicts where it takes ``clean`` (B, ...) for what is in ``noisy``."""
    signal, rest = (share.sqrt().view(-1, *(1,) * (noisy.dim() - 1)) for share in (alpha_bar, 1 - alpha_bar))
    if kind == "sample":
        return clean
    epsilon = (noisy - signal * clean) / rest
    return epsilon if kind == "epsilon" else signal * epsilon - rest * clean


def make_scheduler(name: str, schedule: DDPMScheduler) -> Scheduler:
    """A sampler over the same schedule: ``ddpm``, ``ddim`` (eta 0) or ``dpm`` (DPM-Solver++, 2nd order)."""
    match name:
        case "ddpm":
            return DDPMScheduler.from_config(schedule.config)  # type: ignore[return-value]
        case "ddim":
            return DDIMScheduler.from_config(  # type: ignore[return-value]
                schedule.config, timestep_spacing="trailing", clip_sample=False, set_alpha_to_one=True
            )
        case "dpm":
            return DPMSolverMultistepScheduler.from_config(  # type: ignore[return-value]
                schedule.config, algorithm_type="dpmsolver++", timestep_spacing="trailing"
            )
        case _:
            raise ValueError(f"unknown scheduler {name!r}: ddpm, ddim or dpm")


def sample_consistent(
    predict: Predict,
    scheduler: Callable[[], Scheduler],
    frames: int,
    shape: Sequence[int],
    *,
    steps: int,
    seed: int,
    late_start: int = TRAIN_TIMESTEPS,
    noise_scale: float = 1.0,
    first_frame: int = 0,
    begin: int = TRAIN_TIMESTEPS,
    initial: Tensor | None = None,
    noise: Tensor | None = None,
    frames_per_chunk: int = 64,
    device: torch.device | str = "cpu",
    on_step: OnStep | None = None,
) -> Tensor:
    """Sample ``frames`` states of ``shape`` that share their noise. Returns (frames, *shape).

    late_start: timestep at which all frames but ``first_frame`` take over its state; at or above the
        first timestep of the chain every frame takes the whole chain from the shared initial noise.
    begin: the chain starts at its first timestep that is not above this one.
    initial (frames, *shape): clean states whose noised ones the chain begins with; without it, pure noise.
    noise (frames, *shape): the initial noise of every frame; without it, the same for all.
    noise_scale: factor of the initial noise. Where the sampler adds none, the chain carries noise to samples
        continuously, nearly linearly, so samples spread about as much less round what is expected.
    frames_per_chunk: how many frames go through the network at once. No influence on the result.
    """
    device = torch.device(device)
    if noise is None:
        noise = shared_noise(seed, shape).expand(frames, *shape)
    noise = noise.to(device)
    timesteps = [t for t in _timesteps(scheduler(), steps) if t <= begin]
    remaining = sum(t <= late_start for t in timesteps)
    whole_chain = remaining == len(timesteps)
    others = torch.tensor([i for i in range(frames) if whole_chain or i != first_frame], dtype=torch.long)
    chunks = [chunk for chunk in others.split(frames_per_chunk) if len(chunk)]
    total = len(chunks) * remaining + (0 if whole_chain else len(timesteps))
    progress = iter(range(1, total + 1))

    def denoise(state: Tensor, which: Tensor, last: int) -> Iterator[Tensor]:
        """Yield the state before each of the ``last`` final timesteps, then the clean state."""
        sampler = scheduler()
        sampler.set_timesteps(steps, device=device)
        # the sampler keeps the whole chain: multistep schedulers look their place in it up by the timestep
        for t in timesteps[len(timesteps) - last :]:
            yield state
            prediction = predict(sampler.scale_model_input(state, t), t, which)
            noise = {"generator": [_generator(seed, t) for _ in which]} if _takes_noise(sampler) else {}
            state = sampler.step(prediction, t, state, return_dict=False, **noise)[0]
            if on_step is not None:
                on_step(next(progress), total)
        yield state

    def beginning(which: Tensor) -> Tensor:
        """The state that the chain of these frames begins with."""
        initial_noise = noise_scale * noise[which]
        if initial is None:
            return initial_noise
        alpha_bar = _alpha_bar(scheduler(), timesteps[0])
        return alpha_bar**0.5 * initial[which].to(device) + (1 - alpha_bar) ** 0.5 * initial_noise

    result = torch.empty(frames, *shape, device=device)
    handed_over: Tensor | None = None
    if not whole_chain:
        first = torch.tensor([first_frame])
        states = list(denoise(beginning(first), first, len(timesteps)))
        handed_over, result[first_frame] = states[len(timesteps) - remaining], states[-1][0]
    for chunk in chunks:
        start = beginning(chunk) if handed_over is None else handed_over.expand(len(chunk), *shape).clone()
        for state in denoise(start, chunk, remaining):
            result[chunk] = state
    return result


def _timesteps(scheduler: Scheduler, steps: int) -> list[int]:
    scheduler.set_timesteps(steps)
    return [int(t) for t in scheduler.timesteps]


def _alpha_bar(scheduler: Any, timestep: int) -> float:
    return float(scheduler.alphas_cumprod[timestep])


def _takes_noise(scheduler: Scheduler) -> bool:
    return isinstance(scheduler, DDPMScheduler)


def _generator(seed: int, timestep: int) -> torch.Generator:
    """The noise of one timestep is a function of seed and timestep alone, hence of no chunk or frame.

    Mixed first, because torch looks at no more than 32 bits of a seed.
    """
    mixed = np.random.SeedSequence([seed % 2**64, timestep]).generate_state(1)
    return torch.Generator("cpu").manual_seed(int(mixed[0]))


def shared_noise(seed: int, shape: Sequence[int], stream: int = 0) -> Tensor:
    """(*shape) the noise that all frames of a seed begin with. Streams do not depend on each other."""
    return torch.randn((1, *shape), generator=_generator(seed, TRAIN_TIMESTEPS + stream))[0]
