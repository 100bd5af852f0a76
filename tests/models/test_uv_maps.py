"""Maps over UVs: the convention, seams and gutters, and the way back to vertices."""

import numpy as np
import pytest
import torch

from models.commands.options import CHECKPOINT
from models.errors import InputError
from models.head import Head
from models.skin.uv_torch import UVRaster
from models.uv_maps import (
    FACE_WINDOW,
    POSITION_SCALE,
    UVLayout,
    crop,
    displacement_of,
    paste,
    position_map,
    sample,
    uv_triangles,
)


@pytest.fixture(scope="module")
def head() -> Head:
    return Head.load(CHECKPOINT / "head")


@pytest.fixture(scope="module")
def layout(head: Head) -> UVLayout:
    return UVLayout.of_head(head, 256)


def quad(size: int, uv: list[list[float]]) -> UVLayout:
    triangles = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    return UVLayout.of_mesh(triangles, np.array(uv, np.float32), triangles, size)


def test_row_0_is_the_top_of_the_tile():
    tile = quad(64, [[0, 0], [1, 0], [1, 1], [0, 1]])
    image = tile.rasterise(tile.uv)
    rows, columns = np.indices((64, 64))
    assert np.allclose(image[..., 0], (columns + 0.5) / 64, atol=1e-6)
    assert np.allclose(image[..., 1], 1 - (rows + 0.5) / 64, atol=1e-6)
    assert tile.mask.all()


def test_every_texel_is_decided_as_the_slow_way_decides_it():
    rng = np.random.default_rng(1)
    uv = rng.random((30, 2)).astype(np.float32)
    triangles = np.arange(30, dtype=np.int32).reshape(10, 3)
    found = UVLayout.of_mesh(triangles, uv, triangles, 48)
    covered = np.zeros((48, 48), bool)
    for a, b, c in uv[triangles].astype(np.float64):
        for row in range(48):
            for column in range(48):
                p = np.array([(column + 0.5) / 48, 1 - (row + 0.5) / 48])
                sides = [np.linalg.det(np.stack([t - s, p - s])) for s, t in ((a, b), (b, c), (c, a))]
                covered[row, column] |= min(sides) >= 0 or max(sides) <= 0
    assert (covered != found.mask).mean() < 1e-3


def test_gutters_continue_a_linear_field_and_far_texels_hold_it():
    tile = quad(64, [[0.25, 0.25], [0.75, 0.25], [0.75, 0.75], [0.25, 0.75]])
    image = tile.rasterise(tile.uv)
    corners = np.array([[0.25, 0.25], [0.25, 0.5], [0.75, 0.75]])
    assert np.allclose(sample(image, corners), corners, atol=1e-5)
    assert image[0, 0] == pytest.approx([0.25, 0.75], abs=0.02)


def test_both_sides_of_every_seam_read_the_same(head: Head, layout: UVLayout):
    skin = head.neutral_vertices[: head.skin_vertices]
    corners = layout.uv_triangles.ravel()
    owner = np.full(len(head.uv), -1)
    owner[corners] = layout.triangles.ravel()
    used = np.flatnonzero(owner >= 0)
    error = np.linalg.norm(sample(layout.rasterise(skin), head.uv[used]) - skin[owner[used]], axis=1)
    assert np.bincount(owner[used]).max() > 1  # there are seams
    assert error.mean() < 0.25
    assert np.percentile(error, 99) < 2.0


def test_read_back_is_exact_at_512(head: Head):
    layout = UVLayout.of_head(head, 512)
    rng = np.random.default_rng(2)
    weights = rng.uniform(0, 0.5, len(head.expression_basis))
    moved = np.tensordot(weights, head.expression_basis[:, : head.skin_vertices], 1)
    position = position_map(layout, moved).astype(np.float16)
    error = np.linalg.norm(displacement_of(layout, position) - moved, axis=1)
    assert error.mean() <= 0.002
    assert error.max() < 0.1
    bilinear = POSITION_SCALE * sample(position.astype(np.float32), layout.vertex_uv())
    assert error.mean() < 0.2 * np.linalg.norm(bilinear - moved, axis=1).mean()


