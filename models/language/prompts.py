"""Prompts: clauses joined, negated and framed as people write them, with the stage that they mean."""

import re
from collections.abc import Iterable, Sequence
from random import Random

import numpy as np

from ..expression import MAX_WEIGHT, UNIT_NAMES
from .clause import Clause, Stage, Voice
from .codes import action_unit_clause, unit_clause
from .feelings import mood_clause, tinted_clause
from .motions import directed_clause, gaze_clause, motion_clause
from .thesaurus import expand, joined, thesaurus

_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?|\d+(?:\.\d+)?|[%,]")

_KINDS = {
    motion_clause: 42,
    mood_clause: 34,
    gaze_clause: 7,
    directed_clause: 6,
    tinted_clause: 5,
    unit_clause: 4,
    action_unit_clause: 3,
}
NEUTRAL = np.zeros(len(UNIT_NAMES), np.float32)


def words_of(text: str) -> list[str]:
    """The words, numbers and commas of a prompt in lower case: what the text encoder sees, joined by blanks.

    Names written in camel case come apart, as do hyphens; other punctuation counts as a comma between clauses
    or as nothing.
    """
    apart = _CAMEL.sub(" ", text.replace("\u2019", "'"))
    apart = re.sub(r"[;:.!?\n]+(?=\s|$)", " , ", apart.replace("&", " and ").replace("+", " and "))
    words = _WORD.findall(apart.lower())
    kept = [word for i, word in enumerate(words) if word != "," or (i > 0 and words[i - 1] != ",")]
    return kept[:-1] if kept[-1:] == [","] else kept


class Grammar:
    """Draws prompts. The same seed draws the same ones."""

    def __init__(self, seed: int) -> None:
        self.voice = Voice(Random(seed), thesaurus())

    def clause(self) -> Clause:
        """A clause of any kind, kinds weighed by how much there is to say with them."""
        kind = self.voice.rng.choices(tuple(_KINDS), tuple(_KINDS.values()))[0]
        return kind(self.voice)

    def prompt(self, simple: float = 0.0) -> tuple[str, Stage]:
        """A prompt of one to five clauses, as `words_of` leaves it, and its stage (57,).

        `simple` is the share of prompts that are one clause and nothing else. Of what several clauses say
        about a unit the strongest counts; what is negated is not to be seen at all.
        """
        rng = self.voice.rng
        if rng.random() < simple:
            clause = self.clause()
            return joined(words_of(clause.text)), clause.stage
        if rng.random() < 0.02:
            return self._framed(expand(rng.choice(self.voice.words.neutral), rng), NEUTRAL)
        count = rng.choices((1, 2, 3, 4, 5), (50, 29, 14, 5, 2))[0]
        clauses = [self.clause() for _ in range(count)]
        if count == 1 and rng.random() < 0.05:
            return self._framed(rng.choice(self.voice.words.denied).format(clauses[0].text), NEUTRAL)
        text = self._joined(clauses)
        stage = np.max([clause.stage for clause in clauses], axis=0)
        if rng.random() < 0.07:
            denied = self.clause()
            text += rng.choice(self.voice.words.denied_after).format(denied.text)
            stage = np.where(denied.stage > 0.0, np.float32(0.0), stage)
        return self._framed(text, stage)

    def _joined(self, clauses: Sequence[Clause]) -> str:
        rng = self.voice.rng
        text = clauses[0].text
        for clause in clauses[1:]:
            joint = " with " if clause.noun and rng.random() < 0.25 else rng.choice(self.voice.words.joints)
            text += joint + clause.text
        return text

    def _framed(self, text: str, stage: Stage) -> tuple[str, Stage]:
        framed = expand(self.voice.rng.choice(self.voice.words.frames), self.voice.rng).format(text)
        return joined(words_of(framed)), np.minimum(stage, np.float32(MAX_WEIGHT))


def vocabulary(prompts: Iterable[str]) -> frozenset[str]:
    """Every word of some prompts of the grammar, and of all phrases of the thesaurus."""
    words = {word for prompt in prompts for word in prompt.split()}
    said = thesaurus()
    rows = (*said.motions, *said.moods.values(), *said.gazes.values())
    chance = Random(0)
    for phrase in (*(phrase for row in rows for phrase in row.phrases), *said.neutral):
        words.update(word for _ in range(24) for word in words_of(expand(phrase, chance)))
    return frozenset(word for word in words if word[0].isalpha())
