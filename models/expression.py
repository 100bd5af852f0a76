"""Expression units, their named mixtures and the signals that drive an animation.

An `expression_stage` is the vector e_i of AnimateMe section 3.2: it says what is expressed, and how strongly,
at one frame. Here it holds the weights of M = 57 FACS-like units instead of a one-hot category, so that
units, mixtures, emotions and the labels of the CoMA data set share one space.
An `expression_signal` (K, M) is one stage per frame.
"""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from math import isfinite
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from .errors import InputError

# fmt: off
UNIT_NAMES: tuple[str, ...] = (
    "pupilDilateLeft", "pupilDilateRight", "browDownLeft", "browDownRight", "browInnerUpLeft",
    "browInnerUpRight", "browOuterUpLeft", "browOuterUpRight", "cheekPuffLeft", "cheekPuffRight",
    "cheekRaiserLeft", "cheekRaiserRight", "cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft",
    "eyeBlinkRight", "eyeLookDownLeft", "eyeLookDownRight", "eyeLookInLeft", "eyeLookInRight",
    "eyeLookOutLeft", "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight", "eyeSquintLeft",
    "eyeSquintRight", "eyeWideLeft", "eyeWideRight", "jawForward", "jawLeft", "jawOpen", "jawRight",
    "mouthClose", "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight", "mouthFunnel",
    "mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthPressLeft", "mouthPressRight",
    "mouthPucker", "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper",
    "mouthSmileLeft", "mouthSmileRight", "mouthStretchLeft", "mouthStretchRight", "mouthUpperUpLeft",
    "mouthUpperUpRight", "noseSneerLeft", "noseSneerRight",
)
# fmt: on
"""The M = 57 expression shapes of ICT-FaceKit in its order, under ARKit's spelling."""

UNIT_INDEX: Mapping[str, int] = MappingProxyType({name: i for i, name in enumerate(UNIT_NAMES)})

MAX_WEIGHT = 1.5
"""Largest weight of a unit and largest intensity: half as strong again as the sculpted shape."""


def mirrored_name(unit: str) -> str:
    """The unit seen in a mirror. Directions (`jawLeft`) and halves (`eyeBlinkLeft`) change sides alike."""
    for side, other in (("Left", "Right"), ("Right", "Left")):
        if unit.endswith(side):
            return unit.removesuffix(side) + other
    return unit


MIRROR_UNITS: NDArray[np.int64] = np.array([UNIT_INDEX[mirrored_name(name)] for name in UNIT_NAMES])
"""(57,) `stage[MIRROR_UNITS]` is the mirrored stage; an involution."""

DIRECTIONS = frozenset({"jawLeft", "jawRight", "mouthLeft", "mouthRight"})
"""Units whose Left or Right is where the face goes, not the half of the face that moves."""

PAIRS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        name.removesuffix("Left"): (name, mirrored_name(name))
        for name in UNIT_NAMES
        if name.endswith("Left") and name not in DIRECTIONS
    }
)
"""Both halves under one name: `mouthSmile` moves `mouthSmileLeft` and `mouthSmileRight`."""

ARKIT_UNITS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"browInnerUp": PAIRS["browInnerUp"], "cheekPuff": PAIRS["cheekPuff"]}
    | {
        name: (name,)
        for name in UNIT_NAMES
        if not name.startswith(("browInnerUp", "cheekPuff", "cheekRaiser", "pupilDilate"))
    }
)
"""The 51 ARKit names with the units each one drives; ARKit's 52nd, `tongueOut`, has none."""


def _unit_weights(mixture: Mapping[str, float]) -> Mapping[str, float]:
    """A mixture that may name pairs, as weights of single units."""
    return MappingProxyType({unit: w for name, w in mixture.items() for unit in PAIRS.get(name, (name,))})


