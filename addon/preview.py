"""Look-dev: light a head, frame it, render a contact sheet and a clip.

Lengths are measured in heads, so the same studio fits a head in metres and one in millimetres; it expects the
head upright in the world and looking along -Y, as Blender's own front view does. Cycles on the CPU is the only
engine used: EEVEE and Workbench end the whole process on a machine without a graphics driver.
"""

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
    Light("Dimple Key", (-1.5, 2.0, 1.3), 1.0, 120.0, (1.0, 0.93, 0.85)),
    Light("Dimple Fill", (2.2, 2.0, 0.1), 1.8, 30.0, (0.85, 0.92, 1.0)),
    Light("Dimple Rim", (1.6, -2.0, 1.4), 0.9, 140.0, (0.95, 0.97, 1.0)),
)
AMBIENT = (0.16, 0.17, 0.19)  # what the world sheds on the face
BACKDROP = (0.018, 0.02, 0.024)  # what the camera sees behind it

FOCAL_LENGTH = 85.0  # mm on 36 mm film: a portrait's perspective
PICTURE_HEIGHT = 1.1  # heads
CAPTION_HEIGHT = 0.045  # of the picture


@dataclass(frozen=True)
class Quality:
    """Size of a picture in pixels and Cycles samples a pixel, before denoising."""

    width: int
    height: int
    samples: int


@dataclass(frozen=True)
class Tile:
    """One picture of a contact sheet: a frame of the scene and the caption in it."""

    frame: int
    caption: str = ""


@dataclass(frozen=True)
class Studio:
    """Camera, lights, world and caption round a head."""

    scene: bpy.types.Scene
    caption: bpy.types.Object  # a text object before the camera


def build_studio(scene: bpy.types.Scene, head: bpy.types.Object, aspect: float = 0.8) -> Studio:
    """Put a studio round `head` and make its camera the scene's.

    `aspect` is the picture's width over its height.
    """
    collection = bpy.data.collections.new(STUDIO)
    scene.collection.children.link(collection)
    low, high = _bounds(head)
    middle, tall = (low + high) / 2, (high - low).z

    camera = bpy.data.objects.new("Dimple Camera", bpy.data.cameras.new("Dimple Camera"))
    camera.data.lens, camera.data.sensor_fit, camera.data.sensor_height = FOCAL_LENGTH, "VERTICAL", 36.0
    distance = PICTURE_HEIGHT * tall * FOCAL_LENGTH / 36.0
    camera.location = (middle.x, low.y - distance, middle.z)
    camera.rotation_euler = Vector((0, 1, 0)).to_track_quat("-Z", "Y").to_euler()
    camera.data.clip_start, camera.data.clip_end = distance / 100, distance * 100
    collection.objects.link(camera)
    scene.camera = camera

    face = Vector((middle.x, low.y, middle.z))
    for light in LIGHTS:
        collection.objects.link(_area_light(light, face, tall))
    caption = _caption(camera, distance, tall)
    collection.objects.link(caption)
    scene.world = _world()
    scene.view_settings.look = "AgX - Medium High Contrast"
    return Studio(scene, caption)


def render_still(studio: Studio, path: Path, quality: Quality) -> None:
    """Render the scene's current frame to a PNG. Raises OSError or RuntimeError."""
    with _rendering(studio.scene, quality), replacing(path) as unfinished:
        studio.scene.render.image_settings.file_format = "PNG"
        studio.scene.render.filepath = str(unfinished)
        bpy.ops.render.render(write_still=True)


def render_contact_sheet(
    studio: Studio, rows: Sequence[Sequence[Tile]], path: Path, quality: Quality
) -> None:
    """Render every tile at `quality` and put them together as one PNG, rows from the top.

    Raises OSError or RuntimeError.
    """
    scene, caption = studio.scene, studio.caption.data
    pictures: list[NDArray[np.float32]] = []
    with tempfile.TemporaryDirectory(prefix="dimple-sheet-") as folder:
        for row in rows:
            for tile in row:
                scene.frame_set(tile.frame)
                caption.body = tile.caption
                picture = Path(folder) / "tile.png"
                render_still(studio, picture, quality)
                pictures.append(_read_pixels(picture))
    caption.body = ""
    columns = max(map(len, rows))
    sheet = np.zeros((len(rows) * quality.height, columns * quality.width, 4), np.float32)
    sheet[..., 3] = 1.0
    ahead = iter(pictures)
    for r, row in enumerate(rows):
        bottom = (len(rows) - 1 - r) * quality.height  # Blender counts pixels from the bottom
        for c in range(len(row)):
            left = c * quality.width
            sheet[bottom : bottom + quality.height, left : left + quality.width] = next(ahead)
    with replacing(path) as unfinished:
        _write_pixels(unfinished, sheet)


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
    """Cycles settings for fast, denoised pictures; afterwards the scene's own render settings are back."""
    render, cycles = scene.render, scene.cycles
    render.engine = "CYCLES"
    cycles.device = "CPU"
    cycles.samples = quality.samples
    cycles.use_adaptive_sampling = False  # too few samples to judge noise by
    cycles.use_denoising = True
    cycles.denoiser = "OPENIMAGEDENOISE"
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
    ]
    values = [getattr(owner, name) for owner, name in kept]
    try:
        yield
    finally:
        for (owner, name), value in zip(kept, values, strict=True):
            setattr(owner, name, value)


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


def _caption(camera: bpy.types.Object, distance: float, tall: float) -> bpy.types.Object:
    """A text at the foot of the picture, half way between camera and face."""
    text = bpy.data.curves.new("Dimple Caption", "FONT")
    text.align_x, text.size = "CENTER", CAPTION_HEIGHT * PICTURE_HEIGHT * tall / 2
    text.materials.append(_glow("Dimple Caption"))
    caption = bpy.data.objects.new("Dimple Caption", text)
    caption.parent = camera
    caption.location = (0.0, -0.47 * PICTURE_HEIGHT * tall / 2, -distance / 2)
    for ray in ("diffuse", "glossy", "transmission", "shadow", "volume_scatter"):
        setattr(caption, f"visible_{ray}", False)
    return caption


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
