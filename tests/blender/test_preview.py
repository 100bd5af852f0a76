"""The studio fits heads of any size; sheets and clips have the pictures they should."""

import bpy
import numpy as np
import pytest
from dimple_under_test.addon import preview

TINY = preview.Quality(32, 40, samples=2)


def ball(radius):
    """A head as far as a studio is concerned: upright, in the middle of nowhere."""
    bpy.ops.mesh.primitive_uv_sphere_add(radius=radius, location=(5 * radius, 0, 2 * radius))
    return bpy.context.active_object


def pixels(path):
    image = bpy.data.images.load(str(path))
    width, height = image.size
    values = np.empty(width * height * 4, np.float32)
    image.pixels.foreach_get(values)
    bpy.data.images.remove(image)
    return values.reshape(height, width, 4)[..., :3]


def still(head, path):
    studio = preview.build_studio(bpy.context.scene, head)
    preview.render_still(studio, path, TINY)
    return studio, pixels(path)


@pytest.mark.parametrize("radius", [0.12, 120.0])
def test_head_is_lit_and_framed_at_any_size(empty_file, tmp_path, radius):
    _, picture = still(ball(radius), tmp_path / "still.png")
    assert picture.shape == (40, 32, 3)
    face, corner = picture[15:25, 12:20].mean(), picture[-3:, :3].mean()
    assert 0.3 < face < 0.95
    assert corner < 0.25


def test_millimetres_look_like_metres(empty_file, tmp_path):
    _, small = still(ball(0.12), tmp_path / "metres.png")
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    _, large = still(ball(120.0), tmp_path / "millimetres.png")
    assert np.abs(small - large).mean() < 0.01


def test_sheet_shows_each_frame_in_its_place(empty_file, tmp_path):
    head = ball(0.12)
    studio = preview.build_studio(bpy.context.scene, head)
    for frame, hidden in ((1, False), (2, True), (3, False)):
        head.hide_render = hidden
        head.keyframe_insert("hide_render", frame=frame)
    preview.render_contact_sheet(studio, [[1, 2], [3]], tmp_path / "sheet.png", TINY)
    sheet = pixels(tmp_path / "sheet.png")
    assert sheet.shape == (80, 64, 3)
    top, bottom = sheet[55:65], sheet[15:25]
    assert top[:, 12:20].mean() > 0.3
    assert top[:, 44:52].mean() < 0.25
    assert bottom[:, 12:20].mean() > 0.3
    assert bottom[:, 44:52].mean() == 0.0


def test_caption_is_seen_in_its_frames_only(empty_file, tmp_path):
    head = ball(0.12)
    head.scale.x = 0.3  # leaves the corner free
    studio = preview.build_studio(bpy.context.scene, head)
    preview.add_caption(studio, "joy", 2, 3)
    corners = []
    for frame in (1, 2, 4):
        bpy.context.scene.frame_set(frame)
        preview.render_still(studio, tmp_path / "still.png", preview.Quality(160, 200, samples=1))
        corners.append(pixels(tmp_path / "still.png")[-30:, :60].max())
    assert corners[1] > 0.5 > max(corners[0], corners[2])


def test_movie_keeps_the_scene_and_real_time(empty_file, tmp_path):
    scene = bpy.context.scene
    studio = preview.build_studio(scene, ball(0.12))
    scene.frame_start, scene.frame_end, scene.render.fps = 1, 8, 24
    before = (scene.render.filepath, scene.render.fps_base, scene.frame_step)
    preview.render_movie(studio, tmp_path / "clip.mp4", TINY, step=2)
    assert (scene.render.filepath, scene.render.fps_base, scene.frame_step) == before
    assert scene.render.image_settings.file_format != "FFMPEG"
    clip = bpy.data.movieclips.load(str(tmp_path / "clip.mp4"))
    assert (clip.frame_duration, tuple(clip.size), round(clip.fps)) == (4, (32, 40), 12)
    assert [file.name for file in tmp_path.iterdir()] == ["clip.mp4"]


def test_taking_the_studio_down_is_deleting_one_collection(empty_file):
    head = ball(0.12)
    preview.build_studio(bpy.context.scene, head)
    studio = bpy.data.collections[preview.STUDIO]
    for thing in list(studio.objects):
        bpy.data.objects.remove(thing)
    assert list(bpy.context.scene.objects) == [head]


def test_rows_of_a_sheet_may_have_lights_of_their_own(empty_file, tmp_path):
    studio = preview.build_studio(bpy.context.scene, ball(0.12))
    lights = (preview.LIGHTS, preview.WINDOW)
    preview.render_contact_sheet(studio, [[1], [1]], tmp_path / "sheet.png", TINY, lights)
    sheet = pixels(tmp_path / "sheet.png")
    top, bottom = sheet[40:], sheet[:40]
    left, right = slice(9, 14), slice(18, 23)
    assert top[15:25, left].mean() > 1.03 * top[15:25, right].mean()  # the key is on the left
    assert bottom[15:25, right].mean() > 1.03 * bottom[15:25, left].mean()  # the window on the right
    assert len([thing for thing in studio.collection.objects if thing.type == "LIGHT"]) == 3
