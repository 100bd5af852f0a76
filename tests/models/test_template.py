"""The skin template and the reader of ICT-FaceKit it is built from."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from models.corpus.ict import ICT, SKIN_VERTICES, ICTError
from models.corpus.template import (
    EYEBALL_CENTRE,
    EYEBALL_RADIUS,
    LID_EDGE_RING,
    LIP_CONTACT_RINGS,
    SkinTemplate,
    build_skin,
)
from models.corpus.template_distance import geodesic_distance
from models.corpus.template_figures import coverage, figures, smallest_angles
from models.corpus.template_mesh import MATERIALS, SOCKET
from models.corpus.template_surface import along, arc_length, boundary_loops, directed_edges, split_quads
from models.corpus.template_uv import FREE_CORNER

SHARED = Path(os.environ.get("DIMPLE_SHARED", Path(__file__).resolve().parents[3] / "shared"))
ICT_FOLDER = SHARED / "data" / "ict-facekit"
needs_ict = pytest.mark.skipif(not ICT_FOLDER.is_dir(), reason="ICT-FaceKit is not at hand")


@pytest.fixture(scope="module")
def ict() -> ICT:
    return ICT.load(ICT_FOLDER)


@pytest.fixture(scope="module")
def skin(ict: ICT) -> SkinTemplate:
    return build_skin(ict)


@pytest.fixture(scope="module")
def measured(skin: SkinTemplate, ict: ICT) -> dict[str, float]:
    return figures(skin, ict)


def edge_set(skin: SkinTemplate) -> set[tuple[int, int]]:
    edges = directed_edges(skin.faces).tolist()
    return {(a, b) for a, b in edges} | {(b, a) for a, b in edges}


# The reader


def write_obj(path: Path, vertices: list[tuple[float, ...]], faces: list[str]) -> None:
    lines = [f"v {x} {y} {z}" for x, y, z in vertices] + ["vt 0 0"] + [f"f {face}" for face in faces]
    path.write_text("\n".join(lines), encoding="utf-8")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    folder = tmp_path / "FaceXModel"
    folder.mkdir()
    square = [(0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (1.0, 1.0, 0.0), (0.0, 1.0, 0.5)]
    faces = ["1/1 2/1 3/1 4/1", "1/1 3/1 4/1"]
    write_obj(folder / "generic_neutral_mesh.obj", square, faces)
    write_obj(folder / "identity000.obj", [(x + 0.1, y, z) for x, y, z in square], faces)
    write_obj(folder / "jawOpen.obj", [(x, y - 0.2, z) for x, y, z in square], faces)
    indices = {"idx_to_landmark_verts": [3, 1]}
    (folder / "vertex_indices.json").write_text(json.dumps(indices), encoding="utf-8")
    return tmp_path


def test_clone_is_read_in_millimetres(clone: Path) -> None:
    model = ICT.load(clone)
    assert model.neutral[3].tolist() == [0.0, 10.0, 5.0]
    assert model.faces.tolist() == [[0, 1, 2, 3], [0, 2, 3, -1]]
    np.testing.assert_allclose(model.identities, np.broadcast_to([1.0, 0, 0], (1, 4, 3)), atol=1e-5)
    np.testing.assert_allclose(model.expression("jawOpen"), np.broadcast_to([0, -2.0, 0], (4, 3)), atol=1e-5)
    assert model.landmarks.tolist() == [3, 1]


def test_incomplete_sources_are_refused(clone: Path, tmp_path: Path) -> None:
    (clone / "FaceXModel" / "identity000.obj").unlink()
    with pytest.raises(ICTError, match=r"identity\*\.obj"):
        ICT.load(clone)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ICTError, match="neither"):
        ICT.load(empty)


def test_shape_with_other_vertex_count_is_refused(clone: Path) -> None:
    write_obj(clone / "FaceXModel" / "jawOpen.obj", [(0.0, 0.0, 0.0)], [])
    with pytest.raises(ICTError, match="1 vertices"):
        ICT.load(clone)


# Pieces of the builder, on meshes whose answer is known


def flat_grid(columns: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.meshgrid(np.arange(columns, dtype=float), np.arange(rows, dtype=float))
    vertices = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], axis=1)
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    return vertices, np.stack([corner, corner + 1, corner + columns + 1, corner + columns], axis=1)


def test_quads_are_cut_along_the_shorter_diagonal() -> None:
    vertices = np.array([[0, 0, 0], [2, 0, 0], [3, 1, 0], [1, 1, 0]], float)
    triangles = split_quads(vertices, np.array([[0, 1, 2, 3]]))[0]
    assert [{1, 3} <= set(triangle) for triangle in triangles.tolist()] == [True, True]


def test_boundary_runs_once_round_the_grid() -> None:
    _, quads = flat_grid(4, 3)
    (loop,) = boundary_loops(quads)
    assert len(loop) == 10
    assert loop[(loop.index(0) + 1) % 10] == 1


def test_points_along_a_chain_keep_their_weights() -> None:
    vertices = np.array([[0, 0, 0], [3, 0, 0], [3, 1, 0]], float)
    chain = sparse.csr_matrix(np.eye(3))
    points = along(chain, arc_length(vertices), np.array([0.0, 1.5, 3.5, 4.0]))
    np.testing.assert_allclose(points @ vertices, [[0, 0, 0], [1.5, 0, 0], [3, 0.5, 0], [3, 1, 0]])


def test_geodesic_distance_from_an_edge_of_a_grid() -> None:
    vertices, quads = flat_grid(6, 5)
    triangles = split_quads(vertices, quads).reshape(-1, 3)
    distance = geodesic_distance(vertices, triangles, np.arange(6))
    np.testing.assert_allclose(distance, vertices[:, 1], atol=1e-9)


def test_coverage_counts_overlaps_but_not_shared_edges() -> None:
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float)
    assert coverage(square, np.array([[0, 1, 2], [0, 2, 3]]), 16).max() == 1
    assert coverage(square, np.array([[0, 1, 2], [0, 1, 3]]), 16).max() == 2


def test_smallest_angle_of_a_right_triangle() -> None:
    points = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], float)
    np.testing.assert_allclose(smallest_angles(points, np.array([[0, 1, 2]])), [45.0])


# The skin


@needs_ict
def test_skin_is_one_symmetric_disk_of_quads(measured: dict[str, float], skin: SkinTemplate) -> None:
    assert 7000 <= measured["vertices"] <= 7600
    assert measured["quad_share"] == 1.0
    assert measured["euler_characteristic"] == 1
    assert measured["edges_of_three_or_more_triangles"] == measured["edges_wound_twice"] == 0
    assert measured["symmetry_error"] == 0.0
    assert len(boundary_loops(skin.faces)) == 1
    mirrored = {tuple(sorted(face)) for face in skin.mirror[skin.faces].tolist()}
    assert mirrored == {tuple(sorted(face)) for face in skin.faces.tolist()}
    assert (skin.mirror[skin.mirror] == np.arange(len(skin.mirror))).all()


@needs_ict
def test_triangles_are_well_shaped(measured: dict[str, float]) -> None:
    assert measured["smallest_angle"] > 10
    assert measured["smallest_angle_p1"] > 18


@needs_ict
def test_skin_lies_on_the_mean_face(measured: dict[str, float]) -> None:
    assert measured["face_to_template_mean"] < 0.14
    assert measured["face_to_template_max"] < 2.0
    assert measured["template_to_face_mean"] < 0.14
    assert measured["vertices_on_source_vertices"] < 20


@needs_ict
def test_rings_are_closed_concentric_edge_loops(skin: SkinTemplate) -> None:
    edges = edge_set(skin)
    quads = {frozenset(face) for face in skin.faces.tolist()}
    for rings in (*skin.eye_rings, skin.mouth_rings):
        following = np.roll(rings, -1, axis=1)
        assert len(np.unique(rings)) == rings.size
        assert all(
            edge in edges for edge in zip(rings.ravel().tolist(), following.ravel().tolist(), strict=True)
        )
        strips = np.stack([rings[:-1], following[:-1], following[1:], rings[1:]], axis=-1).reshape(-1, 4)
        assert all(frozenset(strip) in quads for strip in strips.tolist())
    assert skin.eye_rings.shape[1] >= 8
    assert skin.mouth_rings.shape[0] >= 8
    np.testing.assert_array_equal(skin.mirror[skin.eye_rings[0]], skin.eye_rings[1])


@needs_ict
def test_flow_lines_are_chains_of_edges(skin: SkinTemplate) -> None:
    edges = edge_set(skin)
    for line in skin.flow_lines.values():
        assert all(edge in edges for edge in zip(line[:-1].tolist(), line[1:].tolist(), strict=True))
        np.testing.assert_array_equal(skin.mirror[line], line[::-1])
    assert set(skin.flow_lines) == {"brow", "above_brow", "nasolabial"}


@needs_ict
def test_lids_meet_on_the_lid_edge_in_a_blink(skin: SkinTemplate, ict: ICT) -> None:
    blink = ict.expression("eyeBlink_L") + ict.expression("eyeBlink_R")
    closed = skin.neutral_vertices + skin.transfer @ blink[:SKIN_VERTICES]
    upper, lower = skin.lid_pairs[..., 0], skin.lid_pairs[..., 1]
    assert (skin.neutral_vertices[upper, 1] > skin.neutral_vertices[lower, 1]).all()
    assert np.linalg.norm(closed[upper] - closed[lower], axis=-1).max() < 1.8
    assert np.isin(skin.lid_pairs[0], skin.eye_rings[0, LID_EDGE_RING]).all()

    def gap(ring: int) -> float:
        loop = skin.eye_rings[0, ring]
        columns = len(loop) // 4
        return float(np.linalg.norm(closed[loop[columns]] - closed[loop[-columns]]))

    assert min(range(skin.eye_rings.shape[1]), key=gap) == LID_EDGE_RING


@needs_ict
def test_lip_pairs_face_each_other(skin: SkinTemplate, ict: ICT) -> None:
    upper, lower = skin.lip_pairs.T
    gap = skin.neutral_vertices[upper] - skin.neutral_vertices[lower]
    assert np.linalg.norm(gap, axis=1).max() < 2.5
    assert np.abs(gap[:, 0]).max() < 0.5
    first, last = LIP_CONTACT_RINGS
    corners = skin.mouth_rings[first : last + 1][:, [16, 48]]
    assert not np.isin(corners, skin.lip_pairs).any()
    opened = gap[:, 1] + (skin.transfer @ ict.expression("jawOpen")[:SKIN_VERTICES])[upper, 1]
    opened -= (skin.transfer @ ict.expression("jawOpen")[:SKIN_VERTICES])[lower, 1]
    assert opened.min() > 0.3


@needs_ict
def test_transfer_is_exact(skin: SkinTemplate, ict: ICT) -> None:
    np.testing.assert_allclose(np.asarray(skin.transfer.sum(axis=1)), 1.0, atol=1e-6)
    assert skin.transfer.min() >= 0
    assert np.diff(skin.transfer.indptr).max() <= 8
    carried = skin.transfer @ ict.neutral[:SKIN_VERTICES]
    np.testing.assert_allclose(carried + skin.neutral_offset, skin.neutral_vertices, atol=1e-4)
    visible = np.ones(len(carried), bool)
    visible[skin.faces[skin.face_material == SOCKET]] = False
    assert np.linalg.norm(skin.neutral_offset[visible], axis=1).max() < 0.06


@needs_ict
def test_sockets_clear_the_eyeballs(skin: SkinTemplate) -> None:
    behind = np.unique(skin.faces[skin.face_material == SOCKET])
    vertices = np.abs(skin.neutral_vertices[behind] * [1, 0, 0]) + skin.neutral_vertices[behind] * [0, 1, 1]
    assert np.linalg.norm(vertices - EYEBALL_CENTRE, axis=1).min() > EYEBALL_RADIUS + 0.29


@needs_ict
@pytest.mark.parametrize(
    "names", [("jawOpen",), ("eyeBlink_L",), ("mouthSmile_L", "mouthSmile_R"), ("mouthPucker",)]
)
def test_expressions_turn_no_triangle_over(skin: SkinTemplate, ict: ICT, names: tuple[str, ...]) -> None:
    delta = sum((ict.expression(name)[:SKIN_VERTICES] for name in names), np.zeros((SKIN_VERTICES, 3)))

    def normals(vertices: np.ndarray) -> np.ndarray:
        a, b, c = vertices[skin.triangles].transpose(1, 0, 2)
        normal = np.cross(b - a, c - a)
        return normal / np.linalg.norm(normal, axis=1, keepdims=True)

    moved = skin.neutral_vertices + skin.transfer @ delta
    assert (normals(skin.neutral_vertices) * normals(moved)).sum(axis=1).min() > -0.5


@needs_ict
def test_landmarks_and_mask_lie_on_the_face(skin: SkinTemplate, ict: ICT) -> None:
    found = skin.neutral_vertices[skin.landmarks68]
    assert np.linalg.norm(found - ict.neutral[ict.landmarks], axis=1).mean() < 1.5
    assert set(np.unique(skin.face_mask)) == {0.0, 1.0}
    assert (skin.face_mask[skin.landmarks68] == 1).mean() > 0.9
    (rim,) = boundary_loops(skin.faces)
    assert skin.face_mask[rim].max() == 0
    assert skin.face_mask[skin.neutral_vertices[:, 2] < -40].max() == 0
    assert (
        skin.face_mask[np.concatenate([skin.mouth_rings[:4].ravel(), skin.eye_rings[:, :4].ravel()])].max()
        == 0
    )


@needs_ict
def test_texture_tile(measured: dict[str, float], skin: SkinTemplate) -> None:
    assert measured["uv_overlapping_pixels"] == measured["uv_flipped_triangles"] == 0
    assert measured["uv_coverage"] > 0.6
    assert measured["uv_face_area"] > 0.3
    assert measured["uv_stretch_p99"] < 5
    assert skin.uv.min() > 0
    assert skin.uv.max() < 1
    owners = np.full(len(skin.uv), -1)
    owners[skin.uv_faces] = skin.faces
    np.testing.assert_array_equal(owners[skin.uv_faces], skin.faces)
    mirrored = {(round(1 - u, 4), round(v, 4)) for u, v in skin.uv.astype(float).tolist()}
    present = {(round(u, 4), round(v, 4)) for u, v in skin.uv.astype(float).tolist()}
    assert len(mirrored - present) < 0.01 * len(present)
    u0, v0, u1, v1 = FREE_CORNER
    u, v = skin.uv.T
    assert not ((u > u0) & (u < u1) & (v > v0) & (v < v1)).any()


@needs_ict
def test_materials_and_counts(skin: SkinTemplate) -> None:
    counts = np.bincount(skin.face_material, minlength=len(MATERIALS))
    assert (counts > 300).all()
    assert len(skin.triangles) == 2 * len(skin.faces)


@needs_ict
def test_saved_skin_is_the_same(skin: SkinTemplate, tmp_path: Path) -> None:
    skin.save(tmp_path / "skin.safetensors")
    loaded = SkinTemplate.load(tmp_path / "skin.safetensors")
    for name, value in vars(skin).items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(getattr(loaded, name), value)
            assert getattr(loaded, name).dtype == value.dtype
    assert abs(loaded.transfer - skin.transfer).max() == 0
    assert loaded.flow_lines.keys() == skin.flow_lines.keys()
    description = json.loads((tmp_path / "skin.json").read_text(encoding="utf-8"))
    assert description["lid_edge_ring"] == LID_EDGE_RING
