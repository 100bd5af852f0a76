"""Skin that ExpDiff generates, as a job of maps wants it: with creases of one person's own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..appearance import Appearance, AppearanceResult
from ..diffusion import OnStep
from ..errors import InputError
from ..head import Head
from ..uv_maps import Window
from .brdf_maps import BrdfMaps

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class GeneratedSkin:
    """`Appearance.generate`, the same person's creases in every call."""

    appearance: Appearance
    seed: int = 0  # whose they are
    personal: float = 1.0  # how far they are that person's own: at 0, the mean over people

    def __post_init__(self) -> None:
        """Raises InputError for a share that is none."""
        if not 0.0 <= self.personal <= 1.0:
            raise InputError(f"Wrinkles are personal from 0 to 1, not {self.personal}.")

    @property
    def head(self) -> Head:
        """The topology that it knows."""
        return self.appearance.head

    @property
    def size(self) -> int:
        """Side of its maps."""
        return self.appearance.size

    @property
    def window(self) -> Window:
        """What its maps show of the UV tile."""
        return self.appearance.window

    def generate(
        self,
        neutral_maps: BrdfMaps | Floats,
        neutral_vertices: Floats,
        signal: Floats | None,
        *,
        deformation: Floats | None = None,
        on_step: OnStep | None = None,
    ) -> AppearanceResult:
        """Maps and vertices of K frames."""
        return self.appearance.generate(
            neutral_maps,
            neutral_vertices,
            signal,
            seed=self.seed,
            noise_scale=self.personal,
            deformation=deformation,
            on_step=on_step,
        )
