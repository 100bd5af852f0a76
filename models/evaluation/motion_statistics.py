"""How weights of expression units move in time: events, frequency bands, left against right.

The same measures as were taken of the captured takes: an event is a rise and fall of one unit; its onset runs
from 10 to 90 % of its amplitude, its apex lies above 90 %, its offset runs back to 10 %.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import find_peaks, periodogram

from ..expression import PAIRS, UNIT_INDEX
from ..signal import Signal

SMALLEST_EVENT = 0.15
"""Weight that a unit must rise by, and fall by again."""
BANDS: Mapping[str, tuple[float, float]] = {
    "below_1_hz": (0.0, 1.0),
    "1_to_3_hz": (1.0, 3.0),
    "3_to_8_hz": (3.0, 8.0),
    "above_8_hz": (8.0, np.inf),
}
MOVING = 0.02
"""Standard deviation from which a unit counts as moving."""


@dataclass(frozen=True)
class Event:
    """Durations in seconds; the amplitude is a weight."""

    onset: float
    apex: float
    offset: float
    amplitude: float


def events(signals: Sequence[Signal], frame_rate: float) -> list[Event]:
    """The events of all units of signals (K, 57) that are seen from their beginning to their end."""
    return [
        event
        for signal in signals
        for curve in signal.T.astype(np.float64)
        for event in _events_of(curve, frame_rate)
    ]


def _events_of(curve: NDArray[np.float64], frame_rate: float) -> list[Event]:
    peaks, found = find_peaks(curve, prominence=SMALLEST_EVENT, plateau_size=1)
    result: list[Event] = []
    for peak, left, right in zip(peaks, found["left_bases"], found["right_bases"], strict=True):
        top = curve[peak]
        rising, falling = curve[left : peak + 1], curve[peak : right + 1]
        up, down = top - rising[0], top - falling[-1]
        if min(up, down) < SMALLEST_EVENT:
            continue
        starts, full = (_last_below(rising, rising[0] + share * up) for share in (0.1, 0.9))
        leaves, ends = (_last_below(falling[::-1], falling[-1] + share * down) for share in (0.9, 0.1))
        until = len(falling) - 1
        result.append(
            Event(
                onset=(full - starts) / frame_rate,
                apex=(len(rising) - 1 - full + until - leaves) / frame_rate,
                offset=(leaves - ends) / frame_rate,
                amplitude=float(top - max(rising[0], falling[-1])),
            )
        )
    return result


def _last_below(rising: NDArray[np.float64], level: float) -> float:
    """The moment, in frames, at which a curve passes ``level`` for the last time before its last frame."""
    before = int(np.nonzero(rising <= level)[0][-1])
    if before == len(rising) - 1:
        return float(before)
    return before + float((level - rising[before]) / (rising[before + 1] - rising[before]))


def band_shares(signals: Sequence[Signal], frame_rate: float) -> dict[str, float]:
    """Band -> share of the energy of all units, means taken off, under a Hann window."""
    energy = dict.fromkeys(BANDS, 0.0)
    for signal in signals:
        hertz, power = periodogram(signal, frame_rate, window="hann", detrend="constant", axis=0)
        for band, (low, high) in BANDS.items():
            energy[band] += float(power[(hertz >= low) & (hertz < high)].sum()) / len(signal)
    total = sum(energy.values())
    return {band: value / total if total > 0 else 0.0 for band, value in energy.items()}


def left_right(signals: Sequence[Signal]) -> tuple[float, float]:
    """Mean correlation of the two halves of a pair where they move, and |left - right| over their mean.

    NaN where no pair moves. Eyes look the same way together, so a gaze is no pair.
    """
    correlations: list[float] = []
    difference = size = 0.0
    for signal in signals:
        for stem, (left, right) in PAIRS.items():
            one, other = signal[:, UNIT_INDEX[left]], signal[:, UNIT_INDEX[right]]
            if stem.startswith("eyeLook") or min(one.std(), other.std()) < MOVING:
                continue
            correlations.append(float(np.corrcoef(one, other)[0, 1]))
            difference += float(np.abs(one - other).sum())
            size += float((one + other).sum()) / 2
    if not correlations:
        return float("nan"), float("nan")
    return float(np.mean(correlations)), difference / size
