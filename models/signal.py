"""Expression signals (K, 57) over time: what drives an animation, one stage per frame.

They come from a profile (`expression.expression_signal`), from weights the artist keyframed
(`checked_signal`), from a captured take (`live_link.read_live_link`) or from moments at which the face has
reached an expression (`signal_of_moments`). They add up (`add_signals`), can be held back on one side
(`weigh_sides`), and can be given the unrest and the blinks of living people (`micro_motion`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import InputError
from .expression import MAX_WEIGHT, UNIT_NAMES, minimum_jerk
from .presets import Mixtures, preset_stage
from .timing import GROUP_OF_UNIT, MIDDLE_SHARE, log_onsets
from .units import SIDES, contradictions

Signal = NDArray[np.float32]


@dataclass(frozen=True)
class Moment:
    """At `seconds` the face has reached `expressions`, which add up, times `intensity` (0 to 1.5).

    `transition` is how many seconds it takes to get there from the moment before; without it, every group of
    units (brow, lids, jaw, ...) takes its own captured time. No transition begins before the moment before.
    No expressions at all are the neutral face.
    """

    seconds: float
    expressions: tuple[str, ...] = ()
    intensity: float = 1.0
    transition: float | None = None


def parse_moment(text: str) -> Moment:
    """The moment an artist wrote: `SECONDS:EXPRESSION[,EXPRESSION...][@TRANSITION]`.

    `0.5:happiness=0.8`, `1.2:jawOpen=0.4,browDown@0.3`; no expression, or `neutral`, is the neutral face.
    Raises InputError for anything else.
    """
    seconds, separator, rest = text.partition(":")
    before, at, transition = rest.rpartition("@")
    expressions = before if at else rest
    try:
        time, duration = float(seconds), float(transition) if at else None
    except ValueError:
        separator, time, duration = "", 0.0, None
    if not separator:
        raise InputError(f"“{text[:60]}” is no moment; write it as in 0.5:happiness=0.8 or 1:smirk@0.3.")
    names = tuple(name.strip() for name in expressions.split(",") if name.strip())
    return Moment(time, () if names == ("neutral",) else names, 1.0, duration)


def signal_of_moments(
    moments: Sequence[Moment], frames: int, frame_rate: float, saved: Mixtures = MappingProxyType({})
) -> Signal:
    """The signal (frames, 57) that passes through `moments`, in any order, at `frame_rate` frames a second.

    Before the first moment the face is on its way from neutral; after the last it stays. Every transition is
    a minimum-jerk motion (Flash and Hogan, 1985), so the weights and their speed are continuous. Expressions
    are named as in `presets.preset_stage`, which also takes the artist's `saved` presets. Raises InputError
    as that does, for no moments, for two at one time, for times and intensities out of range, and for units
    that contradict each other.
    """
    if not isfinite(frame_rate) or frame_rate <= 0.0 or frames < 1:
        raise InputError("A signal needs at least one frame and a frame rate above 0.")
    if not moments:
        raise InputError("Add at least one moment: a time, an expression and its intensity.")
    ordered = sorted(moments, key=lambda moment: moment.seconds)
    time = np.arange(frames) / frame_rate
    signal = np.zeros((frames, len(UNIT_NAMES)))
    stage, reached_at = np.zeros(len(UNIT_NAMES)), 0.0
    for moment in ordered:
        target = _stage(moment, saved).astype(np.float64)
        if moment.seconds <= reached_at and moment is not ordered[0]:
            raise InputError(f"Two moments stand at {moment.seconds:g} s; move one of them or add them up.")
        duration = np.minimum(_durations(moment.transition), moment.seconds - reached_at)  # (57,)
        begin = moment.seconds - duration
        moving = minimum_jerk((time[:, None] - begin) / np.where(duration > 0.0, duration, 1.0))
        progress = np.where(duration > 0.0, moving, time[:, None] >= moment.seconds)  # or a cut
        signal += progress * (target - stage)
        stage, reached_at = target, moment.seconds
    return np.clip(signal, 0.0, MAX_WEIGHT).astype(np.float32)


def checked_signal(weights: ArrayLike) -> Signal:
    """Weights drawn by the artist, frame by frame, as a signal (K, 57) of its own.

    Raises InputError unless there is at least one frame of 57 finite weights from 0 to 1.5 each, naming the
    first frame and unit that are not.
    """
    signal = np.array(weights, np.float32)
    if signal.ndim != 2 or signal.shape[1] != len(UNIT_NAMES) or not len(signal):
        raise InputError(f"A signal has {len(UNIT_NAMES)} unit weights in every frame, not {signal.shape}.")
    wrong = ~np.isfinite(signal) | (signal < 0.0) | (signal > MAX_WEIGHT)
    if wrong.any():
        frame, unit = np.argwhere(wrong)[0]
        value = signal[frame, unit]
        raise InputError(
            f"{UNIT_NAMES[unit]} is {value:g} at frame {frame} of the signal; keep it from 0 to {MAX_WEIGHT}."
        )
    return signal


def add_signals(signals: Sequence[Signal]) -> Signal:
    """The sum of signals (K, 57), each unit to at most 1.5. Raises InputError unless their lengths agree."""
    if len({signal.shape for signal in signals}) != 1:
        raise InputError("Signals that add up must have the same number of frames, at the same frame rate.")
    return np.minimum(np.sum(signals, axis=0), np.float32(MAX_WEIGHT))


def weigh_sides(signal: Signal, left: float = 1.0, right: float = 1.0) -> Signal:
    """A signal or stage (..., 57) with the character's left and right scaled; the middle follows the larger.

    Raises InputError for a factor outside 0 to 1.
    """
    if not (0.0 <= left <= 1.0 and 0.0 <= right <= 1.0):
        raise InputError(f"Left and right are factors from 0 to 1, not {left} and {right}.")
    factors = SIDES["left"] * left + SIDES["right"] * right + SIDES["middle"] * max(left, right)
    return signal * factors.astype(np.float32)


def remarks(signal: Signal) -> tuple[str, ...]:
    """What an artist should know of a signal (K, 57) that is allowed all the same, a sentence each."""
    said: list[str] = []
    peaks = signal.max(axis=0, initial=0.0)
    if exaggerated := [name for name, peak in zip(UNIT_NAMES, peaks, strict=True) if peak > 1.0]:
        said.append(
            f"{', '.join(exaggerated[:4])}{' and others' if len(exaggerated) > 4 else ''} go beyond 1, where "
            "the face is extrapolated."
        )
    clashes = {pair for stage in np.unique(signal, axis=0) for pair in contradictions(stage)}
    said.extend(f"{one} and {other} work against each other." for one, other in sorted(clashes))
    return tuple(said)


def _stage(moment: Moment, saved: Mixtures) -> NDArray[np.float32]:
    if not isfinite(moment.seconds) or moment.seconds < 0.0:
        raise InputError(f"A moment's time must be a number of seconds from 0 up, not {moment.seconds}.")
    if not isfinite(moment.intensity) or not 0.0 <= moment.intensity <= MAX_WEIGHT:
        raise InputError(f"The intensity must be a number from 0 to {MAX_WEIGHT}, not {moment.intensity}.")
    if not moment.expressions:
        return np.zeros(len(UNIT_NAMES), np.float32)
    stage = preset_stage(moment.expressions, saved)
    if clashes := contradictions(stage):
        one, other = clashes[0]
        raise InputError(
            f"{one} and {other} contradict each other at {moment.seconds:g} s; keep one of them."
        )
    return np.minimum(np.float32(moment.intensity) * stage, np.float32(MAX_WEIGHT))


def _durations(transition: float | None) -> NDArray[np.float64]:
    """Seconds (57,) of a whole transition; onsets are captured from 10 to 90 % of the way."""
    if transition is None:
        return (np.exp(log_onsets()[0]) / MIDDLE_SHARE)[GROUP_OF_UNIT]
    if not isfinite(transition) or transition < 0.0:
        raise InputError(f"A transition takes a number of seconds from 0 up, not {transition}.")
    return np.full(len(UNIT_NAMES), transition)
