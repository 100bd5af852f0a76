"""Where on the Dimple head which kind of skin is.

Regions are drawn on the chart: the head's own UVs in units of about a millimetre, origin at the root of the
nose (landmark 27), +x the character's left, +y up. Its shape is nearly conformal, so angles and, within a
few per cent, lengths on it are those on the face.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..head import Head
from ..uv_maps import UVLayout, uv_triangles
from .skin_noise import SkinNoise
from .skin_tension import TexelTriangles

Floats = NDArray[np.float32]

CHART_ORIGIN = (0.5, 0.508)
CHART_SIDE = 512.0
"""Chart units along the UV tile."""
WARP = 4.0
"""Chart units by which the borders of regions differ from person to person."""

BLOBS: Mapping[str, tuple[tuple[float, float, float, float], ...]] = {
    "cheek": ((52, -28, 24, 20),),
    "nose": ((0, -18, 11, 26), (15, -38, 12, 12)),
    "nose_tip": ((0, -33, 11, 9),),
    "ala": ((21, -43, 7, 9),),
    "forehead": ((0, 58, 58, 24),),
    "glabella": ((0, 22, 12, 14),),
    "chin": ((0, -122, 22, 13),),
    "temple": ((84, 22, 18, 22),),
    "perioral": ((0, -85, 44, 30),),
    "under_eye": ((41, -15, 17, 6),),
    "upper_lid": ((42, 13, 19, 7),),
    "moustache": ((14, -57, 16, 6),),
}
"""Ellipses on the chart: centre and radii, both sides of the face."""
BODY_BLOBS: Mapping[str, tuple[float, float, float, float, float, float]] = {
    "ear": (80, 22, 16, 14, 38, 26),
}
"""Ellipsoids in space: centre and radii, mm."""
BEARD = (
    (-22.0, -32.0),
    (-34.0, 0.0),
    (-56.0, 58.0),
    (-66.0, 74.0),
    (-80.0, 88.0),
    (-112.0, 82.0),
    (-140.0, 66.0),
    (-168.0, 40.0),
    (-184.0, -40.0),
)
"""y and half width of the beard on the chart, less than nothing where it has not begun: under the nose."""


@dataclass(frozen=True, eq=False)
class SkinAtlas:
    """What all people have in common, at the N texels of a layout's mask."""

    layout: UVLayout
    points: Floats  # (N, 3) on the mean head, mm
    chart: Floats  # (N, 2)
    chart_mm: Floats  # (N,) mm of one chart unit on the mean head
    texel_mm: float  # the side of a texel on the face
    lip: Floats  # (N,) 1 on the vermilion
    mucosa: Floats  # (N,) 1 inside the mouth and behind the lids
    lid_margin: Floats  # (N,) 1 on the edge of the lids
    landmarks: Floats  # (68, 2) on the chart

    @classmethod
    def of(cls, head: Head, layout: UVLayout) -> SkinAtlas:
        """Survey the head for the layout, which is one of `UVLayout.of_head`."""
        skin = head.skin_vertices
        mean = head.neutral_vertices[:skin]
        position = layout.rasterise(mean)
        size, mask = layout.size, layout.mask
        rows, columns = np.nonzero(mask)
        low, high = np.array(layout.window[:2]), np.array(layout.window[2:])
        here = np.stack([(columns + 0.5) / size, 1.0 - (rows + 0.5) / size], axis=1)
        chart = (low + here * (high - low) - CHART_ORIGIN) * CHART_SIDE
        chart_per_texel = CHART_SIDE * (high[0] - low[0]) / size
        step = np.linalg.norm(np.gradient(position, axis=1), axis=2)[mask]
        fields = np.stack([_lip(head), _inside(head), _margin(head)], axis=1)
        lip, inside, margin = layout.rasterise(fields)[mask].T
        chart_mm = np.clip(step / chart_per_texel, 0.3, 3.0)
        middle = (np.abs(chart) < [60, 130]).all(axis=1)
        uv = np.zeros((skin, 2))
        corners = uv_triangles(head.faces, head.uv_faces, head.skin_triangles)
        uv[head.skin_triangles.ravel()] = head.uv[corners.ravel()]
        return cls(
            layout=layout,
            points=position[mask],
            chart=chart.astype(np.float32),
            chart_mm=chart_mm.astype(np.float32),
            texel_mm=float(np.median(step[middle])),
            lip=smooth_step((lip - 0.3) / 0.4),
            mucosa=smooth_step((inside - 0.3) / 0.4),
            lid_margin=np.clip(margin, 0.0, 1.0),
            landmarks=((uv[head.landmarks68] - CHART_ORIGIN) * CHART_SIDE).astype(np.float32),
        )

    @cached_property
    def texels(self) -> TexelTriangles:
        """What averages triangles into texels."""
        return TexelTriangles(self.layout)

    def detail(self, wavelength: float) -> float:
        """0..1: how much of relief of this wavelength, mm, a texel can show without aliasing."""
        return float(np.clip((wavelength / self.texel_mm - 1.6) / 1.6, 0.0, 1.0))

    def regions(self, noise: SkinNoise) -> dict[str, Floats]:
        """Weights (N,) 0..1 of the regions of one person, borders warped."""
        warp = WARP * np.stack([noise.smooth(30.0), noise.smooth(30.0)], axis=1)
        warp += 0.2 * WARP * np.stack([noise.smooth(9.0), noise.smooth(9.0)], axis=1)
        at = self.chart + warp
        side = np.abs(at[:, 0])
        island = self.chart[:, 1] > 150.0  # ears, mouth bag and sockets lie above the head on the tile
        found: dict[str, Floats] = {}
        for name, ellipses in BLOBS.items():
            weight = np.zeros(len(at), np.float32)
            for x, y, width, height in ellipses:
                far = ((side - x) / width) ** 2 + ((at[:, 1] - y) / height) ** 2
                weight = np.maximum(weight, np.exp(-far))
            weight[island] = 0.0
            found[name] = weight
        bent = self.points + np.concatenate([warp, warp[:, :1]], axis=1)
        for name, (x, y, z, *radii) in BODY_BLOBS.items():
            arm = np.stack([np.abs(bent[:, 0]) - x, bent[:, 1] - y, bent[:, 2] - z], axis=1) / radii
            found[name] = np.exp(-(np.square(arm) ** 2).sum(axis=1)).astype(np.float32)
        found["neck"] = smooth_step((-82.0 - bent[:, 1] + 0.25 * (bent[:, 2] - 90.0)) / 12.0)
        height, width = np.array(BEARD).T
        half = np.interp(-at[:, 1], -height, width)
        bare = np.interp(at[:, 1], [-66.0, -44.0], [0.0, 34.0])  # between nose and cheek nothing grows
        found["beard"] = smooth_step((half - side) / 40.0 + 0.5) * smooth_step((side - bare) / 12.0 + 0.9)
        found["beard"] *= ~island
        hairline = 68.0 + 0.35 * (96.0 - side) * (side < 96.0) - 1.6 * np.maximum(side - 84.0, 0.0)
        found["scalp"] = smooth_step((at[:, 1] - hairline) / 10.0) * ~island * (self.points[:, 1] > -20.0)
        return found


