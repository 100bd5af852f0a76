"""What authored skin promises, measured on people of the test split, and pictures to look at."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..authored.skin import BrdfMaps, SkinPainter
from ..authored.skin_chromophores import encoded, pigment_colours
from ..authored.skin_regions import SkinAtlas
from ..authored.skin_traits import draw_skin
from ..expression import expression_stage
from ..head import Head
from ..uv_maps import FACE_WINDOW, UVLayout, displacement_of, position_map
from .people import SPLIT_SEEDS
from .shading import contact_sheet

Floats = NDArray[np.float32]

EXPRESSIONS: Mapping[str, tuple[str, ...]] = {
    "smile": ("mouthSmile", "cheekSquint=0.8"),
    "brow raise": ("browInnerUp", "browOuterUp"),
    "sneer": ("noseSneer", "mouthUpperUp=0.8"),
    "frown": ("browDown", "mouthFrown=0.6"),
    "squint": ("eyeSquint", "cheekSquint"),
    "pucker": ("mouthPucker",),
    "chin": ("mouthShrugLower", "mouthShrugUpper=0.5"),
    "jaw": ("jawOpen",),
}
PATCHES: Mapping[str, tuple[int, int, int]] = {"light skin": (194, 150, 130), "dark skin": (115, 82, 68)}
"""sRGB of the two skin patches of the usual colour chart."""
WINDOW_MM = 32.0
"""Side of the windows that crease energy and compression are averaged over."""


def check_skin(head: Head, people: int = 6, size: int = 256) -> dict[str, object]:
    """Figures: colour, speed (s of one core), geometry through a position map (mm), and what maps follow."""
    layout = UVLayout.of_head(head, size, FACE_WINDOW)
    atlas = SkinAtlas.of(head, layout)
    SkinPainter(atlas, _person(head, 0), draw_skin(0)).neutral()  # the noise volumes are made once
    setup, frame = [], []
    creases: dict[str, list[float]] = {name: [] for name in EXPRESSIONS}
    squeezes: dict[str, list[float]] = {name: [] for name in EXPRESSIONS}
    axes: list[float] = []
    changes: dict[str, list[float]] = {name: [] for name in BrdfMaps.__dataclass_fields__}
    for number in range(people):
        seed = SPLIT_SEEDS["test"] + number
        neutral = _person(head, seed)
        start = time.process_time()
        painter = SkinPainter(atlas, neutral, draw_skin(seed))
        setup.append(time.process_time() - start)
        rest = painter.neutral()
        for name, vertices in _faces(head, neutral).items():
            start = time.process_time()
            maps = painter.frame(vertices)
            frame.append(time.process_time() - start)
            energy, squeeze, angle = _agreement(painter, rest, maps, vertices)
            creases[name] += energy
            squeezes[name] += squeeze
            axes += angle
            for key, values in changes.items():
                values.append(float(np.abs(getattr(maps, key) - getattr(rest, key)).mean()))
    pearson = {name: float(np.corrcoef(creases[name], squeezes[name])[0, 1]) for name in EXPRESSIONS}
    energy, squeeze = (np.concatenate(list(values.values())) for values in (creases, squeezes))
    return {
        "people": people,
        "size": size,
        "texel_mm": atlas.texel_mm,
        "setup_seconds": float(np.median(setup)),
        "frame_seconds": float(np.median(frame)),
        "crease_compression_pearson": float(np.corrcoef(energy, squeeze)[0, 1]),
        "crease_compression_spearman": float(np.corrcoef(_ranks(energy), _ranks(squeeze))[0, 1]),
        "crease_compression_by_expression": pearson,
        "crease_axis_error_degrees": float(np.mean(axes)),
        "mean_change": {name: float(np.mean(values)) for name, values in changes.items()},
        "patch_distance_code_values": {name: _patch_distance(colour) for name, colour in PATCHES.items()},
        "position_map_error_mm": {str(side): _round_trip(head, side) for side in (256, 512)},
    }


def draw_skin_sheets(head: Head, folder: Path, people: int = 24, size: int = 256) -> None:
    """people.png, the neutral albedo of ``people``; expressions.png, one person's maps by expression."""
    folder.mkdir(parents=True, exist_ok=True)
    atlas = SkinAtlas.of(head, UVLayout.of_head(head, size, FACE_WINDOW))
    neutrals: list[NDArray[np.uint8]] = []
    rows: list[NDArray[np.uint8]] = []
    for number in range(people):
        seed = SPLIT_SEEDS["test"] + number
        neutral = _person(head, seed)
        painter = SkinPainter(atlas, neutral, draw_skin(seed))
        rest = painter.neutral()
        neutrals.append(_bytes(rest.albedo))
        if number == 0:
            for vertices in _faces(head, neutral).values():
                maps = painter.frame(vertices)
                change = 0.5 + 4.0 * (maps.albedo - rest.albedo)
                rows += [_bytes(image) for image in (maps.albedo, change, maps.normal)]
                for name in ("specular", "roughness"):
                    difference = 0.5 + 4.0 * (getattr(maps, name) - getattr(rest, name))
                    rows.append(_bytes(np.repeat(difference, 3, axis=2)))
    Image.fromarray(contact_sheet(neutrals, 6)).save(folder / "people.png")
    Image.fromarray(contact_sheet(rows, 5)).save(folder / "expressions.png")


