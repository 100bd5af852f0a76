"""Objects that follow a head: the same keys in their own space, driven together, undone together."""

from math import radians

import bpy
import numpy as np
import pytest
from mathutils import Matrix

from tests.blender import fake_worker


def companion(name, head, matrix=None, size=0.01):
    bpy.ops.mesh.primitive_cube_add(size=size)
    made = bpy.context.active_object
    made.name = name
    made.matrix_world = matrix if matrix is not None else Matrix.Translation((0.02, 0, 0.02))
    bpy.context.view_layer.update()
    bpy.context.view_layer.objects.active = head
    return made


@pytest.fixture
def eye(head):
    """Turned, shrunk, and elsewhere than its head."""
    matrix = Matrix.Translation((0.02, 0, 0.02)) @ Matrix.Rotation(radians(90), 4, "Z") @ Matrix.Scale(0.5, 4)
    made = companion("Eye", head, matrix)
    head.dimple.companions.add().target = made
    return made


def names(target):
    key = target.data.shape_keys
    return [block.name for block in key.key_blocks] if key is not None else []


def in_world(shape, target, frame):
    matrix = np.array(target.matrix_world)
    return shape(target, frame) @ matrix[:3, :3].T + matrix[:3, 3]


def test_an_animation_moves_both(dimple, head, eye, shape):
    head.matrix_world = Matrix.Rotation(radians(90), 4, "Y") @ Matrix.Scale(2, 4)
    bpy.context.view_layer.update()
    dimple.settings.frames = 5
    assert bpy.ops.dimple.generate() == {"FINISHED"}
    assert names(eye) == names(head)
    rest = in_world(shape, eye, 0)
    for frame in (1, 3, 5):
        # a unit a shape along the head's x, which is the world's -z, at twice the size
        moved = in_world(shape, eye, frame) - rest
        np.testing.assert_allclose(moved, np.tile([0, 0, -2 * frame], (8, 1)), atol=1e-4)
    drivers = eye.data.shape_keys.animation_data.drivers
    assert len(drivers) == 5
    assert all(driver.driver.is_valid and driver.driver.type == "AVERAGE" for driver in drivers)


def test_removing_the_animation_takes_it_off_both(dimple, head, eye):
    mine = eye.shape_key_add(name="Basis")
    mine = eye.shape_key_add(name="mine", from_mix=False)
    dimple.settings.frames = 5
    bpy.ops.dimple.generate()
    assert len(names(eye)) == 7
    (recipe,) = head["dimple_recipes"].keys()
    bpy.ops.dimple.remove(recipe=recipe)
    assert names(eye) == ["Basis", mine.name]
    assert not eye.data.shape_keys.animation_data.drivers


def test_making_it_again_writes_to_the_same_keys(dimple, head, eye):
    dimple.settings.frames = 5
    bpy.ops.dimple.generate()
    before = names(eye)
    bpy.ops.dimple.generate()
    assert names(eye) == before
    assert len(eye.data.shape_keys.animation_data.drivers) == 5


def test_fewest_keys_are_shared(dimple, head, eye, shape):
    dimple.settings.frames, dimple.settings.apply_when_done = 8, False
    bpy.ops.dimple.generate()
    assert bpy.ops.dimple.apply(bake="LOW_RANK", tolerance_mm=1.0) == {"FINISHED"}
    assert names(eye) == names(head)
    assert len(names(eye)) <= 1 + 5
    rest = in_world(shape, eye, 0)
    for frame in (1, 4, 8):
        moved = in_world(shape, eye, frame) - rest
        np.testing.assert_allclose(moved, np.tile([frame, 0, 0], (8, 1)), atol=2e-3)


def test_a_library_is_on_both_with_its_correctives(dimple, head, eye, shape):
    assert bpy.ops.dimple.generate_library() == {"FINISHED"}
    arkit = fake_worker.SHAPES["arkit"]
    assert names(eye) == ["Basis", *arkit, "jawOpen+mouthFunnel", "jawOpen+mouthSmileLeft"] == names(head)
    rest = in_world(shape, eye, 1)
    keys = head.data.shape_keys.key_blocks
    keys["jawOpen"].value, keys["mouthFunnel"].value = 1.0, 0.5
    moved = in_world(shape, eye, 1) - rest
    # the stand-in's shapes go 1 to 7 units: jawOpen is the 1st, mouthFunnel the 4th, their corrective the 6th
    np.testing.assert_allclose(moved, np.tile([1 + 0.5 * 4 + 0.5 * 6, 0, 0], (8, 1)), atol=1e-4)
    bpy.ops.dimple.remove_library(shape_set="arkit")
    assert names(eye) == ["Basis"]
    assert not eye.data.shape_keys.animation_data.drivers


def test_the_artists_own_key_of_that_name_is_not_touched(dimple, head, eye):
    eye.shape_key_add(name="Basis")
    eye.shape_key_add(name="jawOpen").value = 0.4
    with pytest.raises(RuntimeError, match="“Eye” has a shape key “jawOpen” already that is not Dimple's"):
        bpy.ops.dimple.generate_library()
    assert names(head) == [], "nothing was written"
    bpy.context.scene.dimple_library.take_over = True
    assert bpy.ops.dimple.generate_library() == {"FINISHED"}
    assert eye.data.shape_keys.animation_data.drivers.find('key_blocks["jawOpen"].value') is not None