def smooth_step(x: NDArray[np.floating]) -> Floats:
    """3 x^2 - 2 x^3, held at 0 and 1."""
    x = np.clip(x, 0.0, 1.0)
    return (x * x * (3.0 - 2.0 * x)).astype(np.float32)


def _lip(head: Head) -> Floats:
    """(V,) the red of the lips: from the contact of the lips to the vermilion border."""
    lip = np.zeros(head.skin_vertices, np.float32)
    lip[_materials(head) == 1] = 1.0
    centre = head.neutral_vertices[head.mouth_rings[8], 1].mean()
    for number, ring in enumerate(head.mouth_rings):
        upper = head.neutral_vertices[ring, 1] > centre
        lip[ring] = np.where(upper, number <= 13, number <= 12)
    return lip


def _inside(head: Head) -> Floats:
    inside = (_materials(head) > 0).astype(np.float32)
    for number, ring in enumerate(head.mouth_rings):
        inside[ring] = np.clip((9.0 - number) / 4.0, 0.0, 1.0)
    edge = int(head.config["lid_edge_ring"])
    inside[head.eye_rings[:, :edge].reshape(-1)] = 1.0
    inside[head.eye_rings[:, edge + 1 :].reshape(-1)] = 0.0
    return inside


def _margin(head: Head) -> Floats:
    margin = np.zeros(head.skin_vertices, np.float32)
    edge = int(head.config["lid_edge_ring"])
    margin[head.eye_rings[:, edge].reshape(-1)] = 1.0
    return margin


def _materials(head: Head) -> NDArray[np.int16]:
    """(V,) 0 skin, 1 mouth, 2 eye socket."""
    found = np.zeros(head.skin_vertices, np.int16)
    names = list(head.config["material_names"])
    for number, name in enumerate(("mouth", "socket"), 1):
        faces = head.faces[head.face_material == names.index(name)]
        vertices = np.unique(faces[faces >= 0])
        found[vertices[vertices < head.skin_vertices]] = number
    return found
