"""What a shape library holds: the shapes of each naming convention, and the pairs that need correctives."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .expression import ARKIT_UNITS, PAIRS, UNIT_INDEX, mirrored_name
from .presets import FACS, VISEMES, mixture_stage
from .units import SIDES, UNITS

FULL_WEIGHT = 0.9
"""Our choice: a shape stands for a unit, and is corrected for it, from this weight on."""


@dataclass(frozen=True)
class Shape:
    """One shape: a mixture of units at its apex, or a `share` of it.

    `share` is empty for the whole shape, else how MetaHuman and Character Creator cut lips into pieces that
    add up: `L` or `R` of the character, with `U` (upper lip) or `D` (lower lip) before it. `tongue_out` adds
    what no unit does.
    """

    name: str
    mixture: Mapping[str, float]
    share: str = ""
    tongue_out: bool = False

    @property
    def stage(self) -> NDArray[np.float32]:
        """(57,) weights of the units at the shape's apex."""
        return mixture_stage(self.mixture)

    @property
    def units(self) -> frozenset[str]:
        """The units that the shape stands for."""
        stage = self.stage
        return frozenset(unit for unit, i in UNIT_INDEX.items() if stage[i] >= FULL_WEIGHT)


@dataclass(frozen=True)
class ShapeSet:
    """Shapes in their order, and the pairs of them that may need a corrective, by name."""

    shapes: tuple[Shape, ...]
    pairs: tuple[tuple[str, str], ...]


# fmt: off
_CORRECTED: Mapping[str, tuple[str, ...]] = {
    "jawOpen": ("mouthFunnel", "mouthPucker", "mouthSmile", "mouthFrown", "mouthStretch", "mouthUpperUp",
                "mouthLowerDown", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthLeft",
                "mouthRight"),
    "mouthSmile": ("mouthFunnel", "mouthPucker", "mouthUpperUp", "cheekSquint"),
    "mouthFunnel": ("mouthPucker",),
    "mouthUpperUp": ("noseSneer",),
    "mouthStretch": ("mouthLowerDown",),
    "eyeBlink": ("eyeSquint", "eyeLookDown", "eyeLookUp", "cheekSquint"),
    "browDown": ("browInnerUp",),
}
"""Units whose motions do not simply add up, as the correctives of film rigs have it."""

# Name -> unit or pair, and the lip it is cut to (U, D). {} is L and R of the character: the halves of
# a pair, and the left and right share of any other unit.
_METAHUMAN: Mapping[str, str] = {
    "browDown{}": "browDown", "browRaiseIn{}": "browInnerUp", "browRaiseOuter{}": "browOuterUp",
    "eyeBlink{}": "eyeBlink", "eyeWiden{}": "eyeWide", "eyeSquintInner{}": "eyeSquint",
    "eyeCheekRaise{}": "cheekSquint", "eyeLookUp{}": "eyeLookUp", "eyeLookDown{}": "eyeLookDown",
    "eyeLookLeftL": "eyeLookOutLeft", "eyeLookLeftR": "eyeLookInRight",
    "eyeLookRightL": "eyeLookInLeft", "eyeLookRightR": "eyeLookOutRight",
    "eyePupilWide{}": "pupilDilate", "noseWrinkle{}": "noseSneer", "mouthCheekBlow{}": "cheekPuff",
    "mouthUpperLipRaise{}": "mouthUpperUp", "mouthLowerLipDepress{}": "mouthLowerDown",
    "mouthCornerPull{}": "mouthSmile", "mouthStretch{}": "mouthStretch", "mouthDimple{}": "mouthDimple",
    "mouthCornerDepress{}": "mouthFrown", "mouthPressU{}": "mouthPress U", "mouthPressD{}": "mouthPress D",
    "mouthLipsPurseU{}": "mouthPucker U", "mouthLipsPurseD{}": "mouthPucker D",
    "mouthFunnelU{}": "mouthFunnel U", "mouthFunnelD{}": "mouthFunnel D",
    "mouthLipsTogetherU{}": "mouthClose U", "mouthLipsTogetherD{}": "mouthClose D",
    "mouthUpperLipRollIn{}": "mouthRollUpper", "mouthLowerLipRollIn{}": "mouthRollLower",
    "jawChinRaiseD{}": "mouthShrugLower", "jawChinRaiseU{}": "mouthShrugUpper", "mouthLeft": "mouthLeft",
    "mouthRight": "mouthRight", "jawOpen": "jawOpen", "jawFwd": "jawForward", "jawLeft": "jawLeft",
    "jawRight": "jawRight",
}
_CHARACTER_CREATOR: Mapping[str, str] = {
    "Brow_Raise_Inner_{}": "browInnerUp", "Brow_Raise_Outer_{}": "browOuterUp", "Brow_Drop_{}": "browDown",
    "Eye_Blink_{}": "eyeBlink", "Eye_Squint_{}": "eyeSquint", "Eye_Wide_{}": "eyeWide",
    "Eye_L_Look_L": "eyeLookOutLeft", "Eye_R_Look_L": "eyeLookInRight",
    "Eye_L_Look_R": "eyeLookInLeft", "Eye_R_Look_R": "eyeLookOutRight",
    "Eye_{}_Look_Up": "eyeLookUp", "Eye_{}_Look_Down": "eyeLookDown", "Nose_Sneer_{}": "noseSneer",
    "Cheek_Raise_{}": "cheekSquint", "Cheek_Puff_{}": "cheekPuff", "Mouth_Smile_{}": "mouthSmile",
    "Mouth_Frown_{}": "mouthFrown", "Mouth_Stretch_{}": "mouthStretch", "Mouth_Dimple_{}": "mouthDimple",
    "Mouth_Press_{}": "mouthPress", "Mouth_Pucker_Up_{}": "mouthPucker U",
    "Mouth_Pucker_Down_{}": "mouthPucker D", "Mouth_Funnel_Up_{}": "mouthFunnel U",
    "Mouth_Funnel_Down_{}": "mouthFunnel D", "Mouth_Roll_In_Upper_{}": "mouthRollUpper",
    "Mouth_Roll_In_Lower_{}": "mouthRollLower", "Mouth_L": "mouthLeft", "Mouth_R": "mouthRight",
    "Mouth_Shrug_Upper": "mouthShrugUpper", "Mouth_Shrug_Lower": "mouthShrugLower",
    "Mouth_Up_Upper_{}": "mouthUpperUp", "Mouth_Down_Lower_{}": "mouthLowerDown",
    "Mouth_Close": "mouthClose", "Jaw_Open": "jawOpen", "Jaw_Forward": "jawForward", "Jaw_L": "jawLeft",
    "Jaw_R": "jawRight",
}
# fmt: on


