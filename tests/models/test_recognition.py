"""A Dimple head whose vertices were renumbered is found again exactly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.head import Head
from models.registration.recognition import recognise
from tests.models.binding_model import grid_head


@pytest.fixture(scope="module")
def grid() -> Head:
    return grid_head()


def renumbered(head: Head, faces: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices turned, scaled and shuffled, faces to match in another order, and where each vertex went."""
    random = np.random.default_rng(seed)
    went = random.permutation(len(head.neutral_vertices)).astype(np.int32)
    turn = np.linalg.qr(random.normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    vertices = np.empty_like(head.neutral_vertices)
    vertices[went] = 0.01 * head.neutral_vertices @ turn.T + 3.0
    shuffled = faces[random.permutation(len(faces))]
    return vertices.astype(np.float32), np.where(shuffled >= 0, went[shuffled], -1).astype(np.int32), went


def test_quads_are_found_again(grid: Head):
    vertices, faces, went = renumbered(grid, grid.faces)
    np.testing.assert_array_equal(recognise(grid, vertices, faces), went)


def test_the_heads_own_triangles_are_found_again(grid: Head):
    vertices, faces, went = renumbered(grid, grid.triangles)
    np.testing.assert_array_equal(recognise(grid, vertices, faces), went)


def test_quads_cut_anyhow_are_put_together_again(grid: Head):
    random = np.random.default_rng(1)
    quads = grid.faces
    either = random.random(len(quads)) < 0.5
    first = np.where(either[:, None], quads[:, [0, 1, 2]], quads[:, [0, 1, 3]])
    second = np.where(either[:, None], quads[:, [0, 2, 3]], quads[:, [1, 2, 3]])
    vertices, faces, went = renumbered(grid, np.concatenate([first, second]))
    np.testing.assert_array_equal(recognise(grid, vertices, faces), went)


def test_a_head_turned_inside_out_is_found(grid: Head):
    vertices, faces, went = renumbered(grid, grid.faces)
    np.testing.assert_array_equal(recognise(grid, vertices, faces[:, ::-1]), went)


def test_a_mirrored_head_gets_its_sides_by_where_they_are(grid: Head):
    vertices, faces, went = renumbered(grid, grid.faces)
    mirrored = vertices * np.array([-1, 1, 1], np.float32)
    np.testing.assert_array_equal(recognise(grid, mirrored, faces), went[grid.mirror])


@pytest.mark.parametrize("rule", ["first", "second", "anyhow"])
def test_a_mirrored_head_whose_quads_are_cut_gets_its_sides_too(grid: Head, rule: str):
    random = np.random.default_rng(2)
    either = {"first": True, "second": False, "anyhow": random.random((len(grid.faces), 1)) < 0.5}[rule]
    quads = grid.faces[:, ::-1]
    cut = [
        np.where(either, quads[:, a], quads[:, b])
        for a, b in (([0, 1, 2], [0, 1, 3]), ([0, 2, 3], [1, 2, 3]))
    ]
    vertices, faces, went = renumbered(grid, np.concatenate(cut))
    mirrored = vertices * np.array([-1, 1, 1], np.float32)
    np.testing.assert_array_equal(recognise(grid, mirrored, faces), went[grid.mirror])


def test_a_wrong_guess_is_taken_back(grid: Head):
    random = np.random.default_rng(5)
    either = random.random(len(grid.faces))[:, None] < 0.5
    quads = grid.faces
    cut = [
        np.where(either, quads[:, a], quads[:, b])
        for a, b in (([0, 1, 2], [0, 1, 3]), ([0, 2, 3], [1, 2, 3]))
    ]
    shaken = replace(
        grid,
        neutral_vertices=grid.neutral_vertices
        + random.normal(0, 6, grid.neutral_vertices.shape).astype("f4"),
    )
    vertices, faces, went = renumbered(shaken, np.concatenate(cut))
    np.testing.assert_array_equal(recognise(grid, vertices, faces), went)


def test_another_topology_is_not_recognised(grid: Head):
    vertices, faces, _ = renumbered(grid, grid.faces)
    twisted = faces.copy()
    twisted[3, [0, 1]] = twisted[3, [1, 0]]
    assert recognise(grid, vertices, twisted) is None
    assert recognise(grid, vertices[:-1], faces) is None


def test_the_same_faces_in_another_shape_are_no_head(grid: Head):
    vertices, faces, _ = renumbered(grid, grid.faces)
    scrambled = np.random.default_rng(0).permutation(vertices).astype(np.float32)
    assert recognise(grid, scrambled, faces) is None
