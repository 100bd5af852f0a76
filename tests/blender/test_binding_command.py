"""`dimple bind`, and landmarks and companions of `animate` and `library`, without a window."""

import json
import struct
from types import SimpleNamespace

import bpy
import numpy as np
import pytest
from dimple_under_test.addon import command_line, importers

from tests.blender import fake_worker
from tests.blender.test_headless import FRAMES, error_sentence


@pytest.fixture
def run(worker_python, capsys):
    """Runs the command line in this process, where no add-on is enabled."""
    assert not hasattr(bpy.types.Object, "dimple")

    def completed(*arguments):
        capsys.readouterr()
        status = command_line.main([*map(str, arguments), "--worker-python", str(worker_python)])
        return SimpleNamespace(returncode=status, stderr=capsys.readouterr().err)

    yield completed
    assert not hasattr(bpy.types.Object, "dimple"), "nothing is left behind"


@pytest.fixture
def file(tmp_path, empty_file):
    """A file with a head of 39 vertices in it, an eye in its face and a lamp."""
    arrays = fake_worker.head_arrays()
    vertices = [*(arrays["neutral_vertices"] * 0.001).tolist(), *np.zeros((3, 3)).tolist()]
    faces = [[corner for corner in face if corner >= 0] for face in arrays["faces"].tolist()]
    mesh = bpy.data.meshes.new("Ann")
    mesh.from_pydata(vertices, [], faces)
    head = bpy.data.objects.new("Ann", mesh)
    bpy.ops.mesh.primitive_cube_add(size=0.004, location=(0.02, 0.02, 0.0))
    bpy.context.active_object.name = "Eye"
    for thing in (head, bpy.data.objects.new("Lamp", bpy.data.lights.new("Lamp", "POINT"))):
        bpy.context.collection.objects.link(thing)
    bpy.context.view_layer.objects.active = head
    path = tmp_path / "head.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    return path


def landmarks(folder, **places):
    path = folder / "marks.json"
    path.write_text(json.dumps(places or {"mouthLeft": [0.03, 0.02, 0.0], "noseTip": [0.02, 0.03, 0.0]}))
    return path


def test_bind_writes_all_that_it_promises(run, file, tmp_path):
    out = tmp_path / "binding.npz"
    result = run("bind", file, "--out", out)
    assert result.returncode == 0, result.stderr
    assert "Bound, 87% sure. The mouth could not be made out." in result.stderr
    assert "Fitting the head" in result.stderr
    with np.load(out, allow_pickle=False) as arrays:
        assert arrays["triangle"].shape == (39,)
        assert arrays["barycentric"].shape == (39, 3)
        assert arrays["confidence"].shape == arrays["rule"].shape == (39,)
        assert arrays["fitted_vertices"].shape == (fake_worker.SKIN, 3)
        assert float(arrays["score"]) == pytest.approx(0.87)
        assert arrays["warnings"].tolist() == ["The mouth could not be made out."]
        assert arrays["landmark_names"].tolist() == ["noseTip"]


def test_landmarks_of_a_file_are_used(run, file, tmp_path):
    out = tmp_path / "binding.npz"
    result = run("bind", file, "--landmarks", landmarks(tmp_path), "--out", out)
    assert result.returncode == 0, result.stderr
    with np.load(out) as arrays:
        assert not len(arrays["warnings"])
        places = dict(zip(arrays["landmark_names"].tolist(), arrays["landmarks"], strict=True))
    np.testing.assert_allclose(places["mouthLeft"], [0.03, 0.02, 0.0], atol=1e-6)


def animated(run, file, out, *arguments):
    result = run("animate", file, "--expression", "happiness", "--frames", FRAMES, "--out", out, *arguments)
    assert result.returncode == 0, result.stderr
    return out


@pytest.mark.parametrize("name", ["Eye", "find"])
def test_companions_are_in_the_npz(run, file, tmp_path, name):
    out = animated(run, file, tmp_path / "out.npz", "--companion", name)
    with np.load(out) as arrays:
        assert arrays["companion_names"].tolist() == ["Eye"]
        moved = arrays["companion_0_deformations"]
    np.testing.assert_allclose(moved[2], np.tile([3, 0, 0], (8, 1)), atol=1e-6)
    with np.load(animated(run, file, tmp_path / "alone.npz")) as arrays:
        assert "companion_names" not in arrays


