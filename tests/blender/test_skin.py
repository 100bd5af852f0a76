"""Generated skin in Blender: material, drivers, files, recipe; the artist's own material is never lost."""

from pathlib import Path

import bpy
import numpy as np
import pytest
from dimple_under_test.addon.skin_group import GROUP, SIDE
from dimple_under_test.addon.skin_record import read_record

from tests.blender import fake_worker

KEYS = ["jawOpen", "mouthSmileLeft", "mouthSmileRight"]


@pytest.fixture
def painted(head):
    """The head with a generated image behind the base colour of its largest material."""
    image = bpy.data.images.new("paint", 8, 8)
    image.generated_color = (0.7, 0.5, 0.4, 1.0)
    for material in head.data.materials:
        nodes, links = material.node_tree.nodes, material.node_tree.links
        texture = nodes.new("ShaderNodeTexImage")
        texture.image, texture.name = image, "my texture"
        hue = nodes.new("ShaderNodeHueSaturation")
        links.new(texture.outputs["Color"], hue.inputs["Color"])
        principled = next(node for node in nodes if node.type == "BSDF_PRINCIPLED")
        links.new(hue.outputs["Color"], principled.inputs["Base Color"])
    return head


@pytest.fixture
def saved(painted, tmp_path):
    """The same in a file that is saved."""
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    return painted


def generate(**settings):
    values = {"source": "TEXTURE", "words": "happiness"} | settings
    for name, value in values.items():
        setattr(bpy.context.scene.dimple_skin, name, value)
    return bpy.ops.dimple.generate_skin()


def slot_of(head):
    return read_record(head).slot


def worn(head):
    return head.material_slots[slot_of(head)].material


def group(head):
    return worn(head).node_tree.nodes[GROUP]


def principled(material):
    return next(node for node in material.node_tree.nodes if node.type == "BSDF_PRINCIPLED")


def images(head):
    return [node.image for node in group(head).node_tree.nodes if node.type == "TEX_IMAGE"]


def snapshot(material):
    tree = material.node_tree
    links = sorted(
        (link.from_node.name, link.from_socket.name, link.to_node.name, link.to_socket.name)
        for link in tree.links
    )
    values = {
        entry.name: tuple(entry.default_value)
        if hasattr(entry.default_value, "__len__")
        else entry.default_value
        for entry in principled(material).inputs
        if hasattr(entry, "default_value")
    }
    return sorted(node.name for node in tree.nodes), links, values


def test_an_expression_becomes_a_material_with_a_slider(saved):
    assert generate() == {"FINISHED"}
    node, material = group(saved), worn(saved)
    assert [entry.name for entry in node.inputs] == ["Relief", "happiness"]
    assert node.inputs["happiness"].default_value == 1.0
    shader = principled(material)
    ends = {entry.name: entry.links[0] for entry in shader.inputs if entry.is_linked}
    assert {name: link.from_socket.name for name, link in ends.items() if link.from_node == node} == {
        "Specular IOR Level": "Specular",
        "Roughness": "Roughness",
        "Normal": "Normal",
    }
    hue = ends["Base Color"].from_node
    assert hue.type == "HUE_SAT", "the artist's own node between texture and shader stays"
    assert hue.inputs["Color"].links[0].from_node == node
    spaces = {image.name.split()[-1]: image.colorspace_settings.name for image in images(saved)}
    assert spaces == {
        "albedo": "sRGB",
        "specular": "Non-Color",
        "roughness": "Non-Color",
        "normal": "Non-Color",
    }
    relief = next(inner for inner in node.node_tree.nodes if inner.type == "NORMAL_MAP")
    assert (relief.space, relief.uv_map) == ("TANGENT", "UVMap")


def test_files_lie_in_a_dated_folder_beside_the_blend_and_are_never_overwritten(saved, tmp_path):
    generate()
    first = Path(bpy.path.abspath(read_record(saved).folder))
    assert first.parent == tmp_path / "dimple"
    assert first.name[:2] == "20"
    assert first.name.endswith("Ann happiness")
    assert all(image.filepath.startswith("//dimple") for image in images(saved))
    assert all(Path(bpy.path.abspath(image.filepath)).is_file() for image in images(saved))
    before = {path: path.stat().st_mtime_ns for path in first.rglob("*.png")}
    generate()
    second = Path(bpy.path.abspath(read_record(saved).folder))
    assert second != first
    assert {path: path.stat().st_mtime_ns for path in first.rglob("*.png")} == before


def test_an_unsaved_file_gets_its_images_packed(painted):
    assert generate() == {"FINISHED"}
    assert read_record(painted).folder == ""
    for image in images(painted):
        assert image.packed_file is not None
        assert image.size[0] == 4
    generate()
    assert len(bpy.data.images) == 1 + 8, "the images of the skin before are gone"


