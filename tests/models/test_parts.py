"""Eyes, teeth and tongue follow the skin and the expression signal."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from models.expression import UNIT_INDEX, UNIT_NAMES
from models.head import Head
from models.identity import clear_of_eyes
from models.parts import (
    JAW_UNITS,
    follow,
    rigid_motions,
    rotation_matrices,
    rotation_vector,
    sphere_centre,
)

FOLDER = Path(__file__).parents[2] / "models/checkpoints/animate-me/head"


@pytest.fixture(scope="module")
def head():
    return Head.load(FOLDER)


@pytest.fixture(scope="module")
def person(head):
    """Somebody who is not the mean."""
    coefficients = np.random.default_rng(3).standard_normal(len(head.identity_q)).clip(-2, 2)
    return (head.neutral_vertices + np.tensordot(coefficients, head.identity_basis, 1)).astype(np.float32)


def stages(**weights):
    signal = np.zeros((1, len(UNIT_NAMES)), np.float32)
    for name, weight in weights.items():
        signal[0, UNIT_INDEX[name]] = weight
    return signal


def generic_skin(head, signal):
    """Skin deformation of the generic shapes."""
    return np.tensordot(signal, head.expression_basis[:, : head.skin_vertices], 1).astype(np.float32)


def part(head, name, vertices):
    start, end = head.parts[name]
    return vertices[..., start:end, :]


def globe(head, side, vertices):
    """The vertices of one eye's white, all on the globe."""
    start, end = head.parts[f"eye_{side}"]
    white = np.unique(head.faces[head.face_material == head.config["material_names"].index("sclera")])
    return vertices[white[(white >= start) & (white < end)]]


def gaze(head, side, vertices):
    """Unit vector from the globe's centre to the eye's front pole, its first vertex."""
    axis = part(head, f"eye_{side}", vertices)[0] - sphere_centre(globe(head, side, vertices))
    return axis / np.linalg.norm(axis)


def looking(head, **weights):
    signal = stages(**weights)
    neutral = head.neutral_vertices
    return neutral + follow(head, neutral, generic_skin(head, signal), signal)[0]


def test_nothing_moves_at_rest(head, person):
    still = np.zeros((3, head.skin_vertices, 3), np.float32)
    assert np.abs(follow(head, person, still, np.zeros((3, 57), np.float32))).max() < 1e-6


def test_nobody_is_born_with_eyes_through_the_lids(head):
    random = np.random.default_rng(11)
    margins = head.eye_rings[:, head.config["lid_edge_ring"]]
    before, after = [], []
    for _ in range(20):
        coefficients = random.standard_normal(len(head.identity_q)).clip(-2, 2)
        drawn = (head.neutral_vertices + np.tensordot(coefficients, head.identity_basis, 1)).astype(
            np.float32
        )
        cleared = clear_of_eyes(head, drawn)
        moved = np.flatnonzero(np.abs(cleared - drawn).max(axis=1) > 0)
        assert np.isin(moved, np.flatnonzero(np.abs(head.neutral_vertices[:, 0]) < 60)).all()
        assert (moved < head.skin_vertices).all()
        for side, margin in zip(("left", "right"), margins, strict=True):
            white = globe(head, side, drawn)
            centre = sphere_centre(white)
            radius = np.linalg.norm(white - centre, axis=1).mean()
            before.append(np.linalg.norm(drawn[margin] - centre, axis=1).min() - radius)
            after.append(np.linalg.norm(cleared[margin] - centre, axis=1).min() - radius)
    assert min(before) < 0.0
    assert min(after) > 0.24


def test_the_skin_is_passed_on_untouched(head, person):
    signal = stages(jawOpen=0.7, eyeLookUpLeft=1.0)
    skin = generic_skin(head, signal)
    assert np.array_equal(follow(head, person, skin, signal)[:, : head.skin_vertices], skin)


def test_a_head_of_skin_only_has_no_parts(head, person):
    signal = stages(jawOpen=0.7)
    skin = generic_skin(head, signal)
    assert np.array_equal(follow(head, person[: head.skin_vertices], skin, signal), skin)


