"""Which known word a misspelt one was meant to be."""

from collections.abc import Iterable

SHORTEST = 4
"""Letters below which a word is not mended: too many others are one slip away."""


def closest_word(word: str, known: Iterable[str]) -> str | None:
    """The known word that `word` is a slip or an ending away from, or None.

    One slip (a letter missing, added, changed, or two swapped) is forgiven, two from eight letters on. Longer
    words may also share a stem of five letters and differ in a short ending, as `smilingly` and `smiling` do.
    The first letter must be right.
    """
    if len(word) < SHORTEST:
        return None
    slips = 1 if len(word) < 8 else 2
    candidates = [
        (distance, abs(len(other) - len(word)), other)
        for other in known
        if other[0] == word[0]
        and len(other) >= SHORTEST
        and abs(len(other) - len(word)) <= slips
        and (distance := slips_between(word, other)) <= slips
    ]
    if candidates:
        return min(candidates)[2]
    stems = [
        (-_shared(word, other), len(other), other)
        for other in known
        if _shared(word, other) >= 5 and max(len(word), len(other)) - _shared(word, other) <= 4
    ]
    return min(stems)[2] if stems else None


def slips_between(one: str, other: str) -> int:
    """Letters to add, drop, change or swap with their neighbour (optimal string alignment distance)."""
    before: list[int] = []
    last = list(range(len(other) + 1))
    for i, a in enumerate(one, start=1):
        row = [i]
        for j, b in enumerate(other, start=1):
            least = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and b == one[i - 2]:
                least = min(least, before[j - 2] + 1)
            row.append(least)
        before, last = last, row
    return last[-1]


def _shared(one: str, other: str) -> int:
    """Letters that two words begin with in common."""
    return next(
        (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
