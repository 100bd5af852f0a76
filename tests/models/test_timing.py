"""The captured timing: its constants against the statistics and the take they come from."""

import json
import os
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d
from scipy.signal import butter, sosfiltfilt

from models.expression import UNIT_NAMES
from models.timing import (
    ASYMMETRY,
    BLINK_AMPLITUDE,
    BLINK_SECONDS,
    GROUPS,
    HIGH_BAND_SHARE,
    LAG_SECONDS,
    TIMINGS,
    group_of,
)

SHARED = Path(os.environ.get("DIMPLE_SHARED", Path(__file__).resolve().parents[3] / "shared"))
CAPTURE = SHARED / "data/livelink-take-mit"
with_capture = pytest.mark.skipif(not CAPTURE.is_dir(), reason="needs the shared captured take")
CAPTURED_GROUP = {"blink": "eyeBlink", "cheek": "eyeSquint/cheek", "jaw": "jawOpen"}


@pytest.fixture(scope="module")
def take():
    """Weights (T, 52) at 60 Hz and their ARKit names."""
    with np.load(CAPTURE / "take.npz") as arrays:
        return arrays["weights"].astype(float), arrays["names"].tolist()


def test_units_belong_to_the_group_that_moves_them():
    groups = {unit: GROUPS[group_of(unit)] for unit in UNIT_NAMES}
    assert groups["mouthClose"] == groups["jawOpen"] == "jaw"
    assert groups["mouthSmileLeft"] == "smile"
    assert groups["eyeSquintLeft"] == groups["cheekPuffRight"] == "cheek"
    assert groups["eyeLookInLeft"] == "blink"
    assert groups["mouthLowerDownLeft"] == "lips"
    assert set(groups.values()) == set(GROUPS)


@with_capture
def test_constants_are_the_captured_statistics():
    captured = json.loads((CAPTURE / "temporal_statistics.json").read_text())
    for group, timing in TIMINGS.items():
        event = captured["events"][CAPTURED_GROUP.get(group, group)]
        assert timing.events == event["events"]
        assert list(timing.onset_seconds) == event["onset_s"]
    blink = captured["events"]["eyeBlink"]
    assert (blink["onset_s"][1], blink["offset_s"][1]) == BLINK_SECONDS
    assert list(BLINK_AMPLITUDE) == blink["amplitude"]
    for pair in set(ASYMMETRY) - {"cheekRaiser"}:
        assert captured["left_right"][pair]["relative_asymmetry"] == ASYMMETRY[pair]
    bands = np.mean(captured["band_energy_hz_0_1__1_3__3_8__8_30"], axis=0)
    assert pytest.approx(bands[3] / (bands[2] + bands[3]), abs=0.01) == HIGH_BAND_SHARE


def columns(names, group):
    return [i for i, n in enumerate(names) if n != "tongueOut" and GROUPS[group_of(n)] == group]


@with_capture
@pytest.mark.parametrize("group", ["brow", "cheek", "jaw", "smile", "lips", "nose"])
def test_micro_motion_constants_are_those_of_the_take(group, take):
    weights, names = take
    fast = sosfiltfilt(butter(4, 3.0, "high", fs=60.0, output="sos"), weights, axis=0)
    slow = weights - fast
    speed = np.abs(np.gradient(slow, 1 / 60.0, axis=0))
    own = columns(names, group)
    held = ((speed < 0.2) & (slow > 0.05))[:, own]
    measured = 1.4826 * np.median(np.abs(fast[:, own] / np.maximum(slow[:, own], 0.02))[held])
    assert TIMINGS[group].micro_motion == pytest.approx(measured, rel=0.25)


@with_capture
def test_lag_constant_is_that_of_the_take(take):
    """The lag at which the speeds of two groups agree best, for those that correlate above 0.5; 60 Hz."""
    weights, names = take
    speed = {
        g: np.gradient(gaussian_filter1d(weights[:, columns(names, g)].mean(axis=1), 3.0)) for g in GROUPS
    }
    inner, lags = slice(40, -40), []
    for a, b in combinations(GROUPS, 2):
        correlation = {
            lag: abs(np.corrcoef(speed[a][inner], np.roll(speed[b], lag)[inner])[0, 1])
            for lag in range(-30, 31)
        }
        best = max(correlation, key=lambda lag: correlation[lag])
        if correlation[best] > 0.5:
            lags.append(best / 60.0)
    assert np.sqrt(np.mean(np.square(lags))) == pytest.approx(LAG_SECONDS * np.sqrt(2.0), rel=0.1)
