"""Named mixtures of expression units beyond the emotions: gestures, moods, FACS units and visemes.

Weights are our own, made with the FACS manual's description of each action unit; the fifteen visemes are
those of the set that game engines and lip-sync tools share. What lies on one side only (`smirk`, `wink`)
lies on the character's left.
"""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .expression import (
    LABELS,
    MAX_WEIGHT,
    PAIRS,
    PRESETS,
    UNIT_INDEX,
    UNIT_NAMES,
    parse_expression,
    parse_weight,
)

Mixtures = Mapping[str, Mapping[str, float]]

# fmt: off
GESTURES: Mixtures = MappingProxyType({
    "brow_raise": {"browOuterUp": 1.0, "browInnerUp": 0.7},
    "look_left": {"eyeLookOutLeft": 1.0, "eyeLookInRight": 1.0},
    "look_right": {"eyeLookOutRight": 1.0, "eyeLookInLeft": 1.0},
    "look_up": {"eyeLookUp": 1.0},
    "look_down": {"eyeLookDown": 1.0, "eyeBlink": 0.2},
    "cross_eyed": {"eyeLookIn": 1.0},
    "wink": {"eyeBlinkLeft": 1.0, "cheekSquintLeft": 0.4, "mouthSmileLeft": 0.2},
    "kiss": {"mouthPucker": 1.0, "mouthFunnel": 0.2},
    "whistle": {"mouthPucker": 0.8, "mouthFunnel": 0.45, "jawOpen": 0.1},
    "blow": {"cheekPuff": 0.8, "mouthPucker": 0.6, "mouthFunnel": 0.15},
    "pout": {"mouthShrugLower": 0.8, "mouthPucker": 0.45, "mouthFrown": 0.3},
    "lip_bite": {"mouthRollLower": 1.0, "mouthUpperUp": 0.25},
    "tight_lips": {"mouthPress": 0.9, "mouthRollLower": 0.3, "mouthRollUpper": 0.3},
    "grimace": {"mouthStretch": 1.0, "mouthLowerDown": 0.55, "eyeSquint": 0.35, "browDown": 0.25},
    "gasp": {"jawOpen": 0.6, "mouthFunnel": 0.2, "eyeWide": 0.5, "browInnerUp": 0.5, "browOuterUp": 0.4},
    "yawn": {"jawOpen": 1.0, "eyeBlink": 0.7, "eyeSquint": 0.35, "mouthFunnel": 0.3, "browInnerUp": 0.35},
    "scream": {"jawOpen": 1.0, "mouthLowerDown": 0.5, "mouthStretch": 0.4, "browDown": 0.5,
               "eyeSquint": 0.5, "noseSneer": 0.4},
    "snarl": {"noseSneer": 1.0, "mouthUpperUp": 0.85, "browDown": 0.65, "mouthLowerDown": 0.25},
    "laugh": {"mouthSmile": 1.0, "jawOpen": 0.5, "cheekSquint": 0.75, "eyeSquint": 0.35,
              "mouthUpperUp": 0.4, "mouthLowerDown": 0.25},
    "grin": {"mouthSmile": 1.0, "mouthUpperUp": 0.5, "mouthLowerDown": 0.35, "cheekSquint": 0.45},
    "smirk": {"mouthSmileLeft": 0.9, "mouthDimpleLeft": 0.5, "cheekSquintLeft": 0.15},
})
"""What a face does, name -> {unit or pair: weight}."""

