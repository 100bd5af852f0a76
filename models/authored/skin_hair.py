"""Hair that is part of the skin's texture: brows stroke by stroke, stubble, a shaved scalp, lashes' roots."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.interpolate import make_interp_spline
from scipy.ndimage import gaussian_filter, map_coordinates

from .skin_regions import SkinAtlas

Floats = NDArray[np.float32]

PIXEL = 0.22
"""Chart units of a pixel of the canvas that brows are drawn on; a stroke is one or two pixels thick."""
CANVAS = ((0.0, 84.0), (2.0, 52.0))
"""x and y of the canvas on the chart; the other brow is drawn on a canvas of its own."""
BROW_MIDDLE = -2.5
"""mm from the landmarks, which lie on the upper edge of the brow, to its middle."""


def draw_brows(
    atlas: SkinAtlas, rng: np.random.Generator, density: float, thickness: float, grey: float
) -> tuple[Floats, Floats]:
    """(N,) how much of each texel brow hair covers, and how much of that is grey.

    ``density`` and ``thickness`` are about 1; ``grey`` is the share of hairs without pigment.
    """
    shape = 0.8 * rng.standard_normal(5) + [0.0, 0.0, rng.normal(0.0, 1.2), 0.0, rng.normal(-1.0, 1.5)]
    covered, greyed = np.zeros((2, len(atlas.chart)), np.float32)
    for side, numbers in ((1.0, range(22, 27)), (-1.0, range(21, 16, -1))):
        knots = atlas.landmarks[list(numbers)] * [side, 1.0]
        knots[:, 1] += BROW_MIDDLE + shape + 0.4 * rng.standard_normal(5)
        knots[0, 0] -= rng.uniform(-1.5, 2.5)
        strokes = _strokes(knots, rng, density, thickness)
        white = rng.random(len(strokes)) < grey
        for target, chosen in ((covered, np.ones(len(strokes), bool)), (greyed, white)):
            target += _seen(atlas, side, strokes[chosen])
    covered = np.minimum(covered, 1.0)
    return covered, np.minimum(greyed, covered)


def _strokes(
    knots: NDArray[np.floating], rng: np.random.Generator, density: float, thickness: float
) -> NDArray[np.float64]:
    """(S, 4, 2) hairs as polylines on the chart, from the root to the tip."""
    curve = make_interp_spline(np.linspace(0.0, 1.0, 5), knots, k=3)
    count = int(density * rng.integers(420, 640))
    along = np.clip(rng.beta(1.15, 1.35, count), 0.01, 0.97)
    middle, tangent = curve(along), curve.derivative()(along)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    across = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
    half = thickness * np.interp(along, [0.0, 0.12, 0.5, 1.0], [2.2, 3.6, 3.0, 0.9])
    offset = rng.uniform(-1.0, 1.0, count) * half
    lean = np.interp(along, [0.0, 0.2, 0.5, 1.0], [70.0, 48.0, 22.0, 8.0])
    # the upper hairs lie down, the lower ones stand up: they meet along a ridge
    lean = np.radians(lean - 24.0 * offset / np.maximum(half, 0.5) + 9.0 * rng.standard_normal(count))
    direction = np.cos(lean)[:, None] * tangent + np.sin(lean)[:, None] * across
    length = rng.uniform(4.5, 8.5, count) * np.interp(along, [0.0, 0.3, 1.0], [0.8, 1.0, 0.7])
    bend = 0.14 * rng.standard_normal(count) - 0.12
    steps = np.linspace(0.0, 1.0, 4)[None, :, None]
    root = middle + offset[:, None] * across
    reach = length[:, None, None] * steps
    return (
        root[:, None] + reach * direction[:, None] + (bend[:, None, None] * reach * steps) * across[:, None]
    )


def _seen(atlas: SkinAtlas, side: float, strokes: NDArray[np.float64]) -> Floats:
    """(N,) coverage of texels by strokes drawn on one side's canvas."""
    (left, right), (low, high) = CANVAS
    width, height = int((right - left) / PIXEL), int((high - low) / PIXEL)
    image = Image.new("L", (width, height))
    pen = ImageDraw.Draw(image)
    for stroke in (strokes - [left, low]) / PIXEL:
        pen.line([(float(x), float(height - y)) for x, y in stroke], fill=235)
    texel = atlas.texel_mm / PIXEL
    canvas = gaussian_filter(np.asarray(image, np.float32) / 255.0, max(0.45 * texel, 0.4))
    x, y = side * atlas.chart[:, 0], atlas.chart[:, 1]
    near = np.flatnonzero((x > left) & (x < right) & (y > low) & (y < high))
    at = [height - (y[near] - low) / PIXEL - 0.5, (x[near] - left) / PIXEL - 0.5]
    found = np.zeros(len(x), np.float32)
    found[near] = map_coordinates(canvas, at, order=1, mode="constant")
    return np.minimum(1.4 * found, 1.0)
