"""Metrics of faces with skin against cases worked out by hand, and against scikit-image on whole images."""

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from models.evaluation.metrics_appearance import (
    agreement,
    facial_vertex_distance,
    fine,
    flicker,
    pooled_psnr,
    pooled_wrinkles,
    principal_compression,
    psnr,
    ssim,
    windowed,
    wrinkle_moments,
)
from tests.models.tiny import icosphere

RANDOM = np.random.default_rng(0)
WHOLE = np.ones((32, 32), bool)
LEFT = np.indices((32, 32))[1] < 16


def noisy(image: np.ndarray, sigma: float, seed: int = 1) -> np.ndarray:
    return image + np.random.default_rng(seed).normal(0, sigma, image.shape)


def test_distance_is_the_mean_over_vertices() -> None:
    truth = RANDOM.normal(size=(10, 3))
    generated = truth.copy()
    generated[:5] += [0, 3, 4]
    assert facial_vertex_distance(generated, truth) == pytest.approx(2.5)


def test_psnr_sees_the_mask_alone() -> None:
    truth = RANDOM.random((32, 32, 3))
    image = truth + 0.1  # 20 dB
    assert psnr(image, truth, WHOLE) == pytest.approx(20)
    image[LEFT] = truth[LEFT] + 0.01
    assert psnr(image, truth, LEFT) == pytest.approx(40)
    assert psnr(truth, truth, LEFT) == np.inf
    noise = noisy(truth, 0.05)
    assert psnr(noise, truth, WHOLE) == pytest.approx(peak_signal_noise_ratio(truth, noise, data_range=1.0))


def test_pooled_psnr_is_that_of_the_pooled_error() -> None:
    truth = RANDOM.random((32, 32, 3))
    image = truth + np.where(LEFT, 0.1, 0.01)[..., None]
    assert pooled_psnr([psnr(image, truth, LEFT), psnr(image, truth, ~LEFT)]) == pytest.approx(
        psnr(image, truth, WHOLE)
    )
    assert pooled_psnr([20.0, np.inf]) == pytest.approx(23.0103)
    assert pooled_psnr([np.inf, np.inf]) == np.inf


def test_ssim_is_skimage_s_within_the_mask() -> None:
    truth = RANDOM.random((32, 32, 3))
    image = noisy(truth, 0.1)
    whole = structural_similarity(truth, image, win_size=7, data_range=1.0, channel_axis=2)
    assert ssim(image, truth, WHOLE) == pytest.approx(whole)  # which leaves out the border as well
    half = truth.copy()
    half[~LEFT] = RANDOM.random((32, 16, 3)).reshape(-1, 3)
    assert ssim(half, truth, LEFT) == pytest.approx(1)
    assert ssim(half, truth, ~LEFT) < 0.3


def test_flicker_is_nothing_for_a_steady_change_and_one_for_the_truth() -> None:
    frames = np.arange(6)[:, None, None, None]
    steady = 0.01 * frames * np.ones((1, 32, 32, 3))
    truth = steady + 0.001 * frames**2
    assert flicker(truth, truth, LEFT) == pytest.approx(1)
    assert flicker(steady, truth, LEFT) == pytest.approx(0, abs=1e-6)
    # independent noise: second differences have the variance 6 sigma^2; the truth's are 0.002
    assert flicker(noisy(steady, 0.01), truth, WHOLE) == pytest.approx(6**0.5 * 0.01 / 0.002, rel=0.05)
    assert np.isnan(flicker(truth, 0 * truth, WHOLE))


def test_compression_is_the_smaller_principal_stretch() -> None:
    grid = np.stack(np.meshgrid(np.arange(5.0), np.arange(5.0), [0.0], indexing="ij"), axis=-1).reshape(-1, 3)
    corner = np.arange(20)[np.arange(20) % 5 != 4][:, None]
    triangles = np.concatenate([corner + np.array(offsets) for offsets in ([0, 5, 6], [0, 6, 1])])
    angle = np.radians(30)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    stretch = turn @ np.diag([1.3, 0.8, 1.0]) @ turn.T
    moved = grid @ stretch.T @ np.linalg.qr(RANDOM.normal(size=(3, 3)))[0] + [5, 6, 7]
    np.testing.assert_allclose(principal_compression(grid, moved, triangles), 0.2, atol=1e-9)
    np.testing.assert_allclose(principal_compression(grid, 1.1 * grid, triangles), 0, atol=1e-7)