def test_what_does_not_move_gets_no_keys(dimple, head):
    still = companion("Still", head)
    head.dimple.companions.add().target = still
    assert bpy.ops.dimple.generate() == {"FINISHED"}
    assert still.data.shape_keys is None
    assert len(names(head)) == 41


@pytest.mark.parametrize("sign", [1, -1])
def test_a_head_with_uneven_scale_is_seen_as_the_artist_sees_it(dimple, head, eye, shape, sign):
    head.scale = (sign * 2, 1, 3)
    bpy.context.view_layer.update()
    dimple.settings.frames = 3
    assert bpy.ops.dimple.generate() == {"FINISHED"}
    job = dimple.session.results[head.session_uid]
    seen = np.load(f"{job.request.folder}/neutral_vertices.npy")
    own = np.array([tuple(v.co) for v in head.data.vertices])
    np.testing.assert_allclose(seen, own * [sign * 2, 1, 3], atol=1e-6)
    triangles = np.load(f"{job.request.folder}/triangles.npy")
    normal = np.cross(*(seen[triangles[0, i]] - seen[triangles[0, 0]] for i in (1, 2)))
    assert normal[1] < 0, "fronts stay fronts"
    expected = fake_worker.deformations(seen, 3, 0)[2]
    moved = shape(head, 3) - shape(head, 0)
    np.testing.assert_allclose(moved * [sign * 2, 1, 3], expected, atol=1e-5)
    moved = in_world(shape, eye, 2) - in_world(shape, eye, 0)
    np.testing.assert_allclose(moved, np.tile([2, 0, 0], (8, 1)), atol=1e-4)


def test_a_head_scaled_to_nothing(dimple, head):
    head.scale = (1, 0, 1)
    with pytest.raises(RuntimeError, match="scaled to nothing along an axis"):
        bpy.ops.dimple.generate()


def shared_mesh(eye, head):
    other = bpy.data.objects.new("Other Eye", eye.data)
    bpy.context.collection.objects.link(other)


def edited(eye, head):
    eye.shape_key_add(name="Basis")
    eye.data.shape_keys.use_relative = False


def the_heads_own(eye, head):
    twin = bpy.data.objects.new("Twin", head.data)
    bpy.context.collection.objects.link(twin)
    head.dimple.companions.add().target = twin


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (shared_mesh, "Make Single User > Object & Data"),
        (edited, "turn on Relative"),
        (the_heads_own, "same mesh as the head"),
    ],
)
def test_what_cannot_follow_is_refused_with_a_way_out(dimple, head, eye, spoil, said):
    spoil(eye, head)
    with pytest.raises(RuntimeError, match=said):
        bpy.ops.dimple.generate()
    assert names(head) == []


def test_a_companion_that_is_gone_or_changed_since(dimple, head, eye):
    dimple.settings.apply_when_done = False
    bpy.ops.dimple.generate()
    eye.data.vertices.add(1)
    with pytest.raises(RuntimeError, match="“Eye” has changed since Generate"):
        bpy.ops.dimple.apply()
    assert names(head) == []
    bpy.data.objects.remove(eye)
    assert bpy.ops.dimple.apply() == {"FINISHED"}
    assert bpy.ops.dimple.generate() == {"FINISHED"}, "an empty entry of the list is nothing"


def test_find_lists_what_is_in_the_face(dimple, head):
    head.data.vertices[0].co.y, head.data.vertices[-1].co.y = -0.03, 0.03
    bpy.context.view_layer.update()
    inside = companion("ball", head)
    named = companion("Lower Teeth", head, size=0.045)
    companion("far", head, Matrix.Translation((3, 0, 0)))
    big = companion("hat", head, size=0.045)
    assert bpy.ops.dimple.find_companions() == {"FINISHED"}
    found = [item.target for item in head.dimple.companions]
    assert found == [named, inside]
    bpy.ops.dimple.find_companions()
    assert len(head.dimple.companions) == 2
    big.select_set(True)
    assert bpy.ops.dimple.add_companions() == {"FINISHED"}
    assert [item.target for item in head.dimple.companions][-1] == big
    head.dimple.active_companion = 1
    assert bpy.ops.dimple.remove_companion() == {"FINISHED"}
    assert [item.target for item in head.dimple.companions] == [named, big]


def test_what_the_artist_says_of_a_companion_goes_to_the_worker(dimple, head, eye):
    from dimple_under_test.addon.binding_properties import PARTS

    item = head.dimple.companions[0]
    assert {choice.identifier for choice in item.bl_rna.properties["part"].enum_items} == {
        "AUTOMATIC",
        *PARTS,
    }
    bpy.ops.dimple.bind()
    assert dimple.session.bindings[head.session_uid].roles == {"Eye": "left eye"}
    item.part = "jaw"
    bpy.ops.dimple.bind()
    assert dimple.session.bindings[head.session_uid].roles == {"Eye": "jaw"}


def test_the_parts_are_those_that_the_worker_knows():
    artist_head = pytest.importorskip("models.registration.artist_head")
    from dimple_under_test.addon.binding_properties import PARTS

    assert PARTS == artist_head.PARTS


def test_a_mirrored_half_is_refused(dimple, head):
    modifier = head.modifiers.new("Mirror", "MIRROR")
    with pytest.raises(RuntimeError, match="half a head that its modifier “Mirror” mirrors: apply"):
        bpy.ops.dimple.bind()
    for vertex in head.data.vertices:
        vertex.co.x -= 0.02
    assert bpy.ops.dimple.bind() == {"FINISHED"}, "a whole head below it is none of our business"
    assert list(head.modifiers) == [modifier]
