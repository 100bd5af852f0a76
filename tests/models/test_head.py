"""The shipped Dimple head: one clean, symmetric mesh whose parts fit into each other."""

import json
import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from scipy import sparse

from models.corpus.assemble import quantised, split_quads
from models.corpus.ict import ICT
from models.corpus.parts import Island, grid, turned, upright
from models.corpus.parts_uv import CELLS, NoRoomError, pack
from models.errors import CheckpointError
from models.expression import UNIT_INDEX, UNIT_NAMES
from models.head import Head
from models.parts import follow, sphere_centre

FOLDER = Path(__file__).parents[2] / "models/checkpoints/animate-me/head"
SHARED = Path(os.environ.get("DIMPLE_SHARED", Path(__file__).parents[3] / "shared"))
ICT_FOLDER = SHARED / "data/ict-facekit"
PARTS = ("eye_left", "eye_right", "teeth_upper", "teeth_lower", "tongue")


@pytest.fixture(scope="module")
def head():
    return Head.load(FOLDER)


def faces_of(head, name):
    start, end = head.parts[name]
    return (head.faces[:, 0] >= start) & (head.faces[:, 0] < end)


def triangles_of(head, name):
    start, end = head.parts[name]
    return head.triangles[(head.triangles[:, 0] >= start) & (head.triangles[:, 0] < end)]


def expressing(head, **weights):
    signal = np.zeros((1, len(UNIT_NAMES)), np.float32)
    for name, weight in weights.items():
        signal[0, UNIT_INDEX[name]] = weight
    skin = np.tensordot(signal, head.expression_basis[:, : head.skin_vertices], 1)
    return head.neutral_vertices + follow(head, head.neutral_vertices, skin, signal)[0]


def winding_number(points, vertices, triangles):
    """(N,) how often the surface winds round each point, by solid angles (Van Oosterom and Strackee 1983)."""
    total = np.zeros(len(points))
    for index, point in enumerate(points):
        a, b, c = (vertices[triangles] - point).transpose(1, 0, 2)
        la, lb, lc = (np.linalg.norm(side, axis=1) for side in (a, b, c))
        volume = np.einsum("ni,ni->n", a, np.cross(b, c))
        ab, bc, ca = (np.einsum("ni,ni->n", *pair) for pair in ((a, b), (b, c), (c, a)))
        total[index] = np.arctan2(volume, la * lb * lc + ab * lc + bc * la + ca * lb).sum() / (2 * np.pi)
    return total


def test_size_and_order(head):
    assert 6000 <= len(head.neutral_vertices) <= 9000
    end = head.skin_vertices
    for name in PARTS:
        assert head.parts[name][0] == end
        end = head.parts[name][1]
    assert end == len(head.neutral_vertices)
    assert head.jaw_weight.shape == (head.skin_vertices,)
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 10e6


def test_no_face_joins_two_parts(head):
    starts = np.array([0, *(head.parts[name][0] for name in PARTS)])
    owner = np.searchsorted(starts, head.faces, side="right")
    owner = np.where(head.faces < 0, owner[:, :1], owner)
    assert (owner == owner[:, :1]).all()


@pytest.mark.parametrize("name", PARTS)
def test_parts_are_closed_and_face_outwards(head, name):
    triangles = triangles_of(head, name)
    edges = Counter(map(tuple, np.concatenate([triangles[:, [i, (i + 1) % 3]] for i in range(3)])))
    assert max(edges.values()) == 1
    assert all((b, a) in edges for a, b in edges)
    a, b, c = head.neutral_vertices[triangles].astype(np.float64).transpose(1, 0, 2)
    assert np.einsum("ni,ni->", a, np.cross(b, c)) / 6 > 5000
    start, end = head.parts[name]
    assert np.array_equal(np.unique(triangles), np.arange(start, end))


