"""Applying: what is written is exact, everything else stays as it was."""

import json

import bpy
import numpy as np
import pytest

from tests.blender import fake_worker

FRAMES = 6


@pytest.fixture
def generated(dimple, head):
    """The head with a result of FRAMES frames that is not applied yet."""
    dimple.settings.apply_when_done = False
    dimple.settings.frames = FRAMES
    assert bpy.ops.dimple.generate() == {"FINISHED"}
    return head


def neutral_of(head):
    return np.array([tuple(v.co) for v in head.data.vertices], np.float32)


def expected(head, seed=0, frames=FRAMES):
    neutral = neutral_of(head)
    return neutral + fake_worker.deformations(neutral, frames, seed)


def curves(action, key):
    if not hasattr(action, "slots"):
        return list(action.fcurves)
    bag = action.layers[0].strips[0].channelbag(key.animation_data.action_slot)
    return list(bag.fcurves)


@pytest.mark.parametrize("start", [1, 100, -7])
def test_frame_i_shows_exactly_shape_i(generated, shape, start):
    wanted = expected(generated)
    assert bpy.ops.dimple.apply(start_frame=start) == {"FINISHED"}
    for i, vertices in enumerate(wanted):
        np.testing.assert_allclose(shape(generated, start + i), vertices, atol=1e-7)
    np.testing.assert_allclose(shape(generated, start - 1), neutral_of(generated), atol=1e-7)


def test_between_two_frames_the_face_is_between_two_shapes(generated):
    bpy.ops.dimple.apply(start_frame=1)
    bpy.context.scene.frame_set(3, subframe=0.25)
    values = [block.value for block in generated.data.shape_keys.key_blocks[1:]]
    np.testing.assert_allclose(values, [0, 0, 0.75, 0.25, 0, 0], atol=1e-6)


@pytest.mark.parametrize("hold", [True, False])
def test_the_last_face_stays_or_goes(generated, shape, hold):
    wanted = expected(generated)[-1] if hold else neutral_of(generated)
    bpy.ops.dimple.apply(start_frame=1, hold_last=hold)
    np.testing.assert_allclose(shape(generated, FRAMES + 5), wanted, atol=1e-7)


def test_keys_action_and_slot_are_named_after_the_expression(dimple, generated):
    bpy.ops.dimple.apply()
    key = generated.data.shape_keys
    assert [block.name for block in key.key_blocks] == [
        "Basis",
        *(f"happiness {i:03d}" for i in range(1, FRAMES + 1)),
    ]
    action = key.animation_data.action
    assert action.name == "happiness"
    if hasattr(action, "slots"):
        assert [slot.name_display for slot in action.slots] == ["happiness"]
        assert key.animation_data.action_slot == action.slots[0]
    assert len(curves(action, key)) == FRAMES
    assert {point.interpolation for curve in curves(action, key) for point in curve.keyframe_points} == {
        "LINEAR"
    }


def state_of_the_rest(head):
    """Everything of a rigged head that is not Dimple's."""
    key = head.data.shape_keys
    own = [block for block in key.key_blocks if not block.name.startswith("happiness")]
    action = bpy.data.actions["lipsync"]
    if hasattr(action, "slots"):
        points = [bag.fcurves for bag in action.layers[0].strips[0].channelbags]
    else:
        points = [action.fcurves]
    return {
        "keys": [
            (b.name, b.relative_key.name, b.mute, b.slider_min, b.slider_max, b.vertex_group, b.lock_shape)
            for b in own
        ],
        "values": [b.value for b in own if b.name == "smile"],  # the others are animated
        "shapes": [np.array([tuple(p.co) for p in b.points]).tobytes() for b in own],
        "drivers": [(d.data_path, d.driver.expression) for d in key.animation_data.drivers],
        "curves": [
            (curve.data_path, [tuple(p.co) for p in curve.keyframe_points]) for bag in points for curve in bag
        ],
        "tracks": [(t.name, [s.action.name for s in t.strips]) for t in key.animation_data.nla_tracks],
        "modifiers": [(m.name, m.type) for m in head.modifiers],
        "object_animation": head.animation_data.action.name,
        "groups": [g.name for g in head.vertex_groups],
        "vertices": neutral_of(head).tobytes(),
        "active_key": head.active_shape_key_index,
    }


