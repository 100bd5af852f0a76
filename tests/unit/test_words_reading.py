"""Prompts cut into clauses, what clauses make together, and codes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import InputError
from models.language.codes_reading import read_codes
from models.language.prompts import Grammar, words_of
from models.language.reading import Clause, clauses_of, together
from models.presets import preset_stage


def read(prompt: str) -> list[str]:
    return [f"-{c.text}" if c.denied else c.text for c in clauses_of(words_of(prompt))]


@pytest.mark.parametrize(
    ("prompt", "clauses"),
    [
        ("a tired smile, left brow raised", ["a tired smile", "left brow raised"]),
        ("jaw open and eyes closed", ["jaw open", "eyes closed"]),
        ("brows pulled together and down", ["brows pulled together and down"]),
        ("a smile, on the left only", ["a smile , on the left only"]),
        ("wink with the right eye", ["wink with the right eye"]),
        ("eyes and mouth wide open", ["eyes and mouth wide open"]),
        ("jaw to the left and lips puckered", ["jaw to the left", "lips puckered"]),
        ("boiling with anger, jaw open", ["boiling with anger", "jaw open"]),
        ("an old woman with raised brows and a smirk", ["an old woman with raised brows", "a smirk"]),
        ("smiling", ["smiling"]),
        ("not smiling", ["not smiling"]),
        ("eyes closed, not smiling", ["eyes closed", "-smiling"]),
        ("jaw open without smiling or frowning", ["jaw open", "-smiling", "-frowning"]),
        ("the mouth is not open, surprised", ["-the mouth is open", "surprised"]),
        ("neither smiling nor frowning, brows raised", ["-smiling", "-frowning", "brows raised"]),
        ("not too happy, jaw open", ["not too happy", "jaw open"]),
        ("boredom, could not care less", ["boredom", "could not care less"]),
        ("AU1+2, jaw open", ["au 1 and 2", "jaw open"]),
    ],
)
def test_a_prompt_is_cut_where_clauses_are_joined(prompt: str, clauses: list[str]):
    assert read(prompt) == clauses


@given(st.integers(0, 10_000))
def test_no_word_of_a_face_is_lost_between_clauses(seed: int):
    prompt, _ = Grammar(seed).prompt()
    kept = {word for clause in clauses_of(words_of(prompt)) for word in clause.words}
    said = {word for glued in kept for word in glued.split()}
    for word in ("smile", "brow", "brows", "left", "right", "slightly", "jaw", "eyes"):
        assert (word in said) == (word in words_of(prompt)), prompt


def stage(*texts: str) -> np.ndarray:
    return preset_stage(texts)


def test_of_what_clauses_say_of_a_unit_the_strongest_counts():
    said = [Clause(("a",)), Clause(("b",))]
    both = together(said, np.array([stage("jawOpen=0.3", "browDown"), stage("jawOpen=0.8")]))
    np.testing.assert_array_equal(both, stage("jawOpen=0.8", "browDown"))


def test_of_opposites_the_stronger_stays():
    said = [Clause(("a",)), Clause(("b",))]
    both = together(said, np.array([stage("eyeWide=0.4"), stage("eyeBlinkLeft")]))
    np.testing.assert_array_equal(both, stage("eyeWideRight=0.4", "eyeBlinkLeft"))


def test_a_side_that_is_said_leaves_no_faint_trace_on_the_other():
    said = [Clause(("a",)), Clause(("b",))]
    both = together(said, np.array([stage("browInnerUp=0.3", "mouthSmile"), stage("browInnerUpLeft")]))
    np.testing.assert_array_equal(both, stage("browInnerUpLeft", "mouthSmile"))


def test_all_denied_is_neutral():
    said = [Clause(("a",), True), Clause(("b",), True)]
    assert not together(said, np.array([stage("jawOpen"), stage("browDown")])).any()


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("au 12", ["mouthSmile"]),
        ("action units 1 and 2", ["browInnerUp", "browOuterUp"]),
        ("facs au 4 left", ["browDownLeft"]),
        ("au 12 on the right side at 50 %", ["mouthSmileRight=0.5"]),
        ("au 45", ["eyeBlink"]),
        ("au 28", ["mouthRollUpper", "mouthRollLower"]),
        ("au 30 left", ["jawLeft"]),
        ("au 27", ["27"]),
        ("au 18", ["mouthPucker"]),
        ("jaw open 0.5", ["jawOpen=0.5"]),
        ("mouth smile left at 30 percent", ["mouthSmileLeft=0.3"]),
    ],
)
def test_codes_are_looked_up(text: str, units: list[str]):
    np.testing.assert_allclose(read_codes(text), stage(*units))


@pytest.mark.parametrize("text", ["a smile", "jaw open", "left brow raised 3 times", "au", "12"])
def test_what_is_no_code_is_left_to_the_encoder(text: str):
    assert read_codes(text) is None


@pytest.mark.parametrize(
    ("text", "part"), [("au 99", "no action unit 99"), ("au 30", "left or"), ("jaw open 3", "0 to 1.5")]
)
def test_codes_there_are_not_are_refused(text: str, part: str):
    with pytest.raises(InputError, match=part):
        read_codes(text)
