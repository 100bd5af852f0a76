"""The low-rank bake: the best basis there is, and an error that is true."""

import numpy as np
import pytest

from tests.blender import extension  # noqa: F401  # makes the package importable

pytest.importorskip("bpy")
from dimple_under_test.addon.low_rank import low_rank


def largest_error(deformations, baked):
    mixed = np.einsum("kr,rvc->kvc", baked.coefficients, baked.components)
    return np.linalg.norm(deformations - mixed, axis=2).max()


@pytest.fixture
def deformations():
    """Twelve frames of falling singular values."""
    rng = np.random.default_rng(1)
    shapes = rng.normal(size=(12, 50, 3)) * 0.5 ** np.arange(12)[:, None, None]
    return np.einsum("kr,rvc->kvc", rng.normal(size=(12, 12)), shapes).astype(np.float32)


@pytest.mark.parametrize("tolerance", [5.0, 0.5, 0.05, 0.005])
def test_the_error_is_below_the_limit_and_as_stated(deformations, tolerance):
    baked = low_rank(deformations, tolerance)
    assert largest_error(deformations, baked) <= tolerance
    assert baked.largest_error == pytest.approx(largest_error(deformations, baked), rel=1e-3, abs=1e-6)


def test_one_component_less_would_be_too_few(deformations):
    baked = low_rank(deformations, 0.05)
    count = len(baked.components)
    u, s, vt = np.linalg.svd(deformations.reshape(12, -1).astype(np.float64), full_matrices=False)
    fewer = (u[:, : count - 1] * s[: count - 1]) @ vt[: count - 1]
    assert np.linalg.norm((deformations.reshape(12, -1) - fewer).reshape(-1, 3), axis=1).max() > 0.05


def test_coefficients_peak_at_one(deformations):
    baked = low_rank(deformations, 0.05)
    np.testing.assert_allclose(baked.coefficients.max(axis=0), 1.0, rtol=1e-6)
    assert np.abs(baked.coefficients).max() <= 1.0 + 1e-6


def test_a_still_face_needs_one_key():
    baked = low_rank(np.zeros((5, 4, 3), np.float32), 0.01)
    assert baked.components.shape == (1, 4, 3)
    assert baked.largest_error == 0.0
    assert np.isfinite(baked.coefficients).all()


def test_one_frame_is_exact():
    frame = np.random.default_rng(0).normal(size=(1, 9, 3)).astype(np.float32)
    baked = low_rank(frame, 1e-5)
    np.testing.assert_allclose(baked.components * baked.coefficients[0], frame, atol=1e-5)
