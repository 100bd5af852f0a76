"""What the skin template is worth, in figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import igl
import numpy as np

from .ict import SKIN_VERTICES, VERTEX_REGIONS
from .template_surface import directed_edges, split_quads

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .ict import ICT
    from .template import SkinTemplate


def figures(skin: SkinTemplate, ict: ICT) -> dict[str, float]:
    """Counts, quality of the mesh, distance to ICT's mean surface in mm, quality of the texture tile; angles
    in degrees."""
    return {**mesh_figures(skin), **surface_figures(skin, ict), **uv_figures(skin)}


def smallest_angles(vertices: NDArray[np.floating], triangles: NDArray[np.integer]) -> NDArray[np.float64]:
    """(T,) degrees."""
    points = vertices[triangles].astype(np.float64)
    ahead, back = np.roll(points, -1, axis=1) - points, np.roll(points, 1, axis=1) - points
    lengths = np.linalg.norm(ahead, axis=2) * np.linalg.norm(back, axis=2)
    return np.degrees(np.arccos(np.clip((ahead * back).sum(axis=2) / lengths, -1, 1))).min(axis=1)


def mesh_figures(skin: SkinTemplate) -> dict[str, float]:
    """Counts, topology, symmetry and shape of the triangles."""
    vertices, triangles = skin.neutral_vertices.astype(np.float64), skin.triangles
    edges = directed_edges(triangles)
    undirected, uses = np.unique(np.sort(edges, axis=1), axis=0, return_counts=True)
    quads = skin.faces[skin.faces[:, 3] >= 0]
    sides = np.unique(np.sort(directed_edges(quads), axis=1), axis=0)
    lengths = np.linalg.norm(vertices[sides[:, 0]] - vertices[sides[:, 1]], axis=1)
    angles = smallest_angles(vertices, triangles)
    valence = np.bincount(sides.ravel(), minlength=len(vertices))
    return {
        "vertices": len(vertices),
        "faces": len(skin.faces),
        "quad_share": len(quads) / len(skin.faces),
        "euler_characteristic": len(vertices) - len(undirected) + len(triangles),
        "boundary_edges": int((uses == 1).sum()),
        "edges_of_three_or_more_triangles": int((uses > 2).sum()),
        "edges_wound_twice": len(edges) - len(np.unique(edges, axis=0)),
        "symmetry_error": float(np.abs(vertices[skin.mirror] * [-1, 1, 1] - vertices).max()),
        "smallest_angle": float(angles.min()),
        "smallest_angle_p1": float(np.percentile(angles, 1)),
        "smallest_angle_p50": float(np.median(angles)),
        "valence_four_share": float((valence == 4).mean()),
        "edge_length_p1": float(np.percentile(lengths, 1)),
        "edge_length_p50": float(np.median(lengths)),
        "edge_length_p99": float(np.percentile(lengths, 99)),
        "eye_loops": skin.eye_rings.shape[1],
        "mouth_loops": skin.mouth_rings.shape[0],
    }


def surface_figures(skin: SkinTemplate, ict: ICT) -> dict[str, float]:
    """How far the template lies from the source's mean surface and the source's face from the template."""
    source = ict.neutral[:SKIN_VERTICES].astype(np.float64)
    quads = ict.faces[(ict.faces < SKIN_VERTICES).all(axis=1)]
    source_triangles = split_quads(source, quads).reshape(-1, 3)
    start, end = VERTEX_REGIONS["face"]
    vertices, triangles = skin.neutral_vertices.astype(np.float64), skin.triangles.astype(np.int64)
    to_template = _distance(source[start:end], vertices, triangles)
    on_face = (skin.face_mask[triangles] > 0).all(axis=1)
    to_source = _distance(vertices[triangles[on_face]].mean(axis=1), source, source_triangles)
    on_source_vertex = np.asarray(skin.transfer.max(axis=1).todense()).ravel() > 1 - 1e-3
    return {
        "face_to_template_mean": float(to_template.mean()),
        "face_to_template_p99": float(np.percentile(to_template, 99)),
        "face_to_template_max": float(to_template.max()),
        "template_to_face_mean": float(to_source.mean()),
        "vertices_on_source_vertices": int(on_source_vertex.sum()),
    }


def _distance(
    points: NDArray[np.float64], vertices: NDArray[np.float64], triangles: NDArray[np.int64]
) -> NDArray[np.float64]:
    return np.sqrt(igl.point_mesh_squared_distance(points, vertices, triangles)[0])


def uv_figures(skin: SkinTemplate, resolution: int = 2048) -> dict[str, float]:
    """Overlap and coverage of the tile by rasterisation, flips, symmetry and stretch (ratio of the singular
    values)."""
    uv, corners = skin.uv.astype(np.float64), _uv_triangles(skin)
    counts = coverage(uv, corners, resolution)
    face = (skin.face_mask[skin.triangles] > 0).all(axis=1)
    stretch, area = _stretch(skin.neutral_vertices.astype(np.float64)[skin.triangles], uv[corners])
    return {
        "uv_overlapping_pixels": int((counts > 1).sum()),
        "uv_coverage": float((counts > 0).mean()),
        "uv_face_area": float(area[face].sum()),
        "uv_flipped_triangles": int((area <= 0).sum()),
        "uv_stretch_p50": float(np.median(stretch)),
        "uv_stretch_p99": float(np.percentile(stretch, 99)),
        "uv_face_stretch_p99": float(np.percentile(stretch[face], 99)),
    }


def _uv_triangles(skin: SkinTemplate) -> NDArray[np.int64]:
    """(T, 3) texture corners of `triangles`, which are in face order."""
    per_face = 1 + (skin.faces[:, 3] >= 0)
    owner = np.repeat(np.arange(len(skin.faces)), per_face)
    corner = (skin.faces[owner][:, None, :] == skin.triangles[:, :, None]).argmax(axis=2)
    return np.take_along_axis(skin.uv_faces[owner], corner, axis=1).astype(np.int64)


def coverage(uv: NDArray[np.float64], triangles: NDArray[np.int64], resolution: int) -> NDArray[np.int64]:
    """(resolution, resolution) how many triangles strictly contain each pixel's centre."""
    counts = np.zeros((resolution, resolution), np.int64)
    for a, b, c in uv[triangles] * resolution - 0.5:
        low = np.maximum(np.ceil(np.minimum(np.minimum(a, b), c)), 0).astype(int)
        high = np.floor(np.maximum(np.maximum(a, b), c)).astype(int) + 1
        x, y = np.meshgrid(np.arange(low[0], high[0]), np.arange(low[1], high[1]))
        sides = [(q[0] - p[0]) * (y - p[1]) - (q[1] - p[1]) * (x - p[0]) for p, q in ((a, b), (b, c), (c, a))]
        inside = (np.minimum.reduce(sides) > 1e-9) | (np.maximum.reduce(sides) < -1e-9)
        counts[low[1] : high[1], low[0] : high[0]] += inside
    return counts


def _stretch(
    space: NDArray[np.float64], plane: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ratio of the singular values of the map from each triangle in space (T, 3, 3) to the tile (T, 3, 2),
    and its signed area there."""
    along, across = space[:, 1] - space[:, 0], space[:, 2] - space[:, 0]
    length = np.linalg.norm(along, axis=1)
    x = (along * across).sum(axis=1) / length
    y = np.linalg.norm(np.cross(along, across), axis=1) / length
    u, v = plane[:, 1] - plane[:, 0], plane[:, 2] - plane[:, 0]
    first = u / length[:, None]
    second = (v - first * x[:, None]) / y[:, None]
    singular = np.linalg.svd(np.stack([first, second], axis=2), compute_uv=False)
    return singular[:, 0] / singular[:, 1], (u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]) / 2
