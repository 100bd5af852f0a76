"""Teeth with their gums.

A dental row is one closed tube swept along the dental arch. Its columns stand on the crowns and in the gaps
between them. In a gap the tube is notched: thinner, shorter, the gum reaching further; that alone makes
single teeth of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.corpus.ict import ICT
from models.corpus.parts import Doubles, Ints, Island, Part, arc_lengths, grid, turned, upright

ARCH_FOCUS = 62.0
"""z of the point on the midline round which the dental arch turns, mm."""
ARCH_END = 104.0
"""Angle from the front at which a row ends, degrees."""
ARCH_POWERS = 2 * np.arange(5)
"""The arch's radius is an even polynomial of the angle, so the arch is symmetric."""

PROFILE = 7
"""Points of the profile: gum base, gum line, crown, edge outside; edge, gum line, gum base inside."""


@dataclass(frozen=True)
class Tooth:
    """One crown; lengths in mm. Widths along the arch are anatomical means, later scaled to the arch."""

    width: float
    height: float
    """From the gum line to the biting edge."""
    neck: float
    """Thickness at the gum line."""
    edge: float
    """Thickness of the biting edge."""
    rise: float
    """How far the biting edge stands behind the row's longest tooth."""
    columns: tuple[float, ...]
    """Where the tube's columns stand, as fractions of the width from the middle of the crown."""
    rounding: float
    """How far the biting edge falls back from the middle column to the side columns."""


FRONT = (-0.4, 0.0, 0.4)
SIDE = (-0.34, 0.34)
BACK = (0.0,)

UPPER_TEETH = (
    Tooth(8.5, 9.2, 6.2, 1.8, 0.0, FRONT, 0.4),
    Tooth(6.6, 8.0, 5.8, 1.7, 0.8, FRONT, 0.5),
    Tooth(7.6, 8.8, 7.0, 2.0, 0.2, FRONT, 1.3),
    Tooth(7.0, 7.6, 8.0, 5.6, 1.2, FRONT, 0.9),
    Tooth(6.8, 7.0, 8.4, 6.2, 1.6, SIDE, 0.0),
    Tooth(9.8, 6.2, 9.2, 7.6, 2.0, SIDE, 0.0),
    Tooth(9.0, 5.6, 9.2, 7.6, 2.6, BACK, 0.0),
    Tooth(8.4, 5.0, 9.0, 7.4, 3.2, BACK, 0.0),
)
LOWER_TEETH = (
    Tooth(5.3, 7.6, 5.4, 1.6, 0.8, FRONT, 0.3),
    Tooth(5.7, 7.6, 5.8, 1.6, 0.7, FRONT, 0.3),
    Tooth(6.9, 8.4, 6.6, 2.0, 0.0, FRONT, 1.1),
    Tooth(7.0, 7.2, 7.2, 4.8, 0.3, FRONT, 0.7),
    Tooth(7.1, 6.6, 7.8, 5.6, 0.6, SIDE, 0.0),
    Tooth(10.8, 6.0, 8.8, 7.2, 0.8, SIDE, 0.0),
    Tooth(10.2, 5.6, 9.0, 7.4, 0.8, BACK, 0.0),
    Tooth(9.6, 5.0, 8.8, 7.2, 1.0, BACK, 0.0),
)


@dataclass(frozen=True)
class Row:
    """A dental row and where it stands in the mouth; lengths in mm."""

    teeth: tuple[Tooth, ...]
    """From the middle outwards."""
    outline: str
    """ICT's teeth whose outline gives the arch."""
    tip: float
    """y of the longest tooth's edge."""
    upper: bool
    inset: float
    """How far the crowns stand inside ICT's outline, which touches the lips."""
    gum_height: float
    gum_lean: float
    """How far the gum's base leans inwards from the gum line."""


UPPER_ROW = Row(UPPER_TEETH, "upper teeth", -34.9, True, 1.0, 6.0, 1.6)
LOWER_ROW = Row(LOWER_TEETH, "lower teeth", -33.4, False, 1.6, 6.5, 3.2)