def _table_shapes(table: Mapping[str, str], prefix: str = "") -> Iterator[Shape]:
    for name, entry in table.items():
        unit, _, lip = entry.partition(" ")
        if "{}" not in name:
            yield Shape(prefix + name, {unit: 1.0}, lip)
            continue
        for half, side in zip(PAIRS.get(unit, (unit, unit)), "LR", strict=True):
            yield Shape(prefix + name.format(side), {half: 1.0}, lip if unit in PAIRS else lip + side)


def _own_sets() -> dict[str, tuple[Shape, ...]]:
    arkit = (Shape(name, dict.fromkeys(units, 1.0)) for name, units in ARKIT_UNITS.items())
    return {
        "arkit": (*arkit, Shape("tongueOut", {}, tongue_out=True)),
        "ict": tuple(Shape(unit.ict, {unit.name: 1.0}) for unit in UNITS),
        "facs56": tuple(Shape(name, mixture) for name, mixture in FACS.items()),
        "metahuman": (
            *_table_shapes(_METAHUMAN, "CTRL_expressions_"),
            Shape("CTRL_expressions_tongueOut", {}, tongue_out=True),
        ),
        "cc": (*_table_shapes(_CHARACTER_CREATOR), Shape("Tongue_Out", {}, tongue_out=True)),
        "visemes": tuple(Shape(f"viseme_{name}", mixture) for name, mixture in VISEMES.items()),
    }


SHAPES: Mapping[str, tuple[Shape, ...]] = MappingProxyType(_own_sets())
"""Dimple's own sets: ARKit's 52, ICT-FaceKit's 57 (`_L`, `_R`), 56 FACS units, MetaHuman's control curves,
Character Creator 4's extended profile, and 15 visemes as game engines name them."""


def chosen(shapes: Sequence[Shape], patterns: Sequence[str]) -> frozenset[str]:
    """Names of the shapes that match any of the patterns, such as `mouth*`; all of them without patterns.

    Raises InputError for a pattern that no shape matches.
    """
    names = [shape.name for shape in shapes]
    if not patterns:
        return frozenset(names)
    found: set[str] = set()
    for pattern in patterns:
        matching = {name for name in names if name == pattern or fnmatchcase(name, pattern)}
        if not matching:
            raise InputError(
                f"No shape of this set is called “{pattern}”: choose one as {names[0]} or {names[0][:5]}*."
            )
        found |= matching
    return frozenset(found)


def corrected_pairs(shapes: Sequence[Shape]) -> tuple[tuple[str, str], ...]:
    """The pairs of whole shapes that stand for units which do not simply add up."""
    whole = [(shape, shape.units) for shape in shapes if not shape.share]
    unit_pairs = {
        frozenset(pair) for stem, others in _CORRECTED.items() for pair in _unit_pairs(stem, others)
    }
    return tuple(
        (first.name, second.name)
        for i, (first, first_units) in enumerate(whole)
        for second, second_units in whole[i + 1 :]
        if not first_units & second_units
        and any(frozenset((a, b)) in unit_pairs for a in first_units for b in second_units)
    )


def half_of(shapes: Sequence[Shape]) -> dict[str, str]:
    """The shapes of the left half of the face, each with the one that is its mirror image on the right."""
    right_side = {
        _key(shape.stage): shape.name for shape in shapes if not shape.share and _on_side(shape, "right")
    }
    left_side = [shape for shape in shapes if not shape.share and _on_side(shape, "left")]
    mirrored = {shape.name: _key(mirrored_mixture(shape.mixture)) for shape in left_side}
    return {name: right_side[key] for name, key in mirrored.items() if key in right_side}


def mirrored_mixture(mixture: Mapping[str, float]) -> NDArray[np.float32]:
    """(57,) the stage of a mixture seen in a mirror."""
    return mixture_stage({mirrored_name(unit): weight for unit, weight in mixture.items()})


def _key(stage: NDArray[np.float32]) -> bytes:
    return stage.tobytes()


def _on_side(shape: Shape, side: str) -> bool:
    stage = shape.stage
    return bool(stage.any()) and not stage[~SIDES[side]].any()


def _unit_pairs(stem: str, others: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The units of a stem with those of other stems, halves of the face each with its own side."""
    for other in others:
        if stem in PAIRS and other in PAIRS:
            yield from zip(PAIRS[stem], PAIRS[other], strict=True)
        else:
            for unit in PAIRS.get(stem, (stem,)):
                yield from ((unit, twin) for twin in PAIRS.get(other, (other,)))
