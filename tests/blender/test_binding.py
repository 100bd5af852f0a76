"""Binding in Blender: what Bind adds and nothing else, landmarks, the fit, and what is said of a head."""

from types import SimpleNamespace

import bpy
import numpy as np
import pytest
from mathutils import Matrix, Vector

from tests.blender import fake_worker
from tests.blender.test_panels import Layout

ATTRIBUTE = "Dimple Confidence"


@pytest.fixture
def stranger(head):
    """A head in no topology that the checkpoint knows: three vertices more, which no face has."""
    head.data.vertices.add(3)
    head.data.update()
    return head


def bind(**_):
    return bpy.ops.dimple.bind()


def looks(head):
    """All that Bind must leave as it is."""
    mesh = head.data
    coordinates = np.empty(len(mesh.vertices) * 3, np.float32)
    mesh.vertices.foreach_get("co", coordinates)
    return (
        coordinates.tolist(),
        [list(polygon.vertices) for polygon in mesh.polygons],
        mesh.shape_keys,
        [tuple(row) for row in head.matrix_world],
        [modifier.name for modifier in head.modifiers],
        mesh.attributes.active_color_name if ATTRIBUTE not in mesh.attributes else None,
        [slot.name for slot in head.material_slots],
        sorted(uv.name for uv in mesh.uv_layers),
        len(bpy.data.objects),
        len(bpy.data.actions),
    )


def attributes(head):
    return {attribute.name for attribute in head.data.attributes if not attribute.is_internal}


def state(dimple, head):
    from dimple_under_test.addon.preferences import checkpoint, checkpoint_folder

    return dimple.session.head_state(head, checkpoint_folder(checkpoint(bpy.context)))


def drawn(head, *panels):
    texts = []
    context = SimpleNamespace(
        scene=bpy.context.scene,
        active_object=head,
        preferences=SimpleNamespace(
            addons=bpy.context.preferences.addons, system=SimpleNamespace(ui_scale=1.0)
        ),
        region=SimpleNamespace(width=4000),
    )
    for name in panels or ("binding", "landmarks", "companions"):
        panel = getattr(bpy.types, f"DIMPLE_PT_{name}")
        if not hasattr(panel, "poll") or panel.poll(context):
            panel.draw(SimpleNamespace(layout=Layout(texts)), context)
    return "\n".join(texts)


# ------------------------------------------------------------------------------------------------------ Bind


def test_bind_adds_a_record_and_colours_and_nothing_else(dimple, stranger):
    before, others = looks(stranger), attributes(stranger)
    assert state(dimple, stranger).text == "Not bound yet: Generate binds it to Test Head by itself"
    assert bind() == {"FINISHED"}
    assert looks(stranger)[:5] == before[:5]
    assert looks(stranger)[6:] == before[6:]
    assert attributes(stranger) - others == {ATTRIBUTE}
    assert list(stranger.keys()) == ["dimple_binding"]
    found = state(dimple, stranger)
    assert (found.usable, found.settled, found.text) == (True, False, "Bound, 87% sure")
    assert found.warnings == ("The mouth could not be made out.",)


def test_confidence_is_a_ramp_and_grey_where_it_says_nothing(stranger):
    bind()
    attribute = stranger.data.attributes[ATTRIBUTE]
    assert (attribute.data_type, attribute.domain) == ("FLOAT_COLOR", "POINT")
    colours = np.empty(39 * 4, np.float32)
    attribute.data.foreach_get("color", colours)
    colours = colours.reshape(-1, 4)
    assert np.ptp(colours[:5], axis=0).max() == 0, "these do not move with the skin"
    assert colours[5, 0] > colours[5, 1]
    assert colours[-1, 1] > colours[-1, 0]
    assert (np.diff(colours[5:, 0] - colours[5:, 1]) < 0).all()
    assert (colours[:, 3] == 1).all()


def test_what_bind_added_can_be_removed(dimple, stranger):
    before, others = looks(stranger), attributes(stranger)
    bind()
    bpy.ops.dimple.show_fit()
    assert bpy.ops.dimple.unbind() == {"FINISHED"}
    assert looks(stranger) == before
    assert attributes(stranger) == others
    assert not stranger.keys()
    assert "Not bound yet" in state(dimple, stranger).text
    assert not bpy.ops.dimple.unbind.poll()


