"""Temporal statistics of animations: each measure on motion whose answer is known, then the whole."""

import json
from pathlib import Path

import numpy as np
import pytest

from models.animate_me import Sampler
from models.evaluation.motion import MotionPlan, asked_signal, evaluate_motion, motion_row, weights_reader
from models.evaluation.motion_statistics import band_shares, events, left_right
from models.expression import ARKIT_UNITS, UNIT_INDEX, UNIT_NAMES, minimum_jerk
from models.head import Head
from models.micro_motion import add_micro_motion
from tests.models.conftest import TinyRun

RATE = 60.0
TIME = np.arange(360) / RATE


def signal_of(**curves: np.ndarray) -> np.ndarray:
    signal = np.zeros((len(TIME), len(UNIT_NAMES)), np.float32)
    for name, curve in curves.items():
        signal[:, UNIT_INDEX[name]] = curve
    return signal


def rise_and_fall(rise: float, hold: float, fall: float) -> np.ndarray:
    up = minimum_jerk((TIME - 1) / rise)
    return np.minimum(up, 1 - minimum_jerk((TIME - 1 - rise - hold) / fall))


def test_an_event_is_as_long_as_it_was_made() -> None:
    (event,) = events([signal_of(jawOpen=0.8 * rise_and_fall(0.5, 0.7, 1.5))], RATE)
    # a minimum-jerk motion takes 0.5067 of its time from 10 to 90 %, and 0.2467 from there to its end
    assert event.onset == pytest.approx(0.5067 * 0.5, abs=0.01)
    assert event.apex == pytest.approx(0.7 + 0.2467 * 2.0, abs=0.02)
    assert event.offset == pytest.approx(0.5067 * 1.5, abs=0.01)
    assert event.amplitude == pytest.approx(0.8, abs=1e-3)


def test_what_does_not_come_back_or_hardly_moves_is_no_event() -> None:
    assert not events([signal_of(jawOpen=minimum_jerk(TIME - 1))], RATE)
    assert not events([signal_of(jawOpen=0.1 * rise_and_fall(0.5, 0.7, 0.5))], RATE)
    assert len(events([signal_of(jawOpen=np.sin(2 * np.pi * TIME / 2) ** 2)], RATE)) == 6


@pytest.mark.parametrize(
    ("hertz", "band"), [(0.5, "below_1_hz"), (2, "1_to_3_hz"), (5, "3_to_8_hz"), (12, "above_8_hz")]
)
def test_energy_is_found_at_its_frequency(hertz: float, band: str) -> None:
    shares = band_shares([signal_of(jawOpen=0.5 + 0.2 * np.sin(2 * np.pi * hertz * TIME))], RATE)
    assert shares[band] > 0.9
    assert sum(shares.values()) == pytest.approx(1)


def test_micro_motion_is_seen_above_three_hertz() -> None:
    held = signal_of(jawOpen=np.full(len(TIME), 0.8), mouthSmileLeft=0.5 * rise_and_fall(1, 1, 1))
    still, alive = (band_shares([add_micro_motion(held, RATE, 3, amount)], RATE) for amount in (0.0, 1.0))
    assert alive["3_to_8_hz"] > 10 * still["3_to_8_hz"]


def test_left_and_right_are_compared_where_they_move() -> None:
    curve = rise_and_fall(1, 1, 1)
    correlation, difference = left_right([signal_of(mouthSmileLeft=curve, mouthSmileRight=0.5 * curve)])
    assert correlation == pytest.approx(1)
    assert difference == pytest.approx(0.5 / 0.75)
    against = signal_of(browDownLeft=curve, browDownRight=1 - curve)
    assert left_right([against])[0] == pytest.approx(-1, abs=1e-3)
    assert np.isnan(left_right([signal_of(jawOpen=curve)])[0])


def test_a_mesh_is_read_back_as_the_weights_that_moved_it(head: Head) -> None:
    random = np.random.default_rng(0)
    weights = np.zeros((6, len(UNIT_NAMES)), np.float32)
    weights[np.arange(6), random.integers(57, size=6)] = random.uniform(0.3, 1, 6)
    read = weights_reader(head)(np.einsum("ku,uvd->kvd", weights, head.expression_basis))
    assert (read >= 0).all()
    assert np.abs(read - weights).max() < 0.1
    assert np.abs(read - weights).mean() < 0.01


def test_asked_signals_show_two_expressions_and_end_neutral() -> None:
    plan = MotionPlan()
    signal = asked_signal(plan, 1)
    assert signal.shape == (330, 57)
    assert not np.array_equal(signal, asked_signal(plan, 2))
    assert signal[[0, -1]].max() < 0.05
    row = motion_row("asked", [signal], plan.frame_rate)
    assert row["events"] > 4
    assert row["energy"]["above_8_hz"] < 0.01


def test_rows_stand_beside_the_capture(
    trained: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = {"default": Sampler("ddim", 2, 1000)}
    monkeypatch.setattr("models.evaluation.motion.SAMPLERS", quick)
    take = tmp_path / "take.csv"
    lines = [",".join(["Timecode", "BlendShapeCount", *ARKIT_UNITS])]
    for frame in range(60):
        weight = 0.7 * np.sin(np.pi * frame / 59) ** 2
        cells = [f"{weight if name.startswith('browDown') else 0:.4f}" for name in ARKIT_UNITS]
        lines.append(",".join([f"00:00:00:{frame:02d}.000", "61", *cells]))
    take.write_text("\n".join(lines))
    seen: list[int] = []
    result = evaluate_motion(
        trained.checkpoint,
        take,
        MotionPlan(people=1, seconds=1.5, frame_rate=30.0),
        device="cpu",
        half="off",
        on_request=lambda done, _: seen.append(done),
    )
    rows = {row["name"]: row for row in json.loads(json.dumps(result))["rows"]}
    assert seen == [1, 2, 3]
    assert list(rows) == [
        *("capture", "ours_driven_by_the_capture", "ours_without_micro_motion", "ours_with_micro_motion")
    ]
    assert rows["capture"]["events"] == 2
    assert rows["capture"]["left_right_correlation"] == pytest.approx(1)
    # the tiny model has learned browDown: what drives it is read off the mesh again
    driven, captured = rows["ours_driven_by_the_capture"], rows["capture"]
    assert driven["onset_seconds"][1] == pytest.approx(captured["onset_seconds"][1], abs=0.1)
    assert rows["ours_with_micro_motion"]["energy"] != rows["ours_without_micro_motion"]["energy"]
