"""What an artist asks for over time, from whatever it was made of, as one expression signal.

Expressions along a profile, moments, weights keyframed in Blender and a captured take add up: each gives a
signal (K, 57) of the same length.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .expression import MAX_WEIGHT, UNIT_NAMES, profile
from .live_link import Take, read_live_link
from .presets import preset_stage
from .signal import Signal, add_signals, checked_signal, parse_moment, remarks, signal_of_moments, weigh_sides


@dataclass(frozen=True)
class Drawing:
    """What is asked for. `moments` as `signal.parse_moment` reads them; `performance` is the CSV of a take,
    used from `performance_start` seconds on and for at most `frames`; `curves` name units and pairs whose
    weights were keyframed; `presets` are the artist's own, {name: {unit: weight}}; `left` and `right` are the
    shares of the two halves of the face.
    """

    expressions: tuple[str, ...]
    intensity: float
    profile: str
    frames: int
    frame_rate: float
    moments: tuple[str, ...] = ()
    performance: str = ""
    performance_start: float = 0.0
    curves: tuple[str, ...] = ()
    presets: Mapping[str, Mapping[str, float]] = field(default_factory=dict[str, Mapping[str, float]])
    left: float = 1.0
    right: float = 1.0


def draw_signal(
    drawing: Drawing, curve_weights: NDArray[np.floating] | None = None
) -> tuple[Signal, tuple[str, ...]]:
    """The signal (K, 57) that a drawing describes, and what the artist should know of it, a sentence each.

    `curve_weights` (K, N) belong to the N `curves`. Everything is scaled by `intensity`, each unit to at most
    1.5. Raises InputError for a drawing of nothing and for everything out of range.
    """
    if not isfinite(drawing.intensity) or not 0.0 <= drawing.intensity <= MAX_WEIGHT:
        raise InputError(f"The intensity must be a number from 0 to {MAX_WEIGHT}, not {drawing.intensity}.")
    take, said = _performed(drawing)
    frames = drawing.frames if take is None else len(take)
    parts = [part for part in _drawn(drawing, frames, curve_weights)]
    drawn = [np.float32(drawing.intensity) * part for part in ([] if take is None else [take]) + parts]
    if not drawn:
        raise InputError("Choose at least one expression, for example happiness or jawOpen=0.5.")
    if drawing.intensity > 1.0:
        said += ("An intensity above 1 exaggerates: the face goes further than the model has learnt.",)
    signal = weigh_sides(add_signals(drawn), drawing.left, drawing.right)
    # a captured face may do what a drawn one should not
    return signal, said + (remarks(signal) if take is None else ())


def _drawn(drawing: Drawing, frames: int, curve_weights: NDArray[np.floating] | None) -> Iterator[Signal]:
    if drawing.expressions:
        yield profile(drawing.profile, frames)[:, None] * preset_stage(drawing.expressions, drawing.presets)
    if drawing.moments:
        moments = [parse_moment(text) for text in drawing.moments]
        yield signal_of_moments(moments, frames, drawing.frame_rate, drawing.presets)
    if drawing.curves:
        yield _keyframed(drawing, frames, curve_weights)


def _keyframed(drawing: Drawing, frames: int, weights: NDArray[np.floating] | None) -> Signal:
    if weights is None or weights.shape != (frames, len(drawing.curves)):
        raise InputError(f"The keyframed units need a weight each in all {frames} frames: draw them again.")
    signal = np.zeros((frames, len(UNIT_NAMES)), np.float32)
    for name, column in zip(drawing.curves, weights.T, strict=True):
        if not np.isfinite(column).all() or column.min() < 0.0 or column.max() > MAX_WEIGHT:
            raise InputError(f"The curve of {name} leaves 0 to {MAX_WEIGHT}: move its keyframes back.")
        signal += column[:, None].astype(np.float32) * preset_stage([name], drawing.presets)
    return checked_signal(np.minimum(signal, MAX_WEIGHT))


def _performed(drawing: Drawing) -> tuple[Signal | None, tuple[str, ...]]:
    """The part of the take that is asked for, and where no face was seen in it."""
    if not drawing.performance:
        return None, ()
    take = read_live_link(Path(drawing.performance), drawing.frame_rate)
    begin = drawing.performance_start
    first = round(begin * take.frame_rate) if isfinite(begin) and begin >= 0.0 else -1
    signal = take.expression_signal[max(first, 0) :][: drawing.frames]
    if first < 0 or not len(signal):
        length = len(take.expression_signal) / take.frame_rate
        raise InputError(f"The take lasts {length:.1f} s; begin between 0 and there, not at {begin:g} s.")
    return signal, _gaps(take, begin, begin + len(signal) / take.frame_rate)


def _gaps(take: Take, begin: float, end: float) -> tuple[str, ...]:
    gaps = [(a, b) for a, b in take.gaps if b > begin and a < end]
    named = ", ".join(f"{a:.1f} to {b:.1f} s" for a, b in gaps[:3]) + (" and more" if len(gaps) > 3 else "")
    return (f"No face was seen from {named} of the take; the weights run straight there.",) if gaps else ()
