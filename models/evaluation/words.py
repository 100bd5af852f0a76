"""How well words are understood: phrasings with the stages that were meant by them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..expression import UNIT_NAMES
from ..language.prompts import words_of
from ..language.reading import clauses_of
from ..presets import preset_stage
from ..words import Expressed, Words

STILL = 0.2
"""A face on which no unit weighs more than this counts as neutral, where a neutral face was meant."""


@dataclass(frozen=True)
class Phrasing:
    """A prompt and the stage (57,) that was meant."""

    prompt: str
    stage: NDArray[np.float32]


@dataclass(frozen=True)
class Judgement:
    """Of one phrasing: cosine to the stage meant, and whether the strongest unit is a strongest one meant.

    Where a neutral face was meant, both say whether the face is still.
    """

    prompt: str
    cosine: float
    top_unit_right: bool
    unknown_words: tuple[str, ...]


def read_phrasings(path: Path) -> tuple[Phrasing, ...]:
    """Read `[{"prompt": "...", "stage": ["smirk=0.5", "jawOpen"]}, ...]`; no stage for a neutral face."""
    rows = json.loads(path.read_text(encoding="utf-8"))
    still = np.zeros(len(UNIT_NAMES), np.float32)
    return tuple(Phrasing(r["prompt"], preset_stage(r["stage"]) if r["stage"] else still) for r in rows)


def judge(words: Words, phrasings: Sequence[Phrasing], *, whole: bool = False) -> tuple[Judgement, ...]:
    """Express every phrasing and compare; `whole` reads prompts as one clause, for comparison.

    A prompt that is refused raises InputError.
    """
    return tuple(_judged(words.express(p.prompt, whole=whole), p) for p in phrasings)


def _judged(expressed: Expressed, phrasing: Phrasing) -> Judgement:
    stage, meant = expressed.stage, phrasing.stage
    if not meant.any():
        right = bool(stage.max() <= STILL)
        return Judgement(phrasing.prompt, float(right), right, expressed.unknown_words)
    lengths = float(np.linalg.norm(stage) * np.linalg.norm(meant))
    cosine = float(stage @ meant) / lengths if lengths > 0.0 else 0.0
    right = bool(stage.any()) and bool(np.isclose(meant[int(stage.argmax())], meant.max(), atol=1e-6))
    return Judgement(phrasing.prompt, cosine, right, expressed.unknown_words)


def kinds_of(phrasing: Phrasing) -> tuple[str, ...]:
    """What a phrasing is an example of."""
    said = words_of(phrasing.prompt)
    clauses = clauses_of(said)
    kinds = ["all", "one clause" if len(clauses) == 1 else "several clauses"]
    if {"left", "right"} & set(said):
        kinds.append("one side")
    if any(clause.denied for clause in clauses) or not phrasing.stage.any():
        kinds.append("denied or neutral")
    return tuple(kinds)


def evaluate(words: Words, phrasings: Sequence[Phrasing]) -> dict[str, dict[str, dict[str, float]]]:
    """{kind: {"clauses" or "whole": summary}}: read clause by clause, and as a whole for comparison."""
    kinds = [kinds_of(phrasing) for phrasing in phrasings]
    found: dict[str, dict[str, dict[str, float]]] = {kind: {} for row in kinds for kind in row}
    for name, whole in (("clauses", False), ("whole", True)):
        judgements = judge(words, phrasings, whole=whole)
        for kind, ways in found.items():
            of_kind = [j for j, row in zip(judgements, kinds, strict=True) if kind in row]
            ways[name] = summary(of_kind)
    return found


def summary(judgements: Sequence[Judgement]) -> dict[str, float]:
    """Mean cosine, share of right strongest units, and share of prompts with words not known."""
    return {
        "phrasings": len(judgements),
        "cosine": float(np.mean([judgement.cosine for judgement in judgements])),
        "top_unit_right": float(np.mean([judgement.top_unit_right for judgement in judgements])),
        "with_unknown_words": float(np.mean([bool(judgement.unknown_words) for judgement in judgements])),
    }
