"""`python -m addon` from the outside: its files, its exit status, its one sentence on stderr."""

import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import bpy
import numpy as np
import pytest
from dimple_under_test.addon import command_line, importers, recipe

from tests.blender import fake_worker
from tests.blender.extension import ROOT

FRAMES = 6


def command(worker_python, *arguments):
    options = ["--worker-python", str(worker_python)]
    return [sys.executable, "-m", "addon", *map(str, arguments), *options]


def from_outside(arguments):
    return subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.fixture
def run(worker_python, capsys):
    """Runs the command line in this process, which saves the start of another."""

    def completed(*arguments):
        capsys.readouterr()
        status = command_line.main([*map(str, arguments), "--worker-python", str(worker_python)])
        return SimpleNamespace(returncode=status, stderr=capsys.readouterr().err)

    return completed


@pytest.fixture
def animate(run):
    """Animates a head, for FRAMES frames."""

    def completed(head, out, *arguments, expression="happiness"):
        return run("animate", head, "--expression", expression, "--frames", FRAMES, "--out", out, *arguments)

    return completed


@pytest.fixture
def obj_head(tmp_path):
    """A file with the stand-in's head in millimetres, +Y up."""
    arrays = fake_worker.head_arrays()
    lines = [f"v {x:.4f} {y:.4f} {z:.4f}" for x, y, z in arrays["neutral_vertices"]]
    lines += ["f " + " ".join(str(i + 1) for i in face if i >= 0) for face in arrays["faces"]]
    path = tmp_path / "head.obj"
    path.write_text("\n".join(lines) + "\n")
    return path


def error_sentence(result):
    """The only line on stderr that is no progress."""
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("dimple")]
    return line


def test_obj_becomes_npz_in_its_own_units_and_axes(worker_python, obj_head, tmp_path):
    out = tmp_path / "anim.npz"
    options = ["--expression", "happiness", "--frames", FRAMES, "--seed", 3, "--intensity", 0.8]
    result = from_outside(
        command(worker_python, "animate", obj_head, *options, "--frame-rate", 29.97, "--out", out)
    )
    assert result.returncode == 0, result.stderr
    neutral = fake_worker.head_arrays()["neutral_vertices"]
    with np.load(out, allow_pickle=False) as arrays:
        np.testing.assert_allclose(arrays["neutral_vertices"], neutral, atol=1e-4)
        expected = fake_worker.deformations(arrays["neutral_vertices"], FRAMES, 3)
        np.testing.assert_array_equal(arrays["deformations"], expected)
        assert arrays["expression_signal"].shape == (FRAMES, len(fake_worker.UNIT_NAMES))
        assert arrays["expression_signal"].max() == pytest.approx(0.8)
        assert tuple(arrays["unit_names"]) == tuple(fake_worker.UNIT_NAMES)
        assert arrays["frame_rate"] == pytest.approx(29.97)
        assert arrays["triangles"].max() == len(neutral) - 1
    assert "Generating" in result.stderr
    assert f"Wrote {out}: {FRAMES} frames" in result.stderr


def test_new_person_becomes_a_blend_that_is_ready_to_play(animate, tmp_path, shape):
    out = tmp_path / "anim.blend"
    result = animate("dimple:5", out, "--expression", "jawOpen=0.5", "--profile", "blink")
    assert result.returncode == 0, result.stderr
    head = importers.read_head(out)
    scene = bpy.context.scene
    assert (scene.frame_start, scene.frame_end, scene.frame_current) == (1, FRAMES, 1)
    assert head.select_get()
    (stored,) = recipe.read_recipes(head).values()
    assert stored.request.expressions == ("happiness", "jawOpen=0.5")
    assert stored.request.profile == "blink"
    neutral = shape(head, 1)
    expected = fake_worker.deformations(neutral, FRAMES, 0)[-1]
    np.testing.assert_allclose(shape(head, FRAMES) - neutral, expected, atol=1e-6)


def test_artists_file_keeps_its_scene(animate, obj_head, tmp_path):
    head = importers.read_head(obj_head)
    head.shape_key_add(name="Basis")
    head.shape_key_add(name="mine").value = 0.25
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end, scene.render.fps = 10, 500, 25
    bpy.context.view_layer.objects.active = head
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"), copy=True)

    assert animate(tmp_path / "scene.blend", tmp_path / "anim.blend").returncode == 0
    again = importers.read_head(tmp_path / "anim.blend")
    scene = bpy.context.scene
    assert (scene.frame_start, scene.frame_end, scene.render.fps) == (10, 500, 25)
    keys = again.data.shape_keys.key_blocks
    assert [key.name for key in keys][:2] == ["Basis", "mine"]
    assert keys["mine"].value == 0.25
    assert len(keys) == 2 + FRAMES
    (stored,) = recipe.read_recipes(again).values()
    assert (stored.start_frame, stored.request.frame_rate) == (10, 25.0)


