"""Every head and situation that cannot be used is refused with a way out, and the scene stays as it was."""

from pathlib import Path

import bpy
import numpy as np
import pytest


def reason(head):
    from dimple_under_test.addon.mesh_reader import refusal

    return refusal(head)


def nothing(_head):
    bpy.context.view_layer.objects.active = None


def a_light(_head):
    light = bpy.data.objects.new("Lamp", bpy.data.lights.new("Lamp", "POINT"))
    bpy.context.collection.objects.link(light)
    bpy.context.view_layer.objects.active = light


def edit_mode(_head):
    bpy.ops.object.mode_set(mode="EDIT")


def sculpt_mode(_head):
    bpy.ops.object.mode_set(mode="SCULPT")


def no_faces(head):
    head.data.clear_geometry()


def absolute_keys(head):
    head.shape_key_add(name="Basis")
    head.data.shape_keys.use_relative = False


def tweak_mode(head):
    head.shape_key_add(name="Basis")
    head.shape_key_add(name="smile").keyframe_insert("value", frame=1)
    data = head.data.shape_keys.animation_data
    action, data.action = data.action, None
    data.nla_tracks.new().strips.new("strip", 1, action)
    data.use_tweak_mode = True


def other_connectivity(head):
    vertices = [tuple(v.co) for v in head.data.vertices]
    polygons = [list(p.vertices) for p in head.data.polygons]
    polygons[4] = polygons[4][:3]
    head.data.clear_geometry()
    head.data.from_pydata(vertices, [], polygons)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (nothing, "Select a head"),
        (a_light, "“Lamp” is no mesh"),
        (edit_mode, "is in Edit Mode: go back to Object Mode"),
        (sculpt_mode, "is in Sculpt Mode: go back to Object Mode"),
        (no_faces, "has no faces"),
        (absolute_keys, "turn on Relative"),
        (tweak_mode, "press Tab in the NLA editor"),
    ],
)
def test_the_button_says_why_it_is_off(dimple, head, spoil, sentence):
    from dimple_under_test.addon.operators import generate_refusal

    spoil(head)
    assert sentence in generate_refusal(bpy.context)
    assert not bpy.ops.dimple.generate.poll()
    with pytest.raises(RuntimeError, match=r"poll\(\)"):
        bpy.ops.dimple.generate()
    assert not bpy.data.actions or spoil is tweak_mode


def test_other_connectivity_is_for_the_worker_to_judge(dimple, head):
    other_connectivity(head)
    state = dimple.session.head_state(head, Path(dimple.preferences.checkpoint))
    assert (state.usable, state.settled) == (True, False)
    assert state.text == "36 vertices like Test Head, but other edges: Bind tells whether it is one"
    assert bpy.ops.dimple.generate() == {"FINISHED"}


def test_a_mesh_without_a_face_is_refused_by_the_worker(dimple, head):
    bpy.ops.mesh.primitive_cube_add()
    cube = bpy.context.active_object
    with pytest.raises(RuntimeError, match="No face was found on this mesh"):
        bpy.ops.dimple.generate()
    assert cube.data.shape_keys is None
    assert not cube.keys()


def test_a_triangulated_head_is_used(dimple, head):
    triangles = [list(t.vertices) for t in head.data.loop_triangles]
    vertices = [tuple(v.co) for v in head.data.vertices]
    head.data.clear_geometry()
    head.data.from_pydata(vertices, [], triangles)
    assert bpy.ops.dimple.generate() == {"FINISHED"}
    assert len(head.data.shape_keys.key_blocks) == 1 + 40


@pytest.fixture
def library(tmp_path, head):
    """A file with the head in it."""
    path = tmp_path / "library.blend"
    bpy.data.libraries.write(str(path), {head})
    bpy.data.objects.remove(head)
    with bpy.data.libraries.load(str(path), link=True) as (_source, wanted):
        wanted.objects = ["Ann"]
    linked = wanted.objects[0]
    bpy.context.collection.objects.link(linked)
    bpy.context.view_layer.objects.active = linked
    return linked


def test_a_linked_head_is_refused(dimple, library):
    assert "Make Local" in reason(library)
    assert not bpy.ops.dimple.generate.poll()


def test_a_local_object_with_a_linked_mesh_is_refused(dimple, library):
    local = bpy.data.objects.new("Local", library.data)
    assert "linked from another file" in reason(local)


def test_an_overridden_head_is_refused(dimple, library):
    override = library.override_create()
    assert "override" in reason(override)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_coordinates_that_are_no_numbers(dimple, head, value):
    coordinates = np.array([tuple(v.co) for v in head.data.vertices], np.float32)
    coordinates[3, 1] = value
    head.data.vertices.foreach_set("co", coordinates.ravel())
    with pytest.raises(RuntimeError, match="not-a-number: repair the mesh"):
        bpy.ops.dimple.generate()
    assert dimple.session.current is None


@pytest.mark.parametrize("axes", [[0, 1, 2], [1, 2]])
def test_a_head_without_area(dimple, head, axes):
    coordinates = np.array([tuple(v.co) for v in head.data.vertices], np.float32)
    coordinates[:, axes] = 1.0
    head.data.vertices.foreach_set("co", coordinates.ravel())
    with pytest.raises(RuntimeError, match="have no area"):
        bpy.ops.dimple.generate()


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_any_size_has_an_area(dimple, head, scale):
    coordinates = np.array([tuple(v.co) for v in head.data.vertices], np.float32) * scale
    head.data.vertices.foreach_set("co", coordinates.ravel())
    assert bpy.ops.dimple.generate() == {"FINISHED"}


def test_after_a_refusal_the_next_job_works(dimple, head):
    edit_mode(head)
    assert not bpy.ops.dimple.generate.poll()
    bpy.ops.object.mode_set(mode="OBJECT")
    assert bpy.ops.dimple.generate() == {"FINISHED"}


def test_nothing_to_express(dimple, head):
    dimple.settings.label = "none"
    assert not bpy.ops.dimple.generate.poll()
    dimple.settings.units.add().name = "jawOpen"
    assert bpy.ops.dimple.generate.poll()


def test_a_checkpoint_that_cannot_be_read(dimple, head, tmp_path):
    from dimple_under_test.addon.operators import generate_refusal

    (tmp_path / "head").mkdir()
    (tmp_path / "head" / "config.json").write_text("{ damaged")
    dimple.preferences.checkpoint = str(tmp_path)
    assert "No usable checkpoint" in generate_refusal(bpy.context)


def test_apply_says_that_there_is_no_result(dimple, head):
    from dimple_under_test.addon.operators import apply_refusal

    assert apply_refusal(bpy.context) == "There is no result for “Ann” yet: press Generate first"
    assert not bpy.ops.dimple.apply.poll()
