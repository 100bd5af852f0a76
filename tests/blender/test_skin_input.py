"""Heads and textures as artists have them: each works, or is refused with the sentence that helps."""

import os

import bpy
import numpy as np
import pytest
from dimple_under_test.addon.image_reader import base_colour_image, image_refusal, read_texture
from dimple_under_test.addon.mesh_reader import HeadError
from dimple_under_test.addon.skin_job import skin_job
from dimple_under_test.addon.skin_reader import key_deformations, read_uv, skin_slot
from dimple_under_test.addon.skin_record import read_record

from tests.blender.test_skin import generate, group, painted, principled, saved  # noqa: F401  # fixtures


def colours(width=5, height=3):
    """(H, W, 4) floats, top row first, that a byte image holds exactly."""
    values = np.random.default_rng(0).integers(0, 256, (height, width, 4)) / 255.0
    values[..., 3] = 1.0
    return values.astype(np.float32)


def generated(pixels, name="generated", **options):
    height, width = pixels.shape[:2]
    image = bpy.data.images.new(name, width, height, **options)
    image.pixels.foreach_set(pixels[::-1].ravel())
    image.update()
    return image


def texels(image):
    texture = read_texture(image)
    assert texture.path == ""
    return texture.texels.reshape(len(texture.texels), -1, 4)


def on_disk(tmp_path, name="skin é.png", file_format="PNG", depth="8"):
    image = generated(colours())
    scene = bpy.context.scene
    settings = scene.render.image_settings
    if hasattr(settings, "media_type"):
        settings.media_type = "IMAGE"
    settings.file_format, settings.color_depth, settings.color_mode = file_format, depth, "RGB"
    scene.view_settings.view_transform = "Raw" if file_format == "OPEN_EXR" else "Standard"
    path = tmp_path / name
    image.file_format = file_format
    image.filepath_raw = str(path)
    if depth == "8":
        image.save()
    else:
        image.save_render(str(path), scene=scene)
    bpy.data.images.remove(image)
    return bpy.data.images.load(str(path))


# ------------------------------------------------------------------------------------------ textures


def test_a_file_on_disk_is_read_by_the_worker_itself(dimple, tmp_path):
    image = on_disk(tmp_path)
    assert read_texture(image).path == str(tmp_path / "skin é.png")


def test_a_generated_image_goes_as_texels(dimple):
    np.testing.assert_array_equal(texels(generated(colours())), np.rint(colours() * 255))


def test_a_packed_image_and_a_painted_one_go_as_blender_shows_them(dimple, tmp_path):
    image = on_disk(tmp_path)
    image.pack()
    (tmp_path / "skin é.png").unlink()
    np.testing.assert_array_equal(texels(image), np.rint(colours() * 255))
    own = on_disk(tmp_path, "painted.png")
    changed = colours()
    changed[0, 0] = (1, 0, 0, 1)
    own.pixels.foreach_set(changed[::-1].ravel())
    own.update()
    assert own.is_dirty
    np.testing.assert_array_equal(texels(own)[0, 0], (255, 0, 0, 255))


def test_floats_are_linear_light_and_become_srgb(dimple):
    grey = np.ones((2, 2, 4), np.float32)
    grey[..., :3] = 0.2140411  # of which sRGB makes a half
    np.testing.assert_allclose(texels(generated(grey, float_buffer=True))[..., :3], 128, atol=1)


def test_formats_that_only_blender_reads(dimple, tmp_path):
    image = on_disk(tmp_path, "skin.exr", "OPEN_EXR", "32")
    np.testing.assert_allclose(texels(image)[..., :3], np.rint(colours() * 255)[..., :3], atol=2)


def test_a_missing_file_is_told(dimple, tmp_path):
    image = on_disk(tmp_path)
    (tmp_path / "skin é.png").unlink()
    with pytest.raises(HeadError, match="is missing: use File > External Data > Find Missing Files"):
        read_texture(image)


