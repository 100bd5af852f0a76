"""Performances: their closed forms, and their statistics against the captured ones."""

import os
from pathlib import Path

import numpy as np
import pytest

from models.corpus.performance import (
    MIDDLE_SHARE,
    draw_frames,
    draw_performance,
    extremeness,
    global_intensity,
    local_intensity,
    take_windows,
)
from models.errors import InputError
from models.expression import LABELS, UNIT_INDEX, minimum_jerk, parse_expression
from models.timing import (
    ASYMMETRY,
    BLINK_AMPLITUDE,
    BLINK_SECONDS,
    GROUPS,
    LAG_SECONDS,
    TIMINGS,
)

SHARED = Path(os.environ.get("DIMPLE_SHARED", Path(__file__).resolve().parents[3] / "shared"))
CAPTURE = SHARED / "data/livelink-take-mit"
with_capture = pytest.mark.skipif(not CAPTURE.is_dir(), reason="needs the shared captured take")
EXAMPLE = {
    **{"brow": "browInnerUp", "blink": "eyeBlink", "cheek": "cheekSquint", "jaw": "jawOpen"},
    **{"smile": "mouthSmile", "frown": "mouthFrown", "lips": "mouthPucker", "nose": "noseSneer"},
}


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def draw_apexes(mixture, rng, count):
    return np.array([draw_performance(mixture, rng, 2, micro_motion=False).weights[-1] for _ in range(count)])


@pytest.mark.parametrize("label", LABELS)
def test_goes_from_neutral_to_an_apex_near_the_mixture(label, rng):
    mixture = parse_expression(label)
    performance = draw_performance(mixture, rng, jitter=0.25, micro_motion=False)
    weights, progression = performance.weights, performance.progression
    assert weights.shape == (40, 57)
    assert weights.dtype == progression.dtype == np.float32
    assert not weights[0].any()
    assert progression[0] == 0.0
    assert progression[-1] == pytest.approx(1.0, abs=1e-6)
    active = mixture > 0.0
    assert not weights[:, ~active].any()
    halves = weights[-1] / np.where(active, mixture, 1.0)
    lean = 1.0 + max(ASYMMETRY.values())  # the most one half can gain
    assert (np.abs(halves[active] - 1.0) <= 1.25 * lean - 1.0).all()
    assert (np.diff(weights, axis=0) >= -1e-6).all()


def test_progression_is_the_weighted_mean_of_the_ways_of_the_units(rng):
    performance = draw_performance(parse_expression("disgust"), rng, micro_motion=False)
    total = performance.weights.sum(axis=1)
    np.testing.assert_allclose(performance.progression, total / total[-1], atol=1e-5)
    noisy = draw_performance(parse_expression("disgust"), np.random.default_rng(7))
    np.testing.assert_allclose(noisy.progression, performance.progression, atol=1e-6)


def test_one_unit_alone_follows_the_minimum_jerk_curve_to_its_weight(rng):
    performance = draw_performance(parse_expression("jawOpen=0.5"), rng, 33, micro_motion=False)
    curve = minimum_jerk(np.linspace(0.0, 1.0, 33))
    np.testing.assert_allclose(performance.weights[:, UNIT_INDEX["jawOpen"]], 0.5 * curve, atol=1e-6)
    np.testing.assert_allclose(performance.progression, curve, atol=1e-6)


def test_emphasis_varies_by_the_jitter_and_leaves_the_strength(rng):
    mixture = parse_expression("surprise")
    apexes = draw_apexes(mixture, rng, 2000)
    np.testing.assert_allclose(apexes.sum(axis=1), mixture.sum(), rtol=1e-5)
    change = apexes[:, UNIT_INDEX["jawOpen"]] / mixture[UNIT_INDEX["jawOpen"]] - 1.0
    assert np.abs(change).max() <= 0.25 + 1e-5
    assert 0.10 < change.std() < 0.25 / np.sqrt(3.0) + 0.02
    assert abs(change.mean()) < 0.01
    steady = draw_performance(mixture, rng, 2, jitter=0.0, micro_motion=False).weights[-1]
    assert steady[UNIT_INDEX["jawOpen"]] == pytest.approx(0.55)