def test_glb_can_be_animated_again(animate, run, tmp_path):
    person, out = tmp_path / "person.glb", tmp_path / "anim.glb"
    assert run("head", "--seed", 2, "--out", person).returncode == 0
    assert animate(person, out).returncode == 0
    again = importers.read_head(out)
    keys = again.data.shape_keys.key_blocks
    assert [key.name for key in keys][1:] == [f"happiness {i + 1:03d}" for i in range(FRAMES)]
    assert len(again.data.vertices) == fake_worker.SIZE**2


def test_mdd_has_every_frame(animate, obj_head, tmp_path):
    out = tmp_path / "anim.mdd"
    assert animate(obj_head, out).returncode == 0
    assert struct.unpack(">2i", out.read_bytes()[:8]) == (FRAMES, fake_worker.SIZE**2)


@pytest.mark.parametrize("suffix", [".blend", ".obj", ".glb", ".npz"])
def test_new_person_is_read_back(run, suffix, tmp_path):
    out = tmp_path / f"person{suffix}"
    assert run("head", "--seed", 7, "--out", out).returncode == 0
    head = importers.read_head(out)
    world = np.array(head.matrix_world)[:3, :3]
    vertices = np.array([vertex.co for vertex in head.data.vertices]) @ world.T
    x, y, z = fake_worker.head_arrays(7)["neutral_vertices"].T
    np.testing.assert_allclose(vertices, np.stack([x, -z, y], axis=1) / 1000, atol=1e-6)


REFUSALS = [
    (["--expression", "refuse"], 2, "no expression called “refuse”"),
    (["--expression", "crash"], 1, "exit code 7"),
    (["--expression", "wrong_shape"], 1, "does not fit the head"),
    (["--expression", "nonfinite"], 1, "does not fit the head"),
    (["--expression", "no_result"], 1, "result cannot be read"),
    (["--expression", "pickle"], 1, "result cannot be read"),
    (["--object", "nobody"], 2, "no mesh object “nobody”"),
    (["--frames", "0"], 2, "not from 1 to"),
    (["--frame-rate", "nan"], 2, "not a finite number"),
    (["--seed", "-1"], 2, "not from 0 to"),
]


@pytest.mark.parametrize(("arguments", "status", "sentence"), REFUSALS)
def test_refusals_say_why_and_write_nothing(animate, obj_head, tmp_path, arguments, status, sentence):
    out = tmp_path / "anim.npz"
    out.write_text("earlier")
    result = animate(obj_head, out, *arguments)
    assert result.returncode == status
    assert sentence in error_sentence(result)
    assert out.read_text() == "earlier"
    assert {file.name for file in tmp_path.iterdir()} == {"head.obj", "anim.npz"}


BAD_OUTPUTS = [
    ("anim.txt", "none of the files that can be written"),
    ("missing/anim.npz", "There is no folder"),
    ("folder.npz", "is a folder"),
    ("head.npz", "would replace the head"),
]


@pytest.mark.parametrize(("name", "sentence"), BAD_OUTPUTS)
def test_useless_outputs_are_refused_before_the_work(animate, tmp_path, name, sentence):
    (tmp_path / "folder.npz").mkdir()
    head = tmp_path / "head.npz"
    np.savez(head, neutral_vertices=np.eye(3, dtype=np.float32), triangles=[[0, 1, 2]])
    result = animate(head, tmp_path / name)
    assert result.returncode == 2
    assert sentence in error_sentence(result)
    assert "Starting the worker" not in result.stderr


def test_bad_heads_are_refused(animate, tmp_path):
    flat = tmp_path / "flat.npz"
    np.savez(flat, neutral_vertices=np.zeros((3, 3), np.float32), triangles=[[0, 1, 2]])
    for head, sentence in {
        flat: "have no area",
        tmp_path / "none.obj": "There is no file",
        "dimple:me": "no seed of a new person",
    }.items():
        result = animate(head, tmp_path / "anim.npz")
        assert (result.returncode, sentence in error_sentence(result)) == (2, True), result.stderr


def test_python_that_is_none_is_a_worker_failure(obj_head, tmp_path):
    arguments = ["animate", obj_head, "--expression", "happiness", "--out", tmp_path / "anim.npz"]
    result = from_outside(command(tmp_path / "no python", *arguments))
    assert result.returncode == 1
    assert "cannot be started" in error_sentence(result)


def children_of(pid):
    listed = subprocess.run(["ps", "-eo", "ppid,pid"], capture_output=True, text=True, check=True).stdout
    rows = [tuple(map(int, line.split())) for line in listed.splitlines()[1:]]
    return [child for parent, child in rows if parent == pid]