@pytest.mark.parametrize(
    ("source", "sentence"), [("TILED", "several tiles"), ("SEQUENCE", "no single picture")]
)
def test_tiles_and_sequences_are_told(dimple, tmp_path, source, sentence):
    image = on_disk(tmp_path)
    image.source = source
    assert sentence in image_refusal(image)


def test_the_texture_is_found_behind_other_nodes_and_the_nearest_wins(painted):  # noqa: F811
    material = painted.material_slots[0].material
    assert base_colour_image(material).name == "paint"
    nodes, links = material.node_tree.nodes, material.node_tree.links
    other = nodes.new("ShaderNodeTexImage")
    other.image = generated(colours(), "nearer")
    links.new(other.outputs["Color"], principled(material).inputs["Base Color"])
    assert base_colour_image(material).name == "nearer"
    unplugged = nodes.new("ShaderNodeBsdfPrincipled")
    links.new(unplugged.outputs[0], next(n for n in nodes if n.type == "OUTPUT_MATERIAL").inputs["Surface"])
    assert base_colour_image(material) is None
    assert base_colour_image(None) is None


def test_without_a_texture_the_skin_is_authored(head, tmp_path):
    assert generate() == {"FINISHED"}
    record = read_record(head)
    assert not record.from_material
    bpy.ops.dimple.remove_skin()
    nodes = head.material_slots[0].material.node_tree.nodes
    texture = nodes.new("ShaderNodeTexImage")
    texture.image = on_disk(tmp_path)
    entry = principled(head.material_slots[0].material).inputs["Base Color"]
    head.material_slots[0].material.node_tree.links.new(texture.outputs["Color"], entry)
    (tmp_path / "skin é.png").unlink()
    bpy.context.scene.dimple_skin.material = head.material_slots[0].material
    assert not bpy.ops.dimple.generate_skin.poll(), "its file is missing"


# ------------------------------------------------------------------------------------------ UVs


def test_a_head_without_uvs_is_refused(painted):  # noqa: F811
    painted.data.uv_layers.remove(painted.data.uv_layers[0])
    with pytest.raises(HeadError, match="has no UV map: unwrap it first"):
        read_uv(painted, 0)
    assert not bpy.ops.dimple.generate_skin.poll()


def move_uv(head, rows, offset):
    layer = head.data.uv_layers[0]
    uv = np.empty((len(head.data.loops), 2), np.float32)
    layer.uv.foreach_get("vector", uv.ravel())
    uv[rows] += offset
    layer.uv.foreach_set("vector", uv.ravel())


def test_several_tiles_are_refused(painted):  # noqa: F811
    polygons = [p for p in painted.data.polygons if p.material_index == 0]
    move_uv(painted, list(polygons[0].loop_indices), (1.0, 0.0))
    with pytest.raises(HeadError, match="several tiles \\(UDIM\\)"):
        read_uv(painted, 0)


def test_one_tile_that_is_not_the_first_works(painted):  # noqa: F811
    before = read_uv(painted, 0)
    move_uv(painted, slice(None), (2.0, 1.0))
    after = read_uv(painted, 0)
    skin = before.skin_triangles
    np.testing.assert_allclose(after.uv.reshape(-1, 3, 2)[skin], before.uv.reshape(-1, 3, 2)[skin], atol=1e-5)


def test_the_skin_is_what_most_of_the_head_wears(painted):  # noqa: F811
    for polygon in painted.data.polygons:
        polygon.material_index = 2
    painted.data.update()
    assert skin_slot(painted) == 2
    assert skin_slot(painted, painted.material_slots[1].material) == 1
    with pytest.raises(HeadError, match="No face of “Ann” wears the material"):
        read_uv(painted, 1)


def test_uvs_belong_to_the_triangles_that_the_worker_sees(head):
    skin = read_uv(head, 0)
    mesh = head.data
    mesh.calc_loop_triangles()
    layer = mesh.uv_layers[0]
    for number, triangle in enumerate(mesh.loop_triangles):
        for corner, loop in enumerate(triangle.loops):
            expected = layer.uv[loop].vector
            np.testing.assert_allclose(skin.uv.reshape(-1, 3, 2)[number, corner], expected, atol=1e-6)
    wanted = [i for i, triangle in enumerate(mesh.loop_triangles) if triangle.material_index == 0]
    assert skin.skin_triangles.tolist() == wanted


