"""Pieces of binding on small surfaces of their own, without a head to bind."""

from __future__ import annotations

import numpy as np
import pytest

from models.corpus.shading import unit_sphere
from models.errors import InputError
from models.registration.eyes import Eyes
from models.registration.location import read_landmarks
from models.registration.surface import read_surface
from models.registration.transfer import Attachment, Rule

RADIUS = 12.0


def attachment(vertices: np.ndarray, rule: np.ndarray) -> Attachment:
    """Vertices in mm with these rules, the left eye at the origin."""
    count = len(vertices)
    return Attachment(
        vertices=vertices.astype(np.float32),
        rule=rule.astype(np.int8),
        triangle=np.zeros(count, np.int32),
        barycentric=np.zeros((count, 3), np.float32),
        weight=np.ones(count, np.float32),
        mm_per_unit=np.array(1.0, np.float32),
        pivots=np.array([[0, 0, 0], [60, 0, 0]], np.float32),
        edges=np.zeros((0, 2), np.int32),
    )


@pytest.fixture(scope="module")
def eye_and_lid() -> dict[str, Attachment]:
    """A ball with a cornea that stands out 1 mm, a companion of a lid in front of its upper half."""
    directions, _ = unit_sphere(16, 24)
    bulge = np.clip((directions[:, 2] - 0.9) / 0.1, 0, 1)
    ball = directions * (RADIUS + bulge)[:, None]
    x, y = np.meshgrid(np.linspace(-4, 4, 9), np.linspace(5, 9, 5))
    lid = np.stack([x, y, np.sqrt(13.0**2 - x**2 - y**2)], axis=2).reshape(-1, 3)
    eye = attachment(ball, np.full(len(ball), Rule.EYE_LEFT))
    return {"": attachment(lid, np.full(len(lid), Rule.SKIN)), "eye": eye}


def test_a_lid_slides_over_the_eye_and_not_through_it(eye_and_lid: dict[str, Attachment]):
    lid = eye_and_lid[""].vertices
    down = lid * [1, 0, 1] + [0, -1, 0] + (lid[:, 1:2] - 7) * [0, 1, 0]
    through = (down * (11.5 / np.linalg.norm(down, axis=1, keepdims=True)) - lid)[None].astype(np.float32)
    moved = {"": np.concatenate([through, 0 * through]), "eye": np.zeros((2, 408, 3), np.float32)}
    rest = {name: mesh.vertices for name, mesh in eye_and_lid.items()}
    Eyes(eye_and_lid).clear(moved, rest, [np.tile(np.eye(3), (2, 1, 1))] * 2)
    outside = np.linalg.norm(lid + moved[""][0], axis=1)
    assert outside.min() > RADIUS
    ahead = np.hypot(*(lid + moved[""][0])[:, :2].T) < 2
    assert ahead.any()
    assert outside[ahead].min() > RADIUS + 0.9
    assert not moved[""][1].any()


def test_a_lid_that_stays_outside_is_left_alone(eye_and_lid: dict[str, Attachment]):
    lid = eye_and_lid[""].vertices
    lifted = np.broadcast_to([0, 0, 0.5], (1, len(lid), 3)).astype(np.float32)
    moved = {"": lifted.copy(), "eye": np.zeros((1, 408, 3), np.float32)}
    rest = {name: mesh.vertices for name, mesh in eye_and_lid.items()}
    Eyes(eye_and_lid).clear(moved, rest, [np.eye(3)[None]] * 2)
    np.testing.assert_array_equal(moved[""], lifted)


def test_a_turned_inside_out_ball_is_turned_back():
    directions, triangles = unit_sphere(16, 24)
    outwards = read_surface(directions, triangles)
    inwards = read_surface(directions, triangles[:, ::-1])
    np.testing.assert_allclose(inwards.normals, outwards.normals, atol=1e-9)
    assert (np.einsum("vi,vi->v", outwards.normals, directions)[outwards.used] > 0.9).all()


def test_a_landmark_without_a_place_is_named():
    with pytest.raises(InputError, match="noseTip has no place"):
        read_landmarks({"noseTip": np.array([0.0, np.nan, 0.0])})