def test_ctrl_c_cancels_and_ends_the_worker(worker_python, obj_head, tmp_path):
    out = tmp_path / "anim.npz"
    process = subprocess.Popen(
        command(worker_python, "animate", obj_head, "--expression", "slow", "--out", out),
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    while "Generating" not in process.stderr.readline():
        pass
    (worker,) = children_of(process.pid)
    pressed = time.monotonic()
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=30)[1]
    assert process.returncode == 130
    assert time.monotonic() - pressed < 5
    assert "Cancelled; nothing was written." in rest
    assert not out.exists()
    assert not Path(f"/proc/{worker}").exists()


def test_unwritable_folder_is_refused(animate, obj_head, tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    result = animate(obj_head, locked / "anim.npz")
    assert (result.returncode, "cannot be written to" in error_sentence(result)) == (2, True)


def test_full_disk_leaves_the_earlier_file(worker_python, obj_head, tmp_path):
    """A limit on file size stands in for the disk: writing fails with the same kind of error."""
    out = tmp_path / "anim.mdd"
    out.write_text("earlier")
    arguments = ["animate", obj_head, "--expression", "happiness", "--frames", "2000", "--out", out]
    limited = ["bash", "-c", 'ulimit -f 400 && exec "$@"', "bash"]
    result = from_outside([*limited, *command(worker_python, *arguments)])
    assert result.returncode == 1
    assert out.read_text() == "earlier"
    assert {file.name for file in tmp_path.iterdir()} == {"head.obj", "anim.mdd"}


def test_words_moments_and_keyframed_units_from_the_command_line(run, obj_head, tmp_path):
    out = tmp_path / "anim.npz"
    spoken = run("animate", obj_head, "--prompt", "jawOpen zzyzx", "--frames", FRAMES, "--out", out)
    assert spoken.returncode == 0, spoken.stderr
    assert "is jawOpen=0.5" in spoken.stderr
    assert "Not understood: zzyzx." in spoken.stderr
    moments = tmp_path / "moments.json"
    moments.write_text('[{"time": 0.25, "expression": "happiness", "intensity": 0.8}, {"time": 0.5}]')
    blend = tmp_path / "anim.blend"
    listed = run("animate", obj_head, "--moments", moments, "--moment", "1:jawOpen@0.2", "--out", blend)
    assert listed.returncode == 0, listed.stderr
    importers.empty_scene()
    head = importers.read_head(blend, None)
    request = next(iter(recipe.read_recipes(head).values())).request
    assert request.moments == ("1:jawOpen@0.2", "0.25:happiness=0.8", "0.5:neutral")
    assert request.frames == 25
    assert request.micro_motion == 1.0
    without = run("animate", obj_head, "--curves", "--out", out)
    assert without.returncode == 2
    assert "no keyframed units" in error_sentence(without)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--prompt", "zzyzx"], "no facial expression"),
        (["--moments", "nowhere.json"], "cannot be read"),
        (["--performance", "nowhere.csv"], "cannot be read"),
        (["--blinks", "many"], "many"),
    ],
)
def test_what_cannot_be_expressed_is_one_sentence(run, obj_head, tmp_path, options, sentence):
    result = run("animate", obj_head, *options, "--out", tmp_path / "anim.npz")
    assert result.returncode == 2
    assert sentence in result.stderr
    assert not (tmp_path / "anim.npz").exists()


def test_presets_are_saved_listed_and_used(run, obj_head, tmp_path, monkeypatch):
    from dimple_under_test.addon import preset_command, preset_files

    for module in (preset_command, preset_files):
        monkeypatch.setattr(module, "presets_folder", lambda: tmp_path / "presets")
    assert "no presets" in run("preset", "list").stderr
    picture = tmp_path / "face.png"
    picture.write_bytes(b"\x89PNG")
    made = ["--expression", "jawOpen=0.25", "--author", "Ann", "--preview", picture]
    saved = run("preset", "save", "Grandma", *made)
    assert saved.returncode == 0, saved.stderr
    assert (tmp_path / "presets" / "Grandma.png").read_bytes() == b"\x89PNG"
    assert "Grandma by Ann: jawOpen=0.25" in run("preset", "list").stderr
    refused = run("preset", "save", "taken", "--expression", "anger")
    assert refused.returncode == 2
    assert "already" in error_sentence(refused)
    assert run("preset", "save", "Other", "--expression", "anger", "--preview", "nowhere.png").returncode == 2
    out = tmp_path / "anim.blend"
    assert run("animate", obj_head, "--expression", "grandma", "--out", out).returncode == 0
    importers.empty_scene()
    head = importers.read_head(out, None)
    request = next(iter(recipe.read_recipes(head).values())).request
    assert request.presets == {"Grandma": {"jawOpen": 0.25}}
