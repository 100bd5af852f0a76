"""Look-dev: light a head, frame it, render a contact sheet and a clip.

Lengths are measured in heads, so the same studio fits a head in metres and one in millimetres; it expects the
head upright in the world and looking along -Y, as Blender's front view expects. Cycles on the CPU is the only
engine used: EEVEE and Workbench end the whole process on a machine without a graphics driver.
"""

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from mathutils import Vector
from numpy.typing import NDArray

from .exporters import replacing

STUDIO = "Dimple Studio"
"""Name of the collection that holds camera, lights and caption: deleting it takes the studio down."""


@dataclass(frozen=True)
class Light:
    """An area light that looks at the middle of the face, seen from the camera."""

    name: str
    place: tuple[float, float, float]  # heads to the right, towards the camera, up
    size: float  # heads
    watts: float  # for a head one metre tall
    colour: tuple[float, float, float]


# A portrait's three points: a large warm key high on one side, a weak cool fill opposite, a rim from behind.
LIGHTS = (
    Light("Dimple Key", (-1.7, 1.7, 1.1), 0.9, 100.0, (1.0, 0.92, 0.83)),
    Light("Dimple Fill", (0.9, 2.4, -0.3), 1.6, 18.0, (0.8, 0.9, 1.0)),
    Light("Dimple Rim", (1.7, -1.7, 0.9), 0.8, 80.0, (0.9, 0.95, 1.0)),
)
# A window from the side: it shows what the skin's relief does.
WINDOW = (
    Light("Dimple Window", (2.1, 1.0, 0.7), 1.4, 150.0, (0.86, 0.93, 1.0)),
    Light("Dimple Bounce", (-1.8, 1.2, -0.4), 1.8, 6.0, (1.0, 0.88, 0.76)),
)
AMBIENT = (0.06, 0.065, 0.075)  # what the world sheds on the face
BACKDROP = (0.02, 0.022, 0.026)  # what the camera sees behind it

FOCAL_LENGTH = 85.0  # mm: a portrait's perspective
FILM_HEIGHT = 36.0  # mm
PICTURE_HEIGHT = 0.78  # heads, neck and shoulders included
PICTURE_MIDDLE = 0.64  # heads above the shoulders
CAPTION_SIZE = 0.05  # of the picture's height
CAPTION_PLACE = (-0.37, 0.43)  # of the picture's height, from its middle: top left in a 4 : 5 portrait


@dataclass(frozen=True)
class Quality:
    """Size of a picture in pixels and Cycles samples a pixel, before denoising."""

    width: int
    height: int
    samples: int


@dataclass(frozen=True)
class Studio:
    """Camera, lights, world and captions round a head."""

    scene: bpy.types.Scene
    collection: bpy.types.Collection
    camera: bpy.types.Object
    tall: float  # height of the head in Blender's units
    face: Vector  # what the lights look at


def build_studio(scene: bpy.types.Scene, head: bpy.types.Object) -> Studio:
    """Put a studio round `head` and make its camera the scene's."""
    collection = bpy.data.collections.new(STUDIO)
    scene.collection.children.link(collection)
    low, high = _bounds(head)
    middle, tall = (low + high) / 2, (high - low).z
    middle.z = low.z + PICTURE_MIDDLE * tall

    camera = bpy.data.objects.new("Dimple Camera", bpy.data.cameras.new("Dimple Camera"))
    camera.data.lens, camera.data.sensor_fit = FOCAL_LENGTH, "VERTICAL"
    camera.data.sensor_height = FILM_HEIGHT
    distance = PICTURE_HEIGHT * tall * FOCAL_LENGTH / FILM_HEIGHT
    camera.location = (middle.x, low.y - distance, middle.z)
    camera.rotation_euler = Vector((0, 1, 0)).to_track_quat("-Z", "Y").to_euler()
    camera.data.clip_start, camera.data.clip_end = distance / 100, distance * 100
    collection.objects.link(camera)
    scene.camera = camera

    face = Vector((middle.x, low.y, middle.z))
    scene.world = _world()
    scene.view_settings.look = "AgX - Medium High Contrast"
    studio = Studio(scene, collection, camera, tall, face)
    set_lights(studio, LIGHTS)
    return studio


def set_lights(studio: Studio, lights: Sequence[Light]) -> None:
    """Light the head with these lights and no others of the studio's."""
    for lamp in [thing for thing in studio.collection.objects if thing.type == "LIGHT"]:
        bpy.data.lights.remove(lamp.data)
    for light in lights:
        studio.collection.objects.link(_area_light(light, studio.face, studio.tall))


