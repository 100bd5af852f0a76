"""Words and stages as what ExpDiff's denoiser is guided by: directions of one space that both share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from .errors import InputError
from .expression import UNIT_NAMES
from .language.prompts import words_of
from .units import merged_pairs
from .words import Words

Floats = NDArray[np.float32]

NAMED = 4
"""Units that the name of a stage holds at most."""
SURE = 0.25
"""A stage that reaches this tells by itself what it shows; a fainter one is of the peak it leads to."""


@dataclass(frozen=True)
class PromptEmbedder:
    """Prompts and stages as directions (N, dimension), with any text encoder that `words` loads."""

    kind: ClassVar[str] = "text"
    words: Words

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Raises CheckpointError as `Words.load`."""
        return cls(Words.load(folder))

    @property
    def dimension(self) -> int:
        """Of a direction."""
        return int(self.words.head.sizes["joint"])

    def read(
        self, signal: Floats | None, prompt: str | tuple[str, str] | None, shares: Floats | None
    ) -> tuple[Floats, Tensor]:
        """Stages (K, M) and directions (K, D) of a signal, of a prompt, or of both.

        Without a signal, the prompt's own stage is shown; of two prompts, the way between them. Raises
        InputError for a prompt that describes nothing and where nothing is asked for.
        """
        if isinstance(prompt, tuple):
            if shares is None or (signal is not None and len(signal) != len(shares)):
                raise InputError("Between two descriptions, say for every frame how far it is on the way.")
            stages = self.words.between(*prompt, shares) if signal is None else signal
            ends, share = self.embed(list(prompt)), torch.as_tensor(shares, dtype=torch.float32)[:, None]
            return self._checked(stages), normalize(ends[:1] * (1 - share) + ends[1:] * share, dim=1)
        if prompt is not None:
            stages = self.words.express(prompt).stage[None] if signal is None else signal
            return self._checked(stages), self.embed([prompt]).expand(len(stages), -1)
        if signal is None:
            raise InputError("Choose an expression, or describe one in words.")
        return self._checked(signal), self.of_signal(self._checked(signal))

    def embed(self, prompts: list[str]) -> Tensor:
        """Directions (N, D) of prompts."""
        return self.words.place([" ".join(words_of(prompt)) for prompt in prompts]).clone()

    def of_stages(self, stages: Floats) -> Tensor:
        """Directions (N, D) of stages (N, M), whatever their strength."""
        strength = np.maximum(np.abs(stages).max(axis=1, keepdims=True), 1e-6)
        with torch.inference_mode():
            return self.words.head.place_stage(torch.from_numpy(stages / strength)).clone()

    def of_signal(self, signal: Floats) -> Tensor:
        """Directions (K, D) of the frames of a signal, without jumps where it passes through rest."""
        strength = np.abs(signal).max(axis=1)
        peak = self.of_stages(signal[[int(strength.argmax())]])
        sure = torch.from_numpy(np.clip(strength / SURE, 0, 1).astype(np.float32))[:, None]
        return normalize(sure * self.of_stages(signal) + (1 - sure) * peak, dim=1)

    def _checked(self, stages: Floats) -> Floats:
        values = np.asarray(stages, np.float32)
        if values.ndim != 2 or values.shape[1] != len(UNIT_NAMES) or not np.isfinite(values).all():
            raise InputError(f"An expression has {len(UNIT_NAMES)} weights a frame, all of them numbers.")
        return values


class OneHotPrompts(PromptEmbedder):
    """In place of words, which unit is the strongest and nothing else: the ablation of ExpDiff V-D."""

    kind = "one-hot"

    @property
    def dimension(self) -> int:
        """One for each unit."""
        return len(UNIT_NAMES)

    def embed(self, prompts: list[str]) -> Tensor:
        """Directions (N, M) of prompts; of one that shows no expression, nothing."""
        return self.of_stages(np.stack([self._stage_of(prompt) for prompt in prompts]))

    def of_stages(self, stages: Floats) -> Tensor:
        """Directions (N, M) of stages (N, M)."""
        values = torch.from_numpy(np.asarray(stages, np.float32))
        shown = values.amax(dim=1, keepdim=True) > 0
        return one_hot(values.argmax(dim=1), len(UNIT_NAMES)).float() * shown

    def _stage_of(self, prompt: str) -> Floats:
        try:
            return self.words.express(prompt).stage
        except InputError:
            return np.zeros(len(UNIT_NAMES), np.float32)


PROMPTS: Mapping[str, type[PromptEmbedder]] = {kind.kind: kind for kind in (PromptEmbedder, OneHotPrompts)}


def name_of(stage: Floats) -> str:
    """A stage (M,) in words: its strongest units, as the text encoder has learnt to read them."""
    pairs = sorted(merged_pairs(stage).items(), key=lambda pair: -pair[1])
    strongest = [name for name, weight in pairs[:NAMED] if weight > 0.2 * pairs[0][1]]
    return " and ".join(" ".join(words_of(name)) for name in strongest) or "neutral"