def test_lips_kept_shut_over_an_open_jaw_stay_so(rng):
    mixture = parse_expression("cheeks_in")
    weights = draw_performance(mixture, rng, micro_motion=True).weights
    jaw, close = weights[1:, UNIT_INDEX["jawOpen"]], weights[1:, UNIT_INDEX["mouthClose"]]
    np.testing.assert_allclose(
        close * mixture[UNIT_INDEX["jawOpen"]], jaw * mixture[UNIT_INDEX["mouthClose"]], atol=1e-6
    )


@pytest.mark.parametrize("group", ["brow", "blink", "cheek"])
def test_groups_with_many_captured_events_move_at_their_pace(group, rng):
    mixture = parse_expression(EXAMPLE[group])
    onset = [draw_performance(mixture, rng, 2).seconds * MIDDLE_SHARE for _ in range(3000)]
    low, median, high = np.percentile(onset, [10, 50, 90])
    captured = TIMINGS[group].onset_seconds
    assert median == pytest.approx(captured[1], rel=0.1)
    assert np.log(high / low) == pytest.approx(np.log(captured[2] / captured[0]), rel=0.35)


@pytest.mark.parametrize("group", ["jaw", "smile", "frown", "lips", "nose"])
def test_groups_with_few_events_move_between_their_pace_and_that_of_all(group, rng):
    mixture = parse_expression(EXAMPLE[group])
    onset = np.median([draw_performance(mixture, rng, 2).seconds * MIDDLE_SHARE for _ in range(3000)])
    own, everybody = TIMINGS[group].onset_seconds[1], 0.74
    assert min(own, everybody) * 0.95 < onset < max(own, everybody) * 1.05


def test_groups_are_half_way_within_the_captured_lag(rng):
    """A brow and a jaw that move in one performance pass their middle with an offset of sqrt(2) x 0.1 s."""
    mixture = parse_expression("browInnerUp") + parse_expression("jawOpen")
    offsets = []
    for _ in range(1000):
        performance = draw_performance(mixture, rng, 400, micro_motion=False)
        way = performance.weights / np.maximum(performance.weights[-1], 1e-9)
        middle = [
            np.interp(0.5, way[:, UNIT_INDEX[u]], np.linspace(0, performance.seconds, 400))
            for u in ("browInnerUpLeft", "jawOpen")
        ]
        offsets.append(middle[0] - middle[1])
    assert np.std(offsets) == pytest.approx(LAG_SECONDS * np.sqrt(2.0), rel=0.1)


@pytest.mark.parametrize("pair", ["mouthStretch", "cheekSquint", "eyeBlink", "browOuterUp"])
def test_halves_differ_as_captured(pair, rng):
    apexes = draw_apexes(parse_expression(pair), rng, 2500)
    left, right = apexes[:, UNIT_INDEX[pair + "Left"]], apexes[:, UNIT_INDEX[pair + "Right"]]
    asymmetry = np.abs(left - right).mean() / ((left + right) / 2.0).mean()
    assert asymmetry == pytest.approx(ASYMMETRY.get(pair, 0.0), rel=0.08, abs=1e-6)
    assert (left > right).mean() == pytest.approx(0.5, abs=0.05) or pair == "browOuterUp"


@pytest.mark.parametrize("group", GROUPS)
def test_micro_motion_has_the_captured_strength(group, rng):
    """Relative to the smooth motion, at a frame rate that shows all of it."""
    unit = UNIT_INDEX[EXAMPLE[group] if group in ("jaw", "lips") else EXAMPLE[group] + "Left"]
    mixture = parse_expression(EXAMPLE[group])
    residual = []
    for seed in range(60):
        smooth, real = (
            draw_performance(mixture, np.random.default_rng(seed), 2000, micro_motion=m).weights[200:, unit]
            for m in (False, True)
        )
        residual.append(real / smooth - 1.0)
    assert np.sqrt(np.mean(np.square(residual))) == pytest.approx(TIMINGS[group].micro_motion, rel=0.1)