def test_one_undo_takes_it_all_back(dimple, stranger):
    stranger["mine"] = 3
    bpy.context.preferences.edit.use_global_undo = True
    bpy.ops.ed.undo_push(message="before")
    bind()
    bpy.ops.ed.undo_push(message="Bind")  # in a window the operator's UNDO option does it
    bpy.ops.ed.undo()
    head = bpy.data.objects["Ann"]
    assert ATTRIBUTE not in head.data.attributes
    assert list(head.keys()) == ["mine"]


def test_a_changed_mesh_is_said_to_be_bound_no_more(dimple, stranger):
    bind()
    stranger.data.vertices[7].co.x += 0.001
    dimple.session.recognition.clear()  # it looks twice a second
    text = state(dimple, stranger).text
    assert text == "The mesh has changed since it was bound: it is bound anew when needed"
    assert bind() == {"FINISHED"}
    assert "Bound" in state(dimple, stranger).text


def test_the_record_survives_the_session_but_not_damage(dimple, stranger):
    bind()
    dimple.session.bindings.clear()
    assert state(dimple, stranger).text == "Bound, 87% sure"
    stranger["dimple_binding"] = "{damaged"
    assert "Not bound yet" in state(dimple, stranger).text
    assert bind() == {"FINISHED"}


def test_a_head_that_changed_while_it_was_bound_is_left_alone(dimple, stranger, monkeypatch):
    from dimple_under_test.addon import session as session_module

    wait = session_module.Session.wait

    def and_change(session, job, on_step=lambda: None):
        wait(session, job, on_step)
        stranger.data.vertices[0].co.x += 1.0

    monkeypatch.setattr(session_module.Session, "wait", and_change)
    with pytest.raises(RuntimeError, match="has changed since Bind: bind it again"):
        bind()
    assert not stranger.keys()
    assert ATTRIBUTE not in stranger.data.attributes


def test_the_artists_own_attribute_of_that_name_stays(dimple, stranger):
    stranger.data.attributes.new(ATTRIBUTE, "FLOAT", "FACE")
    with pytest.raises(RuntimeError, match="rename that one first"):
        bind()
    assert stranger.data.attributes[ATTRIBUTE].domain == "FACE"


def test_a_cube_is_refused_in_a_sentence(dimple, head):
    bpy.ops.mesh.primitive_cube_add()
    with pytest.raises(RuntimeError, match="No face was found on this mesh"):
        bind()
    assert not bpy.context.active_object.keys()


def test_a_recognised_head_can_be_bound_too(dimple, head):
    assert bind() == {"FINISHED"}
    assert state(dimple, head).text == "Recognised: Test Head, 36 vertices"


def test_generate_binds_by_itself_and_says_how_sure_it_is(dimple, stranger):
    assert bpy.ops.dimple.generate() == {"FINISHED"}
    assert len(stranger.data.shape_keys.key_blocks) == 41
    assert state(dimple, stranger).warnings == ("The mouth could not be made out.",)
    assert ATTRIBUTE not in stranger.data.attributes
    request = dimple.session.results[stranger.session_uid].request
    assert request.cache.endswith("bindings")
    bpy.context.scene.dimple_library.only = "jawOpen"
    assert bpy.ops.dimple.generate_library() == {"FINISHED"}


def test_recipes_are_the_same_whatever_belongs_to_the_head(dimple, stranger):
    from dimple_under_test.addon.recipe import read_recipes

    bpy.ops.dimple.generate()
    set_nose(stranger)
    assert bpy.ops.dimple.generate() == {"FINISHED"}
    assert len(read_recipes(stranger)) == 1, "the same animation, made again"


# ------------------------------------------------------------------------------------------------------- fit