def rig(head):
    """Give the head what a rigged head has: keys, a driver, actions, an NLA track, modifiers."""
    head.shape_key_add(name="Basis", from_mix=False)
    head.vertex_groups.new(name="left")
    for name in ("smile", "spoken", "smile_fix"):
        block = head.shape_key_add(name=name, from_mix=False)
        block.points[3].co.x += 0.01
        block.value = 0.25
    key = head.data.shape_keys
    fix = key.key_blocks["smile_fix"]
    fix.relative_key, fix.vertex_group, fix.slider_max = key.key_blocks["smile"], "left", 2.0
    fix.lock_shape = True
    driver = fix.driver_add("value").driver
    driver.type, driver.expression = "SCRIPTED", "0.125 + 0.125"
    key.key_blocks["spoken"].value = 1.0
    key.key_blocks["spoken"].keyframe_insert("value", frame=1)
    key.key_blocks["spoken"].value = 0.0
    key.key_blocks["spoken"].keyframe_insert("value", frame=20)
    key.animation_data.action.name = "lipsync"
    track = key.animation_data.nla_tracks.new()
    track.name = "stored"
    track.strips.new("stored", 200, bpy.data.actions.new("stored"))
    head.modifiers.new("Subdivision", "SUBSURF")
    head.keyframe_insert("location", frame=1)
    head.active_shape_key_index = 2


@pytest.mark.parametrize("action", ["NEW", "CURRENT"])
def test_what_was_there_stays_untouched(dimple, head, action):
    rig(head)
    dimple.settings.frames, dimple.settings.apply_when_done = FRAMES, False
    before = state_of_the_rest(head)
    bpy.ops.dimple.generate()
    assert bpy.ops.dimple.apply(action=action) == {"FINISHED"}
    assert [b.name for b in head.data.shape_keys.key_blocks][:4] == ["Basis", "smile", "spoken", "smile_fix"]
    after = state_of_the_rest(head)
    own = [curve for curve in after["curves"] if "happiness" in curve[0]]
    assert len(own) == (FRAMES if action == "CURRENT" else 0)
    after["curves"] = [curve for curve in after["curves"] if curve not in own]
    assert after == before


def test_an_action_in_use_is_kept(dimple, head):
    rig(head)
    dimple.settings.frames = FRAMES
    bpy.ops.dimple.generate()
    data = head.data.shape_keys.animation_data
    assert data.action.name == "happiness"
    assert bpy.data.actions["lipsync"].use_fake_user


def test_both_play_together_in_the_current_action(dimple, head, shape):
    rig(head)
    head.modifiers.clear()
    head.data.shape_keys.key_blocks["smile"].value = 0.0
    head.data.shape_keys.key_blocks["smile_fix"].mute = True
    dimple.settings.frames, dimple.settings.apply_when_done = FRAMES, False
    spoken = np.zeros_like(neutral_of(head))
    spoken[3, 0] = 0.01
    bpy.ops.dimple.generate()
    bpy.ops.dimple.apply(action="CURRENT", start_frame=1)
    data = head.data.shape_keys.animation_data
    assert data.action.name == "lipsync"
    np.testing.assert_allclose(shape(head, 1), expected(head)[0] + spoken, atol=1e-6)


def test_one_step_of_undo_takes_it_all_back(dimple, head):
    name = head.name
    dimple.settings.frames = FRAMES
    bpy.ops.ed.undo_push(message="before")
    bpy.ops.dimple.generate("EXEC_DEFAULT", True)
    assert head.data.shape_keys is not None
    bpy.ops.ed.undo()
    again = bpy.data.objects[name]
    assert again.data.shape_keys is None
    assert not bpy.data.actions
    assert "dimple_recipes" not in again
    bpy.ops.ed.redo()
    assert len(bpy.data.objects[name].data.shape_keys.key_blocks) == 1 + FRAMES
    assert [action.name for action in bpy.data.actions] == ["happiness"]


def test_a_result_survives_undo_and_can_be_applied_again(dimple, head):
    name = head.name
    dimple.settings.frames = FRAMES
    bpy.ops.ed.undo_push(message="before")
    bpy.ops.dimple.generate("EXEC_DEFAULT", True)
    bpy.ops.ed.undo()
    assert bpy.ops.dimple.apply() == {"FINISHED"}
    assert len(bpy.data.objects[name].data.shape_keys.key_blocks) == 1 + FRAMES