def test_the_artists_material_is_kept_and_comes_back_as_it_was(saved):
    slot = max(range(3), key=lambda i: sum(p.area for p in saved.data.polygons if p.material_index == i))
    own = saved.material_slots[slot].material
    others = [holder.material for i, holder in enumerate(saved.material_slots) if i != slot]
    before = snapshot(own)
    generate()
    assert worn(saved) != own
    assert own.use_fake_user
    assert snapshot(own) == before
    assert [holder.material for i, holder in enumerate(saved.material_slots) if i != slot] == others
    assert bpy.ops.dimple.remove_skin() == {"FINISHED"}
    assert saved.material_slots[slot].material == own
    assert snapshot(own) == before
    assert not own.use_fake_user
    assert read_record(saved) is None
    assert [tree for tree in bpy.data.node_groups if tree.name.startswith(GROUP)] == []


def test_generating_again_keeps_what_the_artist_did_to_the_copy(saved):
    generate()
    material = worn(saved)
    hue = next(node for node in material.node_tree.nodes if node.type == "HUE_SAT")
    hue.inputs["Saturation"].default_value = 0.25
    principled(material).inputs["Coat Weight"].default_value = 0.5
    material.node_tree.links.remove(principled(material).inputs["Roughness"].links[0])
    assert bpy.ops.dimple.generate_skin_again() == {"FINISHED"}
    assert worn(saved) == material
    assert hue.inputs["Saturation"].default_value == 0.25
    assert hue.inputs["Color"].links[0].from_node == group(saved)
    assert principled(material).inputs["Coat Weight"].default_value == 0.5
    assert not principled(material).inputs["Roughness"].is_linked
    assert principled(material).inputs["Normal"].links[0].from_node == group(saved)


def test_a_head_without_material_gets_one_that_scatters_light(head):
    head.data.materials.clear()
    assert generate(source="SEED") == {"FINISHED"}
    shader = principled(worn(head))
    assert shader.inputs["Subsurface Weight"].default_value == 1.0
    assert shader.inputs["Subsurface Scale"].default_value == pytest.approx(1.2 / fake_worker.MM_PER_UNIT)
    assert shader.inputs["Base Color"].links[0].from_node == group(head)
    bpy.ops.dimple.remove_skin()
    assert head.material_slots[0].material is None


def test_an_artists_subsurface_is_left_alone(saved):
    material = saved.material_slots[0].material
    principled(material).inputs["Subsurface Weight"].default_value = 0.07
    bpy.context.scene.dimple_skin.material = material
    generate()
    assert slot_of(saved) == 0
    assert principled(worn(saved)).inputs["Subsurface Weight"].default_value == pytest.approx(0.07)


# ------------------------------------------------------------------------------------------ driven by keys


@pytest.fixture
def rigged(saved):
    bpy.context.scene.dimple_library.correctives = True
    bpy.ops.dimple.generate_library()
    return saved


def baked(head, name):
    """What a map of the skin shows, one colour for the left and one for the right: rendered with Cycles."""
    scene = bpy.context.scene
    material = worn(head)
    tree = material.node_tree
    emission, output = (
        tree.nodes.new("ShaderNodeEmission"),
        next(n for n in tree.nodes if n.type == "OUTPUT_MATERIAL"),
    )
    tree.links.new(group(head).outputs[name], emission.inputs["Color"])
    tree.links.new(emission.outputs[0], output.inputs["Surface"])
    for holder in head.material_slots:
        holder.material = material
    camera = bpy.data.objects.new("eye", bpy.data.cameras.new("eye"))
    camera.data.type, camera.data.ortho_scale = "ORTHO", 0.05
    camera.location, camera.rotation_euler = (0.025, -1.0, 0.025), (np.pi / 2, 0.0, 0.0)
    scene.collection.objects.link(camera)
    scene.camera = camera
    scene.render.engine, scene.cycles.samples, scene.cycles.device = "CYCLES", 1, "CPU"
    scene.cycles.use_denoising = False
    scene.render.resolution_x = scene.render.resolution_y = 16
    scene.render.image_settings.file_format = "OPEN_EXR"
    scene.render.filepath = bpy.app.tempdir + "baked.exr"
    bpy.ops.render.render(write_still=True)
    image = bpy.data.images.load(scene.render.filepath)
    pixels = np.array(image.pixels[:]).reshape(16, 16, 4)
    bpy.data.images.remove(image)
    return pixels[8, 13, :3], pixels[8, 3, :3]


def test_keys_drive_their_sets(rigged):
    assert generate(subject="keys", sets=2) == {"FINISHED"}
    node = group(rigged)
    assert [entry.name for entry in node.inputs] == ["Relief", *KEYS]
    drivers = worn(rigged).node_tree.animation_data.drivers
    assert len(drivers) == 3
    assert all(curve.driver.is_valid and curve.driver.type == "SUM" for curve in drivers)
    rigged.data.shape_keys.key_blocks["mouthSmileLeft"].value = 0.6
    graph = bpy.context.evaluated_depsgraph_get()
    evaluated = worn(rigged).evaluated_get(graph).node_tree.nodes[GROUP]
    assert evaluated.inputs["mouthSmileLeft"].default_value == pytest.approx(0.6)
    assert evaluated.inputs["mouthSmileRight"].default_value == 0.0
    side = rigged.data.attributes[SIDE]
    assert {item.value for item in side.data} == {0.0, 1.0}


