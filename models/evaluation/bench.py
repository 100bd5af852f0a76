"""How fast AnimateMe is here, beside the formulation it replaces: ratios measured in one run.

Plain means what SpiralNet++ implementations do: gather the neighbourhoods of the whole batch with
``index_select`` and multiply. Times are the smallest of several rounds in which both take turns, so that
other work on the machine disturbs both or neither.
"""

from __future__ import annotations

import copy
import platform
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from ..animate_me import SAMPLERS, AnimateMe, Sampler
from ..corpus.performance import FRAMES
from ..denoiser import SpiralDenoiser
from ..expression import LABELS, expression_signal
from ..spiral import SpiralConv
from .animate_me import PAPER_FRAMES
from .comparison import figure
from .draws import Draws, network_evaluations
from .ground_truth import GroundTruth, balanced_pairs
from .metrics import FaceRegion, specificity_mm

BATCH = 16
ROUNDS = 5
TIMED_STEPS = {"first frame": 12, "other frames": 4}
"""Steps of the paper's sampler that are timed; the rest of its chain costs the same again and again."""
MATRIX_PRODUCTS = frozenset({"aten::addmm", "aten::mm", "aten::bmm"})


def bench(checkpoint: Path, truth: GroundTruth | None = None, *, requests: int = 3) -> dict[str, Any]:
    """The figures by name, and under "details" what they are made of.

    ``sampler_vs_paper``: seconds of the paper's sampler (1000 steps, late_start 400) on plain spirals over
    seconds of ours, for 40 frames. ``spiral_forward_vs_plain``, ``spiral_training_vs_plain``: the whole
    network, float32. ``gemm_fraction``: share of matrix products in the time of a forward pass. With
    ``truth``, errors of both samplers on a few ``requests``. Raises CheckpointError.
    """
    model = AnimateMe.from_checkpoint(checkpoint)
    full_precision = AnimateMe.from_checkpoint(checkpoint, half="off")
    ours, paper = _sampler_seconds(model, full_precision)
    forward = _forward_seconds(full_precision.denoiser)
    training = _training_seconds(full_precision.denoiser)
    details: dict[str, Any] = {
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "device": str(model.device),
        },
        "sampler_vs_paper": {"ours_seconds": figure(ours), **paper},
        "spiral_forward_vs_plain": _seconds(forward),
        "spiral_training_vs_plain": _seconds(training),
        "gemm_fraction_float32": figure(_gemm_fraction(full_precision.denoiser)),
    }
    if truth is not None:
        details["sampler_vs_paper"] |= _sampler_errors(model, truth, requests)
    return {
        "sampler_vs_paper": figure(paper["paper_seconds"] / ours),
        "spiral_forward_vs_plain": figure(forward[1] / forward[0]),
        "spiral_training_vs_plain": figure(training[1] / training[0]),
        "gemm_fraction": figure(_gemm_fraction(model.denoiser)),
        "details": details,
    }


@contextmanager
def plain_spirals() -> Generator[None]:
    """Within: every spiral convolution gathers the whole batch at once and multiplies."""

    def forward(
        self: SpiralConv, x: Tensor, gain: Tensor | None = None, shift: Tensor | None = None
    ) -> Tensor:
        indices: Tensor = self.indices  # type: ignore[assignment]
        gathered = torch.index_select(x, 1, indices.reshape(-1))
        features = self.linear(gathered.view(len(x), len(indices), -1))
        return features if gain is None or shift is None else gain[:, None] * features + shift[:, None]

    ours = SpiralConv.forward
    SpiralConv.forward = forward
    try:
        yield
    finally:
        SpiralConv.forward = ours


def take_turns(
    first: Callable[[], object], second: Callable[[], object], rounds: int = ROUNDS
) -> tuple[float, float]:
    """Smallest seconds of each, after one round that does not count."""
    seconds: list[tuple[float, float]] = []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        first()
        middle = time.perf_counter()
        second()
        seconds.append((middle - started, time.perf_counter() - middle))
    return min(s[0] for s in seconds[1:]), min(s[1] for s in seconds[1:])


def _forward_seconds(denoiser: SpiralDenoiser) -> tuple[float, float]:
    """Ours and plain, seconds of one forward pass of 16 frames."""
    batch = _batch(denoiser)

    def ours() -> None:
        with torch.inference_mode():
            denoiser(**batch)
        _synchronise(denoiser)

    def plain() -> None:
        with plain_spirals():
            ours()

    return take_turns(ours, plain)


def _training_seconds(denoiser: SpiralDenoiser) -> tuple[float, float]:
    """Ours and plain, seconds of a training step of 16 frames: forward, backward, Adam."""
    network, batch = copy.deepcopy(denoiser).train(), _batch(denoiser)
    optimizer = torch.optim.Adam(network.parameters())

    def ours() -> None:
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(network(**batch), batch["noisy"])
        loss.backward()  # pyright: ignore[reportUnknownMemberType]
        optimizer.step()
        _synchronise(denoiser)

    def plain() -> None:
        with plain_spirals():
            ours()

    return take_turns(ours, plain, rounds=3)