def test_what_a_blend_file_says_of_its_head_is_remembered(run, file, tmp_path):
    out = animated(
        run, file, tmp_path / "out.blend", "--companion", "Eye", "--landmarks", landmarks(tmp_path)
    )
    importers.read_head(out)
    assert len(bpy.data.objects["Eye"].data.shape_keys.key_blocks) == 1 + FRAMES
    again = tmp_path / "binding.npz"
    result = run("bind", out, "--out", again)
    assert result.returncode == 0, result.stderr
    assert "“Eye”: left eye." in result.stderr
    with np.load(again) as arrays:
        assert "mouthLeft" in arrays["landmark_names"].tolist()


def test_what_a_companion_is_can_be_said(run, file, tmp_path):
    result = run("bind", file, "--companion", "Eye=jaw", "--out", tmp_path / "binding.npz")
    assert result.returncode == 0, result.stderr
    assert "“Eye”: jaw." in result.stderr


def test_a_glb_has_both_moving(run, file, tmp_path):
    raw = animated(run, file, tmp_path / "out.glb", "--companion", "Eye").read_bytes()
    length = struct.unpack_from("<I", raw, 12)[0]
    content = json.loads(raw[20 : 20 + length])
    targets = {mesh["name"]: mesh["extras"]["targetNames"] for mesh in content["meshes"]}
    assert len(targets) == 2
    assert all(len(names) == FRAMES for names in targets.values())
    (animation,) = content["animations"]
    moving = {content["nodes"][channel["target"]["node"]]["name"] for channel in animation["channels"]}
    assert moving == {"Ann", "Eye"}


def test_a_library_has_companions_too(run, file, tmp_path):
    out = tmp_path / "library.blend"
    result = run("library", file, "--companion", "Eye", "--only", "jawOpen", "--out", out)
    assert result.returncode == 0, result.stderr
    importers.read_head(out)
    assert "jawOpen" in bpy.data.objects["Eye"].data.shape_keys.key_blocks


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--companion", "Eyes"], "There is no object “Eyes” to follow the head; there is Eye, Lamp."),
        (["--companion", "Lamp"], "“Lamp” is no mesh"),
        (
            ["--companion", "Eye=ear"],
            "is called “ear”: write one of eye, jaw, tongue, skin, still",
        ),
        (["--landmarks", {"nose": [0, 0, 0]}], "There is no landmark “nose”; there are eyeOuterRight"),
        (
            ["--landmarks", {"chin": [0, 0]}],
            "The landmark “chin” in “marks.json” is not three finite numbers",
        ),
        (["--landmarks", {"chin": "here"}], "“marks.json” holds no landmarks"),
        (["--landmarks", {"chin": [0, 0, float("nan")]}], "is not three finite numbers"),
        (["--out", "binding.blend"], "none of the files that can be written: .npz"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(run, file, tmp_path, options, said):
    kind, value = options
    value = landmarks(tmp_path, **value) if isinstance(value, dict) else value
    arguments = [kind, tmp_path / value if kind == "--out" else value]
    arguments += [] if kind == "--out" else ["--out", tmp_path / "binding.npz"]
    result = run("bind", file, *arguments)
    assert result.returncode == 2
    assert said in error_sentence(result)
    assert not list(tmp_path.glob("binding*"))


def test_a_new_person_needs_neither(run, tmp_path, empty_file):
    out = tmp_path / "binding.npz"
    assert run("bind", "dimple:3", "--out", out).returncode == 0
    result = run("bind", "dimple:3", "--companion", "Eye", "--out", tmp_path / "other.npz")
    assert result.returncode == 2
    assert "leave --landmarks and --companion out" in error_sentence(result)


def test_a_cube_is_refused(run, tmp_path, empty_file):
    bpy.ops.mesh.primitive_cube_add()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "cube.blend"))
    result = run("bind", tmp_path / "cube.blend", "--out", tmp_path / "out.npz")
    assert result.returncode == 2
    assert error_sentence(result).startswith("dimple: No face was found on this mesh.")