@pytest.mark.parametrize("name", PARTS)
def test_parts_have_no_sliver(head, name):
    corners = head.neutral_vertices[triangles_of(head, name)].astype(np.float64)
    sides = np.roll(corners, -1, axis=1) - corners
    sides /= np.linalg.norm(sides, axis=2, keepdims=True)
    cosine = -np.einsum("nki,nki->nk", sides, np.roll(sides, 1, axis=1))
    smallest = np.degrees(np.arccos(cosine.max(axis=1).clip(-1, 1)))
    assert smallest.min() > (2.0 if name.startswith("teeth") else 7.0)


def test_the_head_mirrors_onto_itself(head):
    mirror = head.mirror
    assert np.array_equal(mirror[mirror], np.arange(len(mirror)))
    assert np.abs(head.neutral_vertices[mirror] * [-1, 1, 1] - head.neutral_vertices).max() < 1e-3
    mirrored = np.where(head.faces < 0, -1, mirror[head.faces])
    rows = {frozenset(face[face >= 0].tolist()) for face in head.faces}
    assert rows == {frozenset(face[face >= 0].tolist()) for face in mirrored}


def test_triangles_split_the_quads_in_face_order(head):
    counts = np.where(head.faces[:, 3] < 0, 1, 2)
    assert len(head.triangles) == counts.sum()
    owner = np.repeat(np.arange(len(head.faces)), counts)
    assert (head.triangles[:, :, None] == head.faces[owner][:, None]).any(axis=2).all()


def test_quads_are_split_on_the_shorter_diagonal():
    vertices = np.array([[0, 0, 0], [2, 0, 0], [3, 1, 0], [1, 1, 0]], float)
    faces = np.array([[0, 1, 2, 3], [0, 1, 2, -1]])
    assert split_quads(faces, vertices).tolist() == [[0, 1, 3], [1, 2, 3], [0, 1, 2]]


def test_every_part_material_is_named_and_used(head):
    names = head.config["material_names"]
    for part, expected in {
        "eye_left": {"pupil", "iris", "limbus", "sclera"},
        "eye_right": {"pupil", "iris", "limbus", "sclera"},
        "teeth_upper": {"teeth", "gums"},
        "teeth_lower": {"teeth", "gums"},
        "tongue": {"tongue"},
    }.items():
        assert {names[index] for index in head.face_material[faces_of(head, part)]} == expected


def test_sixteen_crowns_stand_in_each_row(head):
    """From the front of the mouth to its back, the biting edge rises and falls once per tooth."""
    for name, sign in (("teeth_upper", -1), ("teeth_lower", 1)):
        start, end = head.parts[name]
        edge = sign * head.neutral_vertices[start:end].reshape(-1, 7, 3)[:, 3, 1]
        notches = (edge[1:-1] < edge[:-2] - 0.2) & (edge[1:-1] < edge[2:] - 0.2)
        assert notches.sum() == 15


def test_uv_islands_of_the_parts_overlap_nothing(head):
    size = 1024
    count = np.zeros((size, size), int)
    uv_faces = head.uv_faces
    triangles = np.concatenate([uv_faces[:, :3], uv_faces[uv_faces[:, 3] >= 0][:, [0, 2, 3]]])
    of_part = head.faces[:, 0] >= head.skin_vertices
    of_part = np.concatenate([of_part, of_part[uv_faces[:, 3] >= 0]])
    part_pixels = np.zeros((size, size), bool)
    assert head.uv.min() >= 0.0
    assert head.uv.max() <= 1.0
    for corners, is_part in zip(head.uv[triangles].astype(np.float64) * size, of_part, strict=True):
        low, high = np.floor(corners.min(axis=0)).astype(int), np.ceil(corners.max(axis=0)).astype(int)
        x, y = np.meshgrid(np.arange(low[0], high[0]) + 0.5, np.arange(low[1], high[1]) + 0.5)
        inside = np.ones_like(x, bool)
        for one, two in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            inside &= (two[0] - one[0]) * (y - one[1]) - (two[1] - one[1]) * (x - one[0]) > 1e-9
        rows, columns = np.nonzero(inside)
        count[rows + low[1], columns + low[0]] += 1
        if is_part:
            part_pixels[rows + low[1], columns + low[0]] = True
    assert part_pixels.sum() > 0.03 * size**2
    assert count[part_pixels].max() == 1