@pytest.mark.parametrize(
    ("unit", "side", "axis", "direction"),
    [
        ("eyeLookOutLeft", "left", 0, 1),
        ("eyeLookInLeft", "left", 0, -1),
        ("eyeLookOutRight", "right", 0, -1),
        ("eyeLookInRight", "right", 0, 1),
        ("eyeLookUpLeft", "left", 1, 1),
        ("eyeLookUpRight", "right", 1, 1),
        ("eyeLookDownLeft", "left", 1, -1),
        ("eyeLookDownRight", "right", 1, -1),
    ],
)
def test_each_look_unit_turns_its_own_eye_its_own_way(head, unit, side, axis, direction):
    other = {"left": "right", "right": "left"}[side]
    turned = looking(head, **{unit: 1.0})
    before, after = gaze(head, side, head.neutral_vertices), gaze(head, side, turned)
    assert direction * (after - before)[axis] > 0.3
    assert abs((after - before)[1 - axis]) < 0.01
    assert np.array_equal(
        part(head, f"eye_{other}", turned), part(head, f"eye_{other}", head.neutral_vertices)
    )


def test_both_eyes_look_at_the_same_place(head):
    turned = looking(head, eyeLookOutLeft=0.8, eyeLookInRight=0.8, eyeLookUpLeft=0.5, eyeLookUpRight=0.5)
    angles = []
    for side in ("left", "right"):
        start, end = head.parts[f"eye_{side}"]
        rotation, _ = rigid_motions(head.neutral_vertices[start:end], turned[None, start:end])
        angles.append(rotation_vector(rotation[0]))
    assert np.allclose(angles[0], angles[1], atol=1e-3)


@settings(max_examples=20, deadline=None)
@given(weights=arrays(np.float32, 57, elements=st.floats(0, 1.5, width=32)))
def test_eyes_turn_rigidly_about_their_centres(head, person, weights):
    pupils = [UNIT_INDEX["pupilDilateLeft"], UNIT_INDEX["pupilDilateRight"]]
    signal = weights[None].copy()
    signal[:, pupils] = 0.0
    still = np.zeros((1, head.skin_vertices, 3), np.float32)
    turned = person + follow(head, person, still, signal)[0]
    for side in ("left", "right"):
        before, after = part(head, f"eye_{side}", person), part(head, f"eye_{side}", turned)
        rotation, translation = rigid_motions(before, after[None])
        assert np.abs(before @ rotation[0].T + translation[0] - after).max() < 2e-3
        shift = sphere_centre(globe(head, side, turned)) - sphere_centre(globe(head, side, person))
        assert np.abs(shift).max() < 5e-3


def test_eyes_never_roll(head):
    """Listing's law: the axis of every turn lies in the plane across the face."""
    turned = looking(head, eyeLookOutLeft=1.0, eyeLookUpLeft=1.0, eyeLookInRight=0.7, eyeLookDownRight=0.9)
    for side in ("left", "right"):
        before, after = part(head, f"eye_{side}", head.neutral_vertices), part(head, f"eye_{side}", turned)
        rotation, _ = rigid_motions(before, after[None])
        turn = rotation_vector(rotation[0])
        assert abs(turn[2]) < 1e-3
        assert min(abs(turn[:2])) > 0.3


def test_pupils_widen_inside_the_iris_alone(head):
    wide = looking(head, pupilDilateLeft=1.0)
    names = head.config["material_names"]
    pupil = np.unique(head.faces[head.face_material == names.index("pupil")])
    start, end = head.parts["eye_left"]
    rim = pupil[(pupil > start) & (pupil < end)]
    axis = gaze(head, "left", head.neutral_vertices)

    def radius(vertices):
        arms = vertices[rim] - vertices[start]
        return np.linalg.norm(arms - np.outer(arms @ axis, axis), axis=1)

    assert radius(head.neutral_vertices) == pytest.approx(np.full(len(rim), 1.9), abs=0.01)
    assert radius(wide) == pytest.approx(np.full(len(rim), 3.9), abs=0.01)
    moved = np.flatnonzero(np.abs(wide - head.neutral_vertices).max(axis=1) > 1e-3)
    iris = np.unique(head.faces[np.isin(head.face_material, [names.index("pupil"), names.index("iris")])])
    assert np.isin(moved, iris[(iris >= start) & (iris < end)]).all()


