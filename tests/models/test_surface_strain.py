"""Strain in the tangent frame of the UVs and normals from relief, on a patch that can be computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from models.skin.surface_strain import DIRECTIONS, FEATURES, RestMetric, crease_features
from models.uv_maps import UVLayout

SIZE = 32


@pytest.fixture(scope="module")
def patch() -> tuple[UVLayout, np.ndarray]:
    """A square of 50 mm whose u runs along x and v along y."""
    steps = np.linspace(0, 1, 9, dtype=np.float32)
    uv = np.stack(np.meshgrid(steps, steps), axis=2).reshape(-1, 2)
    corner = np.arange(81).reshape(9, 9)[:-1, :-1].ravel()
    lower = np.stack([corner, corner + 1, corner + 10], axis=1)
    upper = np.stack([corner, corner + 10, corner + 9], axis=1)
    triangles = np.concatenate([lower, upper]).astype(np.int32)
    layout = UVLayout.of_mesh(triangles, uv, triangles, SIZE)
    vertices = np.concatenate([50 * uv, np.zeros((81, 1), np.float32)], axis=1).astype(np.float32)
    return layout, vertices


def test_strain_by_hand(patch: tuple[UVLayout, np.ndarray]) -> None:
    layout, vertices = patch
    rest = RestMetric.of(layout, vertices)
    assert np.allclose(rest.strain_map(vertices), [1, 0, 1], atol=1e-5)
    # x shortened to 0.8, y lengthened to 1.1, sheared by 0.3 x, then turned in space
    matrix = np.array([[0.8, 0, 0], [0.3, 1.1, 0], [0, 0, 1]])
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    moved = (vertices @ matrix.T @ turn.T + 7).astype(np.float32)
    wanted = (matrix.T @ matrix)[[0, 0, 1], [0, 1, 1]]
    assert np.allclose(rest.strain_map(moved), wanted, atol=1e-4)


def test_creases_answer_to_compression_across_them(patch: tuple[UVLayout, np.ndarray]) -> None:
    layout, vertices = patch
    rest = RestMetric.of(layout, vertices)
    squeezed = vertices * np.array([0.8, 1, 1], np.float32)
    features = crease_features(rest.strain_map(squeezed), 8)
    assert features.shape == (FEATURES, 8, 8)
    quarters = features[: 4 * DIRECTIONS].reshape(4, DIRECTIONS, 8, 8)
    wanted = np.sqrt(0.2**2 / (0.2 + 0.08))
    assert np.allclose(quarters[:, 0], wanted, atol=1e-3)
    assert np.allclose(quarters[:, 2], 0, atol=1e-3)
    assert np.allclose(features[4 * DIRECTIONS], -0.2, atol=1e-3)
    assert np.allclose(features[-1], 0.2, atol=1e-3)
    assert not crease_features(rest.strain_map(vertices), 8).round(3).any()


def leaning(slope: list[float]) -> np.ndarray:
    """The unit normal of minus a slope, softly limited to 1.2."""
    steep = np.hypot(*slope)
    return np.append(np.array(slope) / steep * 1.2 * np.tanh(steep / 1.2), 1) / np.hypot(
        1.2 * np.tanh(steep / 1.2), 1
    )


def test_normals_by_hand(patch: tuple[UVLayout, np.ndarray]) -> None:
    layout, vertices = patch
    rest = RestMetric.of(layout, vertices)
    column, row = np.meshgrid(np.arange(SIZE), np.arange(SIZE))
    texel = 50 / SIZE  # mm
    along, up = rest.normal_map(vertices, 0.1 * texel * column), rest.normal_map(vertices, -0.2 * texel * row)
    assert np.allclose(along, leaning([-0.1, 0]), atol=1e-4)
    assert np.allclose(up, leaning([0, -0.2]), atol=1e-4)
    stretched = vertices * np.array([2, 1, 1], np.float32)
    flatter = rest.normal_map(stretched, 0.1 * texel * column)
    assert np.allclose(flatter, leaning([-0.05, 0]), atol=1e-4)
    steep = rest.normal_map(vertices * np.array([0.01, 1, 1], np.float32), 5 * texel * column)
    assert np.allclose(steep, leaning([-12.5, 0]), atol=1e-4)
    assert steep[..., 2].min() > 0.6


def test_a_mirrored_island_keeps_its_v_axis(patch: tuple[UVLayout, np.ndarray]) -> None:
    layout, vertices = patch
    mirrored = vertices * np.array([-1, 1, 1], np.float32)  # now u runs against x, seen from outside
    rest = RestMetric.of(layout, mirrored)
    assert np.allclose(rest.strain_map(mirrored), [1, 0, 1], atol=1e-5)
    _, row = np.meshgrid(np.arange(SIZE), np.arange(SIZE))
    up = rest.normal_map(mirrored, -0.2 * 50 / SIZE * row)
    assert np.allclose(up, leaning([0, -0.2]), atol=1e-4)
