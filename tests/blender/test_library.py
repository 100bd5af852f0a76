"""Libraries in Blender: exact keys, driven correctives, updates in place, files for other programs."""

import argparse
import json
import struct
from pathlib import Path
from types import SimpleNamespace

import bpy
import numpy as np
import pytest
from dimple_under_test.addon import command_line, importers, library_writer
from dimple_under_test.addon.library_command import add_options, library_request
from dimple_under_test.addon.library_writer import ShapeLibrary, read_libraries, write_library
from dimple_under_test.addon.mesh_reader import HeadError
from dimple_under_test.addon.recipe import RecipeError

from tests.blender import fake_worker
from tests.blender.test_panels import Layout

ARKIT = fake_worker.SHAPES["arkit"]
CORRECTIVES = ["jawOpen+mouthFunnel", "jawOpen+mouthSmileLeft"]
VERTICES = fake_worker.SIZE**2


def generate(**settings):
    for name, value in settings.items():
        setattr(bpy.context.scene.dimple_library, name, value)
    return bpy.ops.dimple.generate_library()


def blocks(head):
    key = head.data.shape_keys
    return {block.name: block for block in key.key_blocks} if key is not None else {}


def offset(head, name):
    """(V, 3) what a key adds to the reference."""
    both = np.empty((2, VERTICES * 3), np.float32)
    blocks(head)[name].points.foreach_get("co", both[0])
    head.data.shape_keys.reference_key.points.foreach_get("co", both[1])
    return (both[0] - both[1]).reshape(-1, 3)


def neutral_of(head):
    neutral = np.empty(VERTICES * 3, np.float32)
    head.data.vertices.foreach_get("co", neutral)
    return neutral.reshape(-1, 3)


def expected(head, name, seed=None):
    return fake_worker.library_shape(neutral_of(head), name, seed).astype(np.float32)


def small_library(head, *names, pairs=()):
    shapes = np.array([expected(head, name) for name in names])
    lacking = np.array([expected(head, "+".join(pair)) for pair in pairs], np.float32)
    return ShapeLibrary(names, shapes, pairs, lacking.reshape(-1, VERTICES, 3))


# ------------------------------------------------------------------------------------------------ the panel


def test_a_library_is_one_key_a_shape_and_driven_correctives(head):
    assert generate() == {"FINISHED"}
    assert list(blocks(head)) == ["Basis", *ARKIT, *CORRECTIVES]
    for name in (*ARKIT[:-1], *CORRECTIVES):
        np.testing.assert_allclose(offset(head, name), expected(head, name), atol=1e-6)
    assert np.abs(offset(head, "tongueOut")).max() == 0
    assert all(block.value == 0 for name, block in blocks(head).items() if name != "Basis")  # 1 in 5.0
    record = read_libraries(head)["arkit"]
    assert record.key_names == tuple(ARKIT)
    assert record.correctives["jawOpen+mouthFunnel"] == ("jawOpen", "mouthFunnel")


def test_a_corrective_is_the_product_of_its_two_keys(head, shape):
    generate()
    neutral = shape(head, 1)
    blocks(head)["jawOpen"].value, blocks(head)["mouthFunnel"].value = 0.8, 0.5
    moved = shape(head, 2) - neutral
    parts = 0.8 * expected(head, "jawOpen") + 0.5 * expected(head, "mouthFunnel")
    np.testing.assert_allclose(moved, parts + 0.4 * expected(head, CORRECTIVES[0]), atol=1e-5)
    driver = head.data.shape_keys.animation_data.drivers[0].driver
    assert driver.is_simple_expression, "evaluated without Python: no security prompt"
    assert driver.is_valid


