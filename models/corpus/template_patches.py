"""Quad patches between the rings: flatten a piece of the surface conformally, mesh the plane, lift the new
points back.

The piece is flattened with least squares conformal maps (Levy et al. 2002), where a mesh size in space is a
mesh size in the plane times the local scale; gmsh fills the plane with quads (frontal Delaunay for quads and
Blossom recombination, Remacle et al. 2012).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import gmsh
import igl
import numpy as np
from matplotlib.tri import Triangulation
from scipy import sparse
from scipy.spatial import KDTree

from .template_surface import Rows, along, arc_length, areas, directed_edges, rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .template_curves import Curve
    from .template_surface import HalfSkin

SAG = 0.21
"""Largest allowed distance between an edge and a surface of the local curvature, mm: the one knob for the
number of vertices."""
EAR_SAG, EAR_BOX = 0.115, ((60.0, -28.0, -30.0), (120.0, 42.0, 18.0))
"""The same for the left ear, whose rim would look faceted, and the corners of the box around it, mm."""
SIZE_RANGE = (1.8, 12.0)
"""mm"""
FACE_SIZE = 4.8
"""Largest edge on the front of the face, mm."""
GROWTH = 0.22
"""Largest change of the edge length per mm of way along the surface."""
PLANE_GROWTH = 0.45
"""Largest change of the flattened edge length per length of way in the plane."""
RING_GROWTH = 0.2
"""The same for leaving a ring, whose own edge length is where it starts."""
FRONTAL_FOR_QUADS, BLOSSOM = 8, 1
"""gmsh's numbers of the two algorithms."""


@dataclass(frozen=True)
class Flat:
    """A piece of the half skin and its conformal image."""

    half: HalfSkin
    vertices: NDArray[np.int64]
    """(N,) the half's vertices in the piece."""
    triangles: NDArray[np.int64]
    """(T, 3) into `vertices`, counter-clockwise in the plane."""
    plane: NDArray[np.float64]
    """(N, 2)"""
    scale: NDArray[np.float64] = field(repr=False)
    """(N,) length in the plane per length in space."""

    def project(self, points: Rows) -> NDArray[np.float64]:
        """(n, 2) where points of the surface lie in the plane."""
        return points[:, self.vertices] @ self.plane

    def lift(self, places: NDArray[np.float64]) -> Rows:
        """The surface points above places (n, 2) in the plane, by barycentric coordinates; `ValueError` when
        one is outside."""
        x, y = self.plane.T
        finder = Triangulation(x, y, self.triangles).get_trifinder()
        found = np.asarray(finder(*places.T))
        if (found < 0).any():
            raise ValueError("a point of the plane lies outside the flattened piece")
        corners = self.triangles[found]
        a, b, c = self.plane[corners].transpose(1, 0, 2)
        frame = np.stack([b - a, c - a], axis=2)
        shares = np.linalg.solve(frame, (places - a)[:, :, None])[:, :, 0]
        weights = np.concatenate([1 - shares.sum(axis=1, keepdims=True), shares], axis=1)
        return rows(self.vertices[corners], np.clip(weights, 0.0, 1.0), len(self.half.vertices))


def flatten(half: HalfSkin, triangles: NDArray[np.int64], pins: tuple[int, int]) -> Flat:
    """Map a piece to the plane by LSCM, the two vertices `pins` fixed at their distance in space."""
    used, compact = np.unique(triangles, return_inverse=True)
    local = compact.reshape(-1, 3).astype(np.int64)
    space = half.vertices[used]
    pinned = np.searchsorted(used, pins)
    ends = np.array([[0.0, 0.0], [float(np.linalg.norm(np.subtract(*space[pinned]))), 0.0]])
    plane = np.asarray(igl.lscm(space, local, pinned, ends)[0])
    both = areas(space, local), np.abs(areas(plane, local))
    per_vertex = [np.bincount(local.ravel(), np.repeat(part, 3), len(used)) for part in both]
    return Flat(half, used, local, plane, np.sqrt(per_vertex[1] / per_vertex[0]))


def curvature_size(
    half: HalfSkin, whole: tuple[NDArray[np.float64], NDArray[np.int64]], passes: int = 2
) -> NDArray[np.float64]:
    """(H,) edge length whose chord leaves the surface by SAG, or EAR_SAG: sqrt(8 sag / curvature), on the
    whole symmetric surface."""
    _, _, first, second, _ = igl.principal_curvature(*whole)
    curvature = np.maximum(np.abs(first), np.abs(second))[: len(half.vertices)]
    average = _neighbour_mean(half)
    for _ in range(passes):
        curvature = average @ curvature
    low, high = np.array(EAR_BOX)
    ear = ((half.vertices > low) & (half.vertices < high)).all(axis=1)
    return np.clip(np.sqrt(8 * np.where(ear, EAR_SAG, SAG) / np.maximum(curvature, 1e-6)), *SIZE_RANGE)


