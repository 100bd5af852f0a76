"""Metrics against cases with a known answer."""

import numpy as np
import pytest

from models.evaluation.metrics import (
    FaceRegion,
    acceleration,
    face_distances,
    motion,
    root_ratio,
    roughness,
    specificity_mm,
    spread,
)
from models.head import Head
from tests.models.tiny import tiny_head

FRAMES = np.arange(7)


def test_specificity_is_the_mean_distance_of_each_frame() -> None:
    truth = np.random.default_rng(0).normal(size=(3, 10, 3))
    generated = truth + np.array([3.0, 0.0, 4.0])  # 5 mm away everywhere
    generated[2, :5] = truth[2, :5]
    np.testing.assert_allclose(specificity_mm(generated, truth), [5, 5, 2.5])


def test_motion_is_a_mean_square() -> None:
    np.testing.assert_allclose(motion(np.array([[[3.0, 0, 4], [0, 0, 0]]])), [12.5])


def test_noise_is_rough_and_a_shift_is_not(head: Head) -> None:
    region = FaceRegion.of(head)
    shift = np.broadcast_to([5.0, 0, 0], (2, len(region.vertices), 3))
    smooth = np.broadcast_to(region(head.neutral_vertices) / 80, (2, len(region.vertices), 3))
    noise = np.random.default_rng(0).normal(0, 0.05, smooth.shape)
    assert roughness(shift, region.laplacian) == pytest.approx(0, abs=1e-8)
    assert roughness(noise, region.laplacian) > 4 * roughness(smooth, region.laplacian)
    # independent noise of the vertex and of its neighbours' mean: 3 sigma^2 (1 + 1/6), all but 12 have six
    assert roughness(noise, region.laplacian) == pytest.approx(3 * 0.05**2 * (1 + 1 / 6), rel=0.05)


def test_acceleration_sees_jitter_and_no_steady_motion() -> None:
    steady = FRAMES[:, None, None] * np.array([[[1.0, 2, 3]]])
    parabola = FRAMES[:, None, None] ** 2 * np.array([[[0.5, 0, 0]]])
    assert acceleration(steady, FRAMES) == pytest.approx(0)
    assert acceleration(steady + parabola, FRAMES) == pytest.approx(1)


def test_acceleration_looks_only_where_three_frames_follow_each_other() -> None:
    frames = np.array([0, 1, 2, 10, 11, 12])
    steady = frames[:, None, None] * np.array([[[1.0, 0, 0]]])
    jump = np.where(frames > 5, 100.0, 0.0)[:, None, None]
    assert acceleration(steady + jump, frames) == pytest.approx(0)
    assert np.isnan(acceleration(steady[::3], frames[::3]))


def test_spread_is_the_unbiased_variance() -> None:
    samples = np.random.default_rng(0).normal(0, 0.3, (2, 5, 4000, 3))
    assert spread(samples) == pytest.approx(3 * 0.3**2, rel=0.03)  # two samples are enough
    assert spread(np.repeat(samples[:1], 4, axis=0)) == pytest.approx(0, abs=1e-12)


def test_ratios_of_nothing_are_no_numbers() -> None:
    assert root_ratio(4.0, 1.0) == pytest.approx(2)
    assert np.isnan(root_ratio(1.0, 0.0))
    assert np.isnan(root_ratio(1.0, float("nan")))


def test_face_distances_are_those_of_every_pair() -> None:
    faces = np.zeros((2, 4, 3))
    faces[1] += [0, 2, 0]
    others = np.zeros((3, 4, 3)) + np.arange(3)[:, None, None] * [0, 1, 0]
    np.testing.assert_allclose(face_distances(faces, others), [[0, 1, 2], [2, 1, 0]])


def test_the_region_is_the_mask_and_nothing_else() -> None:
    head = tiny_head()
    upper = head.neutral_vertices[:, 1] > 0
    head.face_mask[~upper] = 0
    region = FaceRegion.of(head)
    assert set(region.vertices) <= set(np.nonzero(upper)[0])
    assert len(region.vertices) > 0.9 * upper.sum()
    field = np.arange(len(upper) * 3).reshape(1, -1, 3)
    np.testing.assert_array_equal(region(field)[0], field[0, region.vertices])
    constant = np.ones((1, len(region.vertices), 3))
    assert roughness(constant, region.laplacian) == pytest.approx(0, abs=1e-8)


def test_an_empty_mask_is_refused() -> None:
    head = tiny_head()
    head.face_mask[:] = 0
    with pytest.raises(ValueError, match="mask"):
        FaceRegion.of(head)