MOODS: Mixtures = MappingProxyType({
    "contempt": {"mouthDimpleLeft": 0.9, "mouthSmileLeft": 0.4, "eyeSquint": 0.2},
    "tired": {"eyeBlink": 0.55, "browInnerUp": 0.25, "mouthFrown": 0.25, "eyeLookDown": 0.2},
    "sleepy": {"eyeBlink": 0.8, "browOuterUp": 0.15, "jawOpen": 0.12},
    "bored": {"eyeBlink": 0.45, "mouthFrown": 0.35, "mouthPress": 0.25, "mouthLeft": 0.15},
    "confused": {"browDown": 0.7, "eyeSquint": 0.45, "browInnerUp": 0.35, "mouthFrown": 0.2, "jawOpen": 0.1},
    "doubtful": {"browOuterUpLeft": 1.0, "browInnerUpLeft": 0.6, "browDownRight": 0.6, "mouthPress": 0.3,
                 "eyeSquintRight": 0.3},
    "worried": {"browInnerUp": 1.0, "browDown": 0.35, "mouthPress": 0.3, "mouthFrown": 0.3,
                "mouthStretch": 0.2},
    "pain": {"browDown": 0.9, "eyeSquint": 0.85, "cheekSquint": 0.75, "mouthStretch": 0.5, "noseSneer": 0.45,
             "mouthUpperUp": 0.4},
    "determined": {"mouthPress": 0.8, "browDown": 0.65, "eyeSquint": 0.3, "jawForward": 0.25},
    "focused": {"eyeSquint": 0.65, "browDown": 0.5, "mouthPress": 0.2},
    "suspicious": {"eyeSquint": 1.0, "browDown": 0.55, "mouthPress": 0.3},
    "thoughtful": {"eyeLookUp": 0.6, "eyeLookOutLeft": 0.4, "eyeLookInRight": 0.4, "browDown": 0.25,
                   "mouthPress": 0.35, "mouthLeft": 0.25},
    "shy": {"eyeLookDown": 0.7, "mouthSmile": 0.45, "mouthPress": 0.35, "browInnerUp": 0.25},
    "embarrassed": {"mouthPress": 0.6, "eyeLookDown": 0.55, "mouthSmile": 0.3, "browInnerUp": 0.4},
    "guilty": {"eyeLookDown": 0.8, "browInnerUp": 0.65, "mouthPress": 0.35, "mouthFrown": 0.3},
    "smug": {"mouthSmile": 0.6, "mouthDimple": 0.55, "eyeBlink": 0.3, "browOuterUp": 0.35},
    "proud": {"mouthSmile": 0.5, "mouthShrugLower": 0.45, "browOuterUp": 0.3, "eyeBlink": 0.15},
    "mischievous": {"mouthSmile": 0.85, "browDown": 0.55, "eyeSquint": 0.35, "browOuterUp": 0.25},
    "serene": {"eyeBlink": 0.4, "mouthSmile": 0.35},
    "relieved": {"eyeBlink": 0.6, "mouthSmile": 0.4, "browInnerUp": 0.4, "jawOpen": 0.15},
    "awe": {"eyeWide": 0.8, "jawOpen": 0.45, "browInnerUp": 0.7, "browOuterUp": 0.6},
    "shock": {"eyeWide": 1.0, "jawOpen": 0.8, "browOuterUp": 0.85, "browInnerUp": 0.8},
    "despair": {"browInnerUp": 1.0, "mouthFrown": 0.85, "eyeSquint": 0.55, "mouthShrugLower": 0.55,
                "cheekSquint": 0.45, "mouthStretch": 0.4, "jawOpen": 0.15},
    "disappointed": {"mouthFrown": 0.7, "browInnerUp": 0.5, "eyeLookDown": 0.4, "mouthShrugLower": 0.35},
})
"""How somebody feels beyond the six emotions, name -> {unit or pair: weight}."""


def _both(number: str, mixture: Mapping[str, float]) -> dict[str, Mapping[str, float]]:
    """An action unit as its two halves, `L12` and `R12`."""
    return {s[0] + number: {stem + s: w for stem, w in mixture.items()} for s in ("Left", "Right")}


FACS: Mixtures = MappingProxyType({
    **_both("1", {"browInnerUp": 1.0}), **_both("2", {"browOuterUp": 1.0}), **_both("4", {"browDown": 1.0}),
    **_both("5", {"eyeWide": 1.0}), **_both("6", {"cheekSquint": 1.0, "cheekRaiser": 0.4}),
    **_both("7", {"eyeSquint": 1.0}), **_both("9", {"noseSneer": 1.0}), **_both("10", {"mouthUpperUp": 1.0}),
    **_both("12", {"mouthSmile": 1.0}), **_both("14", {"mouthDimple": 1.0}),
    **_both("15", {"mouthFrown": 1.0}), **_both("16", {"mouthLowerDown": 1.0}),
    **_both("20", {"mouthStretch": 1.0}), **_both("24", {"mouthPress": 1.0}),
    **_both("34", {"cheekPuff": 1.0}), **_both("43", {"eyeBlink": 1.0}),
    "8": {"mouthClose": 0.3, "jawOpen": 0.3}, "17": {"mouthShrugLower": 1.0},
    "17+10": {"mouthShrugLower": 0.5, "mouthShrugUpper": 1.0}, "18": {"mouthPucker": 1.0},
    "22": {"mouthFunnel": 1.0}, "23": {"mouthPress": 0.5, "mouthRollLower": 0.35, "mouthRollUpper": 0.35},
    "25": {"mouthLowerDown": 0.35, "mouthUpperUp": 0.2}, "26": {"jawOpen": 0.5},
    "27": {"jawOpen": 1.0, "mouthLowerDown": 0.2}, "T28": {"mouthRollUpper": 1.0},
    "B28": {"mouthRollLower": 1.0}, "29": {"jawForward": 1.0},
    "L30": {"jawLeft": 1.0}, "R30": {"jawRight": 1.0},
    "L18": {"mouthLeft": 1.0, "mouthPucker": 0.3}, "R18": {"mouthRight": 1.0, "mouthPucker": 0.3},
    "L61": {"eyeLookOutLeft": 1.0}, "R61": {"eyeLookInRight": 1.0},
    "L62": {"eyeLookInLeft": 1.0}, "R62": {"eyeLookOutRight": 1.0},
    **_both("63", {"eyeLookUp": 1.0}), **_both("64", {"eyeLookDown": 1.0}),
})
"""56 FACS-compliant units, as many as ExpDiff (section IV-B) makes of its 32 captured action units.

The paper does not list its units; these are ours. Left and right are apart, and so are the eyes in a gaze
(61 to the left, 62 right, 63 up, 64 down); T and B are FACS's signs for the upper and the lower lip alone.
"""

