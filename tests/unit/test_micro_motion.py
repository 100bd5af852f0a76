"""Micro-motion and blinks put into a signal."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import InputError
from models.expression import MAX_WEIGHT, UNIT_INDEX
from models.micro_motion import CAPTURED_BLINKS, add_blinks, add_micro_motion, bring_to_life
from models.timing import BLINK_AMPLITUDE, BLINKS_PER_SECOND, MICRO_MOTION

JAW, BLINK = UNIT_INDEX["jawOpen"], UNIT_INDEX["eyeBlinkLeft"]


def test_without_options_a_signal_stays_as_it_is():
    signal = np.random.default_rng(0).uniform(0.0, 1.5, (50, 57)).astype(np.float32)
    np.testing.assert_array_equal(bring_to_life(signal, 30.0, 0), signal)


def test_a_face_at_rest_stays_at_rest_without_blinks():
    still = np.zeros((600, 57), np.float32)
    assert add_micro_motion(still, 30.0, 0).max() == 0.0


def test_a_held_unit_moves_as_much_as_captured_times_the_amount():
    held = np.ones((6000, 57), np.float32) * 0.5
    for amount in (0.5, 1.0):
        shares = [add_micro_motion(held, 100.0, seed, amount)[:, JAW].std() / 0.5 for seed in range(8)]
        # two waves of each band: RMS = share of the captured one
        assert np.mean(shares) == pytest.approx(amount * MICRO_MOTION[3], rel=0.05)


def test_what_frames_are_too_few_for_is_left_out():
    held = np.full((300, 57), 0.5, np.float32)
    np.testing.assert_array_equal(add_micro_motion(held, 5.0, 0), held)  # 3 Hz needs more than 6 a second


def test_blinks_come_at_the_rate_and_depth_asked_for():
    for per_minute in (CAPTURED_BLINKS, 30.0):
        life = add_blinks(np.zeros((36_000, 57), np.float32), 60.0, 3, per_minute)
        lids = life[:, BLINK]
        count = np.count_nonzero((lids[1:] > 0.0) & (lids[:-1] == 0.0))
        assert count == pytest.approx(10 * per_minute, rel=0.25)
        assert BLINK_AMPLITUDE[0] / 2 < lids.max() <= BLINK_AMPLITUDE[2]
        assert np.count_nonzero(life.any(axis=0)) == 2
    assert CAPTURED_BLINKS == 60.0 * BLINKS_PER_SECOND


def test_blinks_never_open_closed_lids():
    closed = np.zeros((900, 57), np.float32)
    closed[:, BLINK] = 1.0
    np.testing.assert_array_equal(add_blinks(closed, 30.0, 1)[:, BLINK], 1.0)


def test_a_seed_is_a_life_and_options_do_not_disturb_each_other():
    held = np.full((300, 57), 0.4, np.float32)
    one = bring_to_life(held, 30.0, 5, micro_motion=1.0, blinks=20.0)
    np.testing.assert_array_equal(one, bring_to_life(held, 30.0, 5, micro_motion=1.0, blinks=20.0))
    assert not np.array_equal(one, bring_to_life(held, 30.0, 6, micro_motion=1.0, blinks=20.0))
    np.testing.assert_array_equal(one[:, JAW], add_micro_motion(held, 30.0, 5)[:, JAW])


@given(
    seed=st.integers(0, 2**32),
    rate=st.sampled_from([12.0, 24.0, 29.97, 60.0]),
    blinks=st.floats(0.0, 60.0),
    frames=st.integers(1, 90),
)
def test_life_stays_within_bounds(seed: int, rate: float, blinks: float, frames: int):
    signal = np.full((frames, 57), 1.5, np.float32)
    life = bring_to_life(signal, rate, seed, micro_motion=1.0, blinks=blinks)
    assert life.min() >= 0.0
    assert life.max() <= MAX_WEIGHT


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"micro_motion": 1.2}, "from 0 to 1"),
        ({"micro_motion": float("nan")}, "from 0 to 1"),
        ({"blinks": -1.0}, "from 0 to 60"),
        ({"blinks": float("inf")}, "from 0 to 60"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, float], part: str):
    with pytest.raises(InputError, match=part):
        bring_to_life(np.zeros((5, 57), np.float32), 30.0, 0, **options)


def test_a_frame_rate_of_nothing_is_refused():
    with pytest.raises(InputError, match="above 0"):
        add_blinks(np.zeros((5, 57), np.float32), 0.0, 0)
