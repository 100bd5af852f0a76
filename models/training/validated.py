"""Training something small until it stops getting better on people it is not trained on."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.optim import Optimizer

VALIDATIONS = 40
"""How often a budget is long enough to validate."""


@dataclass(frozen=True)
class Budget:
    """Wall-clock minutes, or steps, whichever come first."""

    minutes: float
    steps: int = 10**9
    patience: int = 12  # so many validations without improvement end the training


def fit_validated(
    network: nn.Module, step: Callable[[float], None], validate: Callable[[], float], budget: Budget
) -> dict[str, Any]:
    """Repeat ``step`` (told the share of the budget spent); ``network`` ends as it validated best.

    Returns minutes and steps taken, the best validation, and why it ended.
    """
    started = time.monotonic()
    best, best_state, waited, due = math.inf, copy.deepcopy(network.state_dict()), 0, 1
    steps, share = 0, 0.0
    while share < 1 and waited < budget.patience:
        step(share)
        steps += 1
        share = max((time.monotonic() - started) / (60 * budget.minutes), steps / budget.steps)
        if share * VALIDATIONS >= due:
            due = int(share * VALIDATIONS) + 1
            network.eval()
            found = validate()
            network.train()
            waited = 0 if found < best else waited + 1
            if found < best:
                best, best_state = found, copy.deepcopy(network.state_dict())
    network.load_state_dict(best_state)
    network.eval()
    return {
        "minutes": round((time.monotonic() - started) / 60, 2),
        "minutes_allowed": budget.minutes,
        "steps": steps,
        "validation": round(best, 5),
        "ended": "validation stopped improving" if waited >= budget.patience else "the budget was spent",
    }


def anneal(optimizer: Optimizer, rate: float, share: float, floor: float = 0.05) -> None:
    """Cosine from ``rate`` to ``floor * rate`` over the budget."""
    for group in optimizer.param_groups:
        group["lr"] = rate * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(share, 1.0))))