def test_the_same_recipe_updates_its_own_keys_and_keeps_drivers(generated, shape):
    bpy.ops.dimple.apply(start_frame=1)
    key = generated.data.shape_keys
    key.key_blocks["happiness 002"].driver_add("value").driver.expression = "0.5"
    key.key_blocks["happiness 003"].points[0].co.x += 1.0
    names = [block.name for block in key.key_blocks]
    assert bpy.ops.dimple.generate_again() == {"FINISHED"}
    assert bpy.ops.dimple.apply(start_frame=11) == {"FINISHED"}
    assert [block.name for block in key.key_blocks] == names
    assert [d.data_path for d in key.animation_data.drivers] == ['key_blocks["happiness 002"].value']
    assert [action.name for action in bpy.data.actions] == ["happiness"]
    np.testing.assert_allclose(
        [tuple(p.co) for p in key.key_blocks["happiness 003"].points], expected(generated)[2], atol=1e-7
    )
    np.testing.assert_allclose(
        shape(generated, 14), expected(generated)[3] + half_of_two(generated), atol=1e-6
    )


def half_of_two(head):
    """What a driver of 0.5 on the second key adds."""
    return 0.5 * (expected(head)[1] - neutral_of(head))


def test_another_seed_is_another_animation_and_silences_the_first(dimple, generated, shape):
    bpy.ops.dimple.apply(start_frame=1)
    bpy.context.scene.frame_set(3)
    dimple.settings.seed = 5
    bpy.ops.dimple.generate()
    bpy.ops.dimple.apply(start_frame=1)
    key = generated.data.shape_keys
    assert len(key.key_blocks) == 1 + 2 * FRAMES
    assert key.animation_data.action.name == "happiness.001"
    assert bpy.data.actions["happiness"].use_fake_user
    np.testing.assert_allclose(shape(generated, 3), expected(generated, seed=5)[2], atol=1e-7)


def test_names_that_are_taken_are_left_to_their_owner(dimple, head, shape):
    head.shape_key_add(name="Basis", from_mix=False)
    foreign = head.shape_key_add(name="happiness 002", from_mix=False)
    foreign.points[0].co.x += 1.0
    foreign.value = 0.0  # new keys start at 1 in Blender 5.0
    dimple.settings.frames = FRAMES
    bpy.ops.dimple.generate()
    blocks = head.data.shape_keys.key_blocks
    assert blocks[1].name == "happiness 002"
    assert blocks[1].points[0].co.x == pytest.approx(1.0)
    assert [block.name for block in blocks[2:5]] == ["happiness 001", "happiness 002.001", "happiness 003"]
    np.testing.assert_allclose(shape(head, 2), expected(head)[1], atol=1e-7)


def test_long_names_stay_unique_within_blenders_limit(dimple, head):
    for i in range(6):
        dimple.settings.units.add().name = f"mouthUpperUpLeftÄ{i}"
    dimple.settings.frames = FRAMES
    bpy.ops.dimple.generate()
    names = [block.name for block in head.data.shape_keys.key_blocks[1:]]
    assert len(set(names)) == FRAMES
    assert max(len(name.encode()) for name in names) <= 63


def test_names_with_quotes_are_animated_too(dimple, head, shape):
    dimple.settings.units.add().name = 'say "ah" \\'
    dimple.settings.frames = FRAMES
    bpy.ops.dimple.generate()
    np.testing.assert_allclose(shape(head, 4), expected(head)[3], atol=1e-7)


def test_fewest_keys_within_the_error_that_is_stated(generated, shape):
    wanted = expected(generated)
    assert bpy.ops.dimple.apply(bake="LOW_RANK", tolerance_mm=0.01, start_frame=1) == {"FINISHED"}
    blocks = generated.data.shape_keys.key_blocks
    assert len(blocks) == 1 + 3  # the stand-in mixes three shapes
    recipe = json.loads(generated["dimple_recipes"]["happiness"])
    errors = [np.linalg.norm(shape(generated, 1 + i) - wanted[i], axis=1).max() for i in range(FRAMES)]
    assert max(errors) * fake_worker.MM_PER_UNIT <= 0.01
    assert recipe["largest_error_mm"] == pytest.approx(max(errors) * fake_worker.MM_PER_UNIT, abs=1e-3)


def test_fewer_keys_for_a_larger_error(generated, shape):
    wanted = expected(generated)
    bpy.ops.dimple.apply(bake="LOW_RANK", tolerance_mm=3.0, start_frame=1)
    recipe = json.loads(generated["dimple_recipes"]["happiness"])
    assert len(recipe["key_names"]) < 3
    errors = [np.linalg.norm(shape(generated, 1 + i) - wanted[i], axis=1).max() for i in range(FRAMES)]
    assert 0.01 < max(errors) * fake_worker.MM_PER_UNIT <= 3.0
    assert recipe["largest_error_mm"] == pytest.approx(max(errors) * fake_worker.MM_PER_UNIT, rel=1e-3)