def test_micro_motion_too_fast_for_the_frame_rate_is_left_out(rng):
    mixture = parse_expression("cheekSquint")
    for seed in range(200):
        smooth, real = (
            draw_performance(mixture, np.random.default_rng(seed), micro_motion=m) for m in (False, True)
        )
        if 39 / (2 * smooth.seconds) < 3.0:  # no wave is that slow
            np.testing.assert_allclose(real.weights, smooth.weights, atol=1e-7)
            return
    pytest.fail("no slow performance was drawn")


def test_almost_nothing_moves_above_8_hz(rng):
    """The captured takes have at most 0.53 % of their energy there."""
    shares = []
    for label in LABELS:
        seconds = draw_performance(parse_expression(label), np.random.default_rng(3), 2).seconds
        frames = max(int(60 * seconds), 8)
        weights = draw_performance(parse_expression(label), np.random.default_rng(3), frames).weights
        there_and_back = np.concatenate([weights, weights[-2:0:-1]])
        energy = np.square(np.abs(np.fft.rfft(there_and_back, axis=0))).sum(axis=1)
        shares.append(energy[np.fft.rfftfreq(len(there_and_back), 1 / 60) > 8.0].sum() / energy[1:].sum())
    assert np.mean(shares) < 0.0053


def test_random_frames_are_distributed_as_those_of_performances(rng):
    mixture = parse_expression("happiness")
    whole = [draw_performance(mixture, rng) for _ in range(600)]
    weights = np.concatenate([p.weights for p in whole])
    progression = np.concatenate([p.progression for p in whole])
    single, progress = draw_frames(np.tile(mixture, (24000, 1)), rng)
    assert single.shape == (24000, 57)
    assert single.dtype == progress.dtype == np.float32
    np.testing.assert_allclose(single.mean(axis=0), weights.mean(axis=0), atol=0.02)
    np.testing.assert_allclose(single.std(axis=0), weights.std(axis=0), atol=0.02)
    at = [10, 25, 50, 75, 90]
    np.testing.assert_allclose(np.percentile(progress, at), np.percentile(progression, at), atol=0.05)


def test_random_frames_keep_to_their_own_mixture(rng):
    mixtures = np.array([parse_expression(label) for label in LABELS])
    weights, progress = draw_frames(mixtures, rng, micro_motion=False)
    assert not weights[mixtures == 0.0].any()
    # halves of one group weigh the same share of it: strength grows with progression, whatever the style
    np.testing.assert_allclose(weights.sum(axis=1) / mixtures.sum(axis=1), progress, atol=0.02)