NOTCH = 1.25
"""How deep the gap between two crowns is, mm."""
EMBRASURE = 1.5
"""How much shorter the tube is in a gap, mm."""
PAPILLA = 2.6
"""How much further the gum reaches in a gap, mm."""


@dataclass(frozen=True)
class Section:
    """The tube's profile at one column."""

    along: float
    """Signed arc length from the middle, mm."""
    outwards: Doubles
    """(PROFILE,) distance from the arch's outline, negative inside, mm."""
    back: Doubles
    """(PROFILE,) distance from the height of the row's tip towards the gum's base, mm."""


@dataclass(frozen=True)
class Arch:
    """Outline of a dental row, seen along y."""

    points: Doubles
    """(N, 2) x and z from the right end to the left one, mm."""
    lengths: Doubles
    """(N,) signed arc length from the middle, mm."""

    def place(self, section: Section, tip: float, upper: bool) -> Doubles:
        """(PROFILE, 3) the section's points in space."""

        def at(length: float) -> Doubles:
            return np.array([np.interp(length, self.lengths, axis) for axis in self.points.T])

        tangent = at(section.along + 1.5) - at(section.along - 1.5)
        normal = np.array([-tangent[1], tangent[0]]) / np.linalg.norm(tangent)
        plan = at(section.along) + section.outwards[:, None] * normal
        up = tip + (1.0 if upper else -1.0) * section.back
        return np.stack([plan[:, 0], up, plan[:, 1]], axis=1)


def dental_row(row: Row, ict: ICT) -> Part:
    """One row with its gums, swept from the character's right to the left; R x PROFILE vertices."""
    arch = dental_arch(row, ict)
    sections = row_sections(row, arch.lengths[-1])
    rings = np.stack([arch.place(section, row.tip, row.upper) for section in sections])
    columns = len(rings)
    last = (columns - 1) * PROFILE
    tube = grid(columns, PROFILE, closed_columns=True)
    cap = np.array([[0, 1, 5, 6], [1, 2, 4, 5], [2, 3, 4, -1]], np.int32)
    faces = np.concatenate([tube, turned(cap), np.where(cap < 0, -1, cap + last)])
    materials = ("gums", "teeth", "teeth", "teeth", "teeth", "gums", "gums") * (columns - 1)
    order = np.arange(columns * PROFILE, dtype=np.int32).reshape(columns, PROFILE)
    islands = (_strip(rings), *_caps(rings, cap, len(tube)))
    if not row.upper:
        faces = turned(faces)
        islands = tuple(Island(island.uv, turned(island.uv_faces), island.faces) for island in islands)
    return Part(
        vertices=rings.reshape(-1, 3),
        faces=faces,
        materials=materials + ("gums", "teeth", "teeth") * 2,
        mirror=order[::-1].reshape(-1),
        islands=tuple(upright(island) for island in islands),
    )


def dental_arch(row: Row, ict: ICT) -> Arch:
    """The outline of ICT's crowns: their largest radius every 6 degrees, smoothed by the polynomial."""
    start, end = ict.vertex_regions[row.outline]
    teeth = ict.neutral[start:end].astype(np.float64)
    crowns = teeth[np.abs(teeth[:, 1] - row.tip) < 8.0]
    x, z = np.abs(crowns[:, 0]), crowns[:, 2] - ARCH_FOCUS
    angle, radius = np.arctan2(x, z), np.hypot(x, z)
    edges = np.radians(np.arange(0.0, ARCH_END + 8.0, 6.0))
    bins = np.digitize(angle, edges) - 1
    outline = np.array([radius[bins == index].max() for index in range(len(edges) - 1)])
    middles = 0.5 * (edges[1:] + edges[:-1])
    weights = np.linalg.lstsq(middles[:, None] ** ARCH_POWERS, outline, rcond=None)[0]
    sweep = np.radians(np.linspace(-ARCH_END, ARCH_END, 801))
    curve = (sweep[:, None] ** ARCH_POWERS) @ weights
    points = np.stack([curve * np.sin(sweep), curve * np.cos(sweep) + ARCH_FOCUS], axis=1)
    lengths = arc_lengths(points)
    return Arch(points, lengths - 0.5 * lengths[-1])


