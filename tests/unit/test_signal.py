"""Signals from moments, captured takes and drawn weights."""

import os
from pathlib import Path

import numpy as np
import pytest

from models.errors import InputError
from models.expression import ARKIT_UNITS, MAX_WEIGHT, UNIT_INDEX, UNIT_NAMES
from models.live_link import read_live_link
from models.signal import (
    Moment,
    add_signals,
    checked_signal,
    remarks,
    signal_of_moments,
    weigh_sides,
)

SHARED = Path(os.environ.get("DIMPLE_SHARED", Path(__file__).resolve().parents[3] / "shared"))
TAKE = SHARED / "data/livelink-take-mit/take_live_link_face.csv"
JAW, BLINK = UNIT_INDEX["jawOpen"], UNIT_INDEX["eyeBlinkLeft"]
COLUMNS = ["Timecode", "BlendShapeCount", *(name[0].upper() + name[1:] for name in ARKIT_UNITS), "HeadYaw"]


def write_take(
    path: Path,
    timecodes: list[str],
    weights: list[float | None],
    columns: list[str] = COLUMNS,
    moving: str = "JawOpen",
) -> Path:
    """A take in which only one shape moves; None writes a row without a face."""
    lines = [",".join(columns)]
    for timecode, weight in zip(timecodes, weights, strict=True):
        rest = "" if weight is None else "0"
        cells = {"Timecode": timecode, moving: rest if weight is None else str(weight)}
        lines.append(",".join(cells.get(column, rest) for column in columns))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def timecodes(count: int, rate: int, step: int = 1) -> list[str]:
    return [f"00:01:{i * step // rate:02}:{i * step % rate:02}.500" for i in range(count)]


class TestMoments:
    def test_every_moment_is_reached_at_its_time_and_kept_after_the_last(self):
        moments = [Moment(1.0, ("jawOpen",), 0.5), Moment(2.0, ("eyeBlinkLeft",)), Moment(3.0)]
        signal = signal_of_moments(moments, 121, 30.0)
        assert signal.shape == (121, 57)
        assert signal[0].max() == 0.0
        assert signal[30, JAW] == pytest.approx(0.5)
        assert signal[60, JAW] == pytest.approx(0.0, abs=1e-6)
        assert signal[60, BLINK] == pytest.approx(1.0)
        np.testing.assert_allclose(signal[90:], 0.0, atol=1e-6)

    def test_order_of_the_list_does_not_matter(self):
        moments = [Moment(0.5, ("anger",)), Moment(1.5, ("happiness",))]
        np.testing.assert_array_equal(
            signal_of_moments(moments, 60, 25.0), signal_of_moments(moments[::-1], 60, 25.0)
        )

    def test_a_transition_takes_the_seconds_it_is_given(self):
        signal = signal_of_moments([Moment(2.0, ("jawOpen",), transition=0.5)], 81, 40.0)[:, JAW]
        assert signal[60] == 0.0
        assert 0.0 < signal[62] < signal[70] < signal[78] < 1.0
        assert signal[70] == pytest.approx(0.5)
        assert signal[80] == pytest.approx(1.0)

    def test_no_transition_at_all_is_a_cut(self):
        signal = signal_of_moments([Moment(1.0, ("jawOpen",), transition=0.0)], 21, 10.0)[:, JAW]
        np.testing.assert_array_equal(signal, np.arange(21) >= 10)

    def test_lids_are_quicker_than_brows_where_nothing_is_said(self):
        signal = signal_of_moments([Moment(3.0, ("eyeBlink", "browInnerUp"))], 91, 30.0)
        moving = ((signal > 0.0) & (signal < 1.0)).sum(axis=0)
        assert moving[BLINK] < moving[UNIT_INDEX["browInnerUpLeft"]] / 3

    def test_the_speed_has_no_jumps(self):
        moments = [Moment(1.0, ("jawOpen",), transition=1.0), Moment(2.0, ("jawOpen",), 0.2, transition=1.0)]
        signal = signal_of_moments(moments, 241, 120.0)[:, JAW]
        # minimum jerk over 1 s: |acceleration| <= 5.78 / s^2
        assert np.abs(np.diff(signal, 2)).max() < 5.9 / 120.0**2

    def test_saved_presets_are_known(self):
        saved = {"Grandma": {"jawOpen": 0.25}}
        signal = signal_of_moments([Moment(0.0, ("grandma",))], 2, 30.0, saved)
        assert signal[0, JAW] == pytest.approx(0.25)

    @pytest.mark.parametrize(
        ("moments", "part"),
        [
            ([], "at least one moment"),
            ([Moment(1.0, ("jawOpen",)), Moment(1.0, ("anger",))], "Two moments"),
            ([Moment(-1.0, ("jawOpen",))], "from 0 up"),
            ([Moment(1.0, ("jawOpen",), 1.6)], "0 to 1.5"),
            ([Moment(1.0, ("jawOpen",), float("nan"))], "0 to 1.5"),
            ([Moment(1.0, ("jawOpen",), transition=-0.1)], "seconds from 0 up"),
            ([Moment(1.0, ("jawLeft", "jawRight"))], "contradict"),
            ([Moment(1.0, ("look_up", "look_down"))], "contradict"),
            ([Moment(1.0, ("smrik",))], "smirk"),
        ],
    )
    def test_bad_moments_are_refused_in_words(self, moments: list[Moment], part: str):
        with pytest.raises(InputError, match=part):
            signal_of_moments(moments, 10, 30.0)


