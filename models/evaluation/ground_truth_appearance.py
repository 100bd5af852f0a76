"""How the skin of people really changes whom no model was trained on: requests, and true answers to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..authored.skin import BrdfMaps, SkinPainter
from ..authored.skin_regions import SkinAtlas
from ..authored.skin_traits import draw_skin
from ..corpus.face_model import FaceModel
from ..corpus.people import SPLIT_SEEDS, Person, make_person
from ..expression import UNIT_INDEX, UNIT_NAMES
from ..head import Head
from ..upscale import stack
from ..uv_maps import UVLayout

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class SkinRequest:
    """A person at rest and what to show, with the true answer; maps in the layout's window, mm."""

    person: int
    unit: str
    neutral: Floats  # (V, 3) the skin at rest, in the person's own space
    stages: Floats  # (K, M)
    deformation: Floats  # (K, V, 3) the truth
    neutral_maps: Tensor  # (8, S, S)
    neutral_height: Floats  # (S, S) mm of relief at rest
    maps: Tensor  # (K, 8, S, S) the truth


class SkinTruth(Protocol):
    """People who can be asked how their skin changes, and where their maps lie."""

    head: Head
    layout: UVLayout

    def request(self, person: int, unit: str, weights: Sequence[float] = (1.0,)) -> SkinRequest:
        """Person number ``person`` showing a unit at these weights (K,), as he or she does."""
        ...


class PaintedPeople:
    """The test people of the 4D corpus in authored skin."""

    def __init__(self, model: FaceModel, head: Head, layout: UVLayout, split: str = "test") -> None:
        self.model, self.head, self.layout, self.split = model, head, layout, split
        self.painted = lru_cache(2)(self._painted)

    @cached_property
    def atlas(self) -> SkinAtlas:
        """Where on the layout which kind of skin is."""
        return SkinAtlas.of(self.head, self.layout)

    def request(self, person: int, unit: str, weights: Sequence[float] = (1.0,)) -> SkinRequest:
        """As ``SkinTruth.request``."""
        face, painter = self.painted(person)
        stages = np.zeros((len(weights), len(UNIT_NAMES)), np.float32)
        stages[:, UNIT_INDEX[unit]] = weights
        deformation = face.deform(stages)
        rest = painter.neutral()
        shown = [stacked(painter.frame(face.neutral + frame)) for frame in deformation]
        return SkinRequest(
            person,
            unit,
            face.neutral,
            stages,
            deformation,
            stacked(rest),
            rest.height[..., 0],
            torch.stack(shown),
        )

    def _painted(self, person: int) -> tuple[Person, SkinPainter]:
        seed = SPLIT_SEEDS[self.split] + person
        face = make_person(seed, self.model)
        return face, SkinPainter(self.atlas, face.neutral, draw_skin(seed))


def stacked(maps: BrdfMaps) -> Tensor:
    """(8, S, S)."""
    return stack(
        {"albedo": maps.albedo, "specular": maps.specular, "roughness": maps.roughness, "normal": maps.normal}
    )