VISEMES: Mixtures = MappingProxyType({
    "sil": {},
    "PP": {"mouthPress": 0.7, "mouthRollLower": 0.35, "mouthRollUpper": 0.3},
    "FF": {"mouthRollLower": 0.7, "mouthUpperUp": 0.35, "jawOpen": 0.08},
    "TH": {"jawOpen": 0.2, "mouthLowerDown": 0.25, "mouthUpperUp": 0.15},
    "DD": {"jawOpen": 0.15, "mouthLowerDown": 0.35, "mouthUpperUp": 0.2, "mouthStretch": 0.15},
    "kk": {"jawOpen": 0.25, "mouthLowerDown": 0.25, "mouthStretch": 0.1},
    "CH": {"mouthFunnel": 0.65, "mouthPucker": 0.25, "mouthLowerDown": 0.25, "mouthUpperUp": 0.2},
    "SS": {"mouthStretch": 0.35, "mouthLowerDown": 0.4, "mouthUpperUp": 0.25, "mouthSmile": 0.15},
    "nn": {"jawOpen": 0.15, "mouthLowerDown": 0.2, "mouthStretch": 0.1, "mouthUpperUp": 0.1},
    "RR": {"mouthFunnel": 0.45, "mouthPucker": 0.35, "jawOpen": 0.15},
    "aa": {"jawOpen": 0.65, "mouthLowerDown": 0.3, "mouthUpperUp": 0.15},
    "E": {"jawOpen": 0.35, "mouthStretch": 0.4, "mouthLowerDown": 0.35, "mouthSmile": 0.15},
    "I": {"jawOpen": 0.2, "mouthStretch": 0.5, "mouthSmile": 0.35, "mouthLowerDown": 0.25},
    "O": {"jawOpen": 0.45, "mouthFunnel": 0.65, "mouthPucker": 0.25},
    "U": {"mouthPucker": 0.85, "mouthFunnel": 0.4, "jawOpen": 0.15},
})
"""Fifteen mouth shapes of speech; `sil` is silence."""
# fmt: on

EXPRESSIONS: Mixtures = MappingProxyType({**{label: PRESETS[label] for label in LABELS}, **GESTURES, **MOODS})
"""Every named expression that is neither a FACS unit nor a viseme; emotions and CoMA labels come first."""

SETS: Mapping[str, Mixtures] = MappingProxyType(
    {"expressions": EXPRESSIONS, "facs56": FACS, "visemes": VISEMES}
)


def mixture_stage(mixture: Mapping[str, float]) -> NDArray[np.float32]:
    """A mixture of units and pairs as a stage (57,). Raises InputError for a name that is neither."""
    stage = np.zeros(len(UNIT_NAMES), np.float32)
    for name, weight in mixture.items():
        if name not in PAIRS and name not in UNIT_INDEX:
            raise InputError(f"There is no expression unit called “{name}”.")
        for unit in PAIRS.get(name, (name,)):
            stage[UNIT_INDEX[unit]] += weight
    return stage


def preset_stage(texts: Sequence[str], saved: Mixtures = MappingProxyType({})) -> NDArray[np.float32]:
    """The stage (57,) of presets, units and pairs that add up, each unit to at most 1.5.

    A text is a name with an optional weight, as in `smirk=0.5`. Names are looked for among the `saved`
    presets, the expressions, the FACS units, the visemes and at last the units; capitals matter only where
    two names differ by nothing else. Raises InputError for an unknown name, naming the closest known ones,
    and for a weight outside 0 to 1.5.
    """
    if not texts:
        raise InputError("Choose at least one expression, for example smirk or jawOpen=0.5.")
    library = {**VISEMES, **FACS, **EXPRESSIONS, **saved}
    folded = {name.lower(): name for name in library}
    total = np.zeros(len(UNIT_NAMES), np.float32)
    for text in texts:
        name, separator, weight = (part.strip() for part in text.partition("="))
        key = name if name in library else folded.get(name.lower())
        if key is None:
            _refuse_unknown(name, library)  # a better hint than parse_expression, which knows fewer names
            total += parse_expression(text)
        else:
            scale = parse_weight(name, weight) if separator else 1.0
            total += np.float32(scale) * mixture_stage(library[key])
    return np.minimum(total, np.float32(MAX_WEIGHT))


def _refuse_unknown(name: str, library: Mixtures) -> None:
    units = {unit.lower(): unit for unit in (*PAIRS, *UNIT_NAMES)}
    if name.lower() in units:
        return
    known = units | {key.lower(): key for key in library}
    close = [known[match] for match in get_close_matches(name.lower(), known, n=3, cutoff=0.7)]
    hint = f"did you mean {' or '.join(close)}?" if close else "try happiness, smirk or jawOpen."
    raise InputError(f"There is no expression called “{name}”; {hint}")