def test_updating_keeps_values_drivers_and_the_artists_own_keys(head):
    generate()
    mine = head.shape_key_add(name="mine", from_mix=False)
    mine.value = 0.3
    blocks(head)["jawOpen"].value = 0.7
    driven = blocks(head)["mouthSmileLeft"].driver_add("value").driver
    driven.expression = "0.25"
    before = list(blocks(head))
    own_expression = head.data.shape_keys.animation_data.drivers.find(f'key_blocks["{CORRECTIVES[0]}"].value')
    own_expression.driver.expression = "a * b * 0.5"

    assert generate(chance="SEED", seed=9) == {"FINISHED"}
    assert list(blocks(head)) == before
    np.testing.assert_allclose(offset(head, "jawOpen"), expected(head, "jawOpen", 9), atol=1e-6)
    assert blocks(head)["jawOpen"].value == pytest.approx(0.7)
    assert blocks(head)["mine"].value == pytest.approx(0.3)
    drivers = head.data.shape_keys.animation_data.drivers
    assert drivers.find('key_blocks["mouthSmileLeft"].value').driver.expression == "0.25"
    assert drivers.find(f'key_blocks["{CORRECTIVES[0]}"].value').driver.expression == "a * b * 0.5"
    assert len(drivers) == 3
    assert read_libraries(head)["arkit"].seed == 9


def test_only_the_chosen_shapes_are_made_again(head):
    generate()
    assert generate(only="mouthFunnel", chance="SEED", seed=4) == {"FINISHED"}
    np.testing.assert_allclose(offset(head, "mouthFunnel"), expected(head, "mouthFunnel", 4), atol=1e-6)
    np.testing.assert_allclose(offset(head, "jawOpen"), expected(head, "jawOpen"), atol=1e-6)
    np.testing.assert_allclose(offset(head, CORRECTIVES[0]), expected(head, CORRECTIVES[0], 4), atol=1e-6)
    np.testing.assert_allclose(offset(head, CORRECTIVES[1]), expected(head, CORRECTIVES[1]), atol=1e-6)
    assert read_libraries(head)["arkit"].key_names == tuple(ARKIT)


def test_the_active_key_can_be_made_again_alone(head):
    generate()
    head.active_shape_key_index = list(blocks(head)).index("mouthSmileRight")
    bpy.context.scene.dimple_library.chance = "SEED"
    assert bpy.ops.dimple.generate_library(only="mouthSmileRight") == {"FINISHED"}
    assert head.active_shape_key.name == "mouthSmileRight"


def test_a_few_shapes_first_and_their_correctives_when_both_are_there(head):
    generate(only="jawOpen")
    assert list(blocks(head)) == ["Basis", "jawOpen"]
    generate(only="mouthFunnel")
    assert list(blocks(head)) == ["Basis", "jawOpen", "mouthFunnel", CORRECTIVES[0]]


def test_correctives_that_are_not_wanted_any_more_go_with_their_drivers(head):
    generate()
    generate(correctives=False)
    assert list(blocks(head)) == ["Basis", *ARKIT]
    assert not head.data.shape_keys.animation_data.drivers
    assert read_libraries(head)["arkit"].correctives == {}


def test_two_sets_live_on_one_head(head):
    generate()
    generate(shape_set="metahuman")
    assert list(read_libraries(head)) == ["arkit", "metahuman"]
    corrective = "CTRL_expressions_mouthUpperLipRaiseL+noseWrinkleL"
    assert list(blocks(head))[-1] == corrective, "66 bytes with the prefix twice"
    assert bpy.ops.dimple.remove_library(shape_set="arkit") == {"FINISHED"}
    assert list(blocks(head)) == ["Basis", *fake_worker.SHAPES["metahuman"], corrective]
    assert len(head.data.shape_keys.animation_data.drivers) == 1
    bpy.ops.dimple.remove_library(shape_set="metahuman")
    assert library_writer.PROPERTY not in head


def test_keys_of_somebody_else_are_not_touched_unless_asked(head):
    head.shape_key_add(name="Basis")
    foreign = head.shape_key_add(name="jawOpen", from_mix=False)
    foreign.driver_add("value").driver.expression = "0.5"
    with pytest.raises(RuntimeError, match="“jawOpen” is on “Ann” already and not of this library"):
        generate()
    assert list(blocks(head)) == ["Basis", "jawOpen"]
    assert np.abs(offset(head, "jawOpen")).max() == 0
    assert generate(take_over=True) == {"FINISHED"}
    np.testing.assert_allclose(offset(head, "jawOpen"), expected(head, "jawOpen"), atol=1e-6)
    assert head.data.shape_keys.animation_data.drivers[0].driver.expression == "0.5"


