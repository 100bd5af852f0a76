"""Clauses about the whole face: feelings, gestures, and both in one, as in `a sad smile` or `angry eyes`."""

import numpy as np

from ..expression import MIRROR_UNITS
from ..presets import EXPRESSIONS, GESTURES, mixture_stage
from ..units import UNITS
from .clause import Clause, Spoken, Voice
from .thesaurus import Word, adverb, expand, joined, verb_forms

_SHARES = {"adjectives": 5, "nouns": 3, "acts": 2, "phrases": 4}
"""How often a mood is said in which way, where it can be."""
_ONE_SIDED = ("smirk", "wink")
_PLACES = (("eyes", ("eye",)), ("(brows|eyebrows)", ("brow",)), ("(mouth|lips)", ("mouth", "jaw")))
_TINTED_GESTURES = ("grin", "smirk", "laugh", "pout", "grimace")
_TINTED = 0.6
"""How much of a smile is left when a feeling is in it."""


def mood_clause(voice: Voice) -> Clause:
    """How somebody feels, or what the whole face does."""
    rng = voice.rng
    name = rng.choice(sorted(voice.words.moods))
    mood, stage = voice.words.moods[name], mixture_stage(EXPRESSIONS[name])
    if rng.random() < 0.02:
        return Clause(name.replace("_", " "), stage)
    side = rng.choice(("", "", "left", "right")) if name in _ONE_SIDED else ""
    on_side = f"with the {side} eye" if side and name == "wink" else voice.on_side(side)
    stage = stage[MIRROR_UNITS] if side == "right" else stage
    ways = [way for way in _SHARES if getattr(mood, way)]
    way = rng.choices(ways, [_SHARES[way] for way in ways])[0]
    if way == "phrases":
        return Clause(joined((expand(rng.choice(mood.phrases), rng), on_side)), stage)
    word: Word = rng.choice(getattr(mood, way))
    degree = voice.degree()
    text = _said(voice, way, word.text, degree, is_gesture=name in GESTURES)
    return Clause(
        joined((text, on_side)), stage * (degree.said_in(text) * word.strength), noun=way == "nouns"
    )


def _said(voice: Voice, way: str, word: str, degree: Spoken, *, is_gesture: bool) -> str:
    """A mood's word in a sentence of its own."""
    how, kind = degree.adverb, degree.adjective
    if way == "adjectives":
        by_adverb = f"|{how} {adverb(word)}" if word.isalpha() else ""
        return voice.say(
            f"{how} {word}|{how} {word}|{how} {word}|(looks|looking|seems|is|feels|feeling) {how} {word}"
            f"|(a|) {how} {word} (face|look|expression|person|man|woman|girl|boy|guy|character|child)"
            f"|(he|she) (is|looks) {how} {word}|in a {how} {word} (way|mood)|{kind} {word} (face|look)"
            + by_adverb
        )
    if way == "acts":
        base, third, doing, _ = verb_forms(word.replace(" ", ":", 1))
        after = word.partition(" ")[2]
        return voice.say(f"({base}|{third}|{doing}) {after} {how}|{how} {doing} {after}")
    if is_gesture:
        return voice.say(f"(a|a||the) {kind} {word}")
    return voice.say(
        f"{kind} {word}|{word}|(a|the) (look|expression|face|air|feeling) of {kind} {word}"
        f"|(full of|showing|expressing|shows|show|filled with|with|in|pure|face showing) {kind} {word}"
    )


def tinted_clause(voice: Voice) -> Clause:
    """A smile, a look or a part of the face with a feeling in it."""
    rng = voice.rng
    name = rng.choice(sorted(name for name, mood in voice.words.moods.items() if mood.adjectives))
    word = rng.choice(voice.words.moods[name].adjectives)
    feeling = mixture_stage(EXPRESSIONS[name]) * np.float32(word.strength)
    kind = rng.choices(("shape", "gaze", "place"), (2, 1, 1))[0]
    if kind == "gaze":
        gaze = rng.choice(sorted(voice.words.gazes))
        towards = expand(voice.words.gazes[gaze].towards, rng)
        text = voice.say(f"{word.text} (look|stare|glance|gaze|eyes|looking|staring) {towards}")
        return Clause(text, np.maximum(feeling, mixture_stage(EXPRESSIONS[gaze])), noun=True)
    if kind == "place":
        place, regions = rng.choice(_PLACES)
        there = feeling * np.array([unit.region in regions for unit in UNITS])
        if there.max() > 0.1:
            return Clause(voice.say(f"{word.text} {place}"), there, noun=True)
    shown, shape = rng.choice(
        (
            ("smile", {"mouthSmile": 1.0}),
            ("smile", {"mouthSmile": 1.0}),
            ("frown", {"mouthFrown": 1.0}),
            *((gesture, EXPRESSIONS[gesture]) for gesture in _TINTED_GESTURES),
        )
    )
    doing = verb_forms(shown)[2]
    manner = adverb(word.text) if word.text.isalpha() else f"in a {word.text} way"
    text = voice.say(f"(a|) {word.text} {shown}|{doing} {manner}|{word.text} {doing}")
    return Clause(text, np.maximum(feeling, np.float32(_TINTED) * mixture_stage(shape)), noun=True)