def test_the_recipe_makes_the_same_again_in_another_session(dimple, generated, shape):
    bpy.ops.dimple.apply()
    recipe = json.loads(generated["dimple_recipes"]["happiness"])
    assert recipe["request"]["expressions"] == ["happiness"]
    assert recipe["request"]["job"] == recipe["request"]["folder"] == ""
    first = [tuple(p.co) for p in generated.data.shape_keys.key_blocks[-1].points]
    generated.data.shape_keys.key_blocks[-1].points[0].co.x += 1.0
    dimple.session.close()
    dimple.settings.seed, dimple.settings.label, dimple.settings.frames = 99, "fear", 20
    bpy.ops.dimple.generate_again(recipe="happiness")
    bpy.ops.dimple.apply()
    assert [tuple(p.co) for p in generated.data.shape_keys.key_blocks[-1].points] == first


def test_removing_an_animation_takes_only_its_own(dimple, head):
    rig(head)
    before = state_of_the_rest(head)
    dimple.settings.frames = FRAMES
    bpy.ops.dimple.generate()
    bpy.ops.dimple.remove(recipe="happiness")
    assert state_of_the_rest(head) == before
    assert "happiness" not in bpy.data.actions
    assert len(head.data.shape_keys.key_blocks) == 4
    assert "dimple_recipes" not in head


def test_a_damaged_recipe_is_explained(dimple, head):
    head["dimple_recipes"] = {"happiness": "{}"}
    with pytest.raises(RuntimeError, match="The recipe “happiness” on the head is damaged"):
        bpy.ops.dimple.generate_again()


def test_a_head_without_recipe_is_explained(dimple, head):
    with pytest.raises(RuntimeError, match="There is no recipe on this head yet"):
        bpy.ops.dimple.generate_again()


def other_topology(head):
    head.data.vertices.add(1)


def reconnected(head):
    mesh = head.data
    vertices, polygons = neutral_of(head).tolist(), [list(p.vertices) for p in mesh.polygons]
    polygons[3] = polygons[3][:3]
    mesh.clear_geometry()
    mesh.from_pydata(vertices, [], polygons)


def sculpted(head):
    head.data.vertices[5].co.z += 0.001


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (other_topology, "another topology"),
        (reconnected, "another topology"),
        (sculpted, "neutral shape of “Ann” has changed"),
    ],
)
def test_a_head_that_changed_since_generate_is_refused(generated, change, sentence):
    change(generated)
    with pytest.raises(RuntimeError, match=sentence):
        bpy.ops.dimple.apply()
    assert generated.data.shape_keys is None
    assert not bpy.data.actions


def test_a_locked_own_key_is_respected(generated):
    bpy.ops.dimple.apply(start_frame=1)
    blocks = generated.data.shape_keys.key_blocks
    blocks["happiness 004"].lock_shape = True
    blocks["happiness 001"].points[0].co.x += 1.0
    with pytest.raises(RuntimeError, match="The shape key “happiness 004” is locked"):
        bpy.ops.dimple.apply(start_frame=1)
    assert blocks["happiness 001"].points[0].co.x == pytest.approx(1.0)


def test_a_copy_of_the_head_has_an_action_of_its_own(dimple, generated, shape):
    bpy.ops.dimple.apply(start_frame=1)
    copy = generated.copy()
    copy.data = generated.data.copy()
    bpy.context.collection.objects.link(copy)
    bpy.context.view_layer.objects.active = copy
    dimple.settings.seed = 8
    bpy.ops.dimple.generate()
    bpy.ops.dimple.apply(start_frame=1)
    np.testing.assert_allclose(shape(generated, 4), expected(generated)[3], atol=1e-7)
    np.testing.assert_allclose(shape(copy, 4), expected(copy, seed=8)[3], atol=1e-7)


def test_the_neutral_is_the_reference_key_whatever_its_name(dimple, head, shape):
    head.shape_key_add(name="rest pose", from_mix=False)
    pushed = head.shape_key_add(name="pushed", from_mix=False)
    pushed.points[0].co.x += 1.0
    pushed.value = 0.0
    dimple.settings.frames = FRAMES
    bpy.ops.dimple.generate()
    np.testing.assert_allclose(shape(head, 4), expected(head)[3], atol=1e-7)
