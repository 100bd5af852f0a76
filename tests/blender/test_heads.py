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