def _person(head: Head, seed: int) -> Floats:
    """(Vs, 3) somebody's neutral: the linear identity model suffices to measure skin."""
    coefficients = np.clip(np.random.default_rng(seed).standard_normal(len(head.identity_basis)), -2.0, 2.0)
    skin = head.skin_vertices
    moved = np.tensordot(coefficients, head.identity_basis[:, :skin], 1)
    return (head.neutral_vertices[:skin] + moved).astype(np.float32)


def _faces(head: Head, neutral: Floats) -> dict[str, Floats]:
    basis = head.expression_basis[:, : head.skin_vertices]
    return {name: neutral + np.tensordot(expression_stage(t), basis, 1) for name, t in EXPRESSIONS.items()}


def _agreement(
    painter: SkinPainter, rest: BrdfMaps, maps: BrdfMaps, vertices: Floats
) -> tuple[list[float], list[float], list[float]]:
    """RMS of the new relief and mean compression of every window of the face, and between the axes of both,
    where there is compression, the angle in degrees."""
    atlas = painter.atlas
    mask, size = atlas.layout.mask, atlas.layout.size
    relief = (maps.height - rest.height)[..., 0]
    tt, tb, bb = painter.rest.stretch(vertices).T
    least = (tt + bb) / 2 - np.hypot((tt - bb) / 2, tb)
    compression = np.zeros((size, size), np.float32)
    compression[mask] = np.maximum(1.0 - np.sqrt(np.maximum(least, 0.0)), 0.0)
    shortest = np.zeros((size, size), np.float32)
    shortest[mask] = 0.5 * np.arctan2(2 * tb, tt - bb) + np.pi / 2
    dry = np.zeros((size, size), np.float32)
    dry[mask] = atlas.mucosa < 0.05
    across, down = np.gradient(relief, axis=1), -np.gradient(relief, axis=0)
    side = int(WINDOW_MM / atlas.texel_mm)
    energy, squeeze, angles = [], [], []
    for top in range(0, size - side + 1, side):
        for left in range(0, size - side + 1, side):
            window = (slice(top, top + side), slice(left, left + side))
            weight = dry[window]
            if weight.mean() < 0.7:
                continue
            energy.append(float(np.sqrt((weight * relief[window] ** 2).sum() / weight.sum())))
            squeeze.append(float((weight * compression[window]).sum() / weight.sum()))
            if squeeze[-1] > 0.08 and energy[-1] > 0.01:
                u, v = across[window] * weight, down[window] * weight
                crease = 0.5 * np.arctan2(2 * (u * v).sum(), (u * u - v * v).sum())
                turns = np.exp(2j * shortest[window]) * compression[window] * weight
                off = abs(np.angle(np.exp(2j * crease) / turns.sum())) / 2
                angles.append(float(np.degrees(off)))
    return energy, squeeze, angles


def _ranks(values: NDArray[np.floating]) -> NDArray[np.int64]:
    return np.argsort(np.argsort(values))


def _patch_distance(colour: tuple[int, int, int]) -> float:
    return float(np.linalg.norm(255.0 * encoded(pigment_colours()) - colour, axis=2).min())


def _round_trip(head: Head, size: int) -> dict[str, float]:
    """Mean and largest error of every third unit through a half-precision map of the whole tile, mm."""
    layout = UVLayout.of_head(head, size)
    errors = [
        np.linalg.norm(displacement_of(layout, position_map(layout, unit).astype(np.float16)) - unit, axis=1)
        for unit in head.expression_basis[::3, : head.skin_vertices]
    ]
    return {"mean": float(np.mean(errors)), "max": float(np.max(errors))}


def _bytes(image: Floats) -> NDArray[np.uint8]:
    return np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)