def test_uncovered_vertices_follow_their_neighbours(head: Head):
    layout = UVLayout.of_head(head, 128)
    jaw = list(head.config["unit_names"]).index("jawOpen")
    moved = head.expression_basis[jaw, : head.skin_vertices]
    unseen = np.ones(len(moved), bool)
    unseen[layout.triangles[layout.texel_triangle[layout.mask]]] = False
    found = layout.read_back(layout.rasterise(moved))
    assert unseen.sum() > 100
    assert np.linalg.norm(found - moved, axis=1)[unseen].max() < 4.0  # of 42 mm


def test_batches_agree_with_single_maps_and_have_gradients(layout: UVLayout):
    rng = np.random.default_rng(3)
    values = rng.normal(size=(2, layout.vertex_count, 3)).astype(np.float32)
    raster = UVRaster(layout)
    batch = torch.from_numpy(values).requires_grad_()
    maps = raster(batch)
    for one, many in zip(values, maps, strict=True):
        assert np.allclose(layout.rasterise(one), many.detach().permute(1, 2, 0).numpy(), atol=1e-4)
    seen = raster.sample(maps)
    assert np.allclose(
        seen[1].detach().numpy(), sample(layout.rasterise(values[1]), layout.vertex_uv()), atol=1e-3
    )
    seen.sum().backward()
    assert batch.grad is not None
    assert float(batch.grad.abs().sum()) > 0
    back = raster.read_back(maps)
    assert np.allclose(back[0].numpy(), layout.read_back(layout.rasterise(values[0])), atol=1e-4)


def test_corner_values_may_differ_across_a_seam(layout: UVLayout):
    image = layout.rasterise_corners(layout.uv)
    rows, columns = np.nonzero(layout.mask)
    assert np.allclose(image[rows, columns, 0], (columns + 0.5) / 256, atol=1e-5)
    assert np.allclose(image[rows, columns, 1], 1 - (rows + 0.5) / 256, atol=1e-5)


def test_refusals(layout: UVLayout):
    with pytest.raises(InputError, match="not 256 x 256"):
        layout.read_back(np.zeros((128, 128, 3)))
    with pytest.raises(InputError, match="unwrap"):
        quad(64, [[2, 2], [3, 2], [3, 3], [2, 3]])
    with pytest.raises(ValueError, match="no face"):
        uv_triangles(
            np.array([[0, 1, 2, -1]], np.int32),
            np.array([[0, 1, 2, -1]], np.int32),
            np.array([[0, 1, 3]], np.int32),
        )


def test_the_face_window_is_a_crop_of_the_tile(head: Head):
    skin = head.neutral_vertices[: head.skin_vertices]
    tile, window = UVLayout.of_head(head, 128), UVLayout.of_head(head, 64, FACE_WINDOW)
    whole, part = tile.rasterise(skin), window.rasterise(skin)
    assert np.allclose(crop(whole)[window.mask], part[window.mask], atol=1e-3)
    pasted = paste(whole, part)
    assert np.allclose(pasted[tile.mask], whole[tile.mask], atol=1e-3)
    pasted = paste(np.zeros_like(whole), np.ones_like(part))
    assert crop(pasted)[32, 32, 0] == 1
    assert pasted.sum() < 64 * 64 * 3
    assert crop(pasted)[0].max() < 0.2  # blended in
    with pytest.raises(InputError, match="multiple of 16"):
        crop(np.zeros((100, 100, 3)))
    with pytest.raises(InputError, match="not 32 x 32"):
        paste(whole, part[:32, :32])


def test_the_window_gives_the_face_back_and_leaves_the_back_of_the_head_alone(head: Head):
    layout = UVLayout.of_head(head, 256, FACE_WINDOW)
    units = list(head.config["unit_names"])
    moved = head.expression_basis[units.index("mouthSmileLeft"), : head.skin_vertices]
    error = np.linalg.norm(displacement_of(layout, position_map(layout, moved)) - moved, axis=1)
    seen = np.unique(layout.triangles[layout.texel_triangle[layout.mask]])
    assert error[seen].mean() <= 0.002
    behind = head.neutral_vertices[: head.skin_vertices, 2] < -20
    assert error[behind].max() < 0.5