def add_caption(studio: Studio, body: str, first: int, last: int) -> None:
    """A text in a corner of the picture, seen from frame `first` to frame `last`."""
    text = bpy.data.curves.new(f"Dimple Caption {body}", "FONT")
    text.body = body
    height = PICTURE_HEIGHT * studio.tall / 2  # of what the camera sees half way to the face
    text.size = CAPTION_SIZE * height
    text.materials.append(_glow(text.name))
    caption = bpy.data.objects.new(text.name, text)
    studio.collection.objects.link(caption)
    caption.parent = studio.camera
    right, up = CAPTION_PLACE
    caption.location = (right * height, up * height, -height * FOCAL_LENGTH / FILM_HEIGHT)
    for ray in ("diffuse", "glossy", "transmission", "shadow", "volume_scatter"):
        setattr(caption, f"visible_{ray}", False)
    for hidden, frame in ((True, first - 1), (False, first), (True, last + 1)):
        for path in ("hide_render", "hide_viewport"):
            setattr(caption, path, hidden)
            caption.keyframe_insert(path, frame=frame)


def render_still(studio: Studio, path: Path, quality: Quality) -> None:
    """Render the scene's current frame to a PNG. Raises OSError or RuntimeError."""
    with _rendering(studio.scene, quality), replacing(path) as unfinished:
        image = studio.scene.render.image_settings
        if hasattr(image, "media_type"):
            image.media_type = "IMAGE"
        image.file_format = "PNG"
        studio.scene.render.filepath = str(unfinished)
        bpy.ops.render.render(write_still=True)


def render_contact_sheet(
    studio: Studio,
    rows: Sequence[Sequence[int]],
    path: Path,
    quality: Quality,
    lights: Sequence[Sequence[Light]] = (),
) -> None:
    """Render the frames in `rows`, each at `quality`, and put them together as one PNG, rows from the top.

    Each row may have `lights` of its own. Raises OSError or RuntimeError.
    """
    columns = max(map(len, rows))
    sheet = np.zeros((len(rows), quality.height, columns, quality.width, 4), np.float32)
    sheet[..., 3] = 1.0
    with tempfile.TemporaryDirectory(prefix="dimple-sheet-") as folder:
        picture = Path(folder) / "tile.png"
        for r, frames in enumerate(reversed(rows)):  # Blender's pictures begin at the bottom
            if lights:
                set_lights(studio, lights[len(rows) - 1 - r])
            for c, frame in enumerate(frames):
                studio.scene.frame_set(frame)
                render_still(studio, picture, quality)
                sheet[r, :, c] = _read_pixels(picture)
    with replacing(path) as unfinished:
        _write_pixels(unfinished, sheet.reshape(len(rows) * quality.height, columns * quality.width, 4))


def render_movie(studio: Studio, path: Path, quality: Quality, step: int = 1) -> None:
    """Render the scene's frame range to an .mp4 (H.264), every `step`-th frame, in real time.

    Raises OSError or RuntimeError.
    """
    scene = studio.scene
    with _rendering(scene, quality), replacing(path) as unfinished:
        _choose_mp4(scene.render)
        scene.frame_step = step
        scene.render.fps_base *= step
        scene.render.filepath = str(unfinished)
        scene.render.use_file_extension = False
        bpy.ops.render.render(animation=True)


@contextmanager
def _rendering(scene: bpy.types.Scene, quality: Quality) -> Iterator[None]:
    """Cycles settings for quick, denoised frames; file names and timing are the scene's own again then."""
    render, cycles, image = scene.render, scene.cycles, scene.render.image_settings
    render.engine = "CYCLES"
    cycles.device = "CPU"
    cycles.samples = quality.samples
    cycles.use_adaptive_sampling = False  # too few samples to judge noise by
    cycles.use_denoising = True
    cycles.denoiser = "OPENIMAGEDENOISE"
    cycles.denoising_prefilter = "FAST"  # half the time of a picture this small
    cycles.use_light_tree = False
    cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces = 3, 1, 2
    cycles.caustics_reflective = cycles.caustics_refractive = False
    render.use_persistent_data = True  # between frames only the head's vertices change
    render.resolution_x, render.resolution_y, render.resolution_percentage = (
        quality.width,
        quality.height,
        100,
    )
    kept: list[tuple[Any, str]] = [
        (render, "filepath"),
        (render, "fps_base"),
        (render, "use_file_extension"),
        (scene, "frame_step"),
        *((image, name) for name in ("media_type", "file_format") if hasattr(image, name)),
    ]
    values = [getattr(owner, name) for owner, name in kept]
    try:
        with _quiet():
            yield
    finally:
        for (owner, name), value in zip(kept, values, strict=True):
            setattr(owner, name, value)


