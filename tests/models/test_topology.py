"""Spirals against brute force; the hierarchy's transforms; the Laplacian."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components, shortest_path

from models.head import Head
from models.topology import Level, graph_laplacian, mesh_hierarchy, spiral_indices


def adjacency(triangles: np.ndarray, count: int) -> sp.csr_matrix:
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    ones = np.ones(len(edges))
    one_way = sp.csr_matrix((ones, (edges[:, 0], edges[:, 1])), shape=(count, count))
    return ((one_way + one_way.T) > 0).astype(float)


def sheet(columns: int, rows: int, height: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """A flat triangulated rectangle in the xy plane, seen from +z."""
    x, y = np.meshgrid(np.arange(columns), np.arange(rows))
    vertices = np.stack([x.ravel(), y.ravel(), np.full(x.size, height)], axis=1).astype(np.float32)
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    lower = np.stack([corner, corner + 1, corner + columns], axis=1)
    upper = np.stack([corner + 1, corner + columns + 1, corner + columns], axis=1)
    return vertices, np.concatenate([lower, upper]).astype(np.int32)


def ring_by_angle(vertex: int, ring: list[int], vertices: np.ndarray) -> list[int]:
    """Vertices around one of a ball, counter-clockwise seen from outside, by their angle alone."""
    normal = vertices[vertex] / np.linalg.norm(vertices[vertex])
    across = np.cross(normal, [0.3, 0.5, 0.81])
    along = np.cross(normal, across)
    offsets = vertices[ring] - vertices[vertex]
    return [ring[i] for i in np.argsort(np.arctan2(offsets @ along, offsets @ across))]


def rotations(ring: list[int]) -> Iterator[list[int]]:
    return (ring[i:] + ring[:i] for i in range(len(ring)))


def test_spirals_of_a_ball_are_its_rings_in_order(head: Head) -> None:
    vertices, triangles = head.neutral_vertices, head.triangles
    distance = shortest_path(adjacency(triangles, len(vertices)), unweighted=True)
    spirals = spiral_indices(triangles, vertices, length=19)
    for vertex, spiral in enumerate(spirals.tolist()):
        first = [int(v) for v in np.nonzero(distance[vertex] == 1)[0]]
        second = [int(v) for v in np.nonzero(distance[vertex] == 2)[0]]
        assert spiral[0] == vertex
        ring = spiral[1 : 1 + len(first)]
        upwards = (vertices[first] - vertices[vertex])[:, 1]
        steepness = upwards / np.linalg.norm(vertices[first] - vertices[vertex], axis=1)
        # at the poles all neighbours are equally low, up to rounding: any of them may come first
        assert steepness[first.index(ring[0])] >= steepness.max() - 1e-5
        assert ring in list(rotations(ring_by_angle(vertex, first, vertices)))
        rest = spiral[1 + len(first) :][: len(second)]
        assert set(rest) <= set(second)
        assert len(set(rest)) == len(rest)
        outer = ring_by_angle(vertex, second, vertices)
        assert any(rest == turned[: len(rest)] for turned in rotations(outer))


def test_spirals_do_not_depend_on_the_order_of_the_file(head: Head) -> None:
    random = np.random.default_rng(1)
    shuffled = random.permutation(head.triangles)
    rolled = np.stack([np.roll(t, random.integers(3)) for t in shuffled]).astype(np.int32)
    expected = spiral_indices(head.triangles, head.neutral_vertices)
    np.testing.assert_array_equal(spiral_indices(rolled, head.neutral_vertices), expected)


def test_spirals_follow_a_renumbering_of_the_vertices(head: Head) -> None:
    # a generic ball: on the regular one two neighbours may lie equally far towards +Y
    vertices = head.neutral_vertices + np.random.default_rng(0).normal(0, 0.5, head.neutral_vertices.shape)
    new_number = np.random.default_rng(2).permutation(len(vertices)).astype(np.int32)
    expected = new_number[spiral_indices(head.triangles, vertices)]
    renumbered = np.empty_like(vertices)
    renumbered[new_number] = vertices
    found = spiral_indices(new_number[head.triangles], renumbered)
    np.testing.assert_array_equal(found[new_number], expected)


def test_spirals_at_a_border_use_every_neighbour_once() -> None:
    vertices, triangles = sheet(6, 5)
    neighbours = adjacency(triangles, len(vertices))
    for vertex, spiral in enumerate(spiral_indices(triangles, vertices, length=7).tolist()):
        around = set(neighbours[vertex].indices.tolist())
        assert spiral[0] == vertex
        assert set(spiral[1 : 1 + len(around)]) == around
        others = [v for v in spiral[1:] if v != vertex]
        assert len(set(others)) == len(others)


def test_a_vertex_with_too_few_neighbours_repeats_itself() -> None:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [9, 9, 9]], np.float32)
    spirals = spiral_indices(np.array([[0, 1, 2]], np.int32), vertices, length=5)
    assert spirals[0].tolist() == [0, 2, 1, 0, 0]
    assert spirals[3].tolist() == [3, 3, 3, 3, 3]


def test_every_level_is_a_quarter_of_the_one_before(hierarchy: list[Level]) -> None:
    counts = [len(level.vertices) for level in hierarchy]
    assert len(counts) == 4
    for fine, coarse in pairwise(counts):
        assert coarse == pytest.approx(fine / 4, rel=0.15)
    for level in hierarchy:
        assert level.spirals.shape == (len(level.vertices), 9)
        assert level.triangles.max() == len(level.vertices) - 1


def test_transforms_interpolate_and_average(hierarchy: list[Level]) -> None:
    for fine, coarse in pairwise(hierarchy):
        up, down = coarse.up_transform, coarse.down_transform
        assert up is not None
        assert down is not None
        for matrix in (up, down):
            assert matrix.data.min() >= -1e-6
            np.testing.assert_allclose(np.asarray(matrix.sum(axis=1)).ravel(), 1, atol=1e-5)
        corners = coarse.vertices[coarse.triangles]
        edge = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).mean()
        reached = np.linalg.norm(up @ coarse.vertices - fine.vertices, axis=1)
        assert reached.mean() < 0.15 * edge  # what a chord misses of an arc, even of an icosahedron


def test_averaging_removes_noise(hierarchy: list[Level]) -> None:
    noise = np.random.default_rng(0).normal(size=(len(hierarchy[0].vertices), 8))
    down = hierarchy[1].down_transform
    assert down is not None
    assert (down @ noise).std() < 0.6  # picking vertices would leave it at 1


def test_hierarchy_does_not_jump_between_surfaces_that_nearly_touch() -> None:
    lower, triangles = sheet(16, 16)
    upper, _ = sheet(16, 16, height=0.05)
    vertices = np.concatenate([lower, upper])
    both = np.concatenate([triangles, triangles[:, ::-1] + len(lower)]).astype(np.int32)
    fine, coarse = mesh_hierarchy(both, vertices, levels=2)
    assert coarse.up_transform is not None
    _, part = connected_components(adjacency(coarse.triangles, len(coarse.vertices)))
    below = {int(p) for p in part[coarse.up_transform[: len(lower)].indices]}
    above = {int(p) for p in part[coarse.up_transform[len(lower) :].indices]}
    assert len(fine.vertices) == len(vertices)
    assert not below & above


def test_the_laplacian_is_the_distance_to_the_mean_of_the_neighbours(head: Head) -> None:
    field = np.random.default_rng(3).normal(size=head.neutral_vertices.shape)
    neighbours = adjacency(head.triangles, len(field))
    expected = np.stack([field[v] - field[neighbours[v].indices].mean(axis=0) for v in range(len(field))])
    np.testing.assert_allclose(graph_laplacian(head.triangles, len(field)) @ field, expected, atol=1e-5)
