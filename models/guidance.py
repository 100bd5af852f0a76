"""Classifier-free guidance (Ho and Salimans 2022) of a latent denoiser."""

from __future__ import annotations

import torch
from torch import Tensor

from .diffusion import Predict
from .exp_diff import Condition, LatentDenoiser


def guided(denoiser: LatentDenoiser, known: Condition, guidance: float, *, half: bool = False) -> Predict:
    """The network as `sample_consistent` calls it; 1 is the conditional model alone, and half as much work.

    half: compute in bfloat16.
    """
    device = known.stage.device

    def predict(noisy: Tensor, timestep: int, which: Tensor) -> Tensor:
        t = torch.full((len(which),), timestep, device=device)
        frames = known[which.to(device)]
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            told = denoiser(noisy, t, frames)
            if guidance == 1.0:
                return told.float()
            untold = denoiser(noisy, t, frames.withheld())
        return (untold + guidance * (told - untold)).float()

    return predict
