"""The unrest of a living face: micro-motion of held muscles, and blinks, as captured (`timing`).

A signal drawn by a profile or by hand is smooth; real faces are never quite still, and blink. Both are put
into the expression signal (K, 57), so that the generated deformation follows as it follows any signal. The
same seed gives the same life.
"""

from math import isfinite

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .expression import MAX_WEIGHT, PAIRS, UNIT_INDEX, minimum_jerk
from .signal import Signal, checked_signal
from .timing import (
    BLINK_AMPLITUDE,
    BLINK_SECONDS,
    BLINKS_PER_SECOND,
    GROUP_OF_UNIT,
    GROUPS,
    HIGH_BAND_SHARE,
    MICRO_MOTION,
    MIDDLE_SHARE,
    WAVES,
)

CAPTURED_BLINKS = 60.0 * BLINKS_PER_SECOND
"""Blinks per minute of the captured people."""
MOST_BLINKS = 60.0
"""Blinks per minute; more would leave no rest between two."""

_LIDS = [UNIT_INDEX[unit] for unit in PAIRS["eyeBlink"]]
_CLOSING, _OPENING = (seconds / MIDDLE_SHARE for seconds in BLINK_SECONDS)  # the whole of each motion
_REST = 0.5
"""Our choice: seconds from the end of one blink to the earliest start of the next."""


def bring_to_life(
    signal: Signal, frame_rate: float, seed: int, *, micro_motion: float = 0.0, blinks: float = 0.0
) -> Signal:
    """A signal (K, 57) with `micro_motion` from 0 to 1, the captured one, and `blinks` per minute.

    The two have randomness of their own: one does not change the other. Raises InputError as
    add_micro_motion and add_blinks.
    """
    return add_blinks(add_micro_motion(signal, frame_rate, seed, micro_motion), frame_rate, seed, blinks)


def add_micro_motion(signal: Signal, frame_rate: float, seed: int, amount: float = 1.0) -> Signal:
    """A signal (K, 57) whose units tremble above 3 Hz, in step within a group, by a share of their weight.

    `amount` 1 is as much as was captured of held muscles. A unit at rest stays at rest. Raises InputError for
    an amount outside 0 to 1 and as checked_signal.
    """
    if not 0.0 <= amount <= 1.0:
        raise InputError(f"Micro-motion is an amount from 0 to 1, not {amount}.")
    signal, time = _timed(signal, frame_rate)
    shares = _shares(time, frame_rate, np.random.default_rng((seed, 0)))
    return np.clip(signal * (1.0 + amount * shares), 0.0, MAX_WEIGHT).astype(np.float32)


def add_blinks(signal: Signal, frame_rate: float, seed: int, per_minute: float = CAPTURED_BLINKS) -> Signal:
    """A signal (K, 57) that blinks at random moments, closing the lids at least as far as it did.

    Raises InputError for a rate outside 0 to 60 a minute and as checked_signal.
    """
    if not 0.0 <= per_minute <= MOST_BLINKS:
        raise InputError(f"Blinks per minute are a number from 0 to {MOST_BLINKS:g}, not {per_minute}.")
    signal, time = _timed(signal, frame_rate)
    if per_minute > 0.0:
        lids = _blinks(time, 60.0 / per_minute, np.random.default_rng((seed, 1)))
        signal[:, _LIDS] = np.maximum(signal[:, _LIDS], lids[:, None])
    return signal


def _timed(signal: Signal, frame_rate: float) -> tuple[Signal, NDArray[np.float64]]:
    """A copy of the signal (K, 57), and the seconds (K,) of its frames."""
    if not isfinite(frame_rate) or frame_rate <= 0.0:
        raise InputError(f"The frame rate must be a number above 0, not {frame_rate}.")
    checked = checked_signal(signal)
    return checked, np.arange(len(checked)) / frame_rate


def _shares(time: NDArray[np.float64], frame_rate: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Shares (K, 57) of the weight: one wave from each band per group of units, without what frames miss."""
    low, high = np.log(WAVES).T
    hertz = np.exp(rng.uniform(low, high, (len(GROUPS), len(WAVES))))
    phase = rng.uniform(0.0, 2.0 * np.pi, hertz.shape)
    energy = np.where(low >= np.log(8.0), HIGH_BAND_SHARE, 1.0 - HIGH_BAND_SHARE)
    amplitude = MICRO_MOTION[:, None] * np.sqrt(energy) * (hertz < frame_rate / 2.0)
    waves = np.sin(2.0 * np.pi * hertz * time[:, None, None] + phase)  # (K, G, W)
    return np.einsum("gw,kgw->kg", amplitude, waves)[:, GROUP_OF_UNIT]


def _blinks(time: NDArray[np.float64], mean_interval: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """How far blinks close the lids (K,): exponential pauses whose mean gives the interval in seconds."""
    lids = np.zeros(len(time))
    length = _CLOSING + _OPENING
    pause = max(mean_interval - length - _REST, 0.0)
    start = rng.exponential(mean_interval)
    while start + length < time[-1]:
        since = time - start
        shape = np.minimum(minimum_jerk(since / _CLOSING), minimum_jerk((length - since) / _OPENING))
        lids = np.maximum(lids, rng.triangular(*BLINK_AMPLITUDE) * shape)
        start += length + _REST + rng.exponential(pause)
    return lids.astype(np.float32)
