"""Similarity alignment against transformations that are known."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from models.alignment import Similarity, similarity_to
from models.errors import InputError
from models.head import Head


@pytest.fixture
def known() -> Similarity:
    rotation = Rotation.from_euler("xyz", [70, -40, 160], degrees=True).as_matrix().astype(np.float32)
    return Similarity(37.0, rotation, np.array([3, -800, 12], np.float32))


def test_a_moved_turned_and_scaled_head_is_brought_back(head: Head, known: Similarity) -> None:
    model = head.neutral_vertices
    # the artist's head, such that ``known`` carries it onto the model
    vertices = (model - known.translation) @ known.rotation / known.scale
    found = similarity_to(model, vertices)
    assert found.scale == pytest.approx(known.scale, rel=1e-4)
    np.testing.assert_allclose(found.rotation, known.rotation, atol=1e-4)
    np.testing.assert_allclose(found.apply(vertices), model, atol=5e-3)


def test_vectors_come_back_in_the_heads_own_units_and_axes(head: Head, known: Similarity) -> None:
    points = head.neutral_vertices / 37
    vectors = np.random.default_rng(0).normal(size=points.shape).astype(np.float32) / 37
    moved = known.apply(points + vectors) - known.apply(points)
    np.testing.assert_allclose(known.invert_vectors(moved), vectors, atol=1e-4)


def test_it_is_the_best_of_all_similarities(head: Head) -> None:
    model = head.neutral_vertices
    random = np.random.default_rng(1)
    person = model + random.normal(0, 4, model.shape).astype(np.float32)
    best = similarity_to(model, person)

    def error(similarity: Similarity) -> float:
        return float(np.square(similarity.apply(person) - model).sum())

    for _ in range(20):
        turn = Rotation.from_rotvec(random.normal(0, 0.01, 3)).as_matrix()
        other = Similarity(
            best.scale * float(random.normal(1, 0.01)),
            (turn @ best.rotation).astype(np.float32),
            best.translation + random.normal(0, 0.3, 3).astype(np.float32),
        )
        assert error(other) > error(best)


def test_a_mirrored_head_is_not_turned_inside_out(head: Head) -> None:
    lopsided = head.neutral_vertices + np.exp(head.neutral_vertices / 40)
    found = similarity_to(lopsided, lopsided * np.array([-1, 1, 1], np.float32))
    assert np.linalg.det(found.rotation) == pytest.approx(1, abs=1e-4)


def test_weights_decide_who_is_heard(head: Head) -> None:
    model = head.neutral_vertices
    moved = model.copy()
    moved[:100] += 50
    heard = np.ones(len(model))
    heard[:100] = 0
    np.testing.assert_allclose(similarity_to(model, moved, heard).apply(moved)[100:], model[100:], atol=1e-2)


def test_a_head_in_one_point_is_refused(head: Head) -> None:
    with pytest.raises(InputError, match="one point"):
        similarity_to(head.neutral_vertices, np.ones_like(head.neutral_vertices))


def test_a_head_on_a_line_is_refused(head: Head) -> None:
    with pytest.raises(InputError, match="flat"):
        similarity_to(head.neutral_vertices, head.neutral_vertices * np.array([0, 1, 0], np.float32))


def test_a_head_far_from_the_origin_is_still_one(head: Head) -> None:
    far = head.neutral_vertices + np.array([5e4, 0, 0], np.float32)
    found = similarity_to(head.neutral_vertices, far)
    np.testing.assert_allclose(found.apply(far), head.neutral_vertices, atol=0.1)
