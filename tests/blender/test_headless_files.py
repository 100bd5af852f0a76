"""Heads go in and animations come out in the file's own coordinates."""

import json
import struct

import numpy as np
import pytest

import tests.blender.extension  # noqa: F401  # puts dimple_under_test on the path, before bpy

bpy = pytest.importorskip("bpy")

from dimple_under_test.addon import exporters, importers  # noqa: E402

FRAMES, FRAME_RATE = 5, 25.0


def grid_head(name="Head", size=4):
    """A bumpy size x size patch of quads with a UV seam down the middle and two materials."""
    mesh = bpy.data.meshes.new(name)
    x, y = np.meshgrid(np.arange(size), np.arange(size))
    vertices = np.stack([x, y, np.sin(x * 1.3) + 0.2 * y], -1).reshape(-1, 3).astype(np.float32)
    faces = [
        [r * size + c, r * size + c + 1, (r + 1) * size + c + 1, (r + 1) * size + c]
        for r in range(size - 1)
        for c in range(size - 1)
    ]
    mesh.from_pydata(vertices.tolist(), [], faces)
    uv = mesh.uv_layers.new(name="UVMap").uv
    for loop in mesh.loops:
        island = 0.0 if mesh.polygons[loop.index // 4].center.x < 1.6 else 5.0
        uv[loop.index].vector = vertices[loop.vertex_index, :2] / 10 + island
    mesh.materials.append(bpy.data.materials.new("skin"))
    mesh.materials.append(bpy.data.materials.new("lips"))
    mesh.polygons.foreach_set("material_index", np.arange(len(faces), dtype=np.int32) % 2)
    head = bpy.data.objects.new(name, mesh)
    bpy.context.scene.collection.objects.link(head)
    return head


def coordinates(mesh):
    out = np.empty((len(mesh.vertices), 3), np.float32)
    mesh.vertices.foreach_get("co", out.reshape(-1))
    return out


@pytest.fixture
def head():
    importers.empty_scene()
    return grid_head()


@pytest.fixture
def animation(head):
    rng = np.random.default_rng(0)
    neutral = coordinates(head.data)
    head.data.calc_loop_triangles()
    triangles = np.array([t.vertices[:] for t in head.data.loop_triangles], np.int32)
    return exporters.Animation(
        neutral_vertices=neutral,
        triangles=triangles,
        deformations=rng.normal(size=(FRAMES, len(neutral), 3)).astype(np.float32),
        expression_signal=rng.random((FRAMES, 3), np.float32),
        unit_names=("jawOpen", "eyeBlinkLeft", "mouthPucker"),
        frame_rate=FRAME_RATE,
    )


def key_frames(head, animation):
    """Keys f0, f1, ... each at 1 on its own frame, from frame 1."""
    head.shape_key_add(name="Basis", from_mix=False)
    for number, deformation in enumerate(animation.deformations):
        key = head.shape_key_add(name=f"f{number}", from_mix=False)
        key.points.foreach_set("co", (animation.neutral_vertices + deformation).reshape(-1))
        for frame in (number, number + 1, number + 2):
            key.value = float(frame == number + 1)
            key.keyframe_insert("value", frame=frame)
    bpy.context.scene.frame_start, bpy.context.scene.frame_end = 1, FRAMES
    bpy.context.scene.render.fps = int(FRAME_RATE)


def test_npz_holds_the_six_arrays(animation, tmp_path):
    path = tmp_path / "anim.npz"
    exporters.write_npz(path, animation)
    with np.load(path, allow_pickle=False) as arrays:
        assert set(arrays) == {
            "neutral_vertices", "triangles", "deformations", "expression_signal", "unit_names", "frame_rate",
        }  # fmt: skip
        np.testing.assert_array_equal(arrays["deformations"], animation.deformations)
        assert arrays["deformations"].dtype == np.float32
        assert tuple(arrays["unit_names"]) == animation.unit_names
        assert arrays["frame_rate"] == FRAME_RATE
    head = importers.read_head(path)
    np.testing.assert_array_equal(coordinates(head.data), animation.neutral_vertices)


def test_mdd_is_big_endian_and_blender_plays_it(head, animation, tmp_path):
    path = tmp_path / "anim.mdd"
    exporters.write_mdd(path, animation)
    data = path.read_bytes()
    points = len(animation.neutral_vertices)
    assert struct.unpack(">2i", data[:8]) == (FRAMES, points)
    seconds = np.frombuffer(data, ">f4", FRAMES, offset=8)
    np.testing.assert_allclose(seconds, np.arange(FRAMES) / FRAME_RATE, rtol=1e-6)
    assert len(data) == 8 + 4 * FRAMES + 12 * FRAMES * points

    cache = head.modifiers.new("cache", "MESH_CACHE")
    cache.cache_format, cache.filepath, cache.frame_start = "MDD", str(path), 1.0
    cache.forward_axis, cache.up_axis = "POS_Y", "POS_Z"
    bpy.context.scene.render.fps = int(FRAME_RATE)
    for frame in range(FRAMES):
        bpy.context.scene.frame_set(1 + frame)
        played = head.evaluated_get(bpy.context.evaluated_depsgraph_get()).to_mesh()
        np.testing.assert_allclose(
            coordinates(played), animation.neutral_vertices + animation.deformations[frame], atol=1e-5
        )


def glb_json(path):
    data = path.read_bytes()
    assert data[:4] == b"glTF"
    (length,) = struct.unpack("<I", data[12:16])
    return json.loads(data[20 : 20 + length])


def test_glb_keeps_names_and_timing(head, animation, tmp_path):
    key_frames(head, animation)
    path = tmp_path / "anim.glb"
    exporters.write_glb(path, head)
    gltf = glb_json(path)
    (mesh,) = gltf["meshes"]
    assert mesh["extras"]["targetNames"] == [f"f{i}" for i in range(FRAMES)]
    (clip,) = gltf["animations"]
    (channel,) = clip["channels"]
    assert channel["target"]["path"] == "weights"
    times = gltf["accessors"][clip["samplers"][channel["sampler"]]["input"]]
    assert times["min"] == [0.0]
    assert times["max"][0] >= (FRAMES - 1) / FRAME_RATE


def test_glb_gives_vertices_back_in_order(head, animation, tmp_path):
    key_frames(head, animation)
    path = tmp_path / "anim.glb"
    exporters.write_glb(path, head)
    gltf = glb_json(path)
    split = gltf["accessors"][gltf["meshes"][0]["primitives"][0]["attributes"]["POSITION"]]
    again = importers.read_head(path)
    assert split["count"] != len(again.data.vertices), "the test needs a head that glTF splits"
    world = np.array(again.matrix_world)
    placed = coordinates(again.data) @ world[:3, :3].T + world[:3, 3]
    np.testing.assert_allclose(placed, animation.neutral_vertices, atol=1e-5)
    last = np.empty((len(again.data.vertices), 3), np.float32)
    again.data.shape_keys.key_blocks[f"f{FRAMES - 1}"].points.foreach_get("co", last.reshape(-1))
    np.testing.assert_allclose(
        last @ world[:3, :3].T, animation.neutral_vertices + animation.deformations[-1], atol=1e-5
    )


def test_blend_opens_ready(head, animation, tmp_path):
    key_frames(head, animation)
    path = tmp_path / "anim.blend"
    exporters.write_blend(path, head)
    assert path.read_bytes()[:4] == b"\x28\xb5\x2f\xfd", "not compressed"
    again = importers.read_head(path)
    assert again.select_get()
    assert bpy.context.view_layer.objects.active == again
    assert bpy.context.scene.frame_current == bpy.context.scene.frame_start == 1
    assert [key.name for key in again.data.shape_keys.key_blocks][1:] == [f"f{i}" for i in range(FRAMES)]
    assert not list(tmp_path.glob("*.blend1"))


def test_obj_round_trip_keeps_quads(head, animation, tmp_path):
    path = tmp_path / "head.obj"
    exporters.write_obj(path, head)
    assert {file.name for file in tmp_path.iterdir()} == {"head.obj", "head.mtl"}
    again = importers.read_head(path)
    world = np.array(again.matrix_world)
    np.testing.assert_allclose(
        coordinates(again.data) @ world[:3, :3].T, animation.neutral_vertices, atol=1e-5
    )
    assert all(len(polygon.vertices) == 4 for polygon in again.data.polygons)
    assert [material.name for material in again.data.materials] == ["skin", "lips"]


OBJ = "v 1 2 3\nv 2 2 3\nv 2 3 4\nv 1 3 4\nf 1 2 3 4\n"
PLY = (
    "ply\nformat ascii 1.0\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z\n"
    "element face 1\nproperty list uchar int vertex_indices\nend_header\n1 2 3\n2 2 3\n2 3 4\n1 3 4\n"
    "4 0 1 2 3\n"
)


@pytest.mark.parametrize(("name", "text"), [("head.obj", OBJ), ("head.ply", PLY)])
def test_text_files_are_read_without_axis_conversion(name, text, tmp_path):
    path = tmp_path / name
    path.write_text(text)
    mesh = importers.read_head(path).data
    np.testing.assert_array_equal(coordinates(mesh), [[1, 2, 3], [2, 2, 3], [2, 3, 4], [1, 3, 4]])


def write_two_objects(path):
    importers.empty_scene()
    grid_head("Ada")
    grid_head("Grace")
    bpy.context.view_layer.objects.active = None
    bpy.ops.wm.save_as_mainfile(filepath=str(path), copy=True)


def test_object_is_chosen_by_name(tmp_path):
    path = tmp_path / "two.blend"
    write_two_objects(path)
    assert importers.read_head(path, "Grace").name == "Grace"
    with pytest.raises(importers.HeadFileError, match="choose one with --object: Ada, Grace"):
        importers.read_head(path)
    with pytest.raises(importers.HeadFileError, match="no mesh object “Alan”; it has Ada, Grace"):
        importers.read_head(path, "Alan")


BAD_FILES = {
    "picture.jpg": (b"", "none of the files a head is read from"),
    "noise.obj": (b"garbage\n", "has no mesh"),
    "noise.ply": (b"garbage\n", "Blender cannot read"),
    "noise.glb": (b"garbage\n", "Blender cannot read"),
    "noise.blend": (b"garbage\n", "Blender cannot read"),
    "noise.npz": (b"garbage\n", "no readable .npz"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_unreadable_files_are_refused_in_one_sentence(name, tmp_path):
    contents, sentence = BAD_FILES[name]
    (tmp_path / name).write_bytes(contents)
    with pytest.raises(importers.HeadFileError, match=sentence) as refusal:
        importers.read_head(tmp_path / name)
    assert "\n" not in str(refusal.value)


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(importers.HeadFileError, match="There is no file"):
        importers.read_head(tmp_path / "none.obj")


VERTICES, TRIANGLES = np.eye(3, dtype=np.float32), np.array([[0, 1, 2]])
BAD_ARRAYS = {
    "lacks": {"neutral_vertices": VERTICES},
    r"must be \(V, 3\)": {"neutral_vertices": VERTICES[:, :2], "triangles": TRIANGLES},
    r"must be \(F, 3\)": {"neutral_vertices": VERTICES, "triangles": TRIANGLES.astype(float)},
    "not there": {"neutral_vertices": VERTICES, "triangles": TRIANGLES + 1},
    "no readable": {"neutral_vertices": np.array([{"a pickle": 1}]), "triangles": TRIANGLES},
}


@pytest.mark.parametrize("sentence", BAD_ARRAYS)
def test_wrong_arrays_are_refused(sentence, tmp_path):
    np.savez(tmp_path / "head.npz", **BAD_ARRAYS[sentence])
    with pytest.raises(importers.HeadFileError, match=sentence):
        importers.read_head(tmp_path / "head.npz")


def test_failed_write_leaves_the_earlier_file(tmp_path):
    path = tmp_path / "anim.npz"
    path.write_text("earlier")

    def write_half():
        with exporters.replacing(path) as unfinished:
            unfinished.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_half()
    assert path.read_text() == "earlier"
    assert list(tmp_path.iterdir()) == [path]