def row_sections(row: Row, half_length: float) -> list[Section]:
    """Profiles of all columns from right to left: crowns, gaps, and one behind each last tooth."""
    scale = half_length / sum(tooth.width for tooth in row.teeth)
    middle = _gap(row, 0.0, row.teeth[0], row.teeth[0])
    left: list[Section] = []
    start = 0.0
    for tooth, neighbour in zip(row.teeth, (*row.teeth[1:], row.teeth[-1]), strict=True):
        width = tooth.width * scale
        left += [_crown(row, start + (0.5 + column) * width, tooth, column) for column in tooth.columns]
        start += width
        left.append(_gap(row, start, tooth, neighbour))
    right = [Section(-section.along, section.outwards, section.back) for section in reversed(left)]
    return [*right, middle, *left]


def _crown(row: Row, along: float, tooth: Tooth, column: float) -> Section:
    side = 1.0 if column else 0.0
    return _section(
        row,
        along,
        edge=tooth.edge,
        neck=tooth.neck,
        edge_back=tooth.rise + side * tooth.rounding,
        gum_back=tooth.rise + tooth.height - 0.6 * side,
        notch=0.25 * side,
    )


def _gap(row: Row, along: float, tooth: Tooth, neighbour: Tooth) -> Section:
    gum_back = 0.5 * (tooth.rise + tooth.height + neighbour.rise + neighbour.height)
    return _section(
        row,
        along,
        edge=0.5 * (tooth.edge + neighbour.edge),
        neck=0.5 * (tooth.neck + neighbour.neck),
        edge_back=max(tooth.rise + tooth.rounding, neighbour.rise + neighbour.rounding) + EMBRASURE,
        gum_back=gum_back - PAPILLA,
        notch=NOTCH,
    )


def _section(
    row: Row, along: float, *, edge: float, neck: float, edge_back: float, gum_back: float, notch: float
) -> Section:
    longest = max(tooth.rise + tooth.height for tooth in row.teeth)
    base = longest + row.gum_height
    back = np.array([base, gum_back, 0.5 * (edge_back + gum_back), edge_back, edge_back, gum_back, base])
    slope = 0.7 + 0.1 * (neck - edge)
    outwards = np.array(
        [
            -row.gum_lean,
            -0.35 - 0.4 * notch,
            -notch,
            -slope - notch,
            -slope - edge + 0.8 * notch,
            -neck + 0.6 * notch,
            -neck - 0.5 * row.gum_lean,
        ]
    )
    return Section(along, outwards - row.inset, back)


def _strip(rings: Doubles) -> Island:
    """The tube cut along the inner gum base and unrolled: along the arch by across the profile."""
    columns = len(rings)
    along = arc_lengths(rings[:, 2])
    closed = np.concatenate([rings, rings[:, :1]], axis=1)
    across = np.linalg.norm(np.diff(closed, axis=1), axis=2).mean(axis=0)
    height = np.concatenate([[0.0], np.cumsum(across)])
    uv = np.stack(np.meshgrid(along, height, indexing="ij"), axis=-1).reshape(-1, 2)
    width = PROFILE + 1
    quads = grid(columns, width, closed_columns=False)
    return Island(uv, quads, np.arange(len(quads), dtype=np.int32))


def _caps(rings: Doubles, cap: Ints, first_face: int) -> list[Island]:
    islands: list[Island] = []
    for ring, winding, face in ((rings[0], turned(cap), first_face), (rings[-1], cap, first_face + len(cap))):
        across = np.linalg.norm((ring - ring[0])[:, [0, 2]], axis=1)
        uv = np.stack([across, ring[:, 1]], axis=1)
        faces = np.arange(face, face + len(cap), dtype=np.int32)
        islands.append(Island(uv, winding, faces))
    return islands
