"""Creases: where a face folds, drawn once per person; how deep, decided by the stretch of the skin.

The pattern never moves, only its depth does: that alone gives anatomy, consistency and no flicker. A primary
crease belongs to a family (forehead, crow's feet ...) whose lines are personal splines on the chart; a
secondary crease is one of six fields of fine wrinkles of fixed direction, opened wherever the skin is
compressed across it. The depth of a sine of wavelength l whose extra length is a share e of it is
(l / pi) sqrt(e): creases take up the length that compression leaves over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline
from scipy.spatial import KDTree

from .skin_noise import SkinNoise
from .skin_regions import SkinAtlas
from .skin_tension import RestSurface

Floats = NDArray[np.float32]
Line = NDArray[np.float64]
"""(K, 2) points on the left half of the chart or across it."""

SOFT = 0.08
"""Compression over which a crease fades in: without it, creases pop."""
MOST = 0.22
"""Compression beyond which a crease grows no deeper; lips and lids are squeezed further than real skin."""
OVERSHOOT = 1.25
DIRECTIONS = 6
FINE_WAVE = 4.2
"""mm from one fine wrinkle to the next."""
FINE_SIDE, FINE_PIXEL = 160.0, 0.625
"""Chart units of the periodic canvas of fine wrinkles, and of its pixels."""
STEP = 0.6
"""Chart units between points of a line."""


@dataclass(frozen=True)
class Family:
    """Creases of one kind; lengths in mm."""

    wavelength: float
    width: float
    threshold: float
    strength: float
    lines: Callable[[np.random.Generator], Sequence[Line]]
    broken: float = 0.0  # share of lines with a gap
    at_rest: float = 0.0  # compression that everybody's neutral shows
    outward: bool = False  # a bulge on the far side only
    fade: tuple[float, float] = (0.25, 0.25)  # share of the line over which its ends fade
    wander: float = 1.0  # how much of the skin's unrest bends its lines


def _arc(rng: np.random.Generator, points: Sequence[tuple[float, float]], wobble: float = 0.8) -> Line:
    return np.asarray(points, float) + wobble * rng.standard_normal((len(points), 2))


def _forehead(rng: np.random.Generator) -> list[Line]:
    rows, gull = int(rng.integers(4, 7)), rng.uniform(-1.0, 4.0)
    spacing, first = rng.uniform(6.5, 8.5), rng.uniform(37.0, 42.0)
    lines = []
    for row in range(rows):
        half = rng.uniform(38, 56) * (1.0 - 0.05 * row)
        x = np.linspace(-half, half, 9) + rng.uniform(-6, 6)
        dip = gull * (np.exp(-((np.abs(x) - 26) ** 2) / 300.0) - 0.5) - 0.0016 * x**2
        lines.append(np.stack([x, first + spacing * row + dip + 0.7 * rng.standard_normal(9)], axis=1))
    return lines


def _glabella(rng: np.random.Generator) -> list[Line]:
    out, lean = rng.uniform(5.5, 8.0), rng.uniform(-0.5, 2.5)
    return [_arc(rng, [(out - 1.0, 13), (out, 20), (out + lean, 28), (out + lean + 1, 34)], 0.6)]


def _crows_feet(rng: np.random.Generator) -> list[Line]:
    lines = []
    for angle in np.linspace(-38, 44, int(rng.integers(3, 6))) + rng.uniform(-6, 6):
        turn = np.radians(angle + rng.uniform(-5, 5))
        start, end = rng.uniform(4, 6), rng.uniform(15, 26)
        radius = np.linspace(start, end, 4)
        bend = turn - 0.010 * (radius - start) * np.sign(angle)
        lines.append(np.stack([55 + radius * np.cos(bend), 1 + radius * np.sin(bend)], axis=1))
    return lines


def _nose(rng: np.random.Generator) -> list[Line]:
    root = [
        _arc(rng, [(-9, y - 1), (0, y), (9, y - 1)], 0.5) for y in rng.uniform(-2, 5, int(rng.integers(1, 3)))
    ]
    bunny = [_arc(rng, [(7, y), (13, y - 5), (19, y - 13)], 0.7) for y in (-4, -11, -18)]
    return root + bunny[: int(rng.integers(2, 4))]


def _nasolabial(rng: np.random.Generator) -> list[Line]:
    return [_arc(rng, [(23, -36), (28, -44), (33, -54), (37, -67), (40, -82), (41, -94)], 0.8)]


def _cheek(rng: np.random.Generator) -> list[Line]:
    near = _arc(rng, [(49, -52), (54, -64), (57, -78), (57, -92)], 1.5)
    far = _arc(rng, [(61, -50), (66, -64), (68, -80), (66, -96)], 1.5)
    return [near, far][: int(rng.integers(1, 3))]


def _under_eye(rng: np.random.Generator) -> list[Line]:
    lines = []
    for depth in np.linspace(4.0, 13.0, int(rng.integers(2, 5))) + rng.uniform(-1, 1):
        points = [(27, -3 - 0.7 * depth), (34, -7 - depth), (43, -7 - depth), (53, -2 - 0.8 * depth)]
        lines.append(_arc(rng, points, 0.6))
    return lines


def _perioral(rng: np.random.Generator) -> list[Line]:
    count = int(rng.integers(5, 9))
    upper = np.linspace(-19, 19, count) + rng.uniform(-1.5, 1.5, count)
    lower = np.linspace(-17, 17, count - 2) + rng.uniform(-1.5, 1.5, count - 2)
    lines = [_arc(rng, [(x, -63 - 0.008 * x * x), (x * 1.1, -57), (x * 1.15, -53)], 0.4) for x in upper]
    return lines + [
        _arc(rng, [(x, -109 + 0.01 * x * x), (x * 1.08, -113), (x * 1.1, -117)], 0.4) for x in lower
    ]


def _mentolabial(rng: np.random.Generator) -> list[Line]:
    return [_arc(rng, [(-22, -115), (-11, -116), (0, -115.5), (11, -116), (22, -115)], 0.8)]


def _marionette(rng: np.random.Generator) -> list[Line]:
    return [_arc(rng, [(33, -90), (36, -100), (38, -111), (37, -121)], 0.8)]


def _alar(rng: np.random.Generator) -> list[Line]:
    return [_arc(rng, [(25, -34), (29, -40), (29, -47), (25, -54)], 0.4)]


def _lid_fold(rng: np.random.Generator) -> list[Line]:
    high = rng.uniform(3.5, 6.0)
    points = [(27, 2 + 0.5 * high), (33, 6.5 + high), (41, 8.5 + high), (50, 6 + high), (57, 1 + 0.8 * high)]
    return [_arc(rng, points, 0.3)]


def _neck(rng: np.random.Generator) -> list[Line]:
    rings = []
    for y in (-158, -178, -196)[: int(rng.integers(1, 4))]:
        y = y + rng.uniform(-6, 6)
        rings.append(_arc(rng, [(-52, y + 9), (-27, y + 2), (0, y), (27, y + 2), (52, y + 9)], 1.2))
    return rings


FAMILIES: tuple[Family, ...] = (
    Family(9.0, 1.0, 0.035, 0.85, _forehead, broken=0.4),
    Family(10.0, 1.25, 0.035, 0.90, _glabella, fade=(0.35, 0.4)),
    Family(6.5, 0.8, 0.06, 0.80, _crows_feet, fade=(0.15, 0.5)),
    Family(6.5, 0.8, 0.05, 0.85, _nose, fade=(0.3, 0.4)),
    Family(16.0, 1.3, 0.05, 0.50, _nasolabial, at_rest=0.010, outward=True, fade=(0.12, 0.5)),
    Family(10.0, 1.1, 0.12, 0.60, _cheek, fade=(0.4, 0.4)),
    Family(5.0, 0.75, 0.07, 0.75, _under_eye, fade=(0.3, 0.4)),
    Family(4.0, 0.7, 0.10, 0.70, _perioral, fade=(0.1, 0.6)),
    Family(12.0, 1.5, 0.06, 0.70, _mentolabial, at_rest=0.006, fade=(0.4, 0.4)),
    Family(9.0, 1.1, 0.08, 0.70, _marionette, fade=(0.2, 0.5)),
    Family(6.0, 0.8, 0.08, 0.70, _alar, at_rest=0.02, fade=(0.3, 0.3)),
    Family(7.0, 1.3, 0.05, 0.70, _lid_fold, at_rest=0.02, fade=(0.3, 0.3), wander=0.25),
    Family(11.0, 1.2, 0.06, 0.60, _neck, at_rest=0.012, fade=(0.3, 0.3)),
)


@dataclass(frozen=True)
class Opened:
    """The creases of one family on one person, at the texels they touch."""

    texels: NDArray[np.int64]
    profile: Floats  # unit relief, -1 in the valley
    across: Floats  # (n, 3) weights of the tensor's tt, tb, bb: squared stretch across the crease
    depth: Floats  # (n,) mm at sqrt(compression) 1
    threshold: float
    rest: float  # compression that never goes away

    def relief(self, tensor: Floats) -> Floats:
        """(n,) mm, for a stretch tensor (N, 3)."""
        stretch = np.sqrt(np.maximum((self.across * tensor[self.texels]).sum(axis=1), 1e-4))
        squeezed = np.maximum(1.0 - stretch - 0.7 * self.threshold, 0.0)
        squeezed = squeezed * squeezed / (squeezed + SOFT)
        unfolded = np.clip(1.0 - 3.0 * (stretch - 1.0), 0.0, 1.0)
        compression = np.minimum(squeezed + self.rest * unfolded, MOST)
        return self.depth * np.sqrt(compression) * self.profile


class CreaseBank:
    """All creases of one person. ``age`` 0..1 deepens them and leaves some of them at rest."""

    def __init__(
        self, atlas: SkinAtlas, rest: RestSurface, noise: SkinNoise, rng: np.random.Generator, age: float
    ) -> None:
        wander = np.stack([noise.smooth(4.0), noise.smooth(4.0)], axis=1) * 0.35
        wander += np.stack([noise.smooth(14.0), noise.smooth(14.0)], axis=1) * 0.6
        self.families = tuple(
            _open(atlas, rest, atlas.chart + family.wander * wander, family, rng, age) for family in FAMILIES
        )
        self.fine = _fine_wrinkles(atlas, rng)
        self.fine_depth = 0.10 * (0.2 + 0.8 * age)
        angle = np.pi * np.arange(DIRECTIONS) / DIRECTIONS
        self.fine_across = np.stack([np.cos(angle) ** 2, np.sin(2 * angle), np.sin(angle) ** 2], axis=1)

    def relief(self, tensor: Floats) -> Floats:
        """(N,) mm of all creases for a stretch tensor (N, 3)."""
        stretch = np.sqrt(np.maximum(tensor @ self.fine_across.T.astype(np.float32), 1e-4))
        squeezed = np.maximum(1.0 - stretch - 0.02, 0.0)
        squeezed = np.minimum(squeezed * squeezed / (squeezed + 0.06), MOST)
        height = self.fine_depth * np.einsum("nd,nd->n", squeezed, self.fine) * 6.0
        for family in self.families:
            height[family.texels] += family.relief(tensor)
        return height


def _open(
    atlas: SkinAtlas,
    rest: RestSurface,
    chart: Floats,
    family: Family,
    rng: np.random.Generator,
    age: float,
) -> Opened:
    points, normals, strengths = _points(family, rng)
    wavelength = max(family.wavelength, 4.5 * atlas.texel_mm)
    width = max(family.width, 0.75 * atlas.texel_mm)
    reach = wavelength * (0.9 if family.outward else 0.5)
    low, high = points.min(axis=0) - 2 * reach, points.max(axis=0) + 2 * reach
    near = np.flatnonzero(((chart > low) & (chart < high)).all(axis=1))
    bound = 2.0 * reach
    found = KDTree(points).query(chart[near], distance_upper_bound=bound)
    distance, nearest = np.asarray(found[0]), np.asarray(found[1])
    near, nearest = near[np.isfinite(distance)], nearest[np.isfinite(distance)]
    mm = atlas.chart_mm[near]
    arm = (chart[near] - points[nearest]) * mm[:, None]
    signed = (arm * normals[nearest]).sum(axis=1)
    along = np.abs(arm[:, 0] * normals[nearest, 1] - arm[:, 1] * normals[nearest, 0])
    kept = (np.abs(signed) < reach) & (along < 2.0)  # not beyond the ends of lines
    near, nearest, signed = near[kept], nearest[kept], signed[kept]

    crest = np.exp(-(((np.abs(signed) - 2.6 * width) / (1.3 * width)) ** 2))
    if family.outward:
        crest = 2.2 * np.exp(-(((signed - 3.4 * width) / (2.2 * width)) ** 2))
    profile = 0.38 * crest - np.exp(-np.abs(signed) / width)
    profile *= np.cos(0.5 * np.pi * signed / reach) ** 2 * strengths[nearest]

    a, b1, b2 = rest.metric[near].T
    t, b = a * -normals[nearest, 1] + b1 * normals[nearest, 0], b2 * normals[nearest, 0]
    length = np.sqrt(t * t + b * b)  # the crease's own direction; across it is (b, -t)
    t, b = b / length, -t / length
    personal = family.strength * (0.32 + 0.85 * age) * rng.uniform(0.75, 1.25)
    residue = 0.17 * max(0.0, age - 0.15) ** 1.2
    return Opened(
        texels=near,
        profile=profile.astype(np.float32),
        across=np.stack([t * t, 2 * t * b, b * b], axis=1).astype(np.float32),
        depth=np.full(len(near), OVERSHOOT * personal * family.wavelength / np.pi, np.float32),
        threshold=family.threshold,
        rest=family.at_rest / (0.32 + 0.85 * age) ** 2 + residue**2 * 1.6,
    )


def _points(family: Family, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """Points (K, 2) on all lines of a family, unit normals (K, 2) on the chart, strengths (K,)."""
    points: list[Line] = []
    normals: list[Line] = []
    strengths: list[Line] = []
    drawn = [(line, 1.0) for line in family.lines(rng)]
    if min(line[:, 0].min() for line, _ in drawn) > 0.0:  # one side: draw the other one anew
        state = [(line + 0.5 * rng.standard_normal(line.shape), -1.0) for line, _ in drawn]
        drawn += state
    for line, side in drawn:
        knots = line * [side, 1.0]
        curve = make_interp_spline(np.linspace(0, 1, len(knots)), knots, k=min(3, len(knots) - 1))
        length = np.linalg.norm(np.diff(knots, axis=0), axis=1).sum()
        s = np.linspace(0.0, 1.0, max(int(length / STEP), 4))
        tangent = curve.derivative()(s)
        tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-9)
        normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
        if family.outward:
            normal *= np.sign(normal[:, :1] * side + 1e-9)
        fade_in, fade_out = family.fade
        strength = np.clip(s / fade_in, 0, 1) * np.clip((1 - s) / fade_out, 0, 1)
        strength = strength * strength * (3 - 2 * strength) * rng.uniform(0.55, 1.0)
        if rng.random() < family.broken:
            strength *= 1.0 - 0.9 * np.exp(-(((s - rng.uniform(0.25, 0.75)) / 0.07) ** 2))
        points.append(curve(s))
        normals.append(normal)
        strengths.append(strength)
    return (
        np.concatenate(points).astype(np.float32),
        np.concatenate(normals).astype(np.float32),
        np.concatenate(strengths).astype(np.float32),
    )


def _fine_wrinkles(atlas: SkinAtlas, rng: np.random.Generator) -> Floats:
    """(N, DIRECTIONS) fields of fine parallel wrinkles; field d varies along angle pi d / DIRECTIONS.

    Drawn on a periodic canvas of the chart, the same at every resolution, and faint where texels are coarse.
    """
    size = int(FINE_SIDE / FINE_PIXEL)
    fy, fx = np.meshgrid(np.fft.fftfreq(size), np.fft.rfftfreq(size), indexing="ij")
    radius, angle = np.hypot(fx, fy), np.arctan2(fy, fx)
    centre = FINE_PIXEL / FINE_WAVE
    band = np.exp(-((np.log(np.maximum(radius, 1e-6) / centre) / 0.45) ** 2))
    spectrum = np.fft.rfft2(rng.standard_normal((size, size)).astype(np.float32))
    canvas = np.empty((size, size, DIRECTIONS), np.float32)
    for number in range(DIRECTIONS):
        off = np.angle(np.exp(2j * (angle - np.pi * number / DIRECTIONS))) / 2
        field = np.fft.irfft2(spectrum * (band * np.exp(-((off / 0.2) ** 2))), s=(size, size))
        field /= field.std()
        canvas[..., number] = np.where(field < 0, 1.3 * field, 0.6 * field)  # valleys are sharper than crests
    at = atlas.chart / FINE_PIXEL
    low = np.floor(at)
    across, up = (at - low).T[:, :, None]
    column, row = low.astype(np.int64).T % size
    right, above = (column + 1) % size, (row + 1) % size
    lower = canvas[row, column] * (1 - across) + canvas[row, right] * across
    upper = canvas[above, column] * (1 - across) + canvas[above, right] * across
    return 0.5 * atlas.detail(FINE_WAVE) * (lower * (1 - up) + upper * up)
