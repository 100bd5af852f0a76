"""What is measured on generated faces with skin (ExpDiff section V), against what is true.

Maps are (H, W, C) of 0..1, a normal n stored as (n + 1) / 2, and are compared where the face is: a mask
(H, W). PSNR and SSIM (Wang et al., 2004) are scikit-image's. They reward skin that does not move, because
most of it hardly does; hence two figures on what moves beside them, wrinkles and their fit to the mesh.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, gaussian_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from .metrics import root_ratio

Floats = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]

SSIM_WINDOW = 7
"""Texels; scikit-image's default."""
MINIMUM_SHARE = 0.5
"""Of a window that must lie on the face."""


def facial_vertex_distance(generated: Floats, truth: Floats) -> float:
    """Mean distance, mm, between corresponding vertices (V, 3): section V-C."""
    return float(np.linalg.norm(generated - truth, axis=1).mean())


def psnr(image: Floats, truth: Floats, mask: Mask) -> float:
    """Peak signal-to-noise ratio, dB, within the mask; infinite where nothing differs."""
    with np.errstate(divide="ignore"):
        return float(peak_signal_noise_ratio(truth[mask], image[mask], data_range=1.0))


def pooled_psnr(values: Sequence[float]) -> float:
    """PSNR, dB, of the mean squared error behind several: a perfect image makes no infinite mean."""
    mean_square = np.mean(10 ** (-np.asarray(values) / 10))
    return float(-10 * np.log10(mean_square)) if mean_square > 0 else float("inf")


def ssim(image: Floats, truth: Floats, mask: Mask) -> float:
    """Mean structural similarity over the windows that lie within the mask."""
    found: Any = structural_similarity(
        truth, image, win_size=SSIM_WINDOW, data_range=1.0, channel_axis=2, full=True
    )
    similarity: Floats = found[1]
    return float(similarity[_eroded(mask)].mean())


def flicker(generated: Floats, truth: Floats, mask: Mask) -> float:
    """How much an animation (K, H, W, C) trembles, as a multiple of the true one's: second differences.

    Root mean squares over the mask; 1 is as restless as the truth. NaN where the truth does not move.
    """
    own, true = (np.square(np.diff(maps[:, mask], n=2, axis=0)).mean() for maps in (generated, truth))
    return root_ratio(float(own), float(true))


def principal_compression(neutral: Floats, deformed: Floats, triangles: NDArray[np.integer[Any]]) -> Floats:
    """(V,) how much shorter skin gets in the direction in which it shrinks most, 0 where it only grows.

    One minus the smaller singular value of each triangle's deformation gradient, averaged round vertices
    by area. neutral, deformed (V, 3).
    """
    rest, now = (np.diff(vertices[triangles], axis=1) for vertices in (neutral, deformed))
    metric, deformed_metric = rest @ rest.transpose(0, 2, 1), now @ now.transpose(0, 2, 1)
    # eigenvalues of rest^-1 now are the squared principal stretches
    relative = np.linalg.solve(metric, deformed_metric)
    half_trace, determinant = np.trace(relative, axis1=1, axis2=2) / 2, np.linalg.det(relative)
    smaller = half_trace - np.sqrt(np.maximum(half_trace**2 - determinant, 0.0))
    compression = np.maximum(1.0 - np.sqrt(np.maximum(smaller, 0.0)), 0.0)
    area = np.sqrt(np.maximum(np.linalg.det(metric), 0.0)) / 2
    corners = triangles.ravel()
    weight = np.bincount(corners, np.repeat(area, 3), len(neutral))
    total = np.bincount(corners, np.repeat(area * compression, 3), len(neutral))
    return total / np.maximum(weight, 1e-12)


def windowed(values: Floats, mask: Mask, window: int) -> Floats:
    """(N,) means of values (H, W) over the windows of ``window`` texels that lie on the face."""
    rows, columns = (side // window for side in mask.shape)
    cut = slice(0, rows * window), slice(0, columns * window)
    shape = (rows, window, columns, window)
    inside = mask[cut].reshape(shape).sum(axis=(1, 3))
    total = np.where(mask, values, 0.0)[cut].reshape(shape).sum(axis=(1, 3))
    return (total / np.maximum(inside, 1))[inside >= MINIMUM_SHARE * window**2]


def agreement(change: Floats, compression: Floats, mask: Mask, window: int) -> float:
    """Correlation of crease amplitude with mesh compression (H, W), over windows of ``window`` texels.

    Amplitude is the root mean square of the fine part of how normals left the neutral's, ``change``
    (H, W, 3); the compression should be that of the same face. NaN where either is the same everywhere.
    """
    slopes = fine(change, window)[..., :2]
    amplitude = np.sqrt(windowed(np.square(slopes).sum(axis=2), mask, window))
    shrunk = windowed(compression, mask, window)
    if amplitude.std() < 1e-9 or shrunk.std() < 1e-9:
        return float("nan")
    return float(np.corrcoef(amplitude, shrunk)[0, 1])


WRINKLES = ("wrinkle_product", "wrinkle_shown", "wrinkle_true")
"""Columns of `wrinkle_moments`."""


def wrinkle_moments(change: Floats, true_change: Floats, mask: Mask, width: float) -> dict[str, float]:
    """Mean products of the wrinkles that a face shows and the true ones, for `pooled_wrinkles`.

    Wrinkles are the part finer than ``width`` texels of how normals left the neutral's, (H, W, 3).
    """
    shown, true = (fine(image, width)[mask] for image in (change, true_change))
    products = shown * true, shown * shown, true * true
    return {name: float(product.mean()) for name, product in zip(WRINKLES, products, strict=True)}


def pooled_wrinkles(columns: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """How much of the true wrinkles is shown over many faces, of their moments.

    ``wrinkles_kept`` is the regression of the shown on the true ones: 1 for all of them, more for deeper
    ones, 0 for none and any in the wrong places. ``wrinkle_energy`` is the ratio of mean squares, wherever
    they are. A face with deep wrinkles counts for more. NaN where there are none.
    """
    product, shown, true = (float(np.sum(columns[name])) for name in WRINKLES)
    known = true > 0
    return {
        "wrinkles_kept": product / true if known else float("nan"),
        "wrinkle_energy": shown / true if known else float("nan"),
    }


def mean_of_known(values: Sequence[float]) -> float:
    """Of those that are numbers; NaN where none is."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def fine(image: Floats, width: float) -> Floats:
    """The part of an image (H, W, C) that is finer than ``width`` texels."""
    return image - gaussian_filter(image, (width / 2, width / 2, 0.0), mode="nearest")


def _eroded(mask: Mask) -> Mask:
    reach = SSIM_WINDOW // 2
    inner = np.asarray(binary_erosion(mask, np.ones((2 * reach + 1,) * 2)), bool)
    return inner if inner.any() else mask