# fmt: off
# EMFACS prototypes (Friesen and Ekman, 1983): action units, turned into shapes by ICT-FaceKit's FACS table.
_EMOTIONS: Mapping[str, Mapping[str, float]] = {
    "happiness": {  # 6 + 12
        "cheekSquint": 0.7, "cheekRaiser": 0.3, "mouthSmile": 0.85, "eyeSquint": 0.15, "mouthUpperUp": 0.15,
        "mouthDimple": 0.1,
    },
    "sadness": {  # 1 + 4 + 15 + 17
        "browInnerUp": 0.85, "browDown": 0.25, "mouthFrown": 0.75, "mouthShrugLower": 0.45, "eyeBlink": 0.15,
        "eyeLookDown": 0.15,
    },
    "anger": {  # 4 + 5 + 7 + 10 + 23 + 24
        "browDown": 1.0, "eyeWide": 0.25, "eyeSquint": 0.5, "noseSneer": 0.4, "mouthPress": 0.55,
        "mouthRollLower": 0.15, "mouthRollUpper": 0.1, "jawForward": 0.15,
    },
    "fear": {  # 1 + 2 + 4 + 5 + 7 + 20 + 26
        "browInnerUp": 0.9, "browOuterUp": 0.45, "browDown": 0.35, "eyeWide": 0.85, "eyeSquint": 0.1,
        "mouthStretch": 0.75, "jawOpen": 0.25, "mouthLowerDown": 0.25,
    },
    "disgust": {  # 9 + 10 + 15 + 16
        "noseSneer": 0.9, "mouthUpperUp": 0.6, "browDown": 0.5, "eyeSquint": 0.4, "cheekSquint": 0.35,
        "mouthFrown": 0.35, "mouthLowerDown": 0.2, "mouthShrugLower": 0.2,
    },
    "surprise": {  # 1 + 2 + 5 + 26
        "browInnerUp": 0.8, "browOuterUp": 0.9, "eyeWide": 0.7, "jawOpen": 0.55, "mouthFunnel": 0.1,
    },
}

# What the subjects of CoMA (Ranjan et al., 2018) act out, in units. No unit sucks the cheeks in: `cheeks_in`
# is the pucker that comes with it, lips sealed over a lowered jaw.
_COMA: Mapping[str, Mapping[str, float]] = {
    "bareteeth": {
        "mouthUpperUp": 0.8, "mouthLowerDown": 0.85, "mouthStretch": 0.35, "mouthSmile": 0.35,
        "noseSneer": 0.3, "cheekSquint": 0.3,
    },
    "cheeks_in": {
        "mouthPucker": 0.6, "jawOpen": 0.3, "mouthClose": 0.25, "mouthFunnel": 0.15, "mouthRollLower": 0.2,
    },
    "eyebrow": {"browInnerUp": 0.9, "browOuterUp": 1.0, "eyeWide": 0.3},
    "high_smile": {
        "mouthSmile": 1.0, "cheekSquint": 0.5, "mouthUpperUp": 0.6, "mouthLowerDown": 0.2, "mouthDimple": 0.2,
    },
    "lips_back": {
        "mouthRollLower": 0.8, "mouthRollUpper": 0.75, "mouthStretch": 0.4, "mouthPress": 0.3,
        "mouthDimple": 0.2,
    },
    "lips_up": {"mouthUpperUp": 0.85, "mouthShrugUpper": 0.5, "noseSneer": 0.45, "cheekSquint": 0.25},
    "mouth_down": {"mouthFrown": 1.0, "mouthLowerDown": 0.45, "mouthStretch": 0.3, "mouthShrugLower": 0.25},
    "mouth_extreme": {
        "jawOpen": 1.0, "mouthStretch": 0.6, "mouthLowerDown": 0.5, "mouthUpperUp": 0.5, "eyeSquint": 0.35,
        "browDown": 0.3, "noseSneer": 0.3,
    },
    "mouth_middle": {"mouthPucker": 1.0, "mouthFunnel": 0.25},
    "mouth_open": {"jawOpen": 0.9},
    "mouth_side": {"mouthLeft": 1.0, "jawLeft": 0.35, "mouthDimpleLeft": 0.3, "mouthSmileLeft": 0.2},
    "mouth_up": {"mouthShrugLower": 1.0, "mouthShrugUpper": 0.6, "mouthFrown": 0.25, "mouthPucker": 0.15},
}
# fmt: on

LABELS_EMOTIONS: tuple[str, ...] = tuple(_EMOTIONS)
LABELS_COMA: tuple[str, ...] = tuple(_COMA)
LABELS: tuple[str, ...] = LABELS_EMOTIONS + LABELS_COMA
PRESETS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {label: _unit_weights(mixture) for label, mixture in (*_EMOTIONS.items(), *_COMA.items())}
)
"""label -> {unit: weight}: the six emotions, then the twelve CoMA labels."""


def parse_expression(text: str) -> NDArray[np.float32]:
    """The stage (57,) of one expression, as an artist writes it.

    `text` is a label (`happiness`), a unit (`jawOpen`) or a pair of units (`mouthSmile`, `browInnerUp`), each
    with an optional weight from 0 to 1.5 (`jawOpen=0.5`). Capitals do not matter.
    Raises InputError for an unknown name, naming the closest known ones, and for a weight out of range.
    """
    name, separator, weight_text = (part.strip() for part in text.partition("="))
    weight = parse_weight(name, weight_text) if separator else 1.0
    stage = np.zeros(len(UNIT_NAMES), np.float32)
    for unit, unit_weight in _mixture_named(name).items():
        stage[UNIT_INDEX[unit]] = weight * unit_weight
    return stage


