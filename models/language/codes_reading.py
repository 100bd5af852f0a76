"""Reading codes in a prompt: FACS action units and unit names mean what they say, so they are looked up."""

import re
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..expression import MAX_WEIGHT, PAIRS, UNIT_NAMES
from ..presets import FACS, mixture_stage
from .prompts import words_of

_NAME = r"(?:facs |the )*(?:aus?|action units?|facs)"
_LINK = rf"(?: (?:,|and|plus))*(?: {_NAME})? "
_SIDE = r"(?: (?:on )?(?:the )?(left|right|l|r)(?: side)?)?"
_AMOUNT = r"(\d+(?:\.\d+)?)( %| percent)?"
_ACTION_UNITS = re.compile(rf"{_NAME} (\d+(?:{_LINK}\d+)*){_SIDE}(?: at {_AMOUNT})?")
_WEIGHED_UNIT = re.compile(rf"([a-z ]+?)(?: at)? {_AMOUNT}")
_SPOKEN = {"45": "43", "28": "T28+B28"}
"""A blink is a quick 43; both lips are one number."""


def read_codes(text: str) -> NDArray[np.float32] | None:
    """The stage (57,) of a clause in codes, as `language.prompts.words_of` leaves it; None for other words.

    `au 1 and 2`, `action unit 12 left at 50 %`, `jaw open 0.5`, `mouth smile left 30 %`. Raises InputError
    for an action unit that Dimple does not have and for a weight above 1.5.
    """
    if found := _ACTION_UNITS.fullmatch(text):
        numbers, side, amount, percent = found.groups()
        stages = [_action_unit(number, side) for number in re.findall(r"\d+", numbers)]
        return np.max(stages, axis=0) * _weight(f"AU {numbers}", amount, percent)
    if (found := _WEIGHED_UNIT.fullmatch(text)) and found[1] in _units():
        name = _units()[found[1]]
        return mixture_stage({name: 1.0}) * _weight(name, found[2], found[3])
    return None


def _action_unit(number: str, side: str | None) -> NDArray[np.float32]:
    """(57,) both halves, or the one on a side."""
    number = _SPOKEN.get(number, number)
    halves = [half + number for half in ("L", "R") if half + number in FACS]
    whole = [key for key in number.split("+") if key in FACS]
    keys = (whole or halves) if side is None else [half for half in halves if half[0].lower() == side[0]]
    if number == "30" and side is None:
        raise InputError("Action unit 30 moves the jaw to one side; say AU 30 left or AU 30 right.")
    if not keys:
        on_side = f" on the {side}" if side and whole else ""
        raise InputError(f"Dimple has no action unit {number}{on_side}; describe the motion in words.")
    return np.max([mixture_stage(FACS[key]) for key in keys], axis=0)


def _weight(name: str, amount: str | None, percent: str | None) -> np.float32:
    weight = float(amount) / (100.0 if percent else 1.0) if amount else 1.0
    if weight > MAX_WEIGHT:
        raise InputError(f"The weight of {name} must be from 0 to {MAX_WEIGHT}, not {weight:g}.")
    return np.float32(weight)


@cache
def _units() -> dict[str, str]:
    """Units and pairs by their names as words."""
    return {" ".join(words_of(name)): name for name in (*PAIRS, *UNIT_NAMES)}
