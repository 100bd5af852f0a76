"""How expression units limit each other before any geometry is touched.

A face model adds its units up; muscles do not. Opposed units share what one of them could do alone, a closed
lid leaves nothing to squint with, and closing the lips needs an open jaw. What remains (lids and lips that
would cross or gape) is solved as contact, so that the corrective of any combination is the contact-solved
shape minus the sum.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..expression import UNIT_INDEX

OPPOSED: tuple[tuple[str, str], ...] = (
    ("mouthSmileLeft", "mouthFrownLeft"),
    ("mouthSmileRight", "mouthFrownRight"),
    ("mouthPucker", "mouthStretchLeft"),
    ("mouthPucker", "mouthStretchRight"),
    ("mouthPucker", "mouthSmileLeft"),
    ("mouthPucker", "mouthSmileRight"),
    ("mouthFunnel", "mouthRollLower"),
    ("mouthFunnel", "mouthRollUpper"),
    ("mouthUpperUpLeft", "mouthRollUpper"),
    ("mouthUpperUpRight", "mouthRollUpper"),
    ("mouthLowerDownLeft", "mouthShrugLower"),
    ("mouthLowerDownRight", "mouthShrugLower"),
    ("mouthLowerDownLeft", "mouthRollLower"),
    ("mouthLowerDownRight", "mouthRollLower"),
    ("jawLeft", "jawRight"),
    ("mouthLeft", "mouthRight"),
    ("eyeLookUpLeft", "eyeLookDownLeft"),
    ("eyeLookUpRight", "eyeLookDownRight"),
    ("eyeLookInLeft", "eyeLookOutLeft"),
    ("eyeLookInRight", "eyeLookOutRight"),
)
"""Units that pull the same skin in opposite directions."""

SIDES = ("Left", "Right")
LID_UNITS = ("eyeSquint", "eyeWide", "eyeLookDown", "eyeLookUp", "cheekSquint", "cheekRaiser")
"""Units that move the lids besides the blink; over the lids they fade as it closes: a maximum, no sum."""

PRESS_OF_CLOSED_MOUTH = 0.35
"""`mouthClose` beyond `jawOpen` has no opening left to close: this share of it presses the lips instead."""


def indices(names: tuple[str, ...]) -> NDArray[np.int64]:
    """Positions of the named units."""
    return np.array([UNIT_INDEX[name] for name in names])


BLINKS = indices(("eyeBlinkLeft", "eyeBlinkRight"))
LID_INDICES = np.array([indices(tuple(unit + side for unit in LID_UNITS)) for side in SIDES])
"""(2, 6) the lid units of each eye."""


def effective_weights(weights: NDArray[np.floating]) -> NDArray[np.float32]:
    """(B, 57) weights as the face can carry them out, from the (B, 57) weights asked for.

    Opposed units a, b become a (1 - b/2), b (1 - a/2), so that their sum never exceeds what one does alone;
    the blink stops at closed and overrules `eyeWide`; `mouthClose` stops at the opening of the jaw.
    """
    asked = np.maximum(np.asarray(weights, np.float32), 0.0)
    result = asked.copy()
    for first, second in OPPOSED:
        i, j = UNIT_INDEX[first], UNIT_INDEX[second]
        result[:, i] *= 1.0 - 0.5 * np.minimum(asked[:, j], 1.0)
        result[:, j] *= 1.0 - 0.5 * np.minimum(asked[:, i], 1.0)
    result[:, BLINKS] = np.minimum(result[:, BLINKS], 1.0)
    close, jaw = UNIT_INDEX["mouthClose"], UNIT_INDEX["jawOpen"]
    surplus = np.maximum(asked[:, close] - asked[:, jaw], 0.0)
    result[:, close] -= surplus
    for press in (UNIT_INDEX["mouthPressLeft"], UNIT_INDEX["mouthPressRight"]):
        result[:, press] = np.maximum(result[:, press], PRESS_OF_CLOSED_MOUTH * surplus)
    return result
