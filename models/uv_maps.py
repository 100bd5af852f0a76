"""Images over a mesh's UVs: values at vertices become a map, and a map becomes values at vertices again.

ExpDiff (section III-B) writes a mesh as an image, the position map, so that geometry and BRDF textures are of
one kind. Every image of the project follows the convention of PNG files and of Blender's UV editor: **row 0
is the top, v = 1**. The centre of texel (row r, column c) of an H x W image lies at
u = (c + 0.5) / W, v = 1 - (r + 0.5) / H.

A layout may show a window of the tile instead of all of it. Everything on the Dimple head that an expression
changes lies in FACE_WINDOW, the middle quarter: there 256 texels are as fine (1 mm) as 512 on the whole tile,
texel by texel. `paste` puts such a map back into a tile.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self, cast

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.sparse.linalg import SuperLU, splu

from .errors import InputError
from .head import Head
from .topology import graph_laplacian

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

POSITION_SCALE = 64.0
"""mm that a position map writes as 1; the widest jaw of the corpus moves about 55."""
Window = tuple[float, float, float, float]

TILE = (0.0, 0.0, 1.0, 1.0)
FACE_WINDOW = (0.25, 0.1875, 0.75, 0.6875)
"""u and v from, u and v to: the face of the Dimple head from the throat to the hairline, ear to ear."""
GUTTER = 4
"""Texels round an island that continue its triangles, so that bilinear look-ups see no border."""
REACH = 1.5
"""How far outside, in barycentric coordinates, a gutter may continue a triangle; further out it is held."""
SMOOTHNESS = 1e-3
"""Weight of the umbrella operator in the read-back: decides only vertices that hardly any texel sees."""
UNMOVED = 1e-7
"""Weight of no motion at all, for vertices that lie outside the window and far from it."""
BORDER = 0.04
"""Share of a window's side over which `paste` blends."""
PAIRS_AT_ONCE = 4_000_000
"""Pairs of triangle and texel tested together: bounds the memory of one step to some 200 MB."""