def test_packing_refuses_a_full_tile():
    island = Island(
        np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float), np.array([[0, 1, 2, 3]]), np.array([0])
    )
    everything = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float)
    with pytest.raises(NoRoomError):
        pack([island], [1.0], everything, np.array([[0, 1, 2], [0, 2, 3]]))


def test_packing_keeps_clear_of_the_skin_and_of_other_islands():
    square = Island(
        np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float), np.array([[0, 1, 2, 3]]), np.array([0])
    )
    strip = Island(np.array([[0, 0], [4, 0], [4, 1], [0, 1]], float), np.array([[0, 1, 2, 3]]), np.array([0]))
    lower_half = np.array([[0, 0], [1, 0], [1, 0.5], [0, 0.5]])
    one, two = pack([square, strip], [1.0, 1.0], lower_half, np.array([[0, 1, 2], [0, 2, 3]]))
    for uv in (one, two):
        assert uv[:, 1].min() > 0.5
        assert uv.max() < 1.0
    gap = np.maximum(one.min(axis=0) - two.max(axis=0), two.min(axis=0) - one.max(axis=0))
    assert gap.max() > 1.0 / CELLS
    assert max(np.ptp(two, axis=0)) / max(np.ptp(one, axis=0)) == pytest.approx(4.0)
    assert max(np.ptp(two, axis=0)) > 0.8


def test_upright_islands_turn_counter_clockwise():
    quads = grid(3, 4, closed_columns=False)
    plane = np.stack(np.meshgrid(np.arange(4.0), np.arange(3.0)), axis=-1).reshape(-1, 2)
    for faces in (quads, turned(quads)):
        island = upright(Island(plane - 5.0, faces, np.arange(len(faces))))
        a, b, c = (island.uv[faces[:, corner]] for corner in range(3))
        assert ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0] > 0).all()
        assert island.uv.min() == 0.0


def test_lids_lie_outside_the_eyeballs(head):
    for side, name in enumerate(("eye_left", "eye_right")):
        start, end = head.parts[name]
        white = np.unique(head.faces[head.face_material == head.config["material_names"].index("sclera")])
        white = head.neutral_vertices[white[(white >= start) & (white < end)]]
        centre = sphere_centre(white)
        radius = np.linalg.norm(white - centre, axis=1)
        assert np.ptp(radius) < 0.01
        lid_edge = head.neutral_vertices[head.eye_rings[side, head.config["lid_edge_ring"]]]
        clearance = np.linalg.norm(lid_edge - centre, axis=1) - radius.mean()
        assert clearance.min() > 0.1
        assert np.median(clearance) < 1.5


@pytest.mark.parametrize(
    "weights",
    [
        {},
        {"jawOpen": 1.0},
        {"jawOpen": 0.5, "jawLeft": 0.7},
        {
            "mouthUpperUpLeft": 1.0,
            "mouthUpperUpRight": 1.0,
            "mouthLowerDownLeft": 1.0,
            "mouthLowerDownRight": 1.0,
        },
        {"mouthStretchLeft": 1.0, "mouthStretchRight": 1.0},
        {"mouthPucker": 1.0},
    ],
)
def test_teeth_and_tongue_stay_inside_the_mouth(head, weights):
    """No point of them, seen half a millimetre below their surface, is in the flesh."""
    vertices = expressing(head, **weights).astype(np.float64)
    skin = vertices[: head.skin_vertices]
    for name in ("teeth_upper", "teeth_lower", "tongue"):
        triangles = triangles_of(head, name)
        start, end = head.parts[name]
        a, b, c = vertices[triangles].transpose(1, 0, 2)
        normals = np.zeros_like(vertices)
        np.add.at(normals, triangles, np.cross(b - a, c - a)[:, None])
        normals = normals[start:end] / np.linalg.norm(normals[start:end], axis=1, keepdims=True)
        points = (vertices[start:end] - 0.5 * normals)[::3]
        assert (winding_number(points, skin, head.skin_triangles) < 0.5).all(), name