def _gemm_fraction(denoiser: SpiralDenoiser) -> float:
    batch = _batch(denoiser)
    on_gpu = batch["noisy"].is_cuda
    with torch.inference_mode():
        denoiser(**batch)
        with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]) as run:
            denoiser(**batch)
    events = run.key_averages()
    time_of = {e.key: e.self_device_time_total if on_gpu else e.self_cpu_time_total for e in events}
    return sum(time_of.get(name, 0) for name in MATRIX_PRODUCTS) / sum(time_of.values())


def _sampler_seconds(model: AnimateMe, full_precision: AnimateMe) -> tuple[float, dict[str, Any]]:
    """Seconds of our sampler, and of the paper's on plain float32 spirals, timed in part and added up."""
    skin = model.head.neutral_vertices[: model.head.skin_vertices]
    signal = expression_signal(["happiness"], 1.0, "ease", FRAMES)
    ours = min(
        _elapsed(lambda: model.animate_skin(skin, signal, 0, preset=SAMPLERS["default"])) for _ in range(3)
    )
    paper = SAMPLERS["paper"]
    everybody_from_the_start = Sampler(paper.scheduler, paper.steps, paper.steps)
    with plain_spirals():
        first = _step_seconds(full_precision, signal, paper, TIMED_STEPS["first frame"])
        batch = _step_seconds(full_precision, signal, everybody_from_the_start, TIMED_STEPS["other frames"])
    others = batch * (FRAMES - 1) / FRAMES
    remaining = network_evaluations(model, paper, 2) - paper.steps  # of a frame that does not hand over
    return ours, {
        "paper_seconds": figure(paper.steps * first + remaining * others),
        "paper_seconds_are": (
            f"extrapolated: {paper.steps} steps of one frame at {first:.4f} s (smallest of "
            f"{TIMED_STEPS['first frame']}), {remaining} steps of {FRAMES - 1} frames at {others:.4f} s (of "
            f"{TIMED_STEPS['other frames']})"
        ),
    }


class _EnoughError(Exception):
    """Ends a sampler whose steps have been timed."""


def _step_seconds(model: AnimateMe, signal: np.ndarray, preset: Sampler, steps: int) -> float:
    """Smallest seconds of one denoising step among the first ones; the very first does not count."""
    times: list[float] = []

    def note(done: int, total: int) -> None:
        times.append(time.perf_counter())
        if done > steps:
            raise _EnoughError

    skin = model.head.neutral_vertices[: model.head.skin_vertices]
    try:
        model.animate_skin(skin, signal, 0, preset=preset, on_step=note)
    except _EnoughError:
        return float(np.diff(times).min())
    raise ValueError(f"the sampler has no {steps} steps")


def _sampler_errors(model: AnimateMe, truth: GroundTruth, requests: int) -> dict[str, Any]:
    """Error of one sample of each sampler on the same frames of the same requests, mm."""
    region, frames = FaceRegion.of(model.head), list(PAPER_FRAMES)
    errors: dict[str, list[float]] = {"default": [], "paper": []}
    chosen = balanced_pairs(requests, LABELS[:: len(LABELS) // requests][:requests], 1)
    for number, (person, label) in enumerate(chosen):
        request = truth.request(person, label, others=1, seed=0)
        draws = Draws(model, request, seed=number)
        for name, of_sampler in errors.items():
            sample = draws.samples(SAMPLERS[name], frames, 1)[0]
            of_sampler.append(float(specificity_mm(region(sample), region(request.truth[frames])).mean()))
    return {
        "ours_mm": figure(np.mean(errors["default"])),
        "paper_mm": figure(np.mean(errors["paper"])),
        "errors_are": f"one sample of each of {[f'{p} {label}' for p, label in chosen]} at frames {frames}",
    }


def _batch(denoiser: SpiralDenoiser) -> dict[str, Tensor]:
    """Inputs of a forward pass over 16 noisy frames."""
    config, device = denoiser.config, next(denoiser.parameters()).device
    generator = torch.Generator().manual_seed(0)
    vertices = len(denoiser.hierarchy[0].vertices)
    code = config.identity_coefficients + config.identity_channels[-1]
    batch = {
        "noisy": torch.randn(BATCH, vertices, 3, generator=generator),
        "timestep": torch.randint(1000, (BATCH,), generator=generator),
        "alpha_bar": torch.rand(BATCH, generator=generator),
        "stage": torch.rand(BATCH, config.units, generator=generator),
        "neutral_offset": torch.randn(BATCH, vertices, 3, generator=generator),
        "identity": torch.randn(BATCH, code, generator=generator),
    }
    return {name: tensor.to(device) for name, tensor in batch.items()}


def _synchronise(denoiser: SpiralDenoiser) -> None:
    if next(denoiser.parameters()).is_cuda:
        torch.cuda.synchronize()


def _elapsed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _seconds(pair: tuple[float, float]) -> dict[str, Any]:
    return {"ours_seconds": figure(pair[0]), "plain_seconds": figure(pair[1]), "frames": BATCH}
