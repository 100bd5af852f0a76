"""The jaw: rotations, fitting, and the way between closed and open."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from models.corpus.jaw import Jaw, PersonJaw, rigid_fit, rotated
from models.expression import UNIT_INDEX, UNIT_NAMES
from tests.models.corpus_shapes import lids

OPEN, CLOSE, FORWARD = UNIT_INDEX["jawOpen"], UNIT_INDEX["mouthClose"], UNIT_INDEX["jawForward"]
HINGE = np.array([0.0, 10.0, -15.0])
ANGLE = np.radians(25.0)


def opened(points, angle=ANGLE):
    return Rotation.from_rotvec([angle, 0.0, 0.0]).apply(points - HINGE) + HINGE - points


@pytest.fixture(scope="module")
def face():
    vertices, triangles = lids(80.0, rings=24, columns=40, opening=0.15, end=1.8)  # as large as a face
    rng = np.random.default_rng(1)
    teeth = 10.0 * rng.normal(size=(50, 3)) + [0.0, -40.0, 60.0]
    shapes, teeth_shapes = np.zeros((len(UNIT_NAMES), *vertices.shape)), np.zeros((len(UNIT_NAMES), 50, 3))
    lower = 1.0 / (1.0 + np.exp(0.15 * vertices[:, 1:2]))
    bulge = np.array([0.0, 0.0, 1.5]) * np.exp(
        -np.square(vertices - vertices[300]).sum(1, keepdims=True) / 200.0
    )
    shapes[OPEN], teeth_shapes[OPEN] = lower * opened(vertices) + bulge, opened(teeth)
    shapes[FORWARD], teeth_shapes[FORWARD] = lower * [0.0, 0.0, 3.0], np.array([0.0, 0.0, 3.0])
    shapes[CLOSE] = -0.5 * shapes[OPEN]
    shapes = shapes.astype(np.float32)
    jaw = Jaw.fit(vertices, triangles, shapes, np.float32(teeth), np.float32(teeth_shapes))
    return vertices, shapes, jaw


def deformed(face, weights):
    vertices, shapes, jaw = face
    person, own = PersonJaw(jaw, vertices, vertices), shapes.copy()
    person.unbend(own)
    row = np.zeros((1, len(UNIT_NAMES)), np.float32)
    for unit, weight in weights.items():
        row[0, unit] = weight
    deformation = np.einsum("bu,uvi->bvi", row, own)
    person.rotate(deformation, row)
    return deformation[0]


def test_rotation_agrees_with_scipy() -> None:
    rng = np.random.default_rng(0)
    points, vectors = rng.normal(size=(2, 100, 3)).astype(np.float32)
    vectors[0] = 0.0
    expected = Rotation.from_rotvec(vectors).apply(points)
    np.testing.assert_allclose(rotated(points, vectors), expected, atol=1e-5)


def test_rigid_fit_finds_the_motion_it_was_given() -> None:
    rng = np.random.default_rng(0)
    points, true = rng.normal(size=(30, 3)), Rotation.from_rotvec([0.3, -0.2, 1.0]).as_matrix()
    rotation, translation = rigid_fit(points, points @ true.T + [1.0, 2.0, 3.0])
    np.testing.assert_allclose(rotation, true, atol=1e-9)
    np.testing.assert_allclose(translation, [1.0, 2.0, 3.0], atol=1e-9)


def test_the_hinge_is_found(face) -> None:
    jaw = face[2]
    np.testing.assert_allclose(jaw.pivot, HINGE, atol=1e-3)
    np.testing.assert_allclose(jaw.twists[0], [ANGLE, 0.0, 0.0], atol=1e-4)
    np.testing.assert_allclose(jaw.shifts[3], [0.0, 0.0, 3.0], atol=1e-4)


def test_jaw_weights_are_shares_and_the_upper_face_has_none(face) -> None:
    vertices, _, jaw = face
    assert jaw.weights.min() == 0.0
    assert 0.9 < jaw.weights.max() <= 1.0
    assert jaw.weights[vertices[:, 1] > 40.0].max() < 0.05
    assert (jaw.close_weights <= jaw.weights).all()


@pytest.mark.parametrize("units", [(OPEN,), (FORWARD,), (OPEN, CLOSE)])
def test_at_weight_one_the_sculpted_shape_is_met(face, units) -> None:
    expected = face[1][list(units)].sum(0)
    np.testing.assert_allclose(deformed(face, dict.fromkeys(units, 1.0)), expected, atol=1e-4)


def test_half_way_the_chin_is_on_its_arc_where_the_blend_shape_is_not(face) -> None:
    vertices, shapes, jaw = face
    chin = (jaw.weights > 0.6) & (jaw.weights < 1.0)
    ends = vertices + shapes[OPEN]
    radius = [np.linalg.norm((x - HINGE)[chin, 1:], axis=1) for x in (vertices, ends)]
    even = 0.5 * (radius[0] + radius[1])
    arc = np.linalg.norm((vertices + deformed(face, {OPEN: 0.5}) - HINGE)[chin, 1:], axis=1)
    chord = np.linalg.norm((vertices + 0.5 * shapes[OPEN] - HINGE)[chin, 1:], axis=1)
    assert np.abs(arc - even).max() < 0.1
    assert np.abs(chord - even).max() > 5 * np.abs(arc - even).max()


def test_other_units_turn_with_the_jaw(face) -> None:
    vertices, _, jaw = face
    person = PersonJaw(jaw, vertices, vertices)
    row = np.zeros((1, len(UNIT_NAMES)), np.float32)
    row[0, OPEN] = 1.0
    chin = jaw.weights.argmax()
    plain = np.zeros((1, *vertices.shape), np.float32)
    pushed = plain.copy()
    pushed[0, chin] = 0.0, 0.0, 1.0
    for deformation in (plain, pushed):
        person.rotate(deformation, row)
    turned = (pushed - plain)[0, chin]
    expected = Rotation.from_rotvec(jaw.weights[chin] * jaw.twists[0]).apply([0.0, 0.0, 1.0])
    np.testing.assert_allclose(turned, expected, atol=1e-4)


def test_a_larger_person_has_a_hinge_in_proportion(face) -> None:
    vertices, _, jaw = face
    person = PersonJaw(jaw, vertices, 1.2 * vertices + np.float32([0.0, 5.0, 0.0]))
    np.testing.assert_allclose(person.pivot, 1.2 * HINGE + [0.0, 5.0, 0.0], atol=1e-2)
    np.testing.assert_allclose(person.shifts, 1.2 * jaw.shifts, atol=1e-3)
