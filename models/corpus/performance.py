"""How people get from a neutral face to an expression: a performance is (K, 57) unit weights over time.

Two people asked for the same expression mix its units differently, begin and end them at different moments,
are never quite symmetric and never quite still. The model here draws such performances with captured timing.
What an observer can tell of one is its `progression`; the rest is style, which a generative model must
invent.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from ..errors import InputError
from ..expression import ARKIT_UNITS, DIRECTIONS, PAIRS, UNIT_INDEX, UNIT_NAMES, minimum_jerk
from ..timing import (
    ASYMMETRY,
    BLINK_AMPLITUDE,
    BLINK_SECONDS,
    BLINKS_PER_SECOND,
    GROUP_OF_UNIT,
    GROUPS,
    HIGH_BAND_SHARE,
    LAG_SECONDS,
    MICRO_MOTION,
    MIDDLE_SHARE,
    WAVES,
    log_onsets,
)

FRAMES = 40
"""Frames of one performance, neutral to apex (AnimateMe section 4.1)."""
ONE_TEMPO = 0.8
"""Our choice: how much of the variance of log duration the groups of one performance have in common."""


def _habit_of(unit: str) -> str:
    """What is emphasised as one: the halves of a pair, and the jaw with the lips that stay shut over it."""
    if unit == "mouthClose":
        return "jawOpen"
    return unit if unit in DIRECTIONS else unit.removesuffix("Left").removesuffix("Right")


_HABITS = sorted({_habit_of(unit) for unit in UNIT_NAMES})
_HABIT_OF_UNIT = np.array([_HABITS.index(_habit_of(unit)) for unit in UNIT_NAMES])  # (57,)
_LEAN = np.array([ASYMMETRY.get(habit, 0.0) for habit in _HABITS])  # (H,)
_HALF = np.array([0 if n in DIRECTIONS else n.endswith("Left") - n.endswith("Right") for n in UNIT_NAMES])
_LIDS = [UNIT_INDEX[unit] for unit in PAIRS["eyeBlink"]]


@dataclass(frozen=True)
class Performance:
    """`weights` (K, 57) and `progression` (K,), both 0 at the first frame, over `seconds` of real time."""

    weights: NDArray[np.float32]
    progression: NDArray[np.float32]
    seconds: float


def draw_performance(
    mixture: NDArray[np.float32],
    rng: np.random.Generator,
    frames: int = FRAMES,
    *,
    jitter: float = 0.25,
    micro_motion: bool = True,
    blinks: bool = False,
) -> Performance:
    """One performance of a mixture of units (57,), neutral at frame 0, at its apex in the last frame.

    At the apex a unit weighs `mixture * (1 + d)`, |d| <= `jitter`. The d have mean 0 over the mixture, for
    the observer knows how strong the expression is, not what it is made of; a single unit keeps its weight.
    The captured asymmetry of the halves and the micro-motion come on top. On the way, each group of units
    follows its own minimum-jerk motion. `progression` is how far the units have come on average, weighted by
    their apex, without micro-motion and blinks. Raises InputError for fewer than 2 frames, and for weights
    that are negative or not finite.
    """
    if frames < 2:
        raise InputError(f"A performance needs at least 2 frames, not {frames}.")
    styles = _draw_styles(np.asarray(mixture)[None], rng, jitter, micro_motion, blinks, frames)
    weights, progression = styles.at(np.linspace(0.0, 1.0, frames)[None])
    return Performance(weights[0], progression[0], float(styles.seconds[0]))


def draw_frames(
    mixtures: NDArray[np.float32],
    rng: np.random.Generator,
    *,
    jitter: float = 0.25,
    micro_motion: bool = True,
    blinks: bool = False,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """One frame at a random moment of an independent performance of each mixture (B, 57).

    Returns weights (B, 57) and progression (B,), distributed as the frames of draw_performance, and raises
    as it.
    """
    styles = _draw_styles(np.asarray(mixtures), rng, jitter, micro_motion, blinks, FRAMES)
    weights, progression = styles.at(rng.random((len(mixtures), 1)))
    return weights[:, 0], progression[:, 0]


def take_windows(take_npz: Path, frames: int = FRAMES, frame_rate: float = 30.0) -> NDArray[np.float32]:
    """A captured take cut into consecutive windows (N, frames, 57) at `frame_rate`; its rest is dropped.

    `take_npz` holds `times` (T,) in seconds, `weights` (T, 52) and `names` (52,) of ARKit. The take drives
    people directly, without presets or a model of time, so that temporal realism can be judged against it.
    Raises InputError when the file is not such a take or is shorter than one window.
    """
    if not take_npz.is_file():
        raise InputError(f"There is no take at {take_npz}.")
    with np.load(take_npz, allow_pickle=False) as take:
        if missing := {"times", "weights", "names"} - set(take.files):
            raise InputError(
                f"{take_npz.name} is not a captured take: it has no {', '.join(sorted(missing))}."
            )
        times, captured, names = take["times"], take["weights"], take["names"].tolist()
    moments = np.arange(times[0], times[-1], 1.0 / frame_rate)
    windows = len(moments) // frames
    if windows == 0:
        raise InputError(
            f"{take_npz.name} is shorter than one window of {frames} frames; raise the frame rate."
        )
    weights = np.zeros((len(moments), len(UNIT_NAMES)), np.float32)
    for name, column in zip(names, captured.T, strict=True):
        for unit in ARKIT_UNITS.get(name, ()):
            weights[:, UNIT_INDEX[unit]] = np.interp(moments, times, column)
    return weights[: windows * frames].reshape(windows, frames, len(UNIT_NAMES))


@dataclass(frozen=True)
class _Styles:
    """What makes B performances differ. Times in seconds from the first motion; (B, G) per group of units."""

    apex: NDArray[np.float64]  # (B, 57)
    start: NDArray[np.float64]  # (B, G)
    duration: NDArray[np.float64]  # (B, G)
    seconds: NDArray[np.float64]  # (B,) until the last motion ends
    wave_hertz: NDArray[np.float64]  # (B, G, W)
    wave_phase: NDArray[np.float64]  # (B, G, W)
    wave_amplitude: NDArray[np.float64]  # (B, G, W), as a share of the weight
    blink_start: NDArray[np.float64]  # (B,), infinite without a blink
    blink_amplitude: NDArray[np.float64]  # (B,)

    def at(self, time: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Weights (B, K, 57) and progression (B, K) at `time` (B, K) in 0..1."""
        seconds = time * self.seconds[:, None]
        reached = minimum_jerk(
            (seconds[..., None] - self.start[:, None]) / self.duration[:, None]
        )  # (B, K, G)
        progression = np.einsum("bkg,bg->bk", reached, _group_share(self.apex))
        phase = 2.0 * np.pi * self.wave_hertz[:, None] * seconds[..., None, None] + self.wave_phase[:, None]
        activity = reached * (1.0 + np.einsum("bgw,bkgw->bkg", self.wave_amplitude, np.sin(phase)))
        weights = self.apex[:, None] * activity[..., GROUP_OF_UNIT]
        closing, opening = (s / MIDDLE_SHARE for s in BLINK_SECONDS)
        since = seconds - self.blink_start[:, None]
        lids = np.minimum(minimum_jerk(since / closing), minimum_jerk((closing + opening - since) / opening))
        blink = (self.blink_amplitude[:, None] * lids)[..., None]
        weights[..., _LIDS] = np.maximum(weights[..., _LIDS], blink)
        return weights.astype(np.float32), progression.astype(np.float32)


