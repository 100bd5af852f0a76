"""How people really move whom no model was trained on: requests, and true answers to them.

A request is a neutral face and an expression signal. Many performances fulfil it: people differ from
themselves in style. Besides the one that a model is compared with, a request therefore comes with
``others``, further performances by the same person of the very same signal. Their mean is the best that
can be known (the noise floor), their spread the diversity that a generative model should have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..corpus.face_model import FaceModel
from ..corpus.frames import IntensityScale, extremeness, preset, sequence
from ..corpus.people import SPLIT_SEEDS, Person, make_person, personal_gains
from ..corpus.performance import Performance, draw_performance
from .baselines import intensity_along

Floats = NDArray[np.float32]

STRENGTH_ROUNDS = 2
"""Extremeness is nearly proportional to strength: two corrections are enough."""
LOOKALIKES = 12
"""People with the same face that a request is put to, to see how various the truth is to somebody who knows
the face only."""
PEOPLE_KEPT = 32
"""At 5 MB of shapes each; requests come label by label or person by person."""


@dataclass(frozen=True)
class Request:
    """One animation to make, with the true answer; skin only, mm in the person's own space."""

    person: int
    label: str
    neutral: Floats  # (V, 3)
    signal: Floats  # (K, M) neutral at the first frame, apex at the last
    truth: Floats  # (K, V, 3) the performance that the signal was read from
    others: Floats  # (N, K, V, 3) other performances of the same signal by the same person
    lookalikes: Floats  # (N, K, V, 3) the same signal by people with this face but habits of their own


class GroundTruth(Protocol):
    """A corpus that can be asked for true performances."""

    def request(self, person: int, label: str, others: int, seed: int) -> Request:
        """The performance ``seed`` of a label by test person number ``person``, and ``others`` more."""
        ...


class SyntheticPeople:
    """People of the 4D corpus that ``models.corpus`` makes from ICT-FaceKit; by default those of the test."""

    def __init__(
        self, model: FaceModel, scale: IntensityScale, split: str = "test", lookalikes: int = LOOKALIKES
    ) -> None:
        self.model, self.scale, self.lookalikes = model, scale, lookalikes
        self.person = lru_cache(PEOPLE_KEPT)(lambda index: make_person(SPLIT_SEEDS[split] + index, model))

    def request(self, person: int, label: str, others: int, seed: int) -> Request:
        """As ``GroundTruth.request``."""
        face = self.person(person)
        random = np.random.default_rng([seed, person, *label.encode()])
        truth, signal = sequence(face, label, random, self.scale)
        intensity, _ = intensity_along(signal, preset(label))
        again = [self._perform(face, label, intensity, random) for _ in range(others)]
        alike = [
            self._perform(_lookalike(face, random), label, intensity, random) for _ in range(self.lookalikes)
        ]
        shape = (-1, *truth.shape)
        return Request(
            person, label, face.neutral, signal, truth, np.reshape(again, shape), np.reshape(alike, shape)
        )

    def _perform(self, person: Person, label: str, intensity: Floats, random: np.random.Generator) -> Floats:
        """(K, V, 3) in another style, but with this intensity (K,): as extreme, and as far at every frame."""
        style = int(random.integers(2**31))

        def performance(strength: float) -> Performance:
            return draw_performance(strength * preset(label), np.random.default_rng(style))

        strength = float(intensity[-1])
        for _ in range(STRENGTH_ROUNDS):
            apex = extremeness(person, person.deform(performance(strength).weights[-1:]))[0]
            strength *= float(intensity[-1] * self.scale.reference[label] / apex)
        found = performance(strength)
        moments = np.interp(intensity / intensity[-1], found.progression, np.arange(len(intensity)))
        return at_moments(person.deform(found.weights), moments)


def _lookalike(person: Person, random: np.random.Generator) -> Person:
    """Somebody with the same neutral face, hence the same to a model, who moves it by habits of their own."""
    gains = personal_gains(person.identity.coefficients, random)
    return Person(person.model, replace(person.identity, gains=gains))


def at_moments(deformation: Floats, moments: NDArray[np.floating]) -> Floats:
    """(K', ...) an animation (K, ...) at fractional frame numbers (K',), linear in between."""
    before = np.minimum(moments.astype(int), len(deformation) - 2)
    share = (moments - before).reshape(-1, *(1,) * (deformation.ndim - 1))
    between = (1 - share) * deformation[before] + share * deformation[before + 1]
    return between.astype(np.float32)


def balanced_pairs(people: int, labels: Sequence[str], people_per_label: int) -> list[tuple[int, str]]:
    """(person, label) pairs in which every label is shown by ``people_per_label`` people, taken in turn."""
    return [
        ((number * people_per_label + turn) % people, label)
        for number, label in enumerate(labels)
        for turn in range(people_per_label)
    ]
