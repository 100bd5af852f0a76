"""Which kinds of words there are in the thesaurus: what a clause about a face is made of."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from .thesaurus import adverb, thesaurus, verb_forms

JOINTS = frozenset((",", "and", "but", "with", "while", "plus", "or", "nor"))
SIDES = frozenset(("left", "right"))
# fmt: off
EMPTY = frozenset((
    "a", "an", "the", "of", "on", "in", "at", "to", "is", "are", "be", "was", "with", "and", "or", "but",
    "while", "his", "her", "my", "your", "it", "its", "he", "she", "they", "them", "him", "i", "you", "we",
    "this", "that", "for", "from", "as", "by", "so", "not", "no", "man", "woman", "person", "girl", "boy",
    "face", "expression", "character", "please",
))
# fmt: on
"""Words that say nothing of a face by themselves."""

_PARTICLES = frozenset(
    ["side", "only", "just", "one", "both", "also", "then", "together", "up", "down", "in", "out"]
)
_LOWER = frozenset(("lip", "lips", "lid", "lids", "eyelid", "eyelids", "jaw"))
"""Parts there is a lower one of: before them, `lower` is no verb."""
_JOINED = JOINTS | {"not", "no", "without", "never"}


@dataclass(frozen=True)
class Lexicon:
    """Words by what they need: `predicates` need one of `parts`, `degrees` need anything else.

    `directed` are the parts that go to one side as a whole, `standing` feelings and acts, whatever else the
    words may be, `void` what prompts are framed with; `phrases` are known as wholes, joints and all.
    """

    parts: frozenset[str]
    directed: frozenset[str]
    predicates: frozenset[str]
    degrees: frozenset[str]
    standing: frozenset[str]
    void: frozenset[str]
    phrases: tuple[re.Pattern[str], ...]

    def is_void(self, words: Sequence[str]) -> bool:
        """Whether there is nothing but `a woman with` and the like."""
        return all(word in self.void or not word[0].isalnum() for word in words)

    def is_clause(self, words: Sequence[str]) -> bool:
        """Whether the words mean something by themselves: an act, a feeling, or a part and what it does."""
        part = predicate = False
        for i, word in enumerate(words):
            following = words[i + 1] if i + 1 < len(words) else ""
            if word in self.standing or " " in word:
                return True
            if word in self.parts:
                part = True
            elif word in SIDES:
                # `jaw to the left` says where the jaw goes, `left jaw` which half of it is meant
                predicate |= any(earlier in self.directed for earlier in words[:i])
            elif word in self.predicates:
                predicate |= word != "lower" or following not in _LOWER
            elif word[0].isalpha() and word not in self.degrees | self.void | _PARTICLES:
                return True
        return part and predicate

    def glued(self, words: Sequence[str]) -> list[str]:
        """The words, those of a known phrase as one: `boiling with anger`."""
        text = f" {' '.join(words)} "
        spans = sorted({found.span() for phrase in self.phrases for found in phrase.finditer(text)})
        glued: list[str] = []
        end = 0
        for begin, until in spans:
            if begin >= end:
                glued += [*text[end:begin].split(), text[begin:until].strip()]
                end = until
        return glued + text[end:].split()


@cache
def lexicon() -> Lexicon:
    """The lexicon of the thesaurus that comes with Dimple."""
    said = thesaurus()
    moods = said.moods.values()
    names = _words(name for part in said.parts.values() for name in (*part.both, *part.one))
    verbs = [verb for motion in said.motions for verb in (*motion.verbs, *motion.happens)]
    states = [state for motion in said.motions for state in motion.states]
    acts = [act for motion in said.motions for act in motion.acts]
    mood_acts = [act.text.replace(" ", ":", 1) for mood in moods for act in mood.acts]
    adjectives = [word.text for mood in moods for word in mood.adjectives]
    manners = [adverb(text) for text in adjectives if text.isalpha()]
    nouns = [word.text for mood in moods for word in mood.nouns]
    things = [thing for motion in said.motions for thing in motion.things if " " not in thing]
    phrases = [phrase for row in (*said.motions, *moods, *said.gazes.values()) for phrase in row.phrases]

    common = EMPTY | JOINTS | _PARTICLES | SIDES
    standing = (
        _words((*adjectives, *manners, *nouns, *things, *map(_inflected, (*acts, *mood_acts)))) - common
    )
    predicates = _words((*states, *map(_inflected, verbs)))
    directed = _words(row.names for row in said.directed.values()) | {"eye", "eyes", "gaze"}
    content = standing | predicates | names | _words(said.gaze_verbs)
    degrees = _words(word for row in said.degrees for word in (*row.adverbs, *row.adjectives))
    return Lexicon(
        parts=names - predicates - common,
        directed=directed - common,
        predicates=(predicates - standing - EMPTY - JOINTS),
        degrees=degrees - standing,
        standing=standing,
        void=EMPTY | JOINTS | (_words(said.frames) - content),
        phrases=tuple(_pattern(phrase) for phrase in (*phrases, *said.neutral) if _words([phrase]) & _JOINED),
    )


def _words(texts: Iterable[str]) -> frozenset[str]:
    return frozenset(word for text in texts for word in re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)?", text))


def _inflected(verb: str) -> str:
    """All forms of a verb and what comes after it."""
    return " ".join((*verb_forms(verb), *verb.split(":")))


def _pattern(phrase: str) -> re.Pattern[str]:
    """The alternatives of a phrase as a regular expression over words between single blanks."""
    alternatives = re.sub(r"\s+", " *", phrase.replace("-", " ").replace(",", " ,"))
    return re.compile(rf"(?<= )(?:{alternatives})(?= )")
