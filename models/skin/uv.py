"""From the artist's UVs to the model's and back: texels that show the same place of the skin.

The model's maps lie on the Dimple head's UVs. An artist's head has its own: every texel of either layout is
looked up in the other. Tangent-space normals turn with their layout's tangents (Mikkelsen 2008, section 4.4).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..uv_maps import UVLayout, sample

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

CHECK_SIZE = 512
"""Side of the image on which overlaps are looked for."""
OVERLAP = 0.01
"""Share of the covered texels that may show two places: seams and rounding, no mirrored halves."""
SAME_UV = 1e-4
"""UVs that differ less are the model's own: its maps fit as they are."""


def check_no_overlap(corners: Floats) -> None:
    """Raises InputError where the UV triangles (F, 3, 2) lie on one another."""
    own = UVLayout.of_mesh(
        np.arange(3 * len(corners), dtype=np.int32).reshape(-1, 3),
        corners.reshape(-1, 2),
        np.arange(3 * len(corners), dtype=np.int32).reshape(-1, 3),
        CHECK_SIZE,
    )
    arms = (corners[:, 1:] - corners[:, :1]).astype(np.float64) * CHECK_SIZE
    area = 0.5 * np.abs(arms[:, 0, 0] * arms[:, 1, 1] - arms[:, 0, 1] * arms[:, 1, 0]).sum()
    covered = int(own.mask.sum())
    if area > (1.0 + OVERLAP) * covered + 0.5 * _border(own.mask):
        raise InputError(
            "The skin's UVs overlap: two places of the face share one place of the texture, so they cannot "
            "wrinkle apart. Unwrap the face anew, or move the mirrored half aside (UV Editor)."
        )


def _border(mask: NDArray[np.bool_]) -> int:
    """Texels on the border of islands, whose area is counted wrongly by up to a half each."""
    inner = mask[1:-1, 1:-1] & mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
    return int(mask.sum() - inner.sum())


@dataclass(frozen=True)
class SkinLayouts:
    """The same triangles in two layouts: corners (F, 3, 2) of the artist's and of the model's UVs.

    neutral_vertices (V, 3) and triangles (F, 3) are the artist's.
    """

    neutral_vertices: Floats
    triangles: Ints
    artist: Floats
    model: Floats

    @property
    def same(self) -> bool:
        """Whether the artist's UVs are the model's own."""
        return bool(np.abs(self.artist - self.model).max() < SAME_UV)

    @classmethod
    def checked(cls, neutral_vertices: Floats, triangles: Ints, artist: Floats, model: Floats) -> Self:
        """The layouts. Raises InputError where the artist's UVs overlap or cover nothing."""
        layouts = cls(neutral_vertices, triangles, artist, model)
        if not layouts.same:
            check_no_overlap(artist)
        return layouts

    def to_model(self, image: Floats, size: int) -> Floats:
        """(size, size[, C]) an image on the artist's UVs as the model's would show it."""
        return _looked_up(self._layout(self.model, size), self.artist, image)

    def to_artist(self, image: Floats, size: int) -> Floats:
        """(size, size[, C]) an image on the model's UVs as the artist's would show it."""
        return _looked_up(self._layout(self.artist, size), self.model, image)

    def normals_to_artist(self, normal: Floats, size: int) -> Floats:
        """(size, size, 3) tangent-space normals, stored as (n + 1) / 2, turned into the artist's tangents."""
        layout = self._layout(self.artist, size)
        n = 2.0 * _looked_up(layout, self.model, normal) - 1.0
        cosine, sine, mirrored = layout.rasterise_corners(self._turn).transpose(2, 0, 1)
        length = np.maximum(np.hypot(cosine, sine), 1e-6)
        cosine, sine = cosine / length, sine / length
        x = cosine * n[..., 0] + sine * n[..., 1]
        y = (cosine * n[..., 1] - sine * n[..., 0]) * np.where(mirrored < 0.0, -1.0, 1.0)
        turned = np.stack([x, y, n[..., 2]], axis=2)
        turned /= np.maximum(np.linalg.norm(turned, axis=2, keepdims=True), 1e-6)
        return (0.5 * turned + 0.5).astype(np.float32)

    def model_mask(self, size: int) -> NDArray[np.bool_]:
        """(size, size) texels of the model's layout that show the skin."""
        return self._layout(self.model, size).mask

    @cached_property
    def _turn(self) -> Floats:
        """(3 F, 3) at every corner: cosine and sine from the model's to the artist's tangent, and handedness.

        The bitangent of a mirrored UV island points the other way.
        """
        model, model_hand, normal = _tangents(self.neutral_vertices, self.triangles, self.model)
        artist, artist_hand, _ = _tangents(self.neutral_vertices, self.triangles, self.artist)
        bitangent = np.cross(normal, model) * model_hand[..., None]
        cosine = (model * artist).sum(axis=2)
        sine = (bitangent * artist).sum(axis=2)
        hands = model_hand * artist_hand
        return np.stack([cosine, sine, hands], axis=2).reshape(-1, 3).astype(np.float32)

    @staticmethod
    def _layout(corners: Floats, size: int) -> UVLayout:
        numbers = np.arange(3 * len(corners), dtype=np.int32).reshape(-1, 3)
        return UVLayout.of_mesh(numbers, corners.reshape(-1, 2), numbers, size)


def _looked_up(layout: UVLayout, corners: Floats, image: Floats) -> Floats:
    """What an image (H, W) or (H, W, C) on the UVs ``corners`` shows at the places of the layout's texels."""
    uv = layout.rasterise_corners(corners.reshape(-1, 2))
    found = sample(image.reshape(*image.shape[:2], -1), uv.reshape(-1, 2))
    return found.reshape(layout.size, layout.size, *image.shape[2:])


def _tangents(vertices: Floats, triangles: Ints, corners: Floats) -> tuple[Floats, Floats, Floats]:
    """Unit tangents (F, 3, 3) along u at every corner, handedness (F, 3), and unit normals (F, 3, 3).

    Averaged over the triangles round a vertex that have the same handedness; a seam of the UVs, where the
    tangents turn, keeps them apart by the UV of the corner.
    """
    points = vertices[triangles].astype(np.float64)
    first, second = points[:, 1] - points[:, 0], points[:, 2] - points[:, 0]
    du, dv = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    determinant = (du[:, 0] * dv[:, 1] - du[:, 1] * dv[:, 0]).astype(np.float64)
    flat_normal = np.cross(first, second)
    along_u = first * dv[:, 1:] - second * du[:, 1:]
    hand = np.where(determinant < 0.0, -1.0, 1.0)
    along_u *= hand[:, None]
    normal = np.zeros_like(vertices, np.float64)
    for corner in range(3):
        np.add.at(normal, triangles[:, corner], flat_normal)
    normals = _unit(normal[triangles])
    key = np.concatenate(
        [triangles.reshape(-1, 1), np.rint(corners.reshape(-1, 2) * 1e5), np.repeat(hand, 3)[:, None]], axis=1
    )
    _, group = np.unique(key, axis=0, return_inverse=True)
    group = group.ravel()
    total = np.zeros((int(group.max()) + 1, 3))
    np.add.at(total, group, np.repeat(along_u, 3, axis=0))
    tangents = total[group].reshape(-1, 3, 3)
    tangents -= (tangents * normals).sum(axis=2, keepdims=True) * normals
    return (
        _unit(tangents).astype(np.float32),
        np.repeat(hand[:, None], 3, axis=1).astype(np.float32),
        normals.astype(np.float32),
    )


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