def test_pupils_move_no_skin_and_looks_no_teeth(head):
    basis = head.expression_basis
    pupils = [UNIT_INDEX["pupilDilateLeft"], UNIT_INDEX["pupilDilateRight"]]
    assert not basis[pupils, : head.skin_vertices].any()
    upper = slice(*head.parts["teeth_upper"])
    assert not basis[:, upper].any()
    eyes = slice(head.parts["eye_left"][0], head.parts["eye_right"][1])
    moving = {name for name in UNIT_NAMES if basis[UNIT_INDEX[name], eyes].any()}
    assert moving == {name for name in UNIT_NAMES if name.startswith(("eyeLook", "pupilDilate"))}


def test_parts_belong_to_the_person(head):
    for name in PARTS:
        start, end = head.parts[name]
        around = np.linalg.norm(head.identity_basis[:15, start:end], axis=2).mean(axis=1)
        assert np.sqrt((around**2).sum()) > 2.0, name


def test_quantisation_is_finer_than_a_hundredth_of_a_millimetre(head):
    assert max(head.identity_scale.max(), head.expression_scale.max()) / 2 < 0.01
    fields = np.random.default_rng(0).normal(0, 10, (3, 50, 3)).astype(np.float32)
    fields[1] = 0.0
    quanta, scale = quantised(fields)
    assert np.abs(quanta * scale[:, None, None] - fields).max() <= 0.51 * scale.max()
    assert not quanta[1].any()


def test_the_licence_of_the_data_travels_with_it(head):
    notice = head.config["data_notice"]
    assert "ICT-FaceKit" in notice
    assert "Permission is hereby granted" in notice
    assert "University of Southern California" in notice or "Institute for Creative Technologies" in notice


def test_whole_head_and_skin_alone_are_recognised(head):
    assert head.config["fingerprint"] in head.fingerprints
    assert sum(name.startswith(f"{head.skin_vertices}-") for name in head.fingerprints) >= 1


def test_saved_heads_load_again(head, tmp_path):
    head.save(tmp_path)
    again = Head.load(tmp_path)
    assert again.config == dict(head.config)
    assert np.array_equal(again.identity_q, head.identity_q)
    assert np.array_equal(again.uv_faces, head.uv_faces)


def test_damaged_heads_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="cannot be read"):
        Head.load(tmp_path)
    shutil.copy(FOLDER / "config.json", tmp_path)
    (tmp_path / "head.safetensors").write_bytes(b"\x80\x04pickle")
    with pytest.raises(CheckpointError, match="cannot be read"):
        Head.load(tmp_path)
    arrays = load_file(FOLDER / "head.safetensors")
    del arrays["jaw_weight"]
    save_file(arrays, tmp_path / "head.safetensors")
    with pytest.raises(CheckpointError, match="jaw_weight"):
        Head.load(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({})[:-1])
    with pytest.raises(CheckpointError, match="cannot be read"):
        Head.load(tmp_path)


@pytest.mark.skipif(not ICT_FOLDER.is_dir(), reason="ICT-FaceKit is not at hand")
def test_skin_shapes_are_ict_carried_over_exactly(head):
    ict = ICT.load(ICT_FOLDER)
    arrays = load_file(FOLDER / "transfer.safetensors")
    transfer = sparse.csr_matrix((arrays["data"], arrays["indices"], arrays["indptr"]), shape=arrays["shape"])
    skin = head.skin_vertices
    assert transfer.shape[0] == skin
    for name in ("jawOpen", "mouthPucker", "eyeBlink_L"):
        unit = ict.expression_names.index(name)
        carried = transfer @ ict.expressions[unit, : transfer.shape[1]]
        assert np.abs(carried - head.expression_basis[unit, :skin]).max() < 0.01
    for mode in (0, 7, 99):
        carried = transfer @ ict.identities[mode, : transfer.shape[1]]
        assert np.abs(carried - head.identity_basis[mode, :skin]).max() < 0.01
