"""Calculus on meshes, and deformation transfer on top of it."""

import numpy as np
import pytest

from models.corpus.deformation_transfer import DeformationTransfer
from models.corpus.surface import gradient_operator, stiffness, triangle_areas, vertex_areas, vertex_normals
from tests.models.corpus_shapes import dome


@pytest.fixture
def mesh():
    return dome(rings=9, columns=14)


def test_the_gradient_of_a_linear_function_is_its_tangential_part(mesh) -> None:
    vertices, triangles = mesh
    slope = np.array([0.3, -1.2, 2.0])
    gradients = (gradient_operator(vertices, triangles) @ (vertices @ slope)).reshape(-1, 3)
    corners = vertices[triangles].astype(np.float64)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    tangential = slope - (normals @ slope)[:, None] * normals
    np.testing.assert_allclose(gradients, tangential, atol=1e-5)


def test_the_stiffness_matrix_is_symmetric_and_blind_to_constants(mesh) -> None:
    matrix = stiffness(*mesh)
    assert abs(matrix - matrix.T).max() < 1e-9
    assert np.abs(matrix @ np.ones(matrix.shape[0])).max() < 1e-9
    assert (np.linalg.eigvalsh(matrix.toarray()) > -1e-9).all()


def test_vertex_areas_add_up_to_the_surface(mesh) -> None:
    assert vertex_areas(*mesh).sum() == pytest.approx(triangle_areas(*mesh).sum())


def test_normals_of_a_sphere_point_along_its_radii(mesh) -> None:
    vertices, triangles = mesh
    radial = vertices / np.linalg.norm(vertices, axis=1, keepdims=True)
    assert (np.einsum("vi,vi->v", vertex_normals(vertices, triangles), radial) > 0.97).all()


@pytest.fixture
def shapes(mesh):
    vertices, _ = mesh
    falloff = np.exp(-np.square(vertices - vertices[40]).sum(1) / 30.0)[:, None]
    return (falloff * np.array([[[0.0, 0.0, 2.0]], [[1.0, -1.5, 0.3]]])).astype(np.float32)


def rim(vertices):
    return np.nonzero(vertices[:, 2] <= vertices[:, 2].min() + 1e-4)[0]


def test_a_face_gets_its_own_shapes_back(mesh, shapes) -> None:
    vertices, triangles = mesh
    transfer = DeformationTransfer(vertices, triangles, shapes, rim(vertices))
    np.testing.assert_allclose(transfer(vertices), shapes, atol=1e-4)


def test_a_face_twice_as_large_moves_twice_as_far(mesh, shapes) -> None:
    vertices, triangles = mesh
    shapes[:, rim(vertices)] = 0.0
    transfer = DeformationTransfer(vertices, triangles, shapes, rim(vertices))
    np.testing.assert_allclose(transfer(2.0 * vertices + np.float32(7.0)), 2.0 * shapes, atol=1e-3)


def test_pinned_vertices_keep_the_displacement_of_the_source(mesh, shapes) -> None:
    vertices, triangles = mesh
    pinned = np.array([0, 5, 40])
    transfer = DeformationTransfer(vertices, triangles, shapes, pinned)
    stretched = vertices * np.array([1.3, 0.8, 1.1], np.float32)
    np.testing.assert_allclose(transfer(stretched)[:, pinned], shapes[:, pinned], atol=1e-6)
    assert np.abs(transfer(stretched) - shapes).max() > 0.05


def test_without_pinned_vertices_the_problem_is_refused(mesh, shapes) -> None:
    vertices, triangles = mesh
    with pytest.raises(ValueError, match="pinned"):
        DeformationTransfer(vertices, triangles, shapes, np.array([], np.int64))
