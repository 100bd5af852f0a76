"""Which keys get maps, what stage a motion shows, and what the sets are called."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.errors import InputError
from models.expression import UNIT_NAMES, expression_signal
from models.head import Head
from models.motion_stage import stages_of_motion
from models.skin.plan import plan_expression, plan_frames, plan_keys
from models.skin.sets import choose_sets, compression_energy, side_weights

WORDS = Path(__file__).parents[2] / "models/checkpoints/text"
FOLDER = Path(__file__).parents[2] / "models/checkpoints/animate-me/head"


@pytest.fixture(scope="module")
def head() -> Head:
    return Head.load(FOLDER)


def unit(head: Head, name: str) -> np.ndarray:
    return head.expression_basis[UNIT_NAMES.index(name)]


def test_the_stage_of_a_motion_is_found(head: Head) -> None:
    wanted = expression_signal(["happiness", "browInnerUpLeft=0.7"], 0.8, "linear", 3)
    motion = np.einsum("km,mvc->kvc", wanted, head.expression_basis)
    found = stages_of_motion(head, motion.astype(np.float32))
    assert np.abs(found[0]).max() < 1e-4
    moving = np.abs(unit_sizes(head)) > 1.0  # pupils move no skin
    assert np.abs(found - wanted)[:, moving].max() < 0.05


def unit_sizes(head: Head) -> np.ndarray:
    return np.abs(head.expression_basis[:, : head.skin_vertices]).max(axis=(1, 2))


def test_compression_is_what_shortens_the_skin() -> None:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float32)
    triangles = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    shorter, longer, turned = (np.zeros((4, 3), np.float32) for _ in range(3))
    shorter[1:3, 0], longer[1:3, 0] = -0.2, 0.2
    turned[:] = vertices[:, [1, 0, 2]] * np.array([-1, 1, 1], np.float32) - vertices
    energy = compression_energy(vertices, triangles, np.stack([shorter, longer, turned]))
    np.testing.assert_allclose(energy, [0.2**2, 0.0, 0.0], atol=1e-6)


NAMES = ("jawForward", "noseSneerLeft", "mouthSmileRight", "noseSneerRight", "mouthSmileLeft", "browInnerUp")


@pytest.mark.parametrize(
    ("left", "right", "label"),
    [
        ("noseSneerLeft", "noseSneerRight", "noseSneer"),
        ("Mouth_Smile_L", "Mouth_Smile_R", "Mouth_Smile"),
        ("brow.L", "brow.R", "brow"),
        ("L12", "R12", "12"),
        ("CTRL_noseWrinkleL", "CTRL_noseWrinkleR", "CTRL_noseWrinkle"),
    ],
)
def test_left_and_right_share_maps(head: Head, left: str, right: str, label: str) -> None:
    deformations = np.stack([unit(head, "noseSneerLeft"), unit(head, "noseSneerRight")])
    (found,) = choose_sets([right, left], head.neutral_vertices, head.skin_triangles, deformations[::-1], 3)
    assert (found.label, found.keys, found.sides) == (label, (1, 0), ("left", "right"))


def test_the_keys_that_fold_the_skin_most_come_first(head: Head) -> None:
    sources = [name.removesuffix("Up") + "UpLeft" if name == "browInnerUp" else name for name in NAMES]
    deformations = np.stack([unit(head, name) for name in sources])
    sets = choose_sets(NAMES, head.neutral_vertices, head.skin_triangles, deformations, 16)
    assert [entry.label for entry in sets][-1] == "jawForward"
    assert len(sets) == 4
    two = choose_sets(NAMES, head.neutral_vertices, head.skin_triangles, deformations, 2)
    assert two == sets[:2]
    assert choose_sets(["still"], head.neutral_vertices, head.skin_triangles, 0 * deformations[:1], 4) == []


def test_a_plan_of_keys_has_a_folder_stage_and_weights_for_each_set(head: Head) -> None:
    names = ("noseSneerLeft", "noseSneerRight", "nose/sneer", "neutral")
    own = [
        unit(head, "noseSneerLeft"),
        unit(head, "noseSneerRight"),
        unit(head, "jawOpen"),
        unit(head, "jawOpen"),
    ]
    neutral = head.neutral_vertices @ np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]], np.float32) / 1000
    motions = np.stack(own) @ np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]], np.float32) / 1000
    plan = plan_keys(head, neutral.astype(np.float32), names, motions.astype(np.float32), 8)
    by_label = {subject.label: subject for subject in plan.subjects}
    assert set(by_label) == {"noseSneer", "nose/sneer", "neutral"}
    assert by_label["noseSneer"].weights == (("noseSneerLeft", "left"), ("noseSneerRight", "right"))
    assert by_label["neutral"].folder == "neutral_2"
    assert by_label["nose/sneer"].folder == "nose_sneer"
    stage = by_label["noseSneer"].stage
    assert {UNIT_NAMES[i] for i in np.flatnonzero(stage > 0.5)} == {"noseSneerLeft", "noseSneerRight"}
    assert plan.facts["sets"][0] == {"label": "neutral", "folder": "neutral", "weights": []}
    with pytest.raises(InputError, match="None of the shape keys moves the skin"):
        plan_keys(head, neutral, ["still"], 0 * motions[:1], 8)


def test_a_plan_of_frames_numbers_its_files_from_one(head: Head) -> None:
    motion = np.linspace(0, 1, 3)[:, None, None] * unit(head, "jawOpen")
    plan = plan_frames(head, head.neutral_vertices, motion.astype(np.float32))
    assert [subject.suffix for subject in plan.subjects] == ["_0001", "_0002", "_0003"]
    assert plan.facts["frames"] == 3
    assert not plan.subjects[0].stage.any()


def test_a_plan_of_an_expression_knows_its_name() -> None:
    (subject,) = plan_expression(("happiness", "jawOpen=0.2"), 0.5, WORDS).subjects
    assert subject.label == "happiness, jawOpen=0.2"
    wanted = expression_signal(["happiness", "jawOpen=0.2"], 0.5, "hold", 2)[-1]
    np.testing.assert_allclose(subject.stage, wanted, atol=1e-6)
    for wrong, intensity in ((), 1.0), (("qwxz",), 1.0), (("happiness",), float("nan")):
        with pytest.raises(InputError):
            plan_expression(wrong, intensity, WORDS)


def test_an_expression_can_be_described() -> None:
    (subject,) = plan_expression(("nose wrinkle",), 1.0, WORDS).subjects
    strongest = {UNIT_NAMES[i] for i in np.argsort(subject.stage)[-2:]}
    assert strongest == {"noseSneerLeft", "noseSneerRight"}


def test_sides_fade_in_the_middle() -> None:
    x = np.array([-60, -8, 0, 8, 60], np.float32)
    np.testing.assert_allclose(side_weights(np.stack([x, x, x], axis=1)), [0, 0, 0.5, 1, 1], atol=1e-6)