def test_compression_is_local() -> None:
    vertices, triangles = icosphere(2)
    vertices = vertices.astype(np.float64)
    squeezed = vertices * [0.5, 1, 1]
    found = principal_compression(vertices, squeezed, triangles)
    side, pole = np.abs(vertices[:, 0]).argmax(), np.abs(vertices[:, 0]).argmin()
    assert found[pole] == pytest.approx(0.5, abs=0.03)  # skin that lies along x
    assert found[side] < 0.1  # skin that faces x: hardly any


def test_windows_are_means_over_the_face() -> None:
    values = np.repeat(np.repeat(np.arange(16.0).reshape(4, 4), 8, axis=0), 8, axis=1)
    np.testing.assert_allclose(windowed(values, WHOLE, 8), np.arange(16))
    mask = WHOLE.copy()
    mask[:8, :5] = False  # less than half of the first window is left
    mask[8:16, :4] = False  # just half of another one
    np.testing.assert_allclose(windowed(values, mask, 8), np.arange(1, 16))


def bumpy(amplitude: np.ndarray, seed: int = 0) -> np.ndarray:
    """A change of normals whose fine slopes have this amplitude (H, W)."""
    change = np.zeros((*amplitude.shape, 3))
    change[..., :2] = amplitude[..., None] * np.random.default_rng(seed).normal(size=(*amplitude.shape, 2))
    return change


def test_agreement_is_high_where_creases_follow_compression() -> None:
    mask = np.ones((64, 64), bool)
    compression = np.repeat(np.repeat(RANDOM.uniform(0, 0.3, (8, 8)), 8, axis=0), 8, axis=1)
    assert agreement(bumpy(compression), compression, mask, 8) > 0.9
    assert agreement(bumpy(0.3 - compression), compression, mask, 8) < -0.9
    elsewhere = RANDOM.permutation(compression.ravel()).reshape(64, 64)
    assert abs(agreement(bumpy(compression), elsewhere, mask, 8)) < 0.35
    assert np.isnan(agreement(bumpy(0 * compression), compression, mask, 8))
    assert np.isnan(agreement(bumpy(compression), np.zeros((64, 64)), mask, 8))


def test_wrinkles_in_the_wrong_place_are_not_kept() -> None:
    truth, other = bumpy(np.full((64, 64), 0.1)), bumpy(np.full((64, 64), 0.1), seed=5)
    mask = np.ones((64, 64), bool)

    def kept(*faces: tuple[np.ndarray, np.ndarray]) -> tuple[float, float]:
        moments = [wrinkle_moments(shown, true, mask, 6) for shown, true in faces]
        found = pooled_wrinkles({name: [face[name] for face in moments] for name in moments[0]})
        return found["wrinkles_kept"], found["wrinkle_energy"]

    assert kept((truth, truth)) == pytest.approx((1, 1))
    assert kept((0 * truth, truth)) == pytest.approx((0, 0))
    assert kept((truth / 2, truth)) == pytest.approx((0.5, 0.25))
    share, energy = kept((other, truth))
    assert share == pytest.approx(0, abs=0.05)
    assert energy == pytest.approx(1, abs=0.1)
    assert np.isnan(kept((truth, 0 * truth))).all()
    # a smooth face in which a little is shown does not outweigh the wrinkled one
    assert kept((truth, truth), (0.1 * truth, 1e-4 * truth)) == pytest.approx((1, 1.01), abs=1e-3)


def test_the_fine_part_leaves_out_what_is_broad() -> None:
    x = np.arange(128.0)
    broad, narrow = (np.tile(np.sin(2 * np.pi * x / length), (128, 1))[..., None] for length in (64, 4))
    inner = slice(32, 96)
    assert np.abs(fine(broad, 8)[inner, inner]).max() < 0.1
    np.testing.assert_allclose(fine(narrow, 8)[inner, inner], narrow[inner, inner], atol=0.01)
