"""The mesh of a new head: quads, UVs, materials."""

import bpy
import numpy as np
import pytest

from tests.blender import fake_worker


def test_faces_keep_their_corners_materials_and_uvs(head):
    arrays = fake_worker.head_arrays()
    mesh = head.data
    for polygon, corners, uv_corners, material in zip(
        mesh.polygons, arrays["faces"], arrays["uv_faces"], arrays["face_material"], strict=True
    ):
        assert list(polygon.vertices) == [corner for corner in corners if corner >= 0]
        assert polygon.material_index == material
        assert polygon.use_smooth
        wanted = arrays["uv"][uv_corners[uv_corners >= 0]]
        found = [tuple(mesh.uv_layers[0].uv[i].vector) for i in polygon.loop_indices]
        np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_places_on_the_iris_are_round_and_upright_whatever_the_eye_looks_at(dimple):
    from dimple_under_test.addon.iris_shader import iris_places

    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
    disc = np.concatenate([2.0 * ring, 5.0 * ring])  # the pupil's edge and the rim, mm
    turn = np.array([[0.96, 0, 0.28], [0, 1, 0], [-0.28, 0, 0.96]])
    eyes = [disc @ turn.T + [31, 4, 60], disc @ turn + [-31, 4, 60]]
    vertices = np.concatenate([*eyes, [[0, -60, 80]]]).astype(np.float32)  # and a chin
    faces = np.array([[k, (k + 1) % 24, 24 + (k + 1) % 24, 24 + k] for k in range(24)], np.int32)
    places = iris_places(vertices, np.concatenate([faces, faces + 48]))
    for eye in (places[:48], places[48:96]):
        np.testing.assert_allclose(np.linalg.norm(eye, axis=1), np.repeat([0.4, 1.0], 24), atol=1e-5)
        np.testing.assert_allclose(eye[:, 1], disc[:, 1] / 5.0, atol=1e-5)
        np.testing.assert_allclose(np.abs(eye[:, 0]), np.abs(disc[:, 0]) / 5.0, atol=1e-5)
    assert not places[96].any()


def test_the_colour_of_the_eyes_is_the_persons_and_the_artists_to_change(head):
    from dimple_under_test.addon import iris_shader, material_writer

    assert head.data.attributes[iris_shader.ATTRIBUTE].domain == "POINT"
    colours = []
    for seed in (0, 0, *range(20)):
        material = material_writer.make_material("iris", seed)
        assert material.node_tree.nodes["Principled BSDF"].inputs["Base Color"].is_linked
        colours.append(tuple(material.node_tree.nodes[iris_shader.COLOUR].outputs[0].default_value)[:3])
    assert colours[0] == colours[1]
    assert len(set(colours)) > 3


def test_the_face_looks_to_the_front(head):
    """Model space looks along +Z, Blender's front view along +Y: the face must look along -Y, and upright."""
    normals = np.array([tuple(polygon.normal) for polygon in head.data.polygons])
    assert normals[:, 1].mean() < -0.5
    rows = np.array([tuple(v.co) for v in head.data.vertices]).reshape(fake_worker.SIZE, fake_worker.SIZE, 3)
    assert (np.diff(rows[:, 0, 2]) > 0).all()
    assert (np.diff(rows[0, :, 0]) > 0).all()


def test_every_head_has_materials_of_its_own(head):
    names = [slot.material.name for slot in head.material_slots]
    assert names == ["Dimple skin", "Dimple teeth", "Dimple iris"]


def test_a_broken_head_is_refused_and_leaves_no_mesh(head):
    from dimple_under_test.addon.head_builder import HeadArrays, build_head
    from dimple_under_test.addon.mesh_reader import HeadError

    arrays = fake_worker.head_arrays()
    arrays["faces"][4] = arrays["faces"][4][0]
    meshes = len(bpy.data.meshes)
    with pytest.raises(HeadError, match="no valid mesh"):
        build_head(HeadArrays(**arrays, material_names=fake_worker.MATERIALS), "Broken")
    assert len(bpy.data.meshes) == meshes


@pytest.mark.parametrize("name", ["skin", "sclera", "iris", "teeth", "a name that is not known"])
def test_materials_set_the_principled_shader(dimple, name):
    from dimple_under_test.addon.material_writer import LOOKS, PLAIN, make_material

    look = LOOKS.get(name, PLAIN)
    material = make_material(name)
    principled = material.node_tree.nodes["Principled BSDF"]
    assert principled.inputs["Roughness"].default_value == pytest.approx(look.roughness)
    assert tuple(principled.inputs["Base Color"].default_value)[:3] == pytest.approx(look.colour)
    for socket, value in look.sockets.items():
        found = principled.inputs[socket].default_value
        assert (tuple(found) if isinstance(value, tuple) else found) == pytest.approx(value), socket
