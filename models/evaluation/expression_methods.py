"""What the methods of the expression table are asked, and how they answer: all in model space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..alignment import Similarity, similarity_to
from ..animate_me import AnimateMe, Sampler
from ..corpus.deformation_transfer import DeformationTransfer
from ..expression import parse_expression
from ..head import Head
from .baselines import intensity_along
from .ground_truth import Request

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Question:
    """One animation to make, of a head that is aligned with the mean person."""

    label: int  # of the labels of the table
    neutral: Floats  # (V, 3) skin, mm
    signal: Floats  # (K, M)
    intensity: Floats  # (K,) of the label along the signal, global scaling
    similarity: Similarity  # of the person's own space to model space

    @classmethod
    def of(cls, request: Request, head: Head, labels: Sequence[str]) -> Question:
        """The question that a request of the corpus puts."""
        similarity = similarity_to(head.neutral_vertices[: head.skin_vertices], request.neutral)
        intensity, _ = intensity_along(request.signal, parse_expression(request.label))
        label = list(labels).index(request.label)
        return cls(label, similarity.apply(request.neutral), request.signal, intensity, similarity)

    def with_apex(self, intensity: float) -> Question:
        """The same progression, scaled to another intensity at the last frame."""
        factor = np.float32(intensity / self.intensity[-1])
        return replace(self, signal=factor * self.signal, intensity=factor * self.intensity)


class Method(Protocol):
    """A row of the table."""

    @property
    def stochastic(self) -> bool:
        """Whether another seed gives another animation."""
        ...

    def answer(self, question: Question, count: int, seed: int) -> Floats:
        """(count, K, V, 3) mm; a method without chance answers once whatever the count."""
        ...


@dataclass(frozen=True)
class LinearBlendshape:
    """The label's mean shape over the training people, times the intensity."""

    shapes: Mapping[int, Floats]  # label -> (V, 3) at intensity 1
    transfer: DeformationTransfer | None = None  # re-solves the shapes on each person
    stochastic: bool = False

    def answer(self, question: Question, count: int, seed: int) -> Floats:
        """As Method.answer."""
        shape = self.shapes[question.label]
        if self.transfer is not None:
            place = list(self.shapes).index(question.label) - len(self.shapes)
            shape = self.transfer(question.neutral)[place]
        return (question.intensity[:, None, None] * shape)[None]


@dataclass(frozen=True)
class Ours:
    """AnimateMe, asked for the signal itself or for one of the paper's variants of it (section 4.1)."""

    model: AnimateMe
    preset: Sampler
    apex: tuple[float, float] | None = None  # range that the intensity of the apex is drawn from
    stochastic: bool = True

    def answer(self, question: Question, count: int, seed: int) -> Floats:
        """As Method.answer."""
        random = np.random.default_rng([seed, 1])
        animations: list[Floats] = []
        for number in range(count):
            asked = question if self.apex is None else question.with_apex(random.uniform(*self.apex))
            animations.append(
                self.model.animate_skin(asked.neutral, asked.signal, seed + number, preset=self.preset)
            )
        return np.stack(animations)
