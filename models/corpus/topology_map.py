"""From a data set's own topology and UVs to the Dimple head's: meshes by weights, textures by look-up.

A data set of faces has one topology and one UV map for everybody. Its neutral template is bound once; after
that any of its meshes becomes a Dimple skin by one sparse product, and any of its textures a map of the
Dimple layout by one look-up. Normal maps are turned from its tangent frames into ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ..authored.skin import nearest_texels
from ..binding import bind
from ..errors import InputError
from ..head import Head
from ..registration.correspondence import nearest_on
from ..registration.surface import vertex_normals
from ..uv_maps import UVLayout, sample

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int32]

FACING = 6.0
"""mm that a normal looking the other way counts as distance when the nearest place is sought."""


@dataclass(frozen=True)
class UVMesh:
    """A triangle mesh with UVs: vertices (V, 3), triangles (F, 3), uv (U, 2), uv_triangles (F, 3)."""

    vertices: Floats
    triangles: Ints
    uv: Floats
    uv_triangles: Ints

    @classmethod
    def read(cls, path: Path) -> UVMesh:
        """Read a Wavefront OBJ. Raises InputError when it cannot be read or has no UVs."""
        rows: dict[str, list[list[float]]] = {"v": [], "vt": []}
        faces: list[list[list[int]]] = []
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
            for line in lines:
                kind, *fields = line.split() or [""]
                if kind in rows:
                    rows[kind].append([float(field) for field in fields[: 3 if kind == "v" else 2]])
                elif kind == "f":
                    corners = [[int(part) - 1 for part in field.split("/")[:2]] for field in fields]
                    faces += [[corners[0], *pair] for pair in pairwise(corners[1:])]
        except (OSError, ValueError) as error:
            raise InputError(f"{path} is no OBJ that can be read ({error}).") from error
        if not faces or not rows["vt"] or any(len(corner) < 2 for face in faces for corner in face):
            raise InputError(f"{path} has no UVs; the template needs those that the textures are made for.")
        indices = np.array(faces, np.int32)
        if indices.min() < 0 or (indices.max(axis=(0, 1)) >= [len(rows["v"]), len(rows["vt"])]).any():
            raise InputError(f"{path} refers to vertices that it does not have.")
        return cls(
            np.array(rows["v"], np.float32),
            np.ascontiguousarray(indices[..., 0]),
            np.array(rows["vt"], np.float32),
            np.ascontiguousarray(indices[..., 1]),
        )


@dataclass(frozen=True, eq=False)
class TopologyMap:
    """A data set's topology and UVs seen from a layout of the Dimple head."""

    layout: UVLayout
    vertex_count: int  # V
    weights: sp.csr_matrix  # (Vs, V) our skin's vertices as averages of theirs
    scale: float  # mm of one of their units
    rotation: Doubles  # (3, 3) their axes -> ours
    translation: Doubles  # (3,) mm
    texel_uv: Floats  # (N, 2) their UV at the texels of our mask
    turn: Floats  # (N, 2, 2) their tangent plane -> ours
    holes: tuple[NDArray[np.int32], NDArray[np.int32]]

    @classmethod
    def bound(cls, head: Head, layout: UVLayout, template: UVMesh) -> TopologyMap:
        """Bind the template, which may be in any units and axes. Raises InputError as `binding.bind` does."""
        binding = bind(head, template.vertices, template.triangles)
        pose = binding.pose
        placed = pose.to_model(template.vertices.astype(np.float64))
        origin = pose.to_model(np.zeros((1, 3)))[0]
        axes = pose.to_model(np.eye(3)) - origin
        scale = float(np.cbrt(abs(np.linalg.det(axes))))
        fitted = binding.neutral_vertices[: head.skin_vertices].astype(np.float64)
        return cls.fitted(layout, template, placed, fitted, (scale, axes.T / scale, origin))

    @classmethod
    def fitted(
        cls,
        layout: UVLayout,
        template: UVMesh,
        placed: Doubles,
        fitted: Doubles,
        pose: tuple[float, Doubles, Doubles],
    ) -> TopologyMap:
        """With the template in model space, ``placed`` (V, 3), our skin bent onto it, ``fitted`` (Vs, 3)."""
        triangles = template.triangles
        normals = vertex_normals(placed, triangles)
        facing = vertex_normals(fitted, layout.triangles)
        face, barycentric, _, _ = nearest_on(placed, normals, triangles, fitted, facing, FACING)
        rows = np.repeat(np.arange(len(fitted)), 3)
        weights = sp.csr_matrix(
            (barycentric.ravel(), (rows, triangles[face].ravel())), shape=(len(fitted), len(placed))
        )
        mask = layout.mask
        points = layout.rasterise(fitted)[mask].astype(np.float64)
        looking = layout.rasterise(facing)[mask].astype(np.float64)
        face, barycentric, _, _ = nearest_on(placed, normals, triangles, points, looking, FACING)
        texel_uv = np.einsum("nk,nkd->nd", barycentric, template.uv[template.uv_triangles[face]])
        theirs = _frames(placed[triangles], template.uv[template.uv_triangles])[face]
        shown = layout.texel_triangle[mask]
        ours = _frames(fitted[layout.triangles], layout.uv[layout.uv_triangles])[shown]
        return cls(
            layout,
            len(placed),
            weights,
            *pose,
            texel_uv=texel_uv.astype(np.float32),
            turn=np.einsum("nci,ncj->nij", ours, theirs).astype(np.float32),
            holes=nearest_texels(mask),
        )

    def skin(self, vertices: NDArray[np.floating], name: str) -> Floats:
        """(..., Vs, 3) the Dimple skin, mm in model space, of meshes (..., V, 3) of this topology.

        Raises InputError, naming the mesh, when it is of another one.
        """
        if vertices.shape[-2:] != (self.vertex_count, 3):
            raise InputError(
                f"{name} has {vertices.shape[-2]} vertices, the template {self.vertex_count}: "
                "give the template that belongs to these data."
            )
        placed = self.scale * (vertices.astype(np.float64) @ self.rotation.T) + self.translation
        flat = placed.reshape(-1, *placed.shape[-2:])
        moved = np.stack([np.asarray(self.weights @ one) for one in flat])
        return moved.reshape(*placed.shape[:-2], -1, 3).astype(np.float32)

    def texture(self, image: NDArray[np.floating]) -> Floats:
        """(H, W, C) of a texture (h, w, C) in their UVs; fine textures are shrunk first, not skipped over."""
        return self._filled(sample(_shrunk(image, 2 * self.layout.size), self.texel_uv))

    def normals(self, image: NDArray[np.floating]) -> Floats:
        """(H, W, 3) tangent-space normals, coded 0..1, of a normal map (h, w, 3) in their UVs."""
        found = sample(_shrunk(image, 2 * self.layout.size), self.texel_uv) * 2.0 - 1.0
        found[:, :2] = np.einsum("nij,nj->ni", self.turn, found[:, :2])
        found[:, 2] = np.maximum(found[:, 2], 0.05)
        return self._filled(found / np.linalg.norm(found, axis=1, keepdims=True) * 0.5 + 0.5)

    def _filled(self, values: Floats) -> Floats:
        image = np.empty((*self.layout.mask.shape, values.shape[1]), np.float32)
        image[self.layout.mask] = values
        return image[self.holes]