def _edges(half: HalfSkin) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    edges = np.unique(np.sort(directed_edges(half.quads), axis=1), axis=0)
    return edges, np.linalg.norm(half.vertices[edges[:, 0]] - half.vertices[edges[:, 1]], axis=1)


def _neighbour_mean(half: HalfSkin) -> Rows:
    edges, _ = _edges(half)
    both = np.concatenate([edges, edges[:, ::-1], np.repeat(np.arange(len(half.vertices)), 2).reshape(-1, 2)])
    matrix = sparse.csr_matrix((np.ones(len(both)), both.T), shape=(len(half.vertices),) * 2)
    return sparse.csr_matrix(sparse.diags(1 / np.asarray(matrix.sum(axis=1)).ravel()) @ matrix)


def near_rings(
    half: HalfSkin, size: NDArray[np.float64], rings: Sequence[tuple[Rows, bool]]
) -> NDArray[np.float64]:
    """Shrink the size towards rings: at most the ring's edge length plus RING_GROWTH times the distance from
    it."""
    for ring, closed in rings:
        points = ring @ half.vertices
        path = np.concatenate([points, points[:1]]) if closed else points
        middles = (path[1:] + path[:-1]) / 2
        lengths = np.linalg.norm(np.diff(path, axis=0), axis=1)
        distance, nearest = KDTree(middles).query(half.vertices)
        size = np.minimum(size, lengths[nearest] + RING_GROWTH * distance)
    return size


def limit_growth(half: HalfSkin, size: NDArray[np.float64], sweeps: int = 60) -> NDArray[np.float64]:
    """Lower the size until it changes by at most GROWTH per mm along every edge."""
    edges, lengths = _edges(half)
    return _relaxed(size, edges, GROWTH * lengths, sweeps)


def _relaxed(
    size: NDArray[np.float64], edges: NDArray[np.int64], slack: NDArray[np.float64], sweeps: int
) -> NDArray[np.float64]:
    size = size.copy()
    for _ in range(sweeps):
        for here, there in (edges.T, edges.T[::-1]):
            np.minimum.at(size, here, size[there] + slack)
    return size


def by_size(chain: Rows, half: HalfSkin, size: NDArray[np.float64]) -> Rows:
    """The chain resampled so that its edges have the wanted size: equal steps of the integral of 1 / size.
    Both ends are kept.

    The number of edges is even: a patch can only be all quads when its border has an even number of vertices.
    """
    lengths = arc_length(chain @ half.vertices)
    fine = np.linspace(0.0, lengths[-1], 20 * len(lengths))
    density = 1 / np.asarray(along(chain, lengths, fine) @ size)
    count = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2 * np.diff(fine))])
    steps = max(2 * round(count[-1] / 2), 2)
    return along(chain, lengths, np.interp(np.linspace(0.0, count[-1], steps + 1), count, fine))


def mesh_patch(
    flat: Flat,
    size: NDArray[np.float64],
    outline: Rows,
    holes: Sequence[Rows] = (),
    curves: Sequence[Curve] = (),
) -> tuple[Rows, NDArray[np.int64]]:
    """Fill the closed `outline` with quads, leaving `holes` open and keeping `curves` as chains of edges.

    Returns the new inner points and the faces (F, 4), -1 padding triangles, counter-clockwise, whose indices
    run over outline, holes, curves (in that order) and then the new points.
    """
    target = _limit_plane_growth(flat, size[flat.vertices] * flat.scale)
    corners = np.concatenate([flat.plane[flat.triangles], np.zeros((*flat.triangles.shape, 1))], axis=2)
    view = np.concatenate(
        [corners.transpose(0, 2, 1).reshape(len(corners), 9), target[flat.triangles]], axis=1
    )
    gmsh.initialize(["-noenv", "-nopopup"], False)
    try:
        _set_options(target)
        number = gmsh.view.add("size")
        gmsh.view.addListData(number, "ST", len(view), view.ravel().tolist())
        background = gmsh.model.mesh.field.add("PostView")
        gmsh.model.mesh.field.setNumber(background, "ViewTag", number)
        gmsh.model.mesh.field.setAsBackgroundMesh(background)
        points: list[int] = []
        rim, *openings = [_closed_lines(_add_points(flat, loop, points)) for loop in (outline, *holes)]
        chains = [_add_curve(flat, curve, points) for curve in curves]
        halves, loose = [rim], []
        for curve, lines in zip(curves, chains, strict=True):
            if curve.end is None:
                loose += lines
            else:
                halves = [
                    [*rim[: curve.start], *lines, *rim[curve.end :]],
                    [*rim[curve.start : curve.end], *(-line for line in reversed(lines))],
                ]
        surfaces = [_add_surface([lines, *openings]) for lines in halves[:1]] + [
            _add_surface([lines]) for lines in halves[1:]
        ]
        gmsh.model.geo.synchronize()
        if loose:
            gmsh.model.mesh.embed(1, loose, 2, surfaces[0])
        gmsh.model.mesh.generate(2)
        return _read_patch(flat, points, surfaces)
    finally:
        gmsh.finalize()


