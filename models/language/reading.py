"""Reading a prompt clause by clause, under the rules that `language.prompts.Grammar` writes it by.

An encoder of few layers mixes up what several clauses say: the side of one brow gets into the smile before
it. So a prompt is cut where clauses are joined; sides, degrees and denials then bind to the clause that they
stand in. What is no clause by itself (`on the left`, `and out`, `eyes and ...`) stays with its neighbour.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from ..expression import MIRROR_UNITS, UNIT_INDEX
from ..units import UNITS
from .lexicon import JOINTS, lexicon

DENIALS = (
    *("instead of", "rather than", "not at all", "do not", "don't", "isn't", "not", "no", "without"),
    *("never", "neither", "nor"),
)
STRUCTURE = JOINTS | {word for phrase in DENIALS for word in phrase.split()}
"""Words that a prompt is read by, whether the encoder has learnt them or not."""
FAINT = 0.5
"""Our choice: a weight below this share of another is a by-product beside it."""
_NO_DENIALS = (("too",), ("only",))
_OPPOSITES = [(unit.name, other) for unit in UNITS for other in unit.opposites]
_UNIT, _OPPOSITE = np.array([[UNIT_INDEX[name] for name in pair] for pair in _OPPOSITES]).T


@dataclass(frozen=True)
class Clause:
    """Words to be read by themselves; what is `denied` is not to be seen."""

    words: tuple[str, ...]
    denied: bool = False

    @property
    def text(self) -> str:
        """As the text encoder takes it, without commas at the ends."""
        return " ".join(self.words).strip(" ,")


def clauses_of(words: Sequence[str]) -> tuple[Clause, ...]:
    """The clauses of a prompt, given as the words, numbers and commas of `language.prompts.words_of`.

    One clause alone, denied or not, comes back as it was written: whole prompts are what the encoder was
    trained on.
    """
    pieces = [part for piece in _pieces(lexicon().glued(words)) for part in _denied_apart(piece)]
    told = [clause for clause in _whole_clauses(pieces) if not lexicon().is_void(clause.words)]
    return tuple(told) if len(told) > 1 else (Clause(tuple(words)),)


def together(clauses: Sequence[Clause], stages: NDArray[np.float32]) -> NDArray[np.float32]:
    """The stage (57,) of clauses with these stages (N, 57): of what they say about a unit the strongest
    counts, and what is denied is not to be seen.

    Of opposites (a lid closed and wide open) the stronger counts, too. What a clause about one side does
    there, no other clause does faintly on the other side: `tired, left brow raised` leaves the right one.
    """
    if len(clauses) == 1:
        return stages[0]
    denied = np.array([clause.denied for clause in clauses])
    shown = np.array([reduce(_taken_back, stages[denied], own) for own in stages[~denied]])
    if not len(shown):
        return np.zeros_like(stages[0])
    for own in shown:
        one_sided = np.where(own[MIRROR_UNITS] > 0.0, 0.0, own)[MIRROR_UNITS]  # mirrored to the other side
        shown = np.where(shown < FAINT * one_sided, 0.0, shown)
    stage = shown.max(axis=0, initial=0.0)
    loser = np.where(stage[_UNIT] < stage[_OPPOSITE], _UNIT, _OPPOSITE)
    stage[loser[np.minimum(stage[_UNIT], stage[_OPPOSITE]) > 0.0]] = 0.0
    return stage


def _taken_back(shown: NDArray[np.float32], refused: NDArray[np.float32]) -> NDArray[np.float32]:
    """A clause's stage (57,) without what a denied one, `refused`, has more than faintly.

    Only a narrower clause takes back from a broader one: `happy, not smiling` keeps the cheeks alone, but
    `surprised, not afraid` is all of surprise.
    """
    if _breadth(refused) >= _breadth(shown):
        return shown
    return np.where(refused > FAINT * shown, np.float32(0.0), shown)


def _breadth(stage: NDArray[np.float32]) -> float:
    """How many units a stage (57,) is made of, effectively."""
    squares = float(np.square(stage).sum())
    return float(stage.sum()) ** 2 / squares if squares > 0.0 else 0.0


def _pieces(words: Sequence[str]) -> list[Clause]:
    """The words between joints, each piece but the first with the joint before it; a denial holds across
    `or`, and waits for what it denies.
    """
    pieces: list[tuple[str, ...]] = [()]
    for word in words:
        if word in JOINTS and not all(other in STRUCTURE for other in pieces[-1]):
            pieces.append(())
        pieces[-1] += (word,)
    clauses: list[Clause] = []
    for piece in pieces:
        carried = bool(clauses) and clauses[-1].denied and piece[:1] == ("or",)
        clauses.append(Clause(piece, carried or _denial(piece) is not None))
    return clauses


def _denied_apart(piece: Clause) -> Iterator[Clause]:
    """`eyes closed not smiling` is two clauses, `mouth is not open` one that is denied.

    Where neither side of the denial is a clause, it is an idiom (`could not care less`), left as it is.
    """
    where = _denial(piece.words)
    if where is None:
        yield piece
        return
    before, after = piece.words[: where[0]], piece.words[where[1] :]
    if lexicon().is_clause(before):
        yield Clause(before)
        before = ()
    rest = (*before, *after)
    is_idiom = not lexicon().is_clause(rest) and not all(word in STRUCTURE for word in before)
    yield Clause(piece.words) if is_idiom else Clause(rest, denied=True)


def _denial(words: Sequence[str]) -> tuple[int, int] | None:
    """Where the first denial begins and ends; `not too` and `not only` are none."""
    for begin in range(len(words)):
        for denial in DENIALS:
            end = begin + len(denial.split())
            if tuple(words[begin:end]) == tuple(denial.split()) and words[end : end + 1] not in _NO_DENIALS:
                return begin, end
    return None


def _whole_clauses(pieces: Sequence[Clause]) -> list[Clause]:
    """Pieces that are no clauses joined to the one before them, or to the next where there is none."""
    joined: list[Clause] = []
    for piece in pieces:
        whole = lexicon().is_clause(piece.words) or (piece.denied and not lexicon().is_void(piece.words))
        waits = bool(joined) and not lexicon().is_clause(joined[-1].words)
        if joined and joined[-1].denied == piece.denied and (waits or not whole):
            joined[-1] = replace(joined[-1], words=joined[-1].words + piece.words)
        else:
            joined.append(piece)
    return [replace(clause, words=_without_joint(clause.words)) for clause in joined]


def _without_joint(words: tuple[str, ...]) -> tuple[str, ...]:
    while words and words[0] in JOINTS:
        words = words[1:]
    return words