@contextmanager
def _quiet() -> Iterator[None]:
    """Blender prints every step of a render: thousands of lines that would hide what a script says."""
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        with Path(os.devnull).open("w") as nothing:
            os.dup2(nothing.fileno(), 1)
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def _choose_mp4(render: bpy.types.RenderSettings) -> None:
    image = render.image_settings
    if hasattr(image, "media_type"):  # from Blender 5.0 on, movies are a kind of media of their own
        image.media_type = "VIDEO"
    image.file_format = "FFMPEG"
    image.color_mode = "RGB"
    render.ffmpeg.format = "MPEG4"
    render.ffmpeg.codec = "H264"
    render.ffmpeg.constant_rate_factor = "HIGH"
    render.ffmpeg.ffmpeg_preset = "GOOD"
    render.ffmpeg.audio_codec = "NONE"


def _bounds(head: bpy.types.Object) -> tuple[Vector, Vector]:
    """The corners of the head's box in the world."""
    corners = np.array([head.matrix_world @ Vector(corner) for corner in head.bound_box])
    return Vector(corners.min(axis=0)), Vector(corners.max(axis=0))


def _area_light(light: Light, face: Vector, tall: float) -> bpy.types.Object:
    data = bpy.data.lights.new(light.name, "AREA")
    data.shape, data.size = "DISK", light.size * tall
    data.energy = light.watts * tall**2  # the same light on the face at any size
    data.color = light.colour
    right, front, up = light.place
    lamp = bpy.data.objects.new(light.name, data)
    lamp.location = face + tall * Vector((right, -front, up))
    lamp.rotation_euler = (face - lamp.location).to_track_quat("-Z", "Y").to_euler()
    return lamp


def _glow(name: str) -> bpy.types.Material:
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    nodes = material.node_tree.nodes
    nodes.clear()
    emission, output = nodes.new("ShaderNodeEmission"), nodes.new("ShaderNodeOutputMaterial")
    emission.inputs["Color"].default_value = (0.7, 0.7, 0.7, 1.0)
    material.node_tree.links.new(emission.outputs["Emission"], output.inputs["Surface"])
    return material


def _world() -> bpy.types.World:
    """Soft light from all round, a dark backdrop for the camera."""
    world = bpy.data.worlds.new(STUDIO)
    world.use_nodes = True
    nodes, links = world.node_tree.nodes, world.node_tree.links
    nodes.clear()
    ambient, backdrop = nodes.new("ShaderNodeBackground"), nodes.new("ShaderNodeBackground")
    ambient.inputs["Color"].default_value = (*AMBIENT, 1.0)
    backdrop.inputs["Color"].default_value = (*BACKDROP, 1.0)
    ray, mix = nodes.new("ShaderNodeLightPath"), nodes.new("ShaderNodeMixShader")
    output = nodes.new("ShaderNodeOutputWorld")
    links.new(ray.outputs["Is Camera Ray"], mix.inputs[0])
    links.new(ambient.outputs[0], mix.inputs[1])
    links.new(backdrop.outputs[0], mix.inputs[2])
    links.new(mix.outputs[0], output.inputs["Surface"])
    return world


def _read_pixels(path: Path) -> NDArray[np.float32]:
    """(H, W, 4) as stored in the file, from the bottom row."""
    image = bpy.data.images.load(str(path))
    width, height = image.size
    pixels = np.empty(width * height * 4, np.float32)
    image.pixels.foreach_get(pixels)
    bpy.data.images.remove(image)
    return pixels.reshape(height, width, 4)


def _write_pixels(path: Path, pixels: NDArray[np.float32]) -> None:
    height, width, _ = pixels.shape
    image = bpy.data.images.new(path.stem, width, height)
    image.pixels.foreach_set(pixels.reshape(-1))
    image.filepath_raw, image.file_format = str(path), "PNG"
    image.save()
    bpy.data.images.remove(image)