def linear(values):
    encoded = np.asarray(values) / 255.0
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def test_a_left_key_changes_the_left_of_the_face_by_its_value(rigged):
    generate(subject="keys", sets=2)
    rigged.data.shape_keys.key_blocks["mouthSmileLeft"].value = 0.5
    left, right = baked(rigged, "Albedo")
    neutral = linear(fake_worker.NEUTRAL_COLOURS["albedo"])
    full = linear(np.add(fake_worker.NEUTRAL_COLOURS["albedo"], fake_worker.SET_CHANGE["albedo"]))
    np.testing.assert_allclose(right, neutral, atol=0.004)
    np.testing.assert_allclose(left, neutral + 0.5 * (full - neutral), atol=0.004)


def test_correctives_get_no_set_of_their_own(rigged):
    generate(subject="keys", sets=16)
    assert set(read_record(rigged).request.key_names) == {*KEYS, "mouthFunnel"}


def test_keys_without_shape_keys_are_refused(saved):
    with pytest.raises(RuntimeError, match="has no shape keys that move it: make a library first"):
        generate(subject="keys")


# ------------------------------------------------------------------------------------------ every frame


@pytest.fixture
def animated(saved):
    bpy.context.scene.dimple.frames = 5
    bpy.ops.dimple.generate()
    bpy.context.scene.frame_start, bpy.context.scene.frame_end = 1, 5
    return saved


def test_frames_are_image_sequences_in_step_with_the_action(animated):
    bpy.context.scene.frame_set(3)
    assert generate(subject="frames") == {"FINISHED"}
    assert bpy.context.scene.frame_current == 3
    nodes = [node for node in group(animated).node_tree.nodes if node.type == "TEX_IMAGE"]
    assert len(nodes) == 4
    for node in nodes:
        user = node.image_user
        assert node.image.source == "SEQUENCE"
        assert (user.frame_start, user.frame_duration, user.frame_offset) == (1, 5, 0)
        assert user.use_auto_refresh
    folder = Path(bpy.path.abspath(read_record(animated).folder))
    assert len(list(folder.glob("albedo_*.png"))) == 5


def test_a_sequence_shows_the_file_of_its_frame(animated):
    generate(subject="frames")
    for block in animated.data.shape_keys.key_blocks:
        block.mute = True  # the colours are looked for where the rest shape is
    bpy.context.scene.frame_set(3)
    colour, _ = baked(animated, "Albedo")
    np.testing.assert_allclose(colour, linear([150, 0, 0]), atol=0.004)


def test_frames_without_motion_are_refused(saved):
    with pytest.raises(RuntimeError, match="do not move between frames 1 and 250"):
        generate(subject="frames")


def test_frames_need_a_saved_file(painted):
    bpy.context.scene.dimple_skin.subject = "frames"
    assert not bpy.ops.dimple.generate_skin.poll()


# ------------------------------------------------------------------------------------------ undo, failure


def test_nothing_changes_when_the_worker_refuses(saved):
    materials = [holder.material for holder in saved.material_slots]
    counts = len(bpy.data.materials), len(bpy.data.images), len(bpy.data.node_groups)
    with pytest.raises(RuntimeError, match="black where the face is"):
        generate(words="refuse")
    with pytest.raises(RuntimeError, match="result cannot be read"):
        generate(words="no_result")
    assert [holder.material for holder in saved.material_slots] == materials
    assert (len(bpy.data.materials), len(bpy.data.images), len(bpy.data.node_groups)) == counts
    assert read_record(saved) is None


def test_a_damaged_record_can_be_removed(saved):
    generate()
    saved["dimple_skin"] = "{"
    with pytest.raises(RuntimeError, match="damaged"):
        bpy.ops.dimple.generate_skin_again()
    bpy.ops.dimple.remove_skin()
    assert "dimple_skin" not in saved


def test_first_results_are_seen_while_the_skin_is_made(dimple, painted, monkeypatch):
    session, seen = dimple.session, []

    def look():
        job = session.current
        if job is not None and job.picture:
            session.icon_of(job.picture)  # Blender as a module numbers no icons
            seen.append((len(session._pictures), tuple(session._pictures[job.picture].image_size)))

    wait = session.wait
    monkeypatch.setattr(session, "wait", lambda job, _on_step: wait(job, look))
    assert generate() == {"FINISHED"}
    assert set(seen) == {(1, (4, 4))}, "loaded once"
    assert session._pictures is None
