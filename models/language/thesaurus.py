"""The words people have for faces, read from TOML files, and their inflection."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Part:
    """How a part of the face is called: `both` sides, and the `one` at `{s}` (empty: it has no sides)."""

    both: tuple[str, ...]
    one: tuple[str, ...]


@dataclass(frozen=True)
class Motion:
    """A motion of one part of the face, and how it is put into words.

    `stage` names units and pairs; halves follow the side that is spoken of. `verbs` are done to one of
    `parts`, `happens` is what that does itself, `states` is what it is; `acts` is what the person does,
    `things` what is seen. `phrases` say it all, for both sides.
    """

    stage: Mapping[str, float]
    parts: tuple[str, ...]
    verbs: tuple[str, ...]
    happens: tuple[str, ...]
    states: tuple[str, ...]
    acts: tuple[str, ...]
    things: tuple[str, ...]
    phrases: tuple[str, ...]


@dataclass(frozen=True)
class Word:
    """A word and how strongly it means its expression: `furious` is 1.2 of anger."""

    text: str
    strength: float


@dataclass(frozen=True)
class Mood:
    """How an expression is put into words: how somebody is, what shows, what somebody does, and whole."""

    adjectives: tuple[Word, ...]
    nouns: tuple[Word, ...]
    acts: tuple[Word, ...]
    phrases: tuple[str, ...]


@dataclass(frozen=True)
class Directed:
    """A part that goes to one side as a whole: its names, as one phrase, and what it or the person does."""

    names: str
    verbs: tuple[str, ...]


@dataclass(frozen=True)
class Gaze:
    """Where the eyes go: `towards` what, as one phrase, and what else it is called."""

    towards: str
    phrases: tuple[str, ...]


@dataclass(frozen=True)
class Degree:
    """How much, `weight` times, and the adverbs and adjectives that say so."""

    weight: float
    adverbs: tuple[str, ...]
    adjectives: tuple[str, ...]


@dataclass(frozen=True)
class Thesaurus:
    """Everything there is to say. Keys of `moods` and `gazes` are names of `presets.EXPRESSIONS`."""

    parts: Mapping[str, Part]
    motions: tuple[Motion, ...]
    directed: Mapping[str, Directed]
    gaze_verbs: tuple[str, ...]
    gazes: Mapping[str, Gaze]
    moods: Mapping[str, Mood]
    neutral: tuple[str, ...]
    joints: tuple[str, ...]
    frames: tuple[str, ...]
    denied: tuple[str, ...]
    denied_after: tuple[str, ...]
    degrees: tuple[Degree, ...]


@cache
def thesaurus() -> Thesaurus:
    """The thesaurus that comes with Dimple."""
    motions, moods, frames = (
        tomllib.loads((HERE / f"{name}.toml").read_text(encoding="utf-8"))
        for name in ("motions", "moods", "frames")
    )
    gaze = dict(motions["gaze"])
    gaze_verbs = _split(gaze.pop("verbs"))
    return Thesaurus(
        parts={n: Part(tuple(p["both"]), tuple(p.get("one", ()))) for n, p in motions["parts"].items()},
        motions=tuple(_motion(row) for row in motions["motions"]),
        directed={n: Directed(row["names"], _split(row["verbs"])) for n, row in motions["directed"].items()},
        gaze_verbs=gaze_verbs,
        gazes={n: Gaze(row["towards"], tuple(row["phrases"])) for n, row in gaze.items()},
        moods={n: _mood(row) for n, row in moods["moods"].items()},
        neutral=tuple(moods["neutral"]),
        joints=tuple(frames["joints"]),
        frames=tuple(frames["frames"]),
        denied=tuple(frames["denied"]),
        denied_after=tuple(frames["denied_after"]),
        degrees=tuple(
            Degree(row["weight"], tuple(row["adverbs"]), tuple(row["adjectives"]))
            for row in frames["degrees"]
        ),
    )


def _motion(row: Mapping[str, Any]) -> Motion:
    kinds = ("verbs", "happens", "states", "acts", "things")
    verbs, happens, states, acts, things = (_split(row.get(kind, "")) for kind in kinds)
    parts, phrases = tuple(row.get("parts", ())), tuple(row.get("phrases", ()))
    return Motion(row["stage"], parts, verbs, happens, states, acts, things, phrases)


def _mood(row: Mapping[str, Any]) -> Mood:
    adjectives, nouns, acts = (
        tuple(_weighed(word) for word in row.get(kind, "").split())
        for kind in ("adjectives", "nouns", "acts")
    )
    return Mood(adjectives, nouns, acts, tuple(row.get("phrases", ())))


def _split(words: str) -> tuple[str, ...]:
    return tuple(word.replace("_", " ") for word in words.split())


def _weighed(word: str) -> Word:
    text, _, strength = word.partition(":")
    return Word(text.replace("_", " "), float(strength or 1.0))


_CHOICE = re.compile(r"\(([^()]*)\)")


def expand(phrase: str, rng: Random) -> str:
    """One way to say `phrase`: of every `(one|other)`, and of the whole, one alternative."""
    while "(" in phrase:
        phrase = _CHOICE.sub(lambda found: rng.choice(found[1].split("|")), phrase)
    return rng.choice(phrase.split("|"))


_PAST: Mapping[str, str] = {
    "draw": "drawn", "shoot": "shot", "rise": "risen", "go": "gone", "fall": "fallen", "hang": "hung",
    "sink": "sunk", "shut": "shut", "spread": "spread", "bring": "brought", "come": "come", "grow": "grown",
    "meet": "met", "stick": "stuck", "thrust": "thrust", "weep": "wept", "bend": "bent", "think": "thought",
    "swing": "swung", "blow": "blown", "sleep": "slept", "knit": "knit", "half-shut": "half-shut",
}  # fmt: skip
_DOUBLED = frozenset(
    (
        "drop",
        "tug",
        "drag",
        "jut",
        "sag",
        "pop",
        "grin",
        "sob",
        "nod",
        "beg",
        "gag",
        "plot",
        "flag",
        "knit",
        "shut",
    )
)


def verb_forms(verb: str) -> tuple[str, str, str, str]:
    """`pull:up` -> pull, pulls, pulling, pulled: what comes after the colon is left out."""
    base = verb.partition(":")[0]
    stem = base + base[-1] if base.rpartition("-")[2] in _DOUBLED else base
    if base.endswith("y") and base[-2] not in "aeiou":
        return base, base[:-1] + "ies", base + "ing", base[:-1] + "ied"
    third = base + ("es" if base.endswith(("s", "sh", "ch", "x", "o")) else "s")
    if base.endswith("e"):
        return base, third, base[:-1] + "ing", _PAST.get(base, base + "d")
    return base, third, stem + "ing", _PAST.get(base, stem + "ed")


def adverb(adjective: str) -> str:
    """`angry` -> angrily. Not for phrases of several words."""
    if adjective.endswith("y"):
        return adjective[:-1] + "ily"
    if adjective.endswith("ic"):
        return adjective + "ally"
    return adjective[:-1] + "y" if adjective.endswith("le") else adjective + "ly"


def joined(words: Sequence[str]) -> str:
    """The words with single blanks between them, empty ones left out."""
    return " ".join(word for word in words if word)
