"""The motion that is expected of a face at a stage, before any geometry is generated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from .additive import AdditiveModel
from .animate_me import AnimateMe
from .head import Head

Floats = NDArray[np.float32]


class ExpectedMotion(Protocol):
    """Stages (K, M) of a person with neutral skin (V, 3), in model space -> motion (K, V, 3), mm."""

    def __call__(self, stages: Floats, neutral: Floats) -> Floats:
        """See the class."""
        ...


@dataclass(frozen=True)
class LinearMotion:
    """The head's generic expression units, added up: the same for everybody."""

    head: Head

    def __call__(self, stages: Floats, neutral: Floats) -> Floats:
        """(K, V, 3) mm."""
        basis = self.head.expression_basis[:, : self.head.skin_vertices]
        return np.einsum("km,mvc->kvc", np.asarray(stages, np.float32), basis, optimize=True)


@dataclass(frozen=True)
class PersonalMotion:
    """AnimateMe's additive model and what it expects of the person: all of it that is not diffused."""

    model: AnimateMe
    target: AdditiveModel

    @torch.inference_mode()
    def __call__(self, stages: Floats, neutral: Floats) -> Floats:
        """(K, V, 3) mm."""
        skin = self.model.head.neutral_vertices[: self.model.head.skin_vertices]
        coefficients = torch.from_numpy(self.model.identity_solver(neutral - skin))[None]
        stage = torch.from_numpy(np.asarray(stages, np.float32))
        expected = self.target.expected(stage, coefficients.expand(len(stage), -1))
        return self.target.absolute(self.target.expand(expected), stage).numpy()


def expected_motion(head: Head, animate_me: Path | None) -> ExpectedMotion:
    """From an AnimateMe checkpoint, if one is named and has an additive model. Raises CheckpointError."""
    if animate_me is not None:
        model = AnimateMe.from_checkpoint(animate_me, device="cpu", half="off")
        if isinstance(model.denoiser.target, AdditiveModel):
            return PersonalMotion(model, model.denoiser.target)
    return LinearMotion(head)
