"""The optimisation loop of a training phase: accelerate, wall-clock limit, EMA, resume, log."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from tqdm import tqdm

LOG_NAME = "log.jsonl"
LOG_EVERY = 50


@dataclass(frozen=True)
class Phase:
    """One phase of training: stops at ``minutes`` or ``steps``, whichever comes first."""

    minutes: float
    steps: int = 10**9
    batch: int = 16  # over all processes
    biased_share: float = 0.5  # of timesteps drawn from the noisier half only
    learning_rate: float = 1e-3
    final_learning_rate: float = 1e-4


def optimise(
    name: str,
    phase: Phase,
    network: nn.Module,
    batch_loss: Callable[[nn.Module], Tensor],
    folder: Path,
    *,
    ema_decay: float,
    save_every_minutes: float,
    reseed: Callable[[int], None],
) -> tuple[float, int]:
    """Adam with a cosine decay over the phase; ``network`` ends with the averaged weights.

    State goes to ``folder/name`` and is taken up again when it exists (``reseed`` is then told the
    steps already done); a line of JSON every 50 steps to ``folder/log.jsonl``. Returns (loss, steps).
    """
    accelerator = Accelerator()
    optimizer = torch.optim.Adam(network.parameters(), phase.learning_rate, betas=(0.9, 0.99))
    average = _Average(network, ema_decay)
    clock = _Clock()
    trained, optimizer = accelerator.prepare(network, optimizer)
    accelerator.register_for_checkpointing(average, clock)
    state = folder / name
    if state.exists():
        accelerator.load_state(str(state))
        reseed(clock.steps)
    bar = tqdm(total=100, desc=name, unit="%", mininterval=1.0, disable=not accelerator.is_main_process)
    saved = clock.seconds

    def log(**values: Any) -> None:
        if accelerator.is_main_process:
            line = {
                "phase": name,
                "step": clock.steps,
                "minutes": clock.seconds / 60,
                "loss": clock.loss,
                **values,
            }
            rounded = {k: round(v, 6) if isinstance(v, float) else v for k, v in line.items()}
            with (folder / LOG_NAME).open("a", encoding="utf-8") as file:
                file.write(json.dumps(rounded) + "\n")

    while (share := max(clock.seconds / (60 * phase.minutes), clock.steps / phase.steps)) < 1:
        started = time.monotonic()
        rate = _learning_rate(phase, share, clock.steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = batch_loss(trained)
        optimizer.zero_grad()
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(trained.parameters(), 1.0)
        optimizer.step()
        average.update(network)
        clock.advance(accelerator, time.monotonic() - started, loss.detach())
        bar.update(int(100 * share) - bar.n)
        bar.set_postfix(loss=f"{clock.loss:.4f}", step=clock.steps, refresh=False)
        if clock.steps % LOG_EVERY == 0:
            log(learning_rate=rate)
        if clock.seconds - saved > 60 * save_every_minutes:
            accelerator.save_state(str(state))
            saved = clock.seconds
    bar.close()
    accelerator.save_state(str(state))
    average.copy_to(network)
    log(done=True)
    return clock.loss, clock.steps


class _Clock:
    """Seconds, steps and smoothed loss of a phase; survives a resume."""

    def __init__(self) -> None:
        self.seconds, self.steps, self.loss = 0.0, 0, math.nan

    def advance(self, accelerator: Accelerator, seconds: float, loss: Tensor) -> None:
        """Count one step; processes share their mean clock, so that all stop at the same step."""
        values = torch.stack([torch.tensor(seconds, device=loss.device), loss])
        if accelerator.num_processes > 1:
            values = accelerator.reduce(values, "mean")
        now = float(values[1])
        self.seconds += float(values[0])
        self.steps += 1
        self.loss = now if math.isnan(self.loss) else 0.98 * self.loss + 0.02 * now

    def state_dict(self) -> dict[str, float]:
        """For accelerate."""
        return {"seconds": self.seconds, "steps": self.steps, "loss": self.loss}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """For accelerate."""
        self.seconds, self.steps, self.loss = state["seconds"], int(state["steps"]), state["loss"]


class _Average:
    """Exponential moving average of the parameters; its memory grows with the steps, up to ``decay``."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay, self.count = decay, 0
        self.values = [parameter.detach().clone() for parameter in network.parameters()]

    def update(self, network: nn.Module) -> None:
        """Take one step towards the present parameters."""
        now = min(self.decay, (1 + self.count) / (10 + self.count))
        self.count += 1
        with torch.no_grad():
            for value, parameter in zip(self.values, network.parameters(), strict=True):
                value.lerp_(parameter, 1 - now)

    def copy_to(self, network: nn.Module) -> None:
        """Make the average the network's parameters."""
        with torch.no_grad():
            for value, parameter in zip(self.values, network.parameters(), strict=True):
                parameter.copy_(value)

    def state_dict(self) -> dict[str, Any]:
        """For accelerate."""
        return {"count": self.count, "values": self.values}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """For accelerate."""
        self.count = int(state["count"])
        for value, loaded in zip(self.values, state["values"], strict=True):
            value.copy_(loaded)


def _learning_rate(phase: Phase, share: float, step: int) -> float:
    """50 steps of warm-up, then a cosine from ``learning_rate`` to ``final_learning_rate``."""
    cosine = 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))
    rate = phase.final_learning_rate + (phase.learning_rate - phase.final_learning_rate) * cosine
    return rate * min(1.0, (step + 1) / 50)
