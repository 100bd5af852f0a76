"""Clauses in the language of riggers and coders: unit names with weights, FACS numbers."""

import numpy as np

from ..expression import PAIRS, UNIT_NAMES
from ..presets import FACS, mixture_stage
from .clause import Clause, Voice, half
from .thesaurus import joined

_WEIGHTS = (0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 1.0)
_HALVED = tuple(key[1:] for key in FACS if key[0] == "L" and "mouthPucker" not in FACS[key])
_SIDED = tuple(number for number in _HALVED if int(number) < 60 and number != "30")
"""Action units with a left and a right half; 30 and the gazes are directions, which people say in words."""
_WHOLE = tuple(key for key in FACS if key.isdigit())


def unit_clause(voice: Voice) -> Clause:
    """A unit under its own name: `eyeBlinkLeft 0.5`."""
    rng = voice.rng
    name = rng.choice((*UNIT_NAMES, *PAIRS))
    if rng.random() < 0.5:
        return Clause(name, mixture_stage({name: 1.0}), noun=True)
    weight = rng.choice(_WEIGHTS)
    number = rng.choice(
        (f"{weight:g}", f"{100 * weight:.0f}%", f"at {100 * weight:.0f} percent", f"={weight:g}")
    )
    return Clause(f"{name} {number}", mixture_stage({name: weight}), noun=True)


def action_unit_clause(voice: Voice) -> Clause:
    """FACS numbers: `AU12`, `action units 1 and 2`, `AU4 left`."""
    rng = voice.rng
    numbers = rng.sample((*_SIDED, *_WHOLE), rng.choices((1, 2, 3), (6, 2, 1))[0])
    side = rng.choice(("", "", "", "left", "right")) if set(numbers) <= set(_SIDED) else ""
    keys = [key for n in numbers for key in ((f"L{n}", f"R{n}") if n in _SIDED else (n,))]
    stage = np.max([mixture_stage(FACS[key]) for key in keys], axis=0)
    spoken = ["45" if n == "43" and rng.random() < 0.7 else n for n in numbers]  # 45 is a blink, a quick 43
    name = rng.choice(("au", "AU", "AU ", "action unit ", "action units ", "facs ", "facs au ", "unit "))
    link = rng.choice((" + ", "+", " and ", ", ", f" and {name}"))
    on_side = side and rng.choice((side, f"on the {side}"))
    return Clause(joined((name + link.join(spoken), on_side)), half(stage, side), noun=True)