def _draw_styles(
    mixtures: NDArray[np.float32],
    rng: np.random.Generator,
    jitter: float,
    micro_motion: bool,
    blinks: bool,
    frames: int,
) -> _Styles:
    if mixtures.ndim != 2 or mixtures.shape[1] != len(UNIT_NAMES):
        raise InputError(f"A mixture has {len(UNIT_NAMES)} weights, not {mixtures.shape[-1:]}.")
    if not np.isfinite(mixtures).all() or (mixtures < 0.0).any():
        raise InputError("The weights of a mixture must be finite numbers from 0 up.")
    count, groups = len(mixtures), len(GROUPS)
    apex = _draw_apex(mixtures.astype(np.float64), rng, jitter)

    common, own = rng.standard_normal((count, 1)), rng.standard_normal((count, groups))
    deviation = np.clip(ONE_TEMPO**0.5 * common + (1.0 - ONE_TEMPO) ** 0.5 * own, -2.0, 2.0)
    mean, spread = log_onsets()
    duration = np.exp(mean + spread * deviation) / MIDDLE_SHARE
    start = LAG_SECONDS * rng.standard_normal((count, groups)) - duration / 2.0
    share = _group_share(apex)
    first = np.min(start, axis=1, where=share > 0.0, initial=np.inf)
    last = np.max(start + duration, axis=1, where=share > 0.0, initial=-np.inf)
    still = ~np.isfinite(first)  # a mixture of nothing
    first[still], last[still] = 0.0, 1.0
    seconds = last - first

    low, high = np.log(WAVES).T
    hertz = np.exp(rng.uniform(low, high, (count, groups, len(WAVES))))
    energy = np.array([1.0 - HIGH_BAND_SHARE, 1.0 - HIGH_BAND_SHARE, HIGH_BAND_SHARE, HIGH_BAND_SHARE])
    seen = hertz < (frames - 1) / (2.0 * seconds[:, None, None])  # faster motion is lost between two frames
    amplitude = float(micro_motion) * seen * (MICRO_MOTION[:, None] * np.sqrt(energy))

    blink_seconds = sum(BLINK_SECONDS) / MIDDLE_SHARE
    room = seconds - blink_seconds
    chance = -np.expm1(-BLINKS_PER_SECOND * room) if blinks else np.zeros(count)
    happens = rng.random(count) < chance
    return _Styles(
        apex=apex,
        start=start - first[:, None],
        duration=duration,
        seconds=seconds,
        wave_hertz=hertz,
        wave_phase=rng.uniform(0.0, 2.0 * np.pi, hertz.shape),
        wave_amplitude=amplitude,
        blink_start=np.where(happens, rng.random(count) * room, np.inf),
        blink_amplitude=rng.triangular(*BLINK_AMPLITUDE, count),
    )