def test_equal_seeds_give_equal_performances():
    mixture = parse_expression("fear")
    first, second, other = (draw_performance(mixture, np.random.default_rng(s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.weights, second.weights)
    assert np.abs(first.weights - other.weights).max() > 0.01


def test_nothing_stays_nothing(rng):
    performance = draw_performance(np.zeros(57, np.float32), rng)
    assert not performance.weights.any()
    assert np.isfinite(performance.progression).all()


def test_blinks_close_both_lids_now_and_then_and_spare_the_ends(rng):
    mixture, lids = parse_expression("mouth_open"), [UNIT_INDEX["eyeBlinkLeft"], UNIT_INDEX["eyeBlinkRight"]]
    drawn = [draw_performance(mixture, rng, 200, blinks=True) for _ in range(600)]
    peaks = np.array([p.weights[:, lids].max() for p in drawn])
    room = np.array([p.seconds for p in drawn]) - sum(BLINK_SECONDS) / MIDDLE_SHARE
    expected = np.where(room > 0.0, 1.0 - np.exp(-0.18 * room), 0.0).mean()
    assert (peaks > 0.0).mean() == pytest.approx(expected, rel=0.2)
    assert peaks.max() <= BLINK_AMPLITUDE[2]
    for performance in drawn:
        assert not performance.weights[[0, -1]][:, lids].any()
        np.testing.assert_array_equal(performance.weights[:, lids[0]], performance.weights[:, lids[1]])
    assert not draw_performance(mixture, rng, blinks=False).weights[:, lids].any()


@pytest.mark.parametrize(
    ("mixture", "frames"),
    [(np.full(57, np.nan), 40), (np.full(57, -0.1), 40), (np.zeros(56), 40), (np.zeros(57), 1)],
)
def test_refuses_what_is_no_mixture(mixture, frames, rng):
    with pytest.raises(InputError):
        draw_performance(mixture, rng, frames)


@with_capture
def test_take_windows_are_the_take():
    with np.load(CAPTURE / "take.npz") as take:
        times, weights, names = take["times"], take["weights"], take["names"].tolist()
    windows = take_windows(CAPTURE / "take.npz", frames=40, frame_rate=60.0)
    assert windows.shape == (8, 40, 57)
    frames = windows.reshape(320, 57)
    moments = times[0] + np.arange(320) / 60.0
    for unit, name in (
        ("jawOpen", "jawOpen"),
        ("browInnerUpRight", "browInnerUp"),
        ("cheekPuffLeft", "cheekPuff"),
    ):
        expected = np.interp(moments, times, weights[:, names.index(name)])
        np.testing.assert_allclose(frames[:, UNIT_INDEX[unit]], expected, atol=1e-6)
    assert not frames[:, UNIT_INDEX["cheekRaiserLeft"]].any()
    assert take_windows(CAPTURE / "take.npz", frame_rate=30.0).shape == (4, 40, 57)
    with pytest.raises(InputError, match="shorter than one window"):
        take_windows(CAPTURE / "take.npz", frames=400)


def test_take_windows_refuse_another_file(tmp_path):
    np.savez(tmp_path / "other.npz", times=np.arange(3))
    with pytest.raises(InputError, match="names, weights"):
        take_windows(tmp_path / "other.npz")
    with pytest.raises(InputError, match="no take"):
        take_windows(tmp_path / "missing.npz")


def test_extremeness_is_the_mean_length():
    deformations = np.zeros((3, 4, 3), np.float32)
    deformations[1, 0] = 3.0, 4.0, 0.0
    deformations[2] = 0.0, 0.0, 2.0
    np.testing.assert_allclose(extremeness(deformations), [0.0, 1.25, 2.0])


def test_local_intensity_is_the_way_covered(rng):
    curve = 3.0 * minimum_jerk(np.linspace(0.0, 1.0, 40))
    progression = local_intensity(curve)
    assert progression[0] == 0.0
    assert progression[-1] == 1.0
    np.testing.assert_allclose(progression, curve / 3.0, atol=0.01)
    np.testing.assert_allclose(local_intensity(curve * 10.0), progression, atol=1e-6)
    noise = 0.05 * rng.standard_normal(40)
    bends = [np.abs(np.diff(c, 2)).mean() for c in (local_intensity(curve + noise), (curve + noise) / 3.0)]
    assert bends[0] < 0.5 * bends[1]
    with pytest.raises(InputError, match="never leaves"):
        local_intensity(np.ones(40))


def test_global_intensity_compares_the_sequences_of_a_label():
    curve = minimum_jerk(np.linspace(0.0, 1.0, 40))
    intensity = global_intensity(np.array([1.0 * curve, 4.0 * curve, 3.0 * curve]))
    np.testing.assert_allclose(intensity.max(axis=1), [0.25, 1.0, 0.75], atol=1e-6)
    np.testing.assert_allclose(intensity[0], 0.25 * intensity[1], atol=1e-6)
