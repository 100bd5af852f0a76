"""The artist's UVs and the model's: there and back, normals turned, overlaps found."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from models.errors import InputError
from models.skin.uv import SkinLayouts, check_no_overlap

Floats = NDArray[np.float32]
SIZE = 64


def patch(cells: int = 6, bend: float = 0.0) -> tuple[Floats, NDArray[np.int32], Floats]:
    """A square of (cells + 1)^2 vertices, its triangles, and UVs (F, 3, 2) that fill [0.1, 0.9]."""
    line = np.linspace(0.0, 1.0, cells + 1)
    u, v = np.meshgrid(line, line)
    vertices = np.stack([u, v, bend * np.sin(3 * u) * v], axis=2).reshape(-1, 3).astype(np.float32)
    corner = (np.arange(cells)[:, None] * (cells + 1) + np.arange(cells)).reshape(-1, 1)
    first, second = np.array([0, 1, cells + 2]), np.array([0, cells + 2, cells + 1])
    triangles = np.concatenate([corner + first, corner + second]).astype(np.int32)
    uv = (0.1 + 0.8 * vertices[:, :2])[triangles].astype(np.float32)
    return vertices, triangles, uv


def turned(uv: Floats, quarter: bool = True, mirrored: bool = False) -> Floats:
    """UVs laid out otherwise in the tile."""
    u, v = uv[..., 0], uv[..., 1]
    u, v = (v, 1 - u) if quarter else (u, v)
    return np.stack([1 - u if mirrored else u, v], axis=-1).astype(np.float32)


def picture(size: int = SIZE) -> Floats:
    """A smooth picture, rows from the top."""
    v, u = np.mgrid[0:size, 0:size] / size
    return np.stack([u, 0.5 + 0.4 * np.sin(5 * v), 0.5 + 0.4 * np.cos(4 * u * v)], axis=2).astype(np.float32)


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_picture_comes_back_from_other_uvs(mirrored: bool) -> None:
    vertices, triangles, uv = patch()
    layouts = SkinLayouts.checked(vertices, triangles, turned(uv, mirrored=mirrored), uv)
    assert not layouts.same
    there = layouts.to_artist(picture(), SIZE)
    back = layouts.to_model(there, SIZE)
    inside = layouts.model_mask(SIZE)
    assert np.abs(back - picture())[inside].max() < 0.02
    assert np.abs(there - picture())[8:-8, 8:-8].max() > 0.2, "it lies otherwise there"


def world_normals(layouts: SkinLayouts, normal: Floats, corners: Floats, size: int) -> Floats:
    """What a renderer makes of a tangent-space map: by brute force, one triangle after the other."""
    layout = layouts._layout(corners, size)
    result = np.zeros((size, size, 3), np.float32)
    for row, column in np.argwhere(layout.mask):
        triangle = layout.texel_triangle[row, column]
        p, q = layouts.neutral_vertices[layouts.triangles[triangle]], corners[triangle]
        edges, arms = (p[1:] - p[0]).T, (q[1:] - q[0]).T  # 3 x 2 and 2 x 2
        tangent, bitangent = (edges @ np.linalg.inv(arms)).T
        flat = np.cross(edges[:, 0], edges[:, 1])
        flat /= np.linalg.norm(flat)
        tangent -= (tangent @ flat) * flat
        tangent /= np.linalg.norm(tangent)
        side = np.cross(flat, tangent)
        side *= np.sign(side @ bitangent)
        x, y, z = 2 * normal[row, column] - 1
        result[row, column] = x * tangent + y * side + z * flat
    return result


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("quarter", [False, True])
def test_normals_mean_the_same_direction_in_both_layouts(quarter: bool, mirrored: bool) -> None:
    vertices, triangles, uv = patch()
    other = turned(uv, quarter, mirrored)
    layouts = SkinLayouts.checked(vertices, triangles, other, uv)
    tilt = np.broadcast_to(np.array([0.48, 0.36, 0.8]), (SIZE, SIZE, 3))
    mine = (0.5 + 0.5 * tilt).astype(np.float32)
    expected = world_normals(layouts, mine, uv, SIZE)
    found = world_normals(layouts, layouts.normals_to_artist(mine, SIZE), other, SIZE)
    wanted = expected[expected.any(axis=2)][0]  # the patch is flat: one direction everywhere
    seen = found[found.any(axis=2)]
    assert len(seen) > 1000
    np.testing.assert_allclose(seen, np.broadcast_to(wanted, seen.shape), atol=1e-4)


def test_the_models_own_uvs_need_no_baking() -> None:
    vertices, triangles, uv = patch()
    assert SkinLayouts.checked(vertices, triangles, uv + np.float32(1e-6), uv).same


def test_overlapping_uvs_are_refused() -> None:
    _, _, uv = patch()
    mirrored_half = np.where(uv[..., :1] > 0.5, 1 - uv[..., :1], uv[..., :1])
    with pytest.raises(InputError, match="overlap"):
        check_no_overlap(np.concatenate([mirrored_half, uv[..., 1:]], axis=2))
    check_no_overlap(uv)
    thin = uv * np.float32(0.15)  # a small face in a large tile
    check_no_overlap(thin)


def test_uvs_in_one_point_are_refused() -> None:
    _, _, uv = patch()
    with pytest.raises(InputError):
        check_no_overlap(np.full_like(uv, 0.5))