@dataclass(frozen=True, eq=False)
class UVLayout:
    """Where a mesh of V vertices lies in a square image of ``size`` texels. Built by `of_head` or `of_mesh`.

    The image shows ``window`` (u0, v0, u1, v1) of the tile; the UVs here are those of the image itself, 0..1
    inside the window.

    Every texel is a weighted sum of three vertices: its own triangle's, in a gutter the nearest triangle's
    continued, and beyond it what the nearest texel of the island shows.
    """

    size: int
    window: tuple[float, float, float, float]
    vertex_count: int
    triangles: Ints  # (F, 3) into the vertices
    uv: Floats  # (U, 2)
    uv_triangles: Ints  # (F, 3) into uv
    texel_triangle: Ints  # (H, W) the triangle that each texel shows
    barycentric: Floats  # (H, W, 3) of the texel in it
    mask: NDArray[np.bool_]  # (H, W) texels whose centre lies on the mesh, without gutters

    @classmethod
    def of_head(cls, head: Head, size: int, window: tuple[float, float, float, float] = TILE) -> Self:
        """The layout of the head's skin, vertices [0, head.skin_vertices), on the tile or in FACE_WINDOW."""
        triangles = head.skin_triangles
        corners = uv_triangles(head.faces, head.uv_faces, triangles)
        return cls.of_mesh(triangles, head.uv, corners, size, vertex_count=head.skin_vertices, window=window)

    @classmethod
    def of_mesh(
        cls,
        triangles: Ints,
        uv: Floats,
        uv_triangles: Ints,
        size: int,
        *,
        vertex_count: int | None = None,
        window: tuple[float, float, float, float] = TILE,
    ) -> Self:
        """The layout of any triangle mesh with UVs (U, 2) in the tile [0, 1].

        Raises InputError when no triangle covers a texel, which is what a mesh that was never unwrapped does.
        """
        uv = ((uv - window[:2]) / np.subtract(window[2:], window[:2])).astype(np.float32)
        corners = _texel_coordinates(uv, size)[uv_triangles]
        shown = np.full(size * size, -1, np.int32)
        for number, texels in _covered(corners, size):
            shown[texels] = number
        mask = shown.reshape(size, size) >= 0
        if not mask.any():
            raise InputError("This mesh has no UVs in the tile from 0 to 1; unwrap it first.")
        distance, nearest = cast(
            tuple[NDArray[np.float64], NDArray[np.int64]],
            distance_transform_edt(~mask, return_indices=True),
        )
        rows, columns = nearest
        triangle = shown.reshape(size, size)[rows, columns]
        here = np.stack(np.meshgrid(np.arange(size), np.arange(size)), axis=2)
        held = np.stack([columns, rows], axis=2)
        exact = _barycentric(corners[triangle], np.where((distance <= GUTTER)[..., None], here, held))
        wild = (np.abs(exact - 0.5) > 0.5 + REACH).any(axis=2)
        exact[wild] = _barycentric(corners[triangle[wild]], held[wild])
        count = int(triangles.max()) + 1 if vertex_count is None else vertex_count
        return cls(
            size,
            window,
            count,
            triangles.astype(np.int32),
            uv,
            uv_triangles.astype(np.int32),
            triangle.astype(np.int32),
            exact.astype(np.float32),
            mask,
        )

    def rasterise(self, values: NDArray[np.floating]) -> Floats:
        """(H, W, C) map of values (V, C) at vertices, gutters filled."""
        image = self._texels_of_vertices @ np.asarray(values, np.float32)
        return image.reshape(self.size, self.size, -1)

    def rasterise_corners(self, values: NDArray[np.floating]) -> Floats:
        """(H, W, C) map of values (U, C) that differ across seams, one for each entry of ``uv``."""
        corners = np.asarray(values, np.float32)[self.uv_triangles[self.texel_triangle]]
        return np.einsum("hwk,hwkc->hwc", self.barycentric, corners)

    def read_back(self, image: NDArray[np.floating]) -> Floats:
        """(V, C) the values at vertices whose raster is closest to the map (H, W, C), in least squares.

        Vertices that no texel sees continue their neighbours smoothly, towards zero far from all texels.
        Raises InputError for a map of another size.
        """
        if image.shape[:2] != self.mask.shape:
            raise InputError(
                f"This map has {image.shape[1]} x {image.shape[0]} texels, not {self.size} x {self.size}."
            )
        seen = image[self.mask].reshape(int(self.mask.sum()), -1)
        right = np.asarray(self._inner_texels.T @ seen.astype(np.float64))
        return self._normal_equations.solve(right).astype(np.float32)

    def vertex_uv(self) -> Floats:
        """(V, 2) one UV of each vertex in this image: the first of them on a seam."""
        found = np.zeros((self.vertex_count, 2), np.float32)
        found[self.triangles[::-1].ravel()] = self.uv[self.uv_triangles[::-1].ravel()]
        return found

    @cached_property
    def _texels_of_vertices(self) -> sp.csr_matrix:
        """(H * W, V) the rasteriser."""
        texels = self.size * self.size
        columns = self.triangles[self.texel_triangle].reshape(-1)
        starts = np.arange(0, 3 * texels + 1, 3)
        return sp.csr_matrix(
            (self.barycentric.reshape(-1), columns, starts), shape=(texels, self.vertex_count)
        )

    @cached_property
    def _inner_texels(self) -> sp.csr_matrix:
        return sp.csr_matrix(self._texels_of_vertices[self.mask.reshape(-1)], dtype=np.float64)

    @cached_property
    def _normal_equations(self) -> SuperLU:
        rough = graph_laplacian(self.triangles, self.vertex_count).astype(np.float64)
        normal = self._inner_texels.T @ self._inner_texels + SMOOTHNESS * (rough.T @ rough)
        return splu(sp.csc_matrix(normal + UNMOVED * sp.eye(self.vertex_count)))


def position_map(layout: UVLayout, displacement: NDArray[np.floating]) -> Floats:
    """(H, W, 3) position map in [-1, 1] of displacements (V, 3), mm: ExpDiff section III-B.

    1 stands for POSITION_SCALE mm; what moves further is cut off.
    """
    return np.clip(layout.rasterise(displacement) / POSITION_SCALE, -1.0, 1.0)


def displacement_of(layout: UVLayout, position: NDArray[np.floating]) -> Floats:
    """(V, 3) displacements, mm, of a position map (H, W, 3): the f(.|F) of ExpDiff's eq. 9."""
    return POSITION_SCALE * layout.read_back(position)


def sample(image: NDArray[np.floating], uv: NDArray[np.floating]) -> Floats:
    """(N, C) bilinear look-ups of a map (H, W, C) at (N, 2) UVs, held at the border of the image."""
    height, width = image.shape[:2]
    x = np.clip(uv[:, 0] * width - 0.5, 0.0, width - 1.0)
    y = np.clip((1.0 - uv[:, 1]) * height - 0.5, 0.0, height - 1.0)
    left, top = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    across, down = (x - left)[:, None], (y - top)[:, None]
    upper = image[top, left] * (1.0 - across) + image[top, right] * across
    lower = image[bottom, left] * (1.0 - across) + image[bottom, right] * across
    return (upper * (1.0 - down) + lower * down).astype(np.float32)


def crop(
    tile: NDArray[np.floating], window: tuple[float, float, float, float] = FACE_WINDOW
) -> NDArray[np.floating]:
    """The window of a tile (H, W, C), as a view. H and W are multiples of 16 for FACE_WINDOW.

    Raises InputError when the window's borders do not lie between texels.
    """
    return tile[_window_slices(tile, window)]


