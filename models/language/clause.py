"""A clause about a face, and the voice that all clauses are spoken with: degrees, sides, chance."""

from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray

from ..units import SIDES
from .thesaurus import Thesaurus, expand

Stage = NDArray[np.float32]

UNSAID = 0.65
"""How often nothing is said of the degree."""


@dataclass(frozen=True)
class Clause:
    """Words and the stage (57,) they mean. `noun`: they can follow `with`."""

    text: str
    stage: Stage
    noun: bool = False


@dataclass(frozen=True)
class Spoken:
    """A weight, with the adverb and the adjective that say it; both empty where nothing is said."""

    weight: float
    adverb: str
    adjective: str

    def said_in(self, text: str) -> float:
        """The weight, or 1 where `text` came out without it."""
        said = any(words and f" {words} " in f" {text} " for words in (self.adverb, self.adjective))
        return self.weight if said else 1.0


@dataclass(frozen=True)
class Voice:
    """Chance and the thesaurus. The same state of `rng` says the same."""

    rng: Random
    words: Thesaurus

    def say(self, frames: str) -> str:
        """One of the `frames`, with single blanks."""
        return " ".join(expand(frames, self.rng).split())

    def degree(self) -> Spoken:
        """How much, in words; two times in three, nothing is said of it."""
        if self.rng.random() < UNSAID:
            return Spoken(1.0, "", "")
        row = self.rng.choice(self.words.degrees)
        return Spoken(row.weight, self.rng.choice(row.adverbs), self.rng.choice(row.adjectives))

    def on_side(self, side: str) -> str:
        """`on the left side` and its like, or nothing for both sides."""
        if not side:
            return ""
        return expand(
            f"on the {side}|on the {side} side|on the {side}|to the {side}|{side}|, {side} side|{side} side"
            f"|on (his|her) {side} side|only on the {side}|, on the {side} only|on the {side} side only",
            self.rng,
        )


def half(stage: Stage, side: str) -> Stage:
    """The `left` or `right` half of a stage with what lies in the middle, or, without a side, all of it."""
    return stage * (SIDES[side] | SIDES["middle"]) if side else stage