def _draw_apex(mixtures: NDArray[np.float64], rng: np.random.Generator, jitter: float) -> NDArray[np.float64]:
    """The mixtures (B, 57) with the emphasis and the asymmetry of one performance each."""
    count, habits = len(mixtures), len(_LEAN)
    emphasis = rng.uniform(-1.0, 1.0, (count, habits))[:, _HABIT_OF_UNIT]
    total = mixtures.sum(axis=1, keepdims=True)
    emphasis -= (mixtures * emphasis).sum(axis=1, keepdims=True) / np.where(total > 0.0, total, 1.0)
    emphasis /= np.maximum(1.0, np.abs(emphasis * (mixtures > 0.0)).max(axis=1, keepdims=True))
    # |left - right| = 2 |a| of the mean, and E|a| = sqrt(2 / pi) sigma
    lean = np.clip(rng.standard_normal((count, habits)), -2.0, 2.0) * (_LEAN / (2.0 * np.sqrt(2.0 / np.pi)))
    return mixtures * (1.0 + jitter * emphasis) * (1.0 + lean[:, _HABIT_OF_UNIT] * _HALF)


def _group_share(apex: NDArray[np.float64]) -> NDArray[np.float64]:
    """(B, 57) -> (B, G): the share of each group in all weights."""
    total = apex.sum(axis=1, keepdims=True)
    return apex @ np.eye(len(GROUPS))[GROUP_OF_UNIT] / np.where(total > 0.0, total, 1.0)


def extremeness(deformations: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean length of the deformation (K, V, 3) over the vertices of each frame: (K,), in its unit."""
    return np.linalg.norm(deformations, axis=-1).mean(axis=-1, dtype=np.float64)


def local_intensity(curve: NDArray[np.float64], smoothing: float = 1.5) -> NDArray[np.float32]:
    """Progression (K,) of one sequence, from its extremeness (K,): smoothed, 0 at the first frame, 1 at its
    peak.

    `smoothing` is the sigma of a Gaussian, in frames. With this local scaling (AnimateMe section 4.1) every
    sequence reaches 1, however strong it is. Raises InputError for one that never leaves the neutral.
    """
    smooth = gaussian_filter1d(curve, smoothing, mode="nearest")
    travelled = np.maximum(smooth - smooth[0], 0.0)
    if not travelled.max() > 0.0:
        raise InputError("This sequence never leaves its neutral face; it has no expression to learn.")
    return (travelled / travelled.max()).astype(np.float32)


def global_intensity(curves: NDArray[np.float64], smoothing: float = 1.5) -> NDArray[np.float32]:
    """Intensity (N, K) of all sequences of one label, from their extremeness (N, K).

    Each one's progression times its extremeness factor: its apex, normalised by the most extreme sequence of
    the label, which alone reaches 1 (global scaling, AnimateMe section 4.1). Raises as local_intensity.
    """
    progression = np.array([local_intensity(curve, smoothing) for curve in curves])
    factor = curves.max(axis=1) / curves.max()
    return progression * factor[:, None].astype(np.float32)