# ------------------------------------------------------------------------------------------ keys


def test_a_vertex_group_limits_what_a_key_moves(head):
    head.shape_key_add(name="Basis", from_mix=False)
    block = head.shape_key_add(name="half", from_mix=False)
    neutral = np.array([vertex.co for vertex in head.data.vertices], np.float32)
    block.points.foreach_set("co", (neutral + 1.0).ravel())
    group_ = head.vertex_groups.new(name="some")
    group_.add([3, 4], 0.25, "REPLACE")
    block.vertex_group = "some"
    names, (offset,) = key_deformations(head)
    assert names == ("half",)
    np.testing.assert_allclose(offset[[3, 4]], 0.25, atol=1e-6)
    assert np.abs(np.delete(offset, [3, 4], axis=0)).max() == 0


# ------------------------------------------------------------------------------------------ files


def test_a_folder_that_cannot_be_made_loses_nothing(saved, tmp_path):  # noqa: F811
    (tmp_path / "dimple").write_text("no folder")
    materials = [slot.material for slot in saved.material_slots]
    with pytest.raises(RuntimeError, match="cannot be written"):
        generate()
    assert [slot.material for slot in saved.material_slots] == materials
    assert (tmp_path / "dimple").read_text() == "no folder"


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is protected from root")
def test_a_read_only_folder_loses_nothing(saved, tmp_path):  # noqa: F811
    tmp_path.chmod(0o500)
    with pytest.raises(RuntimeError):
        generate()
    tmp_path.chmod(0o700)
    assert read_record(saved) is None


def test_paths_stay_right_when_the_file_moves(saved, tmp_path):  # noqa: F811
    generate()
    home = tmp_path / "elsewhere"
    home.mkdir()
    (tmp_path / "dimple").rename(home / "dimple")
    bpy.ops.wm.save_mainfile()
    (tmp_path / "scene.blend").rename(home / "scene.blend")
    bpy.ops.wm.open_mainfile(filepath=str(home / "scene.blend"))
    shown = [
        node.image for node in group(bpy.data.objects["Ann"]).node_tree.nodes if node.type == "TEX_IMAGE"
    ]
    assert all(image.size[0] == 4 for image in shown)


def test_a_request_is_the_recipe(saved):  # noqa: F811
    settings = bpy.context.scene.dimple_skin
    settings.words, settings.resolution, settings.skin_seed = "anger, jawOpen=0.2", "2048", 5
    assert settings.request("checkpoint", ()).personal == pytest.approx(1.0)
    settings.personal, settings.wrinkle_seed = 0.25, 8
    request = settings.request("checkpoint", ("happiness",))
    assert (request.personal, request.seed) == (0.25, 8)
    assert request.expressions == ("anger", "jawOpen=0.2")
    assert (request.resolution, request.skin_seed, request.subject) == (2048, 5, "expression")
    work = skin_job(bpy.context, saved, request, 0)
    assert work.request.companions == ()
    assert set(work.arrays) == {"neutral_vertices", "triangles", "uv", "skin_triangles"}
    settings.words = ""
    assert settings.request("checkpoint", ("happiness",)).expressions == ("happiness",)


def test_a_skin_checkpoint_is_offered_when_it_is_there(dimple, tmp_path, monkeypatch):
    from dimple_under_test.addon import skin_properties

    monkeypatch.setattr(skin_properties, "CHECKPOINTS", tmp_path)
    assert list(skin_properties.skins()) == ["authored"]
    (tmp_path / "exp-diff").mkdir()
    assert list(skin_properties.skins()) == ["exp-diff", "authored"]
    assert bpy.context.scene.dimple_skin.skin == "exp-diff"
