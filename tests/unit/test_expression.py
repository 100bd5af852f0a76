"""The expression vocabulary: names, presets, parsing and signals."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import InputError
from models.expression import (
    ARKIT_UNITS,
    LABELS,
    LABELS_COMA,
    LABELS_EMOTIONS,
    MAX_WEIGHT,
    MIRROR_UNITS,
    PRESETS,
    PROFILES,
    UNIT_INDEX,
    UNIT_NAMES,
    expression_signal,
    expression_stage,
    mirrored_name,
    parse_expression,
    profile,
)

SHARED = Path(os.environ.get("DIMPLE_SHARED", Path(__file__).resolve().parents[3] / "shared"))
ICT = SHARED / "data/ict-facekit/ict_meta.json"
TAKE = SHARED / "data/livelink-take-mit/take.npz"


def weights(stage: np.ndarray) -> dict[str, float]:
    """The units of a stage that are not at rest."""
    return {name: round(float(w), 4) for name, w in zip(UNIT_NAMES, stage, strict=True) if w}


@pytest.mark.skipif(not ICT.is_file(), reason="needs the shared ICT-FaceKit arrays")
def test_units_are_ict_expressions_in_order():
    names = json.loads(ICT.read_text())["expression_names"]
    camel = [name.replace("_L", "Left").replace("_R", "Right") for name in names]
    assert [name[0].lower() + name[1:] for name in camel] == list(UNIT_NAMES)


@pytest.mark.skipif(not TAKE.is_file(), reason="needs the shared captured take")
def test_arkit_names_are_those_of_the_capture_app_without_the_tongue():
    assert set(ARKIT_UNITS) == set(np.load(TAKE)["names"].tolist()) - {"tongueOut"}


def test_arkit_names_drive_every_unit_once_but_those_arkit_has_not():
    driven = [unit for units in ARKIT_UNITS.values() for unit in units]
    assert len(ARKIT_UNITS) == 51
    assert len(driven) == len(set(driven))
    assert set(UNIT_NAMES) - set(driven) == {
        "pupilDilateLeft",
        "pupilDilateRight",
        "cheekRaiserLeft",
        "cheekRaiserRight",
    }
    assert ARKIT_UNITS["browInnerUp"] == ("browInnerUpLeft", "browInnerUpRight")
    assert ARKIT_UNITS["cheekPuff"] == ("cheekPuffLeft", "cheekPuffRight")


def test_mirroring_swaps_sides_and_directions():
    assert UNIT_NAMES[MIRROR_UNITS[UNIT_INDEX["eyeBlinkLeft"]]] == "eyeBlinkRight"
    assert UNIT_NAMES[MIRROR_UNITS[UNIT_INDEX["jawRight"]]] == "jawLeft"
    assert UNIT_NAMES[MIRROR_UNITS[UNIT_INDEX["mouthFunnel"]]] == "mouthFunnel"
    np.testing.assert_array_equal(MIRROR_UNITS[MIRROR_UNITS], np.arange(57))
    assert np.count_nonzero(np.arange(57) == MIRROR_UNITS) == 9


def test_there_are_six_emotions_and_the_twelve_coma_labels():
    assert LABELS_EMOTIONS == ("happiness", "sadness", "anger", "fear", "disgust", "surprise")
    assert sorted(LABELS_COMA) == [
        *("bareteeth", "cheeks_in", "eyebrow", "high_smile", "lips_back", "lips_up"),
        *("mouth_down", "mouth_extreme", "mouth_middle", "mouth_open", "mouth_side", "mouth_up"),
    ]
    assert tuple(PRESETS) == LABELS


@pytest.mark.parametrize("label", LABELS)
def test_presets_are_symmetric_within_range_and_strong(label):
    mixture = PRESETS[label]
    assert set(mixture) <= set(UNIT_NAMES)
    assert 0.4 <= max(mixture.values()) <= 1.0
    assert min(mixture.values()) > 0.0
    mirrored = {mirrored_name(unit): weight for unit, weight in mixture.items()}
    assert (mirrored == dict(mixture)) == (label != "mouth_side")
    # the lips can only be sealed as far as the jaw has parted them
    assert mixture.get("mouthClose", 0.0) <= mixture.get("jawOpen", 0.0)


def test_presets_can_be_told_apart():
    stages = np.array([parse_expression(label) for label in LABELS])
    unit = stages / np.linalg.norm(stages, axis=1, keepdims=True)
    similarity = unit @ unit.T - np.eye(len(LABELS))
    assert similarity.max() < 0.92


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("jawOpen", {"jawOpen": 1.0}),
        ("jawOpen=0.5", {"jawOpen": 0.5}),
        (" jawopen = .25 ", {"jawOpen": 0.25}),
        ("jawLeft", {"jawLeft": 1.0}),
        ("eyeBlinkRight=1.5", {"eyeBlinkRight": 1.5}),
        ("mouthSmile=0.4", {"mouthSmileLeft": 0.4, "mouthSmileRight": 0.4}),
        ("browInnerUp", {"browInnerUpLeft": 1.0, "browInnerUpRight": 1.0}),
        ("Mouth_Open=0.5", {"jawOpen": 0.45}),
        ("jawOpen=0", {}),
    ],
)
def test_parse_expression(text, expected):
    assert weights(parse_expression(text)) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hapiness", "did you mean happiness"),
        ("jawOpn=0.5", "did you mean jawOpen"),
        ("mouthSmilLeft", "mouthSmileLeft"),
        ("tongueOut", "no expression called “tongueOut”"),
        ("", "try happiness"),
        ("jaw", "no expression called “jaw”"),
        ("jawOpen=", "number from 0 to 1.5"),
        ("jawOpen=wide", "number from 0 to 1.5, not “wide”"),
        ("jawOpen=-0.1", "number from 0 to 1.5"),
        ("jawOpen=1.51", "number from 0 to 1.5"),
        ("jawOpen=nan", "number from 0 to 1.5"),
        ("jawOpen=inf", "number from 0 to 1.5"),
        ("jawOpen=0.5=0.5", "number from 0 to 1.5"),
    ],
)
def test_parse_expression_refuses(text, message):
    with pytest.raises(InputError, match=message):
        parse_expression(text)


def test_expressions_add_up_to_the_largest_weight():
    stage = expression_stage(["jawOpen=0.5", "mouth_open=0.5", "eyeBlinkLeft"])
    assert weights(stage) == {"jawOpen": 0.95, "eyeBlinkLeft": 1.0}
    assert weights(expression_stage(["jawOpen", "jawOpen"])) == {"jawOpen": MAX_WEIGHT}
    with pytest.raises(InputError, match="at least one expression"):
        expression_stage([])


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("frames", [3, 4, 5, 6, 7, 12, 40, 250])
def test_profiles_start_where_they_say_and_reach_the_apex(name, frames):
    progress = profile(name, frames)
    assert progress.shape == (frames,)
    assert progress.dtype == np.float32
    assert progress.min() >= 0.0
    assert progress.max() == 1.0
    assert progress[0] == (1.0 if name == "hold" else 0.0)
    assert progress[-1] == (0.0 if name in ("in_hold_out", "blink") else 1.0)


def test_ease_is_the_minimum_jerk_curve():
    time = np.arange(41) / 40
    np.testing.assert_allclose(profile("ease", 41), 10 * time**3 - 15 * time**4 + 6 * time**5, atol=1e-6)
    np.testing.assert_allclose(profile("linear", 41), time, atol=1e-6)


def test_blink_has_the_captured_proportions():
    """Closing, closed and opening last as long as 0.083, 0.050 and 0.117 s: 33, 20 and 47 % of the clip."""
    frames = 1001
    closed = np.flatnonzero(profile("blink", frames) == 1.0)
    shares = np.array([closed[0], closed[-1] - closed[0], frames - 1 - closed[-1]]) / (frames - 1)
    np.testing.assert_allclose(shares, np.array([0.083, 0.050, 0.117]) / 0.25, atol=0.02)


@pytest.mark.parametrize(("name", "frames"), [("ease", 1), ("hold", 0), ("blink", 2), ("in_hold_out", 2)])
def test_profiles_refuse_too_few_frames(name, frames):
    with pytest.raises(InputError, match="at least"):
        profile(name, frames)
    assert len(profile(name, 3)) == 3


def test_unknown_profile_names_the_known_ones():
    with pytest.raises(InputError, match="in_hold_out"):
        profile("bounce", 40)


@given(
    intensity=st.floats(0.0, MAX_WEIGHT),
    name=st.sampled_from(PROFILES),
    label=st.sampled_from(LABELS),
    frames=st.integers(3, 60),
)
def test_signal_is_stage_times_intensity_along_the_profile(intensity, name, label, frames):
    signal = expression_signal([label], intensity, name, frames)
    assert signal.dtype == np.float32
    apex = np.minimum(intensity * expression_stage([label]), MAX_WEIGHT)
    np.testing.assert_allclose(signal, np.outer(profile(name, frames), apex), atol=1e-6)
    if name != "hold":
        assert not signal[0].any()


def test_a_signal_never_exceeds_the_largest_weight_and_keeps_its_timing():
    signal = expression_signal(["jawOpen=1.5", "cheekPuffLeft=0.2"], 1.5, "linear", 11)
    np.testing.assert_allclose(signal[:, UNIT_INDEX["jawOpen"]], np.linspace(0, MAX_WEIGHT, 11), atol=1e-6)
    np.testing.assert_allclose(signal[:, UNIT_INDEX["cheekPuffLeft"]], np.linspace(0, 0.3, 11), atol=1e-6)


@pytest.mark.parametrize("intensity", [-0.01, 1.51, float("nan"), float("inf"), float("-inf")])
def test_signal_refuses_an_intensity_out_of_range(intensity):
    with pytest.raises(InputError, match=r"intensity must be a number from 0 to 1\.5"):
        expression_signal(["happiness"], intensity, "ease", 40)
