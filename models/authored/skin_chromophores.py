"""The colour of skin from two pigments: melanin in the epidermis, haemoglobin in the dermis.

A layer of melanin over a semi-infinite scattering dermis. Absorption and scattering are published
measurements: baseline and melanosome absorption and the reduced scattering of skin by Jacques (1998, 2013),
molar extinction of haemoglobin compiled by Prahl (1999), diffuse reflectance of Jensen et al. (2001) after
Farrell et al. (1992), CIE 1931 observer in the fit of Wyman et al. (2013), daylight D65.

Two constants are not measured but chosen, so that the light and the dark skin patch of the usual colour chart
are both met: the slope of melanin's absorption is flatter than a melanosome's (-3.48), as that of melanin in
living skin is, and the baseline is lower than that of the rat skin it was measured on.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

MELANIN_RANGE = (0.003, 0.75)
"""Volume fraction of melanosomes in the epidermis."""
BLOOD_RANGE = (0.0005, 0.15)
"""Volume fraction of blood in the dermis."""
TABLE = 400
"""Steps of each pigment in the table of colours; a step changes no channel by half a code value of 255."""

WAVELENGTHS = np.arange(420.0, 701.0, 10.0)
"""nm."""
# fmt: off
OXYHAEMOGLOBIN = np.array([
    480360, 246072, 102580, 62816, 44480, 33209.2, 26629.2, 23684.4, 20932.8, 20035.2, 24202.4, 39956.8,
    53236, 43016, 32613.2, 44496, 50104, 14400.8, 3200, 1506, 942, 610, 442, 368, 319.6, 294, 277.6, 276, 290,
])
HAEMOGLOBIN = np.array([
    407560, 528600, 413280, 103292, 23388.8, 16156.4, 14550, 16684, 20862, 25773.6, 31589.6, 39036.4,
    46592, 53412, 53788, 45072, 37020, 28324.4, 14677.2, 9443.6, 6509.6, 5148.8, 4345.2, 3750.12, 3226.56,
    2795.12, 2407.92, 2051.96, 1794.28,
])
# fmt: on
"""Molar extinction, 1 / (cm M), at WAVELENGTHS."""
BLOOD_MOLARITY = 2.303 * 150.0 / 64_500.0
"""150 g/l of haemoglobin of 64,500 g/mol, times ln 10: extinction becomes absorption, 1/cm."""
OXYGENATION = 0.75
EPIDERMIS = 0.006
"""cm; light passes it twice."""
MELANIN_AT_550 = 494.0
"""1/cm, melanosomes at 550 nm."""
MELANIN_SLOPE = -1.9
BASELINE_SHARE = 0.4
SURFACE = 0.022
"""What the surface itself reflects diffusely."""
REFRACTIVE_INDEX = 1.4


def skin_colour(melanin: NDArray[np.floating], blood: NDArray[np.floating]) -> Floats:
    """(..., 3) linear sRGB albedo of skin with volume fractions of melanosomes and of blood (...)."""
    return pigment_colours()[_row(melanin, MELANIN_RANGE), _row(blood, BLOOD_RANGE)]


def reflectance(melanin: NDArray[np.floating], blood: NDArray[np.floating]) -> Doubles:
    """(..., W) diffuse reflectance at WAVELENGTHS of pigment fractions (...)."""
    melanin, blood = np.asarray(melanin, float)[..., None], np.asarray(blood, float)[..., None]
    baseline = BASELINE_SHARE * (0.244 + 85.3 * np.exp(-(WAVELENGTHS - 154.0) / 66.2))
    melanosome = MELANIN_AT_550 * (WAVELENGTHS / 550.0) ** MELANIN_SLOPE
    extinction = OXYGENATION * OXYHAEMOGLOBIN + (1.0 - OXYGENATION) * HAEMOGLOBIN
    absorbed = baseline + blood * BLOOD_MOLARITY * extinction
    scattered = 46.0 * (WAVELENGTHS / 500.0) ** -1.421
    epidermis = np.exp(-2.0 * EPIDERMIS * (melanin * melanosome + (1.0 - melanin) * baseline))
    albedo = scattered / (scattered + absorbed)
    depth = np.sqrt(3.0 * (1.0 - albedo))
    dermis = albedo / 2.0 * (1.0 + np.exp(-4.0 / 3.0 * _internal_reflection() * depth)) * np.exp(-depth)
    return (1.0 - SURFACE) * epidermis * dermis + SURFACE


def encoded(linear: Floats) -> Floats:
    """sRGB-coded values of linear ones, both 0..1."""
    safe = np.clip(linear, 0.0, 1.0)
    return np.where(safe <= 0.0031308, 12.92 * safe, 1.055 * safe ** (1 / 2.4) - 0.055).astype(np.float32)


def linear(coded: Floats) -> Floats:
    """Linear values of sRGB-coded ones, both 0..1."""
    safe = np.clip(coded, 0.0, 1.0)
    return np.where(safe <= 0.04045, safe / 12.92, ((safe + 0.055) / 1.055) ** 2.4).astype(np.float32)


def _internal_reflection() -> float:
    n = REFRACTIVE_INDEX
    diffuse = -1.440 / n**2 + 0.710 / n + 0.668 + 0.0636 * n
    return (1.0 + diffuse) / (1.0 - diffuse)


def _row(fraction: NDArray[np.floating], span: tuple[float, float]) -> NDArray[np.int32]:
    low, high = np.log(span)
    found = (np.log(np.maximum(fraction, 1e-6)) - low) * ((TABLE - 1) / (high - low))
    return np.clip(np.rint(found), 0, TABLE - 1).astype(np.int32)


@cache
def pigment_colours() -> Floats:
    """(TABLE, TABLE, 3) linear sRGB over log melanin and log blood."""
    melanin, blood = (np.geomspace(*span, TABLE) for span in (MELANIN_RANGE, BLOOD_RANGE))
    spectra = reflectance(melanin[:, None], blood[None, :])
    weights = _observer() * _daylight()
    xyz = spectra @ weights.T / weights[1].sum()
    to_srgb = np.array([[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]])
    return np.clip(xyz @ to_srgb.T, 0.0, 1.0).astype(np.float32)


def _observer() -> Doubles:
    """(3, W) CIE 1931 colour matching functions."""

    def lobe(peak: float, below: float, above: float) -> Doubles:
        arm = (WAVELENGTHS - peak) * np.where(peak > WAVELENGTHS, below, above)
        return np.exp(-0.5 * arm**2)

    x = 0.362 * lobe(442.0, 0.0624, 0.0374) + 1.056 * lobe(599.8, 0.0264, 0.0323)
    x -= 0.065 * lobe(501.1, 0.0490, 0.0382)
    y = 0.821 * lobe(568.8, 0.0213, 0.0247) + 0.286 * lobe(530.9, 0.0613, 0.0322)
    z = 1.217 * lobe(437.0, 0.0845, 0.0278) + 0.681 * lobe(459.0, 0.0385, 0.0725)
    return np.stack([x, y, z])


def _daylight() -> Doubles:
    """(W,) relative power of CIE D65."""
    nodes = [420, 440, 460, 480, 500, 520, 540, 560, 580, 600, 620, 640, 660, 680, 700]
    power = [93.4, 104.9, 117.8, 115.9, 109.4, 104.8, 104.4, 100, 95.8, 90, 87.7, 83.7, 80.2, 78.3, 71.6]
    return np.interp(WAVELENGTHS, nodes, power)


def pigments(colour: NDArray[np.floating]) -> tuple[float, float]:
    """Fractions of melanosomes and blood whose colour is nearest to a linear sRGB one (3,)."""
    target = encoded(np.asarray(colour, np.float32))
    distance = np.square(encoded(pigment_colours()) - target).sum(axis=2)
    row, column = np.unravel_index(int(distance.argmin()), distance.shape)
    melanin, blood = (np.geomspace(*span, TABLE) for span in (MELANIN_RANGE, BLOOD_RANGE))
    return float(melanin[row]), float(blood[column])