def test_what_cannot_be_written_leaves_everything_as_it_was(head):
    generate()
    blocks(head)["mouthFunnel"].lock_shape = True
    with pytest.raises(RuntimeError, match="“mouthFunnel” is locked"):
        generate(chance="SEED")
    np.testing.assert_allclose(offset(head, "jawOpen"), expected(head, "jawOpen"), atol=1e-6)
    with pytest.raises(RuntimeError, match="“mouthFunnel” is locked"):
        bpy.ops.dimple.remove_library(shape_set="arkit")
    assert list(blocks(head)) == ["Basis", *ARKIT, *CORRECTIVES]


def test_a_shape_cannot_be_called_like_the_reference_key(head):
    with pytest.raises(HeadError, match="“Basis” is the head's reference key"):
        write_library(head, small_library(head, "Basis"), "mine.json", None)
    assert head.data.shape_keys is None


def test_a_library_of_another_head_is_refused(head):
    library = small_library(head, "a")
    too_short = ShapeLibrary(library.names, library.deformations[:, 1:], (), library.correctives)
    with pytest.raises(HeadError, match="not made for “Ann”"):
        write_library(head, too_short, "mine.json", None)
    library.deformations[0, 0] = np.nan
    with pytest.raises(HeadError, match="not finite"):
        write_library(head, library, "mine.json", None)
    assert head.data.shape_keys is None


def test_names_with_quotes_are_driven_too(head, shape):
    names = ('a "b"', "c\\d")
    write_library(head, small_library(head, *names, pairs=(names,)), "mine.json", None)
    neutral = shape(head, 1)
    for name in names:
        blocks(head)[name].value = 1.0
    moved = shape(head, 2) - neutral
    expected_sum = sum(expected(head, name) for name in (*names, "+".join(names)))
    np.testing.assert_allclose(moved, expected_sum, atol=1e-5)


def test_a_damaged_record_is_said(head):
    generate()
    head[library_writer.PROPERTY] = {"arkit": "{"}
    with pytest.raises(RecipeError, match="damaged"):
        read_libraries(head)
    with pytest.raises(RuntimeError, match="damaged"):
        generate()
    with pytest.raises(RuntimeError, match="damaged"):
        bpy.ops.dimple.remove_library(shape_set="arkit")


def test_the_worker_refuses_in_a_sentence(dimple, head, tmp_path):
    path = tmp_path / "nothing.json"
    with pytest.raises(RuntimeError, match="no shape set called"):
        generate(shape_set="FILE", file=str(path))
    assert head.data.shape_keys is None
    bpy.context.scene.dimple_library.file = ""
    assert not bpy.ops.dimple.generate_library.poll()


def test_the_files_of_a_job_go_when_its_keys_are_written(dimple, head):
    generate()
    assert not list(Path(dimple.session.latest.request.folder).parent.iterdir())


# ------------------------------------------------------------------------------------------ the command line


@pytest.fixture
def run(worker_python, empty_file, capsys):
    def completed(*arguments):
        capsys.readouterr()
        status = command_line.main(["library", *map(str, arguments), "--worker-python", str(worker_python)])
        return SimpleNamespace(returncode=status, stderr=capsys.readouterr().err)

    return completed


def test_npz_holds_names_and_deformations(run, tmp_path):
    out = tmp_path / "lib.npz"
    result = run("dimple:2", "--set", "arkit", "--out", out)
    assert result.returncode == 0, result.stderr
    assert "5 shapes and 2 correctives" in result.stderr
    with np.load(out, allow_pickle=False) as arrays:
        assert list(arrays["names"]) == ARKIT
        assert arrays["deformations"].shape == (5, VERTICES, 3)
        assert arrays["triangles"].max() == VERTICES - 1
        shape = fake_worker.library_shape(arrays["neutral_vertices"], "jawOpen")
        np.testing.assert_allclose(arrays["deformations"][0], shape, atol=1e-6)
        assert [tuple(pair) for pair in arrays["corrective_pairs"]] == fake_worker.LIBRARY_PAIRS[:2]
        assert arrays["corrective_deformations"].shape == (2, VERTICES, 3)