def paste(
    tile: NDArray[np.floating],
    image: NDArray[np.floating],
    window: tuple[float, float, float, float] = FACE_WINDOW,
) -> NDArray[np.floating]:
    """A copy of the tile (H, W, C) that shows ``image`` (h, w, C) in the window, blended in at its border.

    Raises InputError when the image is not of the window's size or the window does not lie between texels.
    """
    slices = _window_slices(tile, window)
    old = tile[slices]
    if old.shape[:2] != image.shape[:2]:
        raise InputError(
            f"The window has {old.shape[1]} x {old.shape[0]} texels, not {image.shape[1]} x {image.shape[0]}."
        )
    fades = []
    for length in image.shape[:2]:
        inside = np.minimum(np.arange(length), np.arange(length)[::-1]) + 0.5
        fades.append(np.clip(inside / (BORDER * length), 0.0, 1.0))
    weight = (fades[0][:, None] * fades[1])[..., None]
    whole = tile.copy()
    whole[slices] = (old + weight * (image - old)).astype(tile.dtype)
    return whole


def _window_slices(tile: NDArray[Any], window: tuple[float, float, float, float]) -> tuple[slice, slice]:
    height, width = tile.shape[:2]
    edges = np.array(
        [(1 - window[3]) * height, (1 - window[1]) * height, window[0] * width, window[2] * width]
    )
    if not np.allclose(edges, np.rint(edges)):
        raise InputError(f"A map of {width} x {height} texels cannot be cut there; use a multiple of 16.")
    top, bottom, left, right = np.rint(edges).astype(int)
    return slice(top, bottom), slice(left, right)


def uv_triangles(faces: Ints, uv_faces: Ints, triangles: Ints) -> Ints:
    """(T, 3) UV corners of triangles (T, 3) cut from faces (F, 4), whose own are uv_faces (F, 4).

    Raises ValueError when a triangle is of none of the faces.
    """
    corners = np.array([[0, 1, 2], [0, 2, 3], [0, 1, 3], [1, 2, 3]])
    parts = np.sort(faces[:, corners].reshape(-1, 3), axis=1)
    wanted = np.sort(triangles, axis=1)
    _, key = np.unique(np.concatenate([parts, wanted]), axis=0, return_inverse=True)
    key = key.ravel()
    part_of_key = np.full(int(key.max()) + 1, -1)
    part_of_key[key[: len(parts)]] = np.arange(len(parts))
    part = part_of_key[key[len(parts) :]]
    if (part < 0).any():
        raise ValueError(f"{int((part < 0).sum())} triangles belong to no face")
    face = part // len(corners)
    corner = (faces[face][:, None, :] == triangles[:, :, None]).argmax(axis=2)
    return np.take_along_axis(uv_faces[face], corner, axis=1).astype(np.int32)


def _texel_coordinates(uv: NDArray[np.floating], size: int) -> NDArray[np.float64]:
    """(U, 2) column and row, real numbers; whole at the centres of texels."""
    return np.stack([uv[:, 0], 1.0 - uv[:, 1]], axis=1).astype(np.float64) * size - 0.5


def _covered(
    corners: NDArray[np.float64], size: int
) -> Generator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Triangles and the flat indices of texels whose centres they cover, corners (F, 3, 2)."""
    low = np.clip(np.ceil(corners.min(axis=1) - 1e-9), 0, size).astype(np.int64)
    high = np.clip(np.floor(corners.max(axis=1) + 1e-9), -1, size - 1).astype(np.int64)
    spans = np.maximum(high - low + 1, 0)
    counts = spans.prod(axis=1)
    first = 0
    while first < len(corners):
        running = np.cumsum(counts[first:])
        last = first + max(1, int(np.searchsorted(running, PAIRS_AT_ONCE, side="right")))
        number = np.repeat(np.arange(first, min(last, len(corners))), counts[first:last])
        within = np.arange(len(number)) - np.repeat(
            np.cumsum(counts[first:last]) - counts[first:last], counts[first:last]
        )
        width = np.maximum(spans[number, 0], 1)
        points = low[number] + np.stack([within % width, within // width], axis=1)
        inside = (_barycentric(corners[number], points) >= -1e-7).all(axis=1)
        yield number[inside], points[inside, 1] * size + points[inside, 0]
        first = last


def _barycentric(corners: NDArray[np.float64], points: NDArray[Any]) -> NDArray[np.float64]:
    """(..., 3) barycentric coordinates of points (..., 2) in triangles (..., 3, 2); far outside if flat."""
    origin = corners[..., 0, :]
    first, second, arm = corners[..., 1, :] - origin, corners[..., 2, :] - origin, points - origin
    area = first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0]
    area = np.where(np.abs(area) < 1e-12, 1e-12, area)
    b = (arm[..., 0] * second[..., 1] - arm[..., 1] * second[..., 0]) / area
    c = (first[..., 0] * arm[..., 1] - first[..., 1] * arm[..., 0]) / area
    return np.stack([1.0 - b - c, b, c], axis=-1)