def _limit_plane_growth(flat: Flat, target: NDArray[np.float64], sweeps: int = 60) -> NDArray[np.float64]:
    """The same limit in the plane, where nostrils and ears shrink to dots that a steeper field would make
    gmsh overlook."""
    edges = np.unique(np.sort(directed_edges(flat.triangles), axis=1), axis=0)
    lengths = np.linalg.norm(flat.plane[edges[:, 0]] - flat.plane[edges[:, 1]], axis=1)
    return _relaxed(target, edges, PLANE_GROWTH * lengths, sweeps)


def _set_options(target: NDArray[np.float64]) -> None:
    options = {
        "General.Terminal": 0,
        "General.NumThreads": 1,
        "Geometry.Tolerance": 1e-9,
        "Mesh.Algorithm": FRONTAL_FOR_QUADS,
        "Mesh.RecombineAll": 1,
        "Mesh.RecombinationAlgorithm": BLOSSOM,
        "Mesh.Smoothing": 10,
        "Mesh.MeshSizeExtendFromBoundary": 0,
        "Mesh.MeshSizeFromPoints": 0,
        "Mesh.MeshSizeFromCurvature": 0,
        "Mesh.MeshSizeMin": float(target.min()),
        "Mesh.MeshSizeMax": float(target.max()),
    }
    for name, value in options.items():
        gmsh.option.setNumber(name, value)


def _add_points(flat: Flat, chain: Rows, points: list[int]) -> list[int]:
    tags = [gmsh.model.geo.addPoint(float(x), float(y), 0.0) for x, y in flat.project(chain)]
    points += tags
    return tags


def _add_lines(tags: list[int]) -> list[int]:
    lines = [gmsh.model.geo.addLine(a, b) for a, b in itertools.pairwise(tags)]
    for line in lines:
        gmsh.model.geo.mesh.setTransfiniteCurve(line, 2)
    return lines


def _closed_lines(tags: list[int]) -> list[int]:
    return _add_lines(tags + tags[:1])


def _add_curve(flat: Flat, curve: Curve, points: list[int]) -> list[int]:
    tags = [points[curve.start], *_add_points(flat, curve.inner, points)]
    return _add_lines(tags if curve.end is None else [*tags, points[curve.end]])


def _add_surface(loops: list[list[int]]) -> int:
    return gmsh.model.geo.addPlaneSurface([gmsh.model.geo.addCurveLoop(lines) for lines in loops])


def _read_patch(flat: Flat, points: list[int], surfaces: list[int]) -> tuple[Rows, NDArray[np.int64]]:
    index = {int(gmsh.model.mesh.getNodes(0, point)[0][0]): number for number, point in enumerate(points)}
    tags, coordinates, _ = gmsh.model.mesh.getNodes(2)
    places = np.asarray(coordinates).reshape(-1, 3)[:, :2]
    index |= {int(tag): len(points) + number for number, tag in enumerate(tags)}
    faces: list[list[int]] = []
    for surface in surfaces:
        for kind, nodes in zip(*gmsh.model.mesh.getElements(2, surface)[::2], strict=True):
            corners = gmsh.model.mesh.getElementProperties(kind)[3]
            padding = [-1] * (4 - corners)
            faces += [
                [index[int(node)] for node in face] + padding for face in np.reshape(nodes, (-1, corners))
            ]
    return flat.lift(places), _counter_clockwise(np.array(faces, np.int64), points, places)


def _counter_clockwise(
    faces: NDArray[np.int64], points: list[int], places: NDArray[np.float64]
) -> NDArray[np.int64]:
    fixed = np.array([gmsh.model.getValue(0, point, []) for point in points])[:, :2]
    total = areas(np.concatenate([fixed, places]), faces[:, :3]).sum()
    if total > 0:
        return faces
    flipped = faces[:, [0, 2, 1, 3]]
    quads = faces[:, 3] >= 0
    flipped[quads] = faces[quads][:, [0, 3, 2, 1]]
    return flipped
