"""The grammar of facial descriptions, its words, and the mending of misspelt ones."""

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.expression import MAX_WEIGHT, MIRROR_UNITS, UNIT_NAMES
from models.language.clause import Spoken, Voice
from models.language.motions import motion_clause
from models.language.prompts import Grammar, vocabulary, words_of
from models.language.spelling import closest_word, slips_between
from models.language.thesaurus import adverb, expand, thesaurus, verb_forms
from models.presets import EXPRESSIONS, GESTURES
from models.units import SIDES

_GRAMMAR = Grammar(7)
PROMPTS = [_GRAMMAR.prompt() for _ in range(4000)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A tired smile, LEFT brow raised!", "a tired smile , left brow raised"),
        ("eyeBlinkLeft=0.5", "eye blink left 0.5"),
        ("AU1+2 & 50%", "au 1 and 2 and 50 %"),
        ("wide-eyed... don\u2019t,, smile.", "wide eyed , don't , smile"),
        ("улыбка", "улыбка"),
        ("  ?!  ", ""),
    ],
)
def test_words_of_a_prompt(text: str, words: str):
    assert " ".join(words_of(text)) == words


@given(st.text(max_size=200))
def test_words_of_anything_are_words(text: str):
    words = words_of(text)
    assert words_of(" ".join(words)) == words
    assert all(word == word.strip() and word for word in words)


class TestGrammar:
    def test_the_same_seed_says_the_same(self):
        one, other = Grammar(3), Grammar(3)
        for _ in range(50):
            (text, stage), (again, same) = one.prompt(), other.prompt()
            assert text == again
            np.testing.assert_array_equal(stage, same)

    def test_every_stage_is_sound(self):
        stages = np.array([stage for _, stage in PROMPTS])
        assert stages.shape == (4000, 57)
        assert stages.min() >= 0.0
        assert stages.max() <= MAX_WEIGHT

    def test_every_unit_is_spoken_of(self):
        spoken = np.max([stage for _, stage in PROMPTS], axis=0)
        assert [name for name, weight in zip(UNIT_NAMES, spoken, strict=True) if weight == 0.0] == []

    def test_left_and_right_are_spoken_of_alike(self):
        mean = np.mean([stage for text, stage in PROMPTS], axis=0)
        np.testing.assert_allclose(mean, mean[MIRROR_UNITS], atol=0.04)

    def test_a_motion_is_on_the_side_that_is_spoken_of(self):
        voice = Voice(Random(1), thesaurus())
        sides_seen = set[str]()
        for clause in (motion_clause(voice) for _ in range(3000)):
            said = {"left", "right"} & set(words_of(clause.text))
            if "half smile" in clause.text or "half a smile" in clause.text:
                said |= {"left"} if "right" not in said else set()
            assert len(said) < 2, clause.text
            for side in said:
                sides_seen.add(side)
                assert not clause.stage[SIDES["right" if side == "left" else "left"]].any(), clause.text
            if not said:
                np.testing.assert_array_equal(clause.stage, clause.stage[MIRROR_UNITS], clause.text)
        assert sides_seen == {"left", "right"}

    def test_a_degree_counts_only_where_it_is_said(self):
        spoken = Spoken(0.35, "a bit", "slight")
        assert spoken.said_in("brows raised a bit") == 0.35
        assert spoken.said_in("slight smile") == 0.35
        assert spoken.said_in("a bitter smile") == 1.0
        assert Spoken(1.0, "", "").said_in("smile") == 1.0

    def test_nothing_is_left_of_a_template(self):
        for text, _ in PROMPTS:
            assert not set("(){}|_") & set(text), text

    def test_every_expression_has_words(self):
        said = thesaurus()
        assert set(said.gazes) <= set(GESTURES)
        assert set(said.moods) <= set(EXPRESSIONS)
        # these are what a part of the face does, and said as such
        assert set(EXPRESSIONS) - set(said.moods) - set(said.gazes) == {
            "brow_raise",
            "eyebrow",
            "mouth_down",
            "mouth_middle",
            "mouth_open",
        }

    def test_the_vocabulary_holds_every_word_drawn(self):
        known = vocabulary(text for text, _ in PROMPTS)
        for text, _ in PROMPTS:
            assert all(word in known for word in text.split() if word[0].isalpha())
        assert {"zygomaticus", "phew", "goosebumps"} & known == {"zygomaticus", "phew"}


@pytest.mark.parametrize(
    ("verb", "forms"),
    [
        ("pull:up", ("pull", "pulls", "pulling", "pulled")),
        ("raise", ("raise", "raises", "raising", "raised")),
        ("push", ("push", "pushes", "pushing", "pushed")),
        ("drop:open", ("drop", "drops", "dropping", "dropped")),
        ("draw:down", ("draw", "draws", "drawing", "drawn")),
        ("cry", ("cry", "cries", "crying", "cried")),
        ("shut", ("shut", "shuts", "shutting", "shut")),
        ("half-shut", ("half-shut", "half-shuts", "half-shutting", "half-shut")),
    ],
)
def test_verbs_are_inflected(verb: str, forms: tuple[str, ...]):
    assert verb_forms(verb) == forms


@pytest.mark.parametrize(
    ("adjective", "expected"),
    [("angry", "angrily"), ("sad", "sadly"), ("ecstatic", "ecstatically"), ("miserable", "miserably")],
)
def test_adverbs(adjective: str, expected: str):
    assert adverb(adjective) == expected


def test_phrases_expand_to_each_of_their_alternatives():
    grammar = Grammar(0)
    said = {expand("a (big |)(grin|smile)|smirk(s|)", grammar.voice.rng) for _ in range(300)}
    assert said == {"a big grin", "a big smile", "a grin", "a smile", "smirk", "smirks"}


KNOWN = ("smile", "smiling", "surprised", "eyebrow", "brow", "angry", "jaw", "left", "closed")


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("smlie", "smile"), ("suprised", "surprised"), ("surprized", "surprised"), ("eyebow", "eyebrow"),
        ("smilingly", "smiling"), ("angery", "angry"), ("closd", "closed"), ("jae", None), ("umbrella", None),
        ("lift", "left"), ("xmile", None),
    ],
)  # fmt: skip
def test_misspelt_words_are_mended(word: str, meant: str | None):
    assert closest_word(word, KNOWN) == meant


@given(st.text("abc", max_size=6), st.text("abc", max_size=6))
def test_slips_are_a_distance(one: str, other: str):
    distance = slips_between(one, other)
    assert distance == slips_between(other, one)
    assert (distance == 0) == (one == other)
    assert abs(len(one) - len(other)) <= distance <= max(len(one), len(other))


def test_a_swap_is_one_slip():
    assert slips_between("teh", "the") == 1
    assert slips_between("ab", "ba") == 1
    assert slips_between("kitten", "sitting") == 3
