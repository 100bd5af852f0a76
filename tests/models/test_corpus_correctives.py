"""How units limit each other."""

import numpy as np
import pytest

from models.corpus.correctives import OPPOSED, PRESS_OF_CLOSED_MOUTH, effective_weights
from models.expression import UNIT_INDEX, UNIT_NAMES


def weights(**units):
    row = np.zeros((1, len(UNIT_NAMES)), np.float32)
    for name, weight in units.items():
        row[0, UNIT_INDEX[name]] = weight
    return row


def test_one_unit_alone_is_what_was_asked_for() -> None:
    alone = np.delete(np.eye(len(UNIT_NAMES), dtype=np.float32), UNIT_INDEX["mouthClose"], axis=0)
    np.testing.assert_array_equal(effective_weights(alone), alone)


@pytest.mark.parametrize(("first", "second"), OPPOSED)
@pytest.mark.parametrize("pull", [(1.0, 1.0), (1.0, 0.3), (0.2, 0.9)])
def test_opposed_units_share_what_one_does_alone(first, second, pull) -> None:
    result = effective_weights(weights(**{first: pull[0], second: pull[1]}))
    assert result.sum() == pytest.approx(pull[0] + pull[1] - pull[0] * pull[1])
    assert (result >= 0.0).all()


def test_a_blink_stops_at_closed() -> None:
    assert effective_weights(weights(eyeBlinkLeft=1.4))[0, UNIT_INDEX["eyeBlinkLeft"]] == 1.0


def test_lips_close_only_as_far_as_the_jaw_is_open_and_press_beyond() -> None:
    result = effective_weights(weights(jawOpen=0.3, mouthClose=0.8))
    assert result[0, UNIT_INDEX["mouthClose"]] == pytest.approx(0.3)
    assert result[0, UNIT_INDEX["mouthPressLeft"]] == pytest.approx(0.5 * PRESS_OF_CLOSED_MOUTH)


def test_what_was_asked_for_is_not_changed_in_place() -> None:
    asked = weights(mouthSmileLeft=1.0, mouthFrownLeft=1.0)
    before = asked.copy()
    effective_weights(asked)
    np.testing.assert_array_equal(asked, before)
