"""The M = 57 expression units, one row each: FACS number, muscle, names elsewhere, side, region, opposites.

FACS numbers after Ekman, Friesen and Hager, Facial Action Coding System (2002). Where ICT-FaceKit's own list
disagrees (it reads action unit 10 as `mouthShrugUpper` and 11 as `mouthUpperUp`), the number follows the
muscle that makes the sculpted shape. Four kinds of unit have none: the pupils, the lips moved sideways, the
lips that stay shut over an open jaw (8 is its nearest), and the upper lip's share of 17.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from .expression import ARKIT_UNITS, DIRECTIONS, PAIRS, UNIT_INDEX, UNIT_NAMES


@dataclass(frozen=True)
class Unit:
    """One expression unit. `side` is where the skin moves: `left`, `right` or `middle`, of the character.

    `facs` is the action unit's number with its side, as coders write it (`L12`), or empty; `arkit` is empty
    where ARKit has no such shape. `opposites` cannot be asked for at once: their motions cancel.
    """

    name: str
    facs: str
    muscle: str
    motion: str
    arkit: str
    ict: str
    side: str
    region: str
    opposites: tuple[str, ...]


# stem: region, action unit, muscle, motion, opposite stem
_ROWS: Mapping[str, tuple[str, str, str, str, str]] = {
    "pupilDilate": ("eye", "", "dilator pupillae", "the pupil widens", ""),
    "browDown": ("brow", "4", "corrugator and depressor supercilii", "the brow is drawn down and in", ""),
    "browInnerUp": ("brow", "1", "frontalis, pars medialis", "the inner end of the brow rises", ""),
    "browOuterUp": ("brow", "2", "frontalis, pars lateralis", "the outer end of the brow rises", ""),
    "cheekPuff": ("cheek", "34", "buccinator, slack over held breath", "the cheek fills with air", ""),
    "cheekRaiser": ("cheek", "6", "orbicularis oculi, pars orbitalis, below", "the cheek itself rises", ""),
    "cheekSquint": ("cheek", "6", "orbicularis oculi, pars orbitalis",
                    "the cheek rises against the lower lid", ""),
    "eyeBlink": ("eye", "43", "orbicularis oculi, pars palpebralis; levator palpebrae lets go",
                 "the upper lid closes", "eyeWide"),
    "eyeLookDown": ("eye", "64", "rectus inferior", "the eye looks down", "eyeLookUp"),
    "eyeLookIn": ("eye", "", "rectus medialis", "the eye looks towards the nose", "eyeLookOut"),
    "eyeLookOut": ("eye", "", "rectus lateralis", "the eye looks away from the nose", "eyeLookIn"),
    "eyeLookUp": ("eye", "63", "rectus superior", "the eye looks up", "eyeLookDown"),
    "eyeSquint": ("eye", "7", "orbicularis oculi, pars palpebralis", "the lids tighten", ""),
    "eyeWide": ("eye", "5", "levator palpebrae superioris", "the upper lid rises", "eyeBlink"),
    "jawForward": ("jaw", "29", "pterygoideus lateralis", "the jaw slides forward", ""),
    "jawLeft": ("jaw", "30", "pterygoideus lateralis of the right", "the jaw slides to the left", "jawRight"),
    "jawOpen": ("jaw", "27", "digastricus, pterygoideus lateralis", "the jaw drops", ""),
    "jawRight": ("jaw", "30", "pterygoideus lateralis of the left", "the jaw slides to the right", "jawLeft"),
    "mouthClose": ("mouth", "8", "orbicularis oris", "the lips stay together over an open jaw", ""),
    "mouthDimple": ("mouth", "14", "buccinator", "the lip corner is pulled back into a dimple", ""),
    "mouthFrown": ("mouth", "15", "depressor anguli oris", "the lip corner is pulled down", ""),
    "mouthFunnel": ("mouth", "22", "orbicularis oris, its outer ring", "the lips open into a funnel", ""),
    "mouthLeft": ("mouth", "", "zygomaticus and risorius of the left", "both lips slide to the left",
                  "mouthRight"),
    "mouthLowerDown": ("mouth", "16", "depressor labii inferioris", "the lower lip is pulled down", ""),
    "mouthPress": ("mouth", "24", "orbicularis oris", "the lips press together", ""),
    "mouthPucker": ("mouth", "18", "incisivii labii, orbicularis oris", "the lips draw together and out", ""),
    "mouthRight": ("mouth", "", "zygomaticus and risorius of the right", "both lips slide to the right",
                   "mouthLeft"),
    "mouthRollLower": ("mouth", "28", "orbicularis oris, below", "the lower lip rolls over the teeth", ""),
    "mouthRollUpper": ("mouth", "28", "orbicularis oris, above", "the upper lip rolls over the teeth", ""),
    "mouthShrugLower": ("mouth", "17", "mentalis", "the chin pushes the lower lip up and out", ""),
    "mouthShrugUpper": ("mouth", "", "mentalis, through the lower lip", "the upper lip is pushed up", ""),
    "mouthSmile": ("mouth", "12", "zygomaticus major", "the lip corner is pulled up and out", ""),
    "mouthStretch": ("mouth", "20", "risorius, platysma", "the lip corner is pulled straight sideways", ""),
    "mouthUpperUp": ("mouth", "10", "levator labii superioris", "the upper lip rises over the teeth", ""),
    "noseSneer": ("nose", "9", "levator labii superioris alaeque nasi",
                  "the nose wrinkles beside its wing", ""),
}  # fmt: skip

# Which way both eyes go: 61 to the character's left, 62 to the right.
_GAZE = {"eyeLookInLeft": "62", "eyeLookOutLeft": "61", "eyeLookInRight": "61", "eyeLookOutRight": "62"}


def _unit(name: str) -> Unit:
    stem = name if name in _ROWS else name.removesuffix("Left").removesuffix("Right")
    suffix = name.removeprefix(stem)
    region, number, muscle, motion, opposite = _ROWS[stem]
    number = _GAZE.get(name, number)
    towards = name.removeprefix("jaw").removeprefix("mouth") if name in DIRECTIONS else suffix
    arkit = next((arkit for arkit, units in ARKIT_UNITS.items() if name in units), "")
    ict = f"{stem}_{suffix[0]}" if suffix else name
    return Unit(
        name=name,
        facs=f"{towards[:1]}{number}" if number else "",
        muscle=muscle,
        motion=motion,
        arkit=arkit,
        ict=ict[0].upper() + ict[1:] if stem == "pupilDilate" else ict,
        side=suffix.lower() or "middle",
        region=region,
        opposites=(opposite + suffix,) if opposite else (),
    )


UNITS: tuple[Unit, ...] = tuple(_unit(name) for name in UNIT_NAMES)
"""In the order of UNIT_NAMES."""

SIDES: Mapping[str, NDArray[np.bool_]] = MappingProxyType(
    {side: np.array([unit.side == side for unit in UNITS]) for side in ("left", "right", "middle")}
)
"""side -> (57,) whether a unit lies there."""

AT_ONCE = 0.05
"""Our choice: two opposites that both weigh more than this contradict each other."""


def contradictions(stage: NDArray[np.float32]) -> tuple[tuple[str, str], ...]:
    """The pairs of opposite units that a stage (57,) asks for at once, such as jawLeft and jawRight.

    A lid wide open and closed counts, a lid wide open and tightened does not: that one rises from below.
    """
    return tuple(
        (unit.name, opposite)
        for unit in UNITS
        for opposite in unit.opposites
        if unit.name < opposite
        and min(float(stage[UNIT_INDEX[unit.name]]), float(stage[UNIT_INDEX[opposite]])) > AT_ONCE
    )


def merged_pairs(stage: NDArray[np.float32], tolerance: float = 0.05) -> dict[str, float]:
    """A stage (57,) as an artist writes it: {name: weight}, strongest first, without the units at rest.

    Halves whose weights differ by at most `tolerance` stand under the pair's name with their mean, so the
    result can be edited and goes back through `expression.parse_expression`. Weights have two decimals.
    """
    left_over = {name: float(w) for name, w in zip(UNIT_NAMES, stage, strict=True)}
    merged: dict[str, float] = {}
    for pair, (left, right) in PAIRS.items():
        if abs(left_over[left] - left_over[right]) <= tolerance:
            merged[pair] = (left_over.pop(left) + left_over.pop(right)) / 2.0
    weights = {name: round(w, 2) for name, w in (merged | left_over).items()}
    return dict(sorted(((n, w) for n, w in weights.items() if w > 0.0), key=lambda item: -item[1]))