def test_npz_of_fewest_components_says_how_far_it_is_off(run, tmp_path):
    out, plain = tmp_path / "low.npz", tmp_path / "lib.npz"
    assert run("dimple:2", "--out", out, "--tolerance", 0.5).returncode == 0
    assert run("dimple:2", "--out", plain).returncode == 0
    with np.load(out) as low, np.load(plain) as full:
        assert "deformations" not in low
        made = np.einsum("nr,rvd->nvd", low["coefficients"], low["components"])
        error = np.linalg.norm(made - full["deformations"], axis=2).max() * fake_worker.MM_PER_UNIT
        assert error <= low["largest_error_mm"] + 1e-4 <= 0.5 + 1e-4
        assert low["corrective_coefficients"].shape == (2, len(low["components"]))
        assert len(low["components"]) < 7, "tongueOut is empty"


def test_glb_keeps_names_and_order(run, tmp_path):
    out = tmp_path / "lib.glb"
    result = run("dimple:2", "--out", out)
    assert result.returncode == 0, result.stderr
    raw = out.read_bytes()
    length = struct.unpack_from("<I", raw, 12)[0]
    content = json.loads(raw[20 : 20 + length])
    (mesh,) = content["meshes"]
    assert mesh["extras"]["targetNames"] == [*ARKIT, *CORRECTIVES]
    assert {len(primitive["targets"]) for primitive in mesh["primitives"]} == {len(ARKIT) + 2}
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    bpy.ops.import_scene.gltf(filepath=str(out))
    (back,) = [found for found in bpy.data.objects if found.type == "MESH"]
    assert [block.name for block in back.data.shape_keys.key_blocks][1:] == [*ARKIT, *CORRECTIVES]


def test_blend_is_updated_in_place(run, tmp_path):
    first, second = tmp_path / "first.blend", tmp_path / "second.blend"
    assert run("dimple:2", "--out", first).returncode == 0
    assert run(first, "--only", "jawOpen", "--seed", 3, "--out", second).returncode == 0
    head = importers.read_head(second)
    assert list(blocks(head)) == ["Basis", *ARKIT, *CORRECTIVES]
    np.testing.assert_allclose(offset(head, "jawOpen"), expected(head, "jawOpen", 3), atol=1e-6)
    np.testing.assert_allclose(offset(head, "mouthFunnel"), expected(head, "mouthFunnel"), atol=1e-6)
    assert len(head.data.shape_keys.animation_data.drivers) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "arkitt", "--out", "lib.npz"], "no shape set called “arkitt”"),
        (["--out", "lib.mdd"], "none of the files that can be written: .blend, .glb, .npz"),
        (["--out", "lib.blend", "--tolerance", "0.1"], "to .npz"),
        (["--out", "lib.npz", "--tolerance", "0"], "more than 0 mm"),
        (["--out", "lib.npz", "--tolerance", "nan"], "more than 0 mm"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(run, tmp_path, arguments, said):
    arguments[arguments.index("--out") + 1] = tmp_path / arguments[arguments.index("--out") + 1]
    result = run("dimple:2", *arguments)
    assert result.returncode == 2
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("dimple")]
    assert said in line
    assert not list(tmp_path.glob("lib*"))


def test_an_own_file_is_named_by_its_absolute_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.json").write_text("{}")
    parser = argparse.ArgumentParser()
    add_options(parser)
    parser.add_argument("--seed", type=int)
    request = library_request(parser.parse_args(["--set", "own.json", "--only", "a, b*"]))
    assert request.shape_set == str(tmp_path / "own.json")
    assert request.only == ("a", "b*")
    assert library_request(parser.parse_args([])).shape_set == "arkit"


def test_the_panel_shows_what_is_on_the_head(head):
    generate()
    head.active_shape_key_index = 1
    settings = bpy.context.scene.dimple_library
    texts = []
    context = SimpleNamespace(
        scene=bpy.context.scene,
        active_object=head,
        preferences=SimpleNamespace(system=SimpleNamespace(ui_scale=1.0)),
        region=SimpleNamespace(width=400),
    )
    bpy.types.DIMPLE_PT_library.draw(SimpleNamespace(layout=Layout(texts)), context)
    assert "arkit: 5 keys, 2 correctives" in texts
    assert texts.count("Generate Library") == 1
    for item in settings.bl_rna.properties:
        assert item.description or item.identifier in ("rna_type", "name"), item.identifier