def expression_stage(texts: Sequence[str]) -> NDArray[np.float32]:
    """The stage (57,) of several expressions at once: their weights add up, each unit to at most 1.5.

    Raises InputError when `texts` is empty, and as parse_expression does.
    """
    if not texts:
        raise InputError("Choose at least one expression, for example happiness or jawOpen=0.5.")
    return np.minimum(np.sum([parse_expression(text) for text in texts], axis=0), np.float32(MAX_WEIGHT))


def minimum_jerk(time: NDArray[np.float64]) -> NDArray[np.float64]:
    """From 0 to 1 over time 0 to 1, at rest outside: 10 t^3 - 15 t^4 + 6 t^5 (Flash and Hogan, 1985)."""
    t = np.clip(time, 0.0, 1.0)
    return t**3 * (10.0 + t * (6.0 * t - 15.0))


PROFILES: tuple[str, ...] = ("ease", "linear", "hold", "in_hold_out", "blink")

# Shares of the clip spent going, holding and coming back.
# Blink: the medians of 35 captured ones, which close in 0.083 s, stay closed for 0.050 s and open in 0.117 s.
_RETURNING: Mapping[str, tuple[float, float, float]] = {
    "in_hold_out": (0.3, 0.4, 0.3),
    "blink": (0.332, 0.2, 0.468),
}


def profile(name: str, frames: int) -> NDArray[np.float32]:
    """How far the expression has come at each frame: (frames,), 0 neutral to 1 apex.

    `ease` and `linear` go from neutral to the apex, `hold` stays at it, `in_hold_out` and `blink` come back
    to neutral, the latter closing faster than it opens. Raises InputError for an unknown profile and for too
    few frames: fewer than 2, or than 3 where the face comes back.
    """
    if name not in PROFILES:
        raise InputError(f"There is no profile called “{name}”; choose one of {', '.join(PROFILES)}.")
    fewest = 3 if name in _RETURNING else 2
    if frames < fewest:
        raise InputError(f"The profile “{name}” needs at least {fewest} frames, not {frames}.")
    time = np.linspace(0.0, 1.0, frames)
    if name == "linear":
        progress = time
    elif name == "hold":
        progress = np.ones(frames)
    elif name == "ease":
        progress = minimum_jerk(time)
    else:
        closing, _, opening = _RETURNING[name]
        # the smaller of a rising edge and a falling one, each exactly 0 at its own end of the clip
        progress = np.minimum(minimum_jerk(time / closing), minimum_jerk((1.0 - time) / opening))
    return progress.astype(np.float32)


def expression_signal(
    texts: Sequence[str], intensity: float, profile_name: str, frames: int
) -> NDArray[np.float32]:
    """The signal (frames, 57) of an animation: the stage of `texts` times `intensity`, along a profile.

    `intensity` runs from 0 to 1, and up to 1.5 for exaggeration. Where that takes a unit above 1.5, its apex
    is lowered and its timing kept. Raises InputError for an intensity out of range, and as expression_stage
    and profile do.
    """
    if not isfinite(intensity) or not 0.0 <= intensity <= MAX_WEIGHT:
        raise InputError(f"The intensity must be a number from 0 to {MAX_WEIGHT}, not {intensity}.")
    apex = np.minimum(np.float32(intensity) * expression_stage(texts), np.float32(MAX_WEIGHT))
    return profile(profile_name, frames)[:, None] * apex


def _mixture_named(name: str) -> Mapping[str, float]:
    known = {key.lower(): key for key in (*LABELS, *PAIRS, *UNIT_NAMES)}
    key = known.get(name.lower())
    if key is None:
        close = [known[match] for match in get_close_matches(name.lower(), known, n=3, cutoff=0.7)]
        hint = (
            f"did you mean {' or '.join(close)}?"
            if close
            else f"try {', '.join(LABELS_EMOTIONS)} or jawOpen."
        )
        raise InputError(f"There is no expression called “{name}”; {hint}")
    return PRESETS[key] if key in PRESETS else _unit_weights({key: 1.0})


def parse_weight(name: str, text: str) -> float:
    """The weight an artist wrote for `name`. Raises InputError unless it is a number from 0 to 1.5."""
    try:
        weight = float(text)
    except ValueError:
        weight = float("nan")
    if not 0.0 <= weight <= MAX_WEIGHT:
        raise InputError(f"The weight of “{name}” must be a number from 0 to {MAX_WEIGHT}, not “{text}”.")
    return weight
