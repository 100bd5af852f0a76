"""Timing, symmetry and stillness of captured expressions, as constants.

Events come from four iPhone takes (98.5 s in all, ARKit weights at 60 Hz), one of them JMTechArt's
MIT-licensed take; the other three are known by these aggregates only. What is said to be measured on the MIT
take was measured on that.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from .expression import UNIT_NAMES


@dataclass(frozen=True)
class GroupTiming:
    """What was captured of one group of units that move together.

    `stems` are the first letters of its units' names; the longest stem decides. `onset_seconds` from 10 to
    90 % of the amplitude: 10th, 50th and 90th percentile of `events` events. `micro_motion` is what a held
    unit still does above 3 Hz: RMS as a share of its weight.
    """

    stems: tuple[str, ...]
    events: int
    onset_seconds: tuple[float, float, float]
    micro_motion: float


# Micro-motion is the robust (median) estimate on the MIT take where the weight below 3 Hz is above 0.05 and
# changes by less than 0.2 per second. Lids and frowns are not held there: they have that of the cheeks and
# of the lips.
TIMINGS: Mapping[str, GroupTiming] = MappingProxyType(
    {
        "brow": GroupTiming(("brow",), 14, (0.486, 0.718, 2.019), 0.0070),
        "blink": GroupTiming(("eyeBlink", "eyeLook"), 35, (0.067, 0.083, 0.200), 0.0107),
        "cheek": GroupTiming(("eye", "pupil", "cheek"), 47, (0.210, 1.035, 3.133), 0.0107),
        "jaw": GroupTiming(("jaw", "mouthClose"), 6, (0.075, 0.434, 1.728), 0.0055),
        "smile": GroupTiming(("mouthSmile", "mouthDimple"), 4, (0.117, 0.384, 2.218), 0.0108),
        "frown": GroupTiming(("mouthFrown",), 3, (3.450, 3.490, 5.761), 0.0067),
        "lips": GroupTiming(("mouth",), 20, (0.098, 0.292, 2.236), 0.0067),
        "nose": GroupTiming(("nose",), 4, (0.641, 2.313, 2.967), 0.0027),
    }
)
GROUPS: tuple[str, ...] = tuple(TIMINGS)
MICRO_MOTION: NDArray[np.float64] = np.array([TIMINGS[g].micro_motion for g in GROUPS])
"""(G,)"""

# Gaze is conjugate, so the difference of the eyes is no asymmetry. What ARKit does not split, or the takes
# do not show, is symmetric here, but for the cheek raiser, which works with the squint. fmt: off
ASYMMETRY: Mapping[str, float] = MappingProxyType(
    {
        "eyeBlink": 0.023,
        "eyeSquint": 0.005,
        "eyeWide": 0.006,
        "browDown": 0.010,
        "cheekSquint": 0.130,
        "cheekRaiser": 0.130,
        "noseSneer": 0.061,
        "mouthSmile": 0.113,
        "mouthDimple": 0.060,
        "mouthStretch": 0.253,
        "mouthPress": 0.066,
        "mouthLowerDown": 0.121,
        "mouthUpperUp": 0.066,
        "mouthFrown": 0.114,
    }
)
# fmt: on
"""Pair of units -> mean |left - right| over the mean of both."""

LAG_SECONDS = 0.10
"""Spread of the moment a group is half way: 0.14 s RMS between groups that move together in the MIT take."""
HIGH_BAND_SHARE = 0.09
"""Share of the energy above 3 Hz that lies above 8 Hz: mean band energies of the four takes."""

BLINKS_PER_SECOND = 0.18
BLINK_SECONDS = (0.083, 0.117)
"""Medians of closing and of opening, from 10 to 90 %."""
BLINK_AMPLITUDE = (0.230, 0.583, 0.811)
"""10th, 50th and 90th percentile."""

MIDDLE_SHARE = 0.5067
"""Share of a minimum-jerk motion's time spent between 10 and 90 % of its way."""
WAVES = ((3.0, 8.0), (3.0, 8.0), (8.0, 30.0), (8.0, 30.0))
"""Hz. Micro-motion is the sum of one sine drawn from each of these bands."""

POOLED_EVENTS = 10
"""Our choice: so many events of its own count as much, for the timing of a group, as those of all groups
together."""


def group_of(unit: str) -> int:
    """The index into GROUPS of a unit."""
    fit = [max((len(s) for s in TIMINGS[g].stems if unit.startswith(s)), default=0) for g in GROUPS]
    return fit.index(max(fit))


GROUP_OF_UNIT: NDArray[np.int64] = np.array([group_of(unit) for unit in UNIT_NAMES])
"""(57,) index into GROUPS."""


def log_onsets() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation (G,) of log onset seconds, durations being about log-normal.

    Three captured frowns tell little, so a group with few events borrows from the mean over all events, the
    more the fewer it has. Blinks are another kind of movement: they neither lend nor borrow.
    """
    low, median, high = np.log([TIMINGS[g].onset_seconds for g in GROUPS]).T
    own = np.array([median, (high - low) / 2.563])  # 2.563 sigma lie between the 10th and the 90th percentile
    events = np.array([TIMINGS[g].events for g in GROUPS], np.float64)
    borrows = np.array([g != "blink" for g in GROUPS])
    pooled = np.average(own, axis=1, weights=events * borrows)[:, None]
    trust = np.where(borrows, events / (events + POOLED_EVENTS), 1.0)
    mean, deviation = trust * own + (1.0 - trust) * pooled
    return mean, deviation