class TestLiveLink:
    @pytest.mark.skipif(not TAKE.is_file(), reason="needs the shared captured take")
    @pytest.mark.parametrize("frame_rate", [24.0, 30.0, 60000 / 1001])
    def test_the_captured_take_comes_through_at_any_rate(self, frame_rate: float):
        take = read_live_link(TAKE, frame_rate)
        reference = np.load(TAKE.parent / "take.npz")
        moments = np.arange(len(take.expression_signal)) / frame_rate
        assert len(moments) / frame_rate == pytest.approx(reference["times"][-1], abs=1.5 / frame_rate)
        column = reference["weights"][:, reference["names"].tolist().index("noseSneerLeft")]
        expected = np.interp(moments, reference["times"], column)
        sneer = take.expression_signal[:, UNIT_INDEX["noseSneerLeft"]]
        assert np.abs(sneer - expected).max() < 0.01
        assert take.gaps == ()

    @pytest.mark.parametrize(("rate", "step"), [(24, 1), (25, 1), (30, 1), (60, 1), (60, 2)])
    def test_the_rate_is_read_off_the_roll_over(self, tmp_path: Path, rate: int, step: int):
        count = 3 * rate // step + 1
        take = read_live_link(
            write_take(tmp_path / "t.csv", timecodes(count, rate, step), [0.1] * count), 10.0
        )
        assert len(take.expression_signal) == 31

    def test_pairs_that_arkit_does_not_split_move_both_halves(self, tmp_path: Path):
        path = write_take(tmp_path / "t.csv", timecodes(2, 30), [0.0, 0.75], moving="BrowInnerUp")
        signal = read_live_link(path, 60.0).expression_signal
        assert signal[-1, UNIT_INDEX["browInnerUpLeft"]] == pytest.approx(0.75)
        assert signal[-1, UNIT_INDEX["browInnerUpRight"]] == pytest.approx(0.75)

    def test_a_hole_is_bridged_and_told(self, tmp_path: Path):
        jaw: list[float | None] = [0.2] * 61
        jaw[30:] = [0.8] * 31
        jaw[15:45] = [None] * 30
        take = read_live_link(write_take(tmp_path / "t.csv", timecodes(61, 30), jaw), 30.0)
        assert take.gaps == (pytest.approx((14 / 30, 45 / 30)),)
        assert len(take.expression_signal) == 61
        assert 0.45 < take.expression_signal[30, JAW] < 0.55

    def test_midnight_is_not_backwards(self, tmp_path: Path):
        codes = ["23:59:59:28.0", "23:59:59:29.0", "00:00:00:00.0", "00:00:00:01.0"]
        assert (
            len(read_live_link(write_take(tmp_path / "t.csv", codes, [0.1] * 4), 30.0).expression_signal) == 4
        )

    def test_missing_columns_are_named(self, tmp_path: Path):
        columns = [name for name in COLUMNS if name not in ("JawOpen", "CheekPuff")]
        with pytest.raises(InputError, match="cheekPuff, jawOpen") as refusal:
            read_live_link(write_take(tmp_path / "t.csv", timecodes(3, 30), [0.1] * 3, columns), 30.0)
        assert "BlendShapeCount" not in str(refusal.value)

    @pytest.mark.parametrize(
        ("codes", "jaw", "part"),
        [
            (["00:00:01:00", "00:00:00:00"], [0.1, 0.1], "backwards at row 3"),
            (["00:00:01:00", "nonsense"], [0.1, 0.1], "Row 3"),
            (["00:00:01:00"], [0.1], "two moments"),
            (["00:00:01:00", "00:00:01:00"], [0.1, 0.1], "two moments"),
            (["00:00:01:00", "00:00:01:01"], [0.1, 7.0], "between 0"),
            (["00:00:01:00", "00:00:01:01"], [0.1, float("nan")], "between 0"),
        ],
    )
    def test_bad_rows_are_refused_in_words(
        self, tmp_path: Path, codes: list[str], jaw: list[float], part: str
    ):
        with pytest.raises(InputError, match=part):
            read_live_link(write_take(tmp_path / "t.csv", codes, [*jaw]), 30.0)

    def test_what_is_no_csv_is_refused(self, tmp_path: Path):
        (tmp_path / "empty.csv").write_text("")
        (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x01" * 50)
        with pytest.raises(InputError, match="no column Timecode"):
            read_live_link(tmp_path / "empty.csv", 30.0)
        with pytest.raises(InputError, match="not CSV"):
            read_live_link(tmp_path / "binary.csv", 30.0)
        with pytest.raises(InputError, match="cannot be opened"):
            read_live_link(tmp_path / "absent.csv", 30.0)


class TestDrawnWeights:
    def test_a_sound_signal_is_copied(self):
        drawn = np.full((3, 57), 0.5)
        signal = checked_signal(drawn)
        drawn[:] = 9.0
        assert signal.dtype == np.float32
        assert signal.max() == 0.5

    @pytest.mark.parametrize("value", [float("nan"), -0.1, 1.6])
    def test_the_first_wrong_weight_is_named(self, value: float):
        drawn = np.zeros((5, 57))
        drawn[3, JAW] = value
        with pytest.raises(InputError, match=r"jawOpen is .* at frame 3"):
            checked_signal(drawn)

    @pytest.mark.parametrize("shape", [(57,), (4, 52), (0, 57)])
    def test_other_shapes_are_refused(self, shape: tuple[int, ...]):
        with pytest.raises(InputError, match="57 unit weights"):
            checked_signal(np.zeros(shape))


def test_signals_add_up_to_at_most_the_largest_weight():
    one, two = np.zeros((2, 4, 57), np.float32)
    one[:, JAW], two[:, JAW], two[:, BLINK] = 1.0, 0.8, 0.3
    total = add_signals([one, two])
    assert total[0, JAW] == MAX_WEIGHT
    assert total[0, BLINK] == np.float32(0.3)
    with pytest.raises(InputError, match="same number of frames"):
        add_signals([one, two[:2]])


def test_sides_are_scaled_apart_and_the_middle_follows_the_larger():
    signal = weigh_sides(np.ones((2, 57), np.float32), left=0.25, right=0.5)
    for name, weight in zip(UNIT_NAMES, signal[0], strict=True):
        half = name.endswith("Left") and name not in ("jawLeft", "mouthLeft")
        assert weight == (0.25 if half else 0.5), name
    with pytest.raises(InputError, match="factors"):
        weigh_sides(signal, left=1.2)


def test_remarks_tell_of_exaggeration_and_contradiction():
    signal = np.zeros((3, 57), np.float32)
    assert remarks(signal) == ()
    signal[1, JAW] = 1.2
    signal[2, [UNIT_INDEX["jawLeft"], UNIT_INDEX["jawRight"]]] = 0.5
    exaggeration, clash = remarks(signal)
    assert "jawOpen" in exaggeration
    assert "jawLeft and jawRight" in clash
