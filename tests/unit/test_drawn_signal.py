"""Expression signals from everything an artist can draw them with."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.drawn_signal import Drawing, draw_signal
from models.errors import InputError
from models.expression import ARKIT_UNITS, UNIT_INDEX, expression_signal
from models.live_link import read_live_link
from models.signal import Moment, parse_moment

SHARED = Path(os.environ.get("DIMPLE_SHARED", Path(__file__).resolve().parents[3] / "shared"))
TAKE = SHARED / "data/livelink-take-mit/take_live_link_face.csv"
JAW, BROW = UNIT_INDEX["jawOpen"], UNIT_INDEX["browDownLeft"]
PLAIN = Drawing(("happiness",), 0.8, "ease", 10, 24.0)
NOTHING = Drawing((), 1.0, "ease", 10, 24.0)


def test_an_expression_along_a_profile_is_what_it_always_was():
    signal, said = draw_signal(PLAIN)
    np.testing.assert_allclose(signal, expression_signal(("happiness",), 0.8, "ease", 10), atol=1e-6)
    assert said == ()


def test_gestures_and_own_presets_are_expressions_too():
    signal, _ = draw_signal(
        replace(NOTHING, expressions=("smirk", "mine=0.5"), presets={"mine": {"jawOpen": 0.6}})
    )
    assert signal[-1, UNIT_INDEX["mouthSmileLeft"]] == pytest.approx(0.9)
    assert signal[-1, JAW] == pytest.approx(0.3)


def test_everything_adds_up_at_the_same_frames():
    weights = np.linspace(0.0, 0.5, 10)[:, None]
    signal, _ = draw_signal(
        replace(PLAIN, intensity=1.0, curves=("jawOpen",), moments=("0:browDown=0.3@0",)), weights
    )
    np.testing.assert_allclose(signal[:, JAW], weights[:, 0], atol=1e-6)
    np.testing.assert_allclose(signal[:, BROW], 0.3, atol=1e-6)
    assert signal[-1, UNIT_INDEX["mouthSmileLeft"]] == pytest.approx(0.85)


def test_the_halves_of_the_face_are_scaled():
    signal, _ = draw_signal(replace(PLAIN, left=0.5, right=0.0))
    assert signal[:, UNIT_INDEX["mouthSmileRight"]].max() == 0.0
    assert signal[-1, UNIT_INDEX["mouthSmileLeft"]] == pytest.approx(0.85 * 0.8 * 0.5)


def test_what_is_unusual_is_told():
    _, said = draw_signal(replace(PLAIN, expressions=("jawLeft", "jawRight"), intensity=1.2))
    assert len(said) == 3
    assert "above 1" in said[0]
    assert "jawLeft and jawRight" in said[2]
    assert draw_signal(replace(PLAIN, intensity=1.0))[1] == ()
    assert len(draw_signal(replace(PLAIN, intensity=1.1))[1]) == 1


def take_csv(path: Path, seconds: float) -> Path:
    """A take at 30 frames a second whose jaw opens by 0.1 a second; no face is seen from 0.5 to 1.0 s."""
    names = list(ARKIT_UNITS)
    lines = [",".join(["Timecode", *names])]
    for i in range(round(seconds * 30)):
        cells = [f"{0.1 * i / 30:.4f}" if name == "jawOpen" else "0" for name in names]
        if 15 < i < 30:
            cells = [""] * len(names)
        lines.append(",".join([f"00:00:{i // 30:02}:{i % 30:02}.000", *cells]))
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_take_gives_its_own_length_and_tells_its_gaps(tmp_path: Path):
    take = str(take_csv(tmp_path / "take.csv", 3.0))
    signal, said = draw_signal(replace(NOTHING, performance=take, frames=1000))
    assert len(signal) == len(read_live_link(Path(take), 24.0).expression_signal)
    np.testing.assert_allclose(signal[:, JAW], 0.1 * np.arange(len(signal)) / 24.0, atol=0.005)
    assert len(said) == 1
    assert "0.5 to 1.0 s" in said[0]


def test_a_part_of_a_take(tmp_path: Path):
    take = str(take_csv(tmp_path / "take.csv", 3.0))
    signal, said = draw_signal(replace(NOTHING, performance=take, performance_start=2.0, frames=12))
    assert signal.shape == (12, 57)
    assert signal[0, JAW] == pytest.approx(0.2, abs=0.005)
    assert said == ()
    with pytest.raises(InputError, match="lasts 3"):
        draw_signal(replace(NOTHING, performance=take, performance_start=9.0))


@pytest.mark.skipif(not TAKE.is_file(), reason="needs the shared captured take")
def test_a_real_take_can_be_played_on_a_smile():
    signal, _ = draw_signal(replace(PLAIN, performance=str(TAKE), frames=48))
    alone, _ = draw_signal(replace(NOTHING, performance=str(TAKE), frames=48))
    smile = UNIT_INDEX["mouthSmileLeft"]
    assert signal.shape == (48, 57)
    assert signal[-1, smile] > alone[-1, smile] + 0.3


@pytest.mark.parametrize(
    ("drawing", "part"),
    [
        (NOTHING, "at least one expression"),
        (replace(PLAIN, intensity=1.6), "0 to 1.5"),
        (replace(PLAIN, left=1.2), "factors"),
        (replace(PLAIN, expressions=("smrik",)), "smirk"),
        (replace(NOTHING, moments=("soon:happiness",)), "is no moment"),
        (replace(NOTHING, performance="/nowhere/take.csv"), "cannot be opened"),
        (replace(NOTHING, curves=("jawOpen",)), "draw them again"),
    ],
)
def test_what_cannot_be_drawn_is_told_in_words(drawing: Drawing, part: str):
    with pytest.raises(InputError, match=part):
        draw_signal(drawing)


@pytest.mark.parametrize("value", [-0.1, 1.6, np.nan])
def test_a_curve_out_of_range_is_named(value: float):
    with pytest.raises(InputError, match="curve of jawOpen"):
        draw_signal(replace(NOTHING, curves=("jawOpen",)), np.full((10, 1), value))


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("0.5:happiness=0.8", Moment(0.5, ("happiness=0.8",))),
        ("1.2: jawOpen=0.4, browDown @0.3", Moment(1.2, ("jawOpen=0.4", "browDown"), 1.0, 0.3)),
        ("2:neutral", Moment(2.0)),
        ("2:", Moment(2.0)),
    ],
)
def test_moments_are_read(text: str, moment: Moment):
    assert parse_moment(text) == moment


@pytest.mark.parametrize("text", ["happiness", "now:happiness", "1:happiness@soon", ""])
def test_what_is_no_moment_is_refused(text: str):
    with pytest.raises(InputError, match="is no moment"):
        parse_moment(text)