def test_the_fit_is_shown_over_the_head_and_leaves_nothing_behind(dimple, stranger):
    stranger.location = (1, 2, 3)
    objects, meshes = len(bpy.data.objects), len(bpy.data.meshes)
    assert bpy.ops.dimple.show_fit() == {"FINISHED"}
    (fit,) = stranger.children
    assert (fit.display_type, fit.hide_render, fit.show_in_front) == ("WIRE", True, True)
    assert len(fit.data.vertices) == fake_worker.SKIN
    bpy.context.view_layer.update()
    gap = fit.matrix_world @ fit.data.vertices[4].co - stranger.matrix_world @ stranger.data.vertices[4].co
    np.testing.assert_allclose(gap, (0, 0, 0.5), atol=1e-5)
    assert "Hide Fit" in drawn(stranger, "binding")
    assert bpy.ops.dimple.show_fit() == {"FINISHED"}
    assert (len(bpy.data.objects), len(bpy.data.meshes)) == (objects, meshes)


# ------------------------------------------------------------------------------------------------- landmarks


def set_nose(head, place=(0.02, -0.004, 0.02)):
    from dimple_under_test.addon.binding_properties import set_landmark

    set_landmark(head, "noseTip", place)


def test_landmarks_go_to_the_worker_and_quieten_its_doubt(dimple, stranger):
    from dimple_under_test.addon.binding_properties import set_landmark

    set_landmark(stranger, "mouthLeft", (0.03, 0.0, 0.01))
    set_nose(stranger)
    bind()
    assert state(dimple, stranger).warnings == ()
    from dimple_under_test.addon.binding_record import read_binding

    found = read_binding(stranger).found_landmarks
    np.testing.assert_allclose(found["noseTip"], (0.02, -0.004, 0.02), atol=1e-6)
    np.testing.assert_allclose(found["mouthLeft"], (0.03, 0.0, 0.01), atol=1e-6)


def test_a_landmark_is_mirrored_where_the_mesh_has_its_image(stranger):
    from dimple_under_test.addon.landmark_operators import place_landmark, surface_of

    for vertex in stranger.data.vertices:
        vertex.co.x -= 0.025  # the patch now lies on both sides of x = 0
        vertex.co.y = 0.0
    surface = surface_of(stranger)
    assert place_landmark(stranger, surface, "eyeOuterLeft", Vector((0.02, 0, 0.03)), True) == (
        "eyeOuterLeft",
        "eyeOuterRight",
    )
    places = {item.name: tuple(item.place) for item in stranger.dimple.landmarks}
    np.testing.assert_allclose(places["eyeOuterRight"], (-0.02, 0, 0.03), atol=1e-6)
    assert place_landmark(stranger, surface, "noseTip", Vector((0.01, 0, 0.02)), True) == ("noseTip",)
    assert place_landmark(stranger, surface, "mouthLeft", Vector((0.2, 0, 0)), True) == ("mouthLeft",)
    assert place_landmark(stranger, surface, "chin", Vector((0, 0, 0)), False) == ("chin",)
    assert len(stranger.dimple.landmarks) == 5


def test_the_next_landmark_is_one_that_is_not_set(stranger):
    from dimple_under_test.addon.binding_properties import LANDMARKS, set_landmark
    from dimple_under_test.addon.landmark_operators import mirror_name, next_landmark

    assert next_landmark(stranger, "chin") == "eyeOuterRight"
    set_landmark(stranger, "eyeOuterRight", (0, 0, 0))
    assert next_landmark(stranger, "chin") == "eyeInnerRight"
    for name in LANDMARKS:
        set_landmark(stranger, name, (0, 0, 0))
        assert mirror_name(mirror_name(name)) == name
    assert len(stranger.dimple.landmarks) == len(LANDMARKS)
    assert next_landmark(stranger, "noseTip") == "mouthRight"


def test_removing_landmarks(stranger):
    set_nose(stranger)
    text = drawn(stranger, "landmarks")
    assert "Tip of the Nose" in text
    assert bpy.ops.dimple.remove_landmark(landmark="chin") == {"FINISHED"}
    assert len(stranger.dimple.landmarks) == 1
    assert bpy.ops.dimple.remove_landmark() == {"FINISHED"}
    assert not stranger.dimple.landmarks
    assert not bpy.ops.dimple.remove_landmark.poll()


def test_landmarks_are_those_that_the_worker_knows():
    binding_template = pytest.importorskip("models.registration.template")
    from dimple_under_test.addon.binding_properties import LANDMARKS

    assert list(LANDMARKS) == list(binding_template.LANDMARKS)