def test_the_jaw_is_found_in_the_skin_of_every_unit(head):
    signal = np.eye(57, dtype=np.float32)
    moved = follow(head, head.neutral_vertices, generic_skin(head, signal), signal)
    error = np.linalg.norm(part(head, "teeth_lower", moved - head.expression_basis), axis=2).max(axis=1)
    for name in UNIT_NAMES:
        assert error[UNIT_INDEX[name]] < 0.35, name
    travel = np.linalg.norm(part(head, "teeth_lower", moved), axis=2).max(axis=1)
    assert travel[UNIT_INDEX["jawOpen"]] > 30.0
    assert min(travel[UNIT_INDEX[name]] for name in JAW_UNITS) > 5.0


def test_teeth_follow_the_skin_whatever_the_signal_says(head, person):
    skin = generic_skin(head, stages(jawOpen=1.0))
    one = follow(head, person, skin, stages(jawOpen=1.0))
    other = follow(head, person, skin, stages(jawOpen=0.2))
    assert np.array_equal(part(head, "teeth_lower", one), part(head, "teeth_lower", other))
    wider = follow(head, person, 1.2 * skin, stages(jawOpen=1.0))
    travel = [np.linalg.norm(part(head, "teeth_lower", moved), axis=2).mean() for moved in (one, wider)]
    assert travel[1] / travel[0] == pytest.approx(1.2, abs=0.05)


def test_lower_teeth_and_tongue_share_one_rigid_motion_and_upper_teeth_stay(head, person):
    signal = stages(jawOpen=0.8, jawLeft=0.5, mouthSmileLeft=0.6, mouthPucker=0.3)
    moved = person + follow(head, person, generic_skin(head, signal), signal)[0]
    lower = part(head, "teeth_lower", person)
    rotation, translation = rigid_motions(lower, part(head, "teeth_lower", moved)[None])
    for name in ("teeth_lower", "tongue"):
        expected = part(head, name, person) @ rotation[0].T + translation[0]
        assert np.abs(expected - part(head, name, moved)).max() < 1e-3
    assert np.array_equal(part(head, "teeth_upper", moved), part(head, "teeth_upper", person))


@settings(max_examples=10, deadline=None)
@given(
    scale=st.floats(0.001, 1000),
    angles=st.tuples(*[st.floats(-180, 180)] * 3),
    place=st.tuples(*[st.floats(-300, 300)] * 3),
)
def test_heads_may_come_in_any_units_axes_and_place(head, person, scale, angles, place):
    rotation = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    signal = stages(jawOpen=0.8, jawRight=0.3, eyeLookUpLeft=0.7, eyeLookInLeft=0.4, pupilDilateRight=0.5)
    skin = generic_skin(head, signal)
    expected = scale * follow(head, person, skin, signal) @ rotation.T
    elsewhere = (scale * (person + np.array(place)) @ rotation.T).astype(np.float32)
    moved = follow(head, elsewhere, (scale * skin @ rotation.T).astype(np.float32), signal)
    assert np.abs(moved - expected).max() < 0.01 * scale


@settings(max_examples=50, deadline=None)
@given(vectors=arrays(np.float64, (4, 3), elements=st.floats(-1.7, 1.7)))
def test_rotations_agree_with_scipy_and_return_to_their_vectors(vectors):
    matrices = rotation_matrices(vectors)
    assert np.allclose(matrices, Rotation.from_rotvec(vectors).as_matrix(), atol=1e-12)
    for matrix, vector in zip(matrices, vectors, strict=True):
        assert np.allclose(rotation_vector(matrix), vector, atol=1e-6)


def test_rigid_motions_are_recovered_and_never_reflect():
    random = np.random.default_rng(0)
    points = random.standard_normal((20, 3))
    rotations = Rotation.random(5, random_state=1).as_matrix()
    shifts = random.standard_normal((5, 3))
    found, translation = rigid_motions(points, points @ rotations.transpose(0, 2, 1) + shifts[:, None])
    assert np.allclose(found, rotations)
    assert np.allclose(translation, shifts)
    reflected, _ = rigid_motions(points, points[None] * [-1.0, 1.0, 1.0])
    assert np.linalg.det(reflected[0]) == pytest.approx(1.0)


def test_sphere_centre_of_a_cap():
    random = np.random.default_rng(0)
    directions = random.standard_normal((40, 3))
    directions[:, 2] = np.abs(directions[:, 2])
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    assert np.allclose(sphere_centre(15.1 * directions + [31.0, 36.0, 79.0]), [31.0, 36.0, 79.0])