def read_picture(path: Path) -> Floats:
    """(H, W, 3) of a picture, 0..1 as coded; 8 or 16 bits, grey pictures three times. Raises InputError."""
    try:
        with Image.open(path) as picture:
            array = np.asarray(picture if picture.mode.startswith("I") else picture.convert("RGB"))
    except (OSError, UnidentifiedImageError) as error:
        raise InputError(f"{path} is no picture that can be read.") from error
    deep = array.dtype != np.uint8
    scaled = array.astype(np.float32) / (65535.0 if deep else 255.0)
    return np.repeat(scaled[..., None], 3, axis=2) if scaled.ndim == 2 else scaled


def _shrunk(image: NDArray[np.floating], side: int) -> Floats:
    """Averaged down by a whole factor to at least ``side`` texels."""
    factor = max(1, min(image.shape[:2]) // side)
    height, width = (length // factor * factor for length in image.shape[:2])
    cut = image[:height, :width].reshape(height // factor, factor, width // factor, factor, -1)
    return cut.mean(axis=(1, 3)).astype(np.float32)


def _frames(corners: NDArray[np.floating], uv: NDArray[np.floating]) -> Doubles:
    """(F, 3, 2) unit tangent along u and bitangent across it towards v, of triangles (F, 3, 3), (F, 3, 2)."""
    edges = np.stack([corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]], axis=2)
    sides = np.stack([uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]], axis=2).astype(np.float64)
    flat = np.abs(np.linalg.det(sides)) < 1e-14
    sides[flat] = np.eye(2)
    along = edges.astype(np.float64) @ np.linalg.inv(sides)
    t = along[..., 0] / np.maximum(np.linalg.norm(along[..., 0], axis=1, keepdims=True), 1e-12)
    across = along[..., 1] - (along[..., 1] * t).sum(axis=1, keepdims=True) * t
    b = across / np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-12)
    return np.stack([t, b], axis=2)