class Clicks:
    """The modal operator's own code, as a window would call it, on a viewport that looks along +Y."""

    def __init__(self, monkeypatch, head):
        from dimple_under_test.addon import landmark_operators

        operator = landmark_operators.DIMPLE_OT_set_landmark
        self.reports, self.head = [], head
        this = SimpleNamespace(report=lambda _kind, text: self.reports.append(text))
        for name in ("_click", "_go_on", "_tell", "_ended"):
            setattr(this, name, getattr(operator, name).__get__(this))
        self.this, self.operator = this, operator
        window = SimpleNamespace(type="WINDOW", x=100, y=50, width=500, height=400)
        sidebar = SimpleNamespace(type="UI", x=500, y=50, width=100, height=400)
        self.area = SimpleNamespace(
            type="VIEW_3D",
            regions=[window, sidebar],
            spaces=SimpleNamespace(active=SimpleNamespace(region_3d=None)),
            tag_redraw=lambda: None,
            header_text_set=lambda _text: None,
        )
        self.statuses = []
        self.context = SimpleNamespace(
            scene=bpy.context.scene,
            active_object=head,
            area=self.area,
            workspace=SimpleNamespace(status_text_set=self.statuses.append),
            window_manager=SimpleNamespace(modal_handler_add=lambda _operator: None),
        )
        view = SimpleNamespace(
            region_2d_to_origin_3d=lambda _r, _v, spot: Vector((spot[0] / 1e4, -9, spot[1] / 1e4)),
            region_2d_to_vector_3d=lambda *_: Vector((0, 1, 0)),
        )
        monkeypatch.setattr(landmark_operators, "view3d_utils", view)

    def start(self):
        return self.operator.invoke(self.this, self.context, None)

    def event(self, kind, x=0, y=0):
        event = SimpleNamespace(type=kind, value="PRESS", mouse_x=100 + x, mouse_y=50 + y)
        return self.operator.modal(self.this, self.context, event)


def test_picking_on_a_turned_head(dimple, stranger, monkeypatch):
    stranger.matrix_world = Matrix.Translation((0.01, 0, 0)) @ Matrix.Scale(0.5, 4)
    bpy.context.view_layer.update()
    bpy.context.scene.dimple_binding.mirror = False
    clicks = Clicks(monkeypatch, stranger)
    assert clicks.start() == {"RUNNING_MODAL"}
    assert not bpy.ops.dimple.set_landmark.poll(), "one at a time"
    assert clicks.event("LEFTMOUSE", 200, 100) == {"RUNNING_MODAL"}  # x = 0.02, z = 0.01 in the world
    (nose,) = stranger.dimple.landmarks
    assert nose.name == "noseTip"
    assert tuple(nose.place)[::2] == pytest.approx((0.02, 0.02), abs=1e-6)
    assert dimple.session.picking == "mouthRight"
    clicks.event("LEFTMOUSE", 390, 390)
    assert clicks.reports == ["That is beside the head: click on its surface"]
    assert clicks.event("LEFTMOUSE", 450, 100) == {"PASS_THROUGH"}, "the sidebar's own buttons"
    assert clicks.event("MIDDLEMOUSE", 200, 100) == {"PASS_THROUGH"}, "looking around"
    clicks.event("TAB")
    assert dimple.session.picking == "mouthLeft"
    clicks.event("LEFTMOUSE", 250, 100)
    assert len(stranger.dimple.landmarks) == 2
    bpy.context.scene.dimple_binding.landmark = dimple.session.picking = "noseTip"
    clicks.event("X")
    assert [item.name for item in stranger.dimple.landmarks] == ["mouthLeft"]
    assert clicks.event("ESC") == {"FINISHED"}
    assert dimple.session.picking == ""
    assert clicks.statuses[-1] is None


def test_escape_without_a_click_is_no_step_of_undo(dimple, stranger, monkeypatch):
    clicks = Clicks(monkeypatch, stranger)
    clicks.start()
    assert clicks.event("ESC") == {"CANCELLED"}
    assert not stranger.dimple.landmarks
    clicks.start()
    bpy.data.objects.remove(stranger)
    clicks.context.active_object = None
    assert clicks.event("MOUSEMOVE") == {"CANCELLED"}, "the head is gone"


# ----------------------------------------------------------------------------------------------------- panel


def test_the_panel_says_what_is_known(dimple, stranger):
    text = drawn(stranger)
    assert "Not bound yet" in text
    assert "None is needed unless the fit is wrong somewhere" in text
    assert "Objects that move with the face" in text
    assert not stranger.keys(), "drawing changes nothing"
    bind()
    text = drawn(stranger)
    assert "Bound, 87% sure" in text
    assert "The mouth could not be made out." in text
    assert "Confidence" in text
    assert "The mouth could not be made out." in drawn(stranger, "main")
    bpy.context.view_layer.objects.active = None
    assert "Select a head" in drawn(None)


def test_the_list_says_what_follows_and_how(dimple, stranger):
    bpy.ops.mesh.primitive_cube_add(size=0.01)
    eye = bpy.context.active_object
    eye.name = "Eye"
    bpy.context.view_layer.objects.active = stranger
    stranger.dimple.companions.add().target = eye
    bind()
    assert "Eye\nleft eye" in drawn(stranger, "companions")
    stranger.dimple.companions[0].part = "jaw"
    text = drawn(stranger, "companions")
    assert "Eye\nLower Teeth" in text
    assert "Part" in text
    bpy.data.objects.remove(eye)
    assert "Gone from the file" in drawn(stranger, "companions")


def test_everything_the_artist_can_set_is_explained(dimple):
    from dimple_under_test.addon.binding_properties import CLASSES, DimpleBindingSettings

    for group in (DimpleBindingSettings, *CLASSES):
        for item in group.bl_rna.properties:
            known = item.identifier in ("rna_type", "name", "landmarks", "companions")
            assert item.description or known, item.identifier


# ------------------------------------------------------------------------------- what artists' meshes have


def subdivided(head):
    head.modifiers.new("Subdivision", "SUBSURF").levels = 2


def rigged(head):
    armature = bpy.data.objects.new("Rig", bpy.data.armatures.new("Rig"))
    bpy.context.collection.objects.link(armature)
    head.modifiers.new("Armature", "ARMATURE").object = armature


def with_keys(head):
    head.shape_key_add(name="Rest")
    mine = head.shape_key_add(name="mine", from_mix=False)
    mine.value = 1.0
    mine.points[3].co.z += 1.0


def turned_and_moved(head):
    head.matrix_world = (
        Matrix.Translation((3, -2, 1)) @ Matrix.Rotation(1.0, 4, (1, 2, 3)) @ Matrix.Scale(7, 4)
    )


def with_ngons(head):
    vertices = [tuple(v.co) for v in head.data.vertices]
    polygons = [list(p.vertices) for p in head.data.polygons]
    joined = [0, 1, 2, 8, 7, 6]  # the first three of the patch's faces, as one
    head.data.clear_geometry()
    head.data.from_pydata(vertices, [], [joined, *polygons[3:]])


@pytest.mark.parametrize("kind", [subdivided, rigged, with_keys, turned_and_moved, with_ngons])
def test_what_artists_meshes_have_is_read_right_and_left_alone(dimple, stranger, kind, monkeypatch):
    from dimple_under_test.addon import session as session_module

    rest = np.array([tuple(v.co) for v in stranger.data.vertices], np.float32)
    kind(stranger)
    bpy.context.view_layer.update()
    before = looks(stranger)
    sent = {}
    submit = session_module.Session.submit

    def watched(session, worker, request, arrays=None, target=None):
        sent.update(arrays)
        return submit(session, worker, request, arrays, target)

    monkeypatch.setattr(session_module.Session, "submit", watched)
    assert bind() == {"FINISHED"}
    np.testing.assert_array_equal(sent["neutral_vertices"], rest)
    area = np.cross(*(rest[sent["triangles"][:, i]] - rest[sent["triangles"][:, 0]] for i in (1, 2)))
    assert len(sent["triangles"]) == 50
    assert np.linalg.norm(area, axis=1).min() > 0
    after = looks(stranger)
    assert after[:5] == before[:5]
    assert after[6:] == before[6:]
    assert bpy.ops.dimple.generate() == {"FINISHED"}
    if kind is with_keys:
        assert stranger.data.shape_keys.reference_key.name == "Rest"
        assert stranger.data.shape_keys.key_blocks["mine"].points[3].co.z == pytest.approx(rest[3, 2] + 1)
