"""The demo: a new person with skin, six emotions in a row: a .blend file, two sheets and a clip.

`make demo` runs it. Everything is made by what is shipped, over the same bridge as in a window.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import bpy  # noqa: E402
import numpy as np  # noqa: E402

from addon.__main__ import extension_package  # noqa: E402

extension_package(ROOT)

from dimple.addon import exporters, importers, preview  # noqa: E402
from dimple.addon.animation_writer import Placement, write_animation  # noqa: E402
from dimple.addon.headless import Headless  # noqa: E402
from dimple.addon.preferences import SHIPPED_CHECKPOINT, log_file  # noqa: E402
from dimple.addon.recipe import Bake  # noqa: E402
from dimple.addon.session import WorkerSettings  # noqa: E402
from dimple.addon.skin_job import skin_job  # noqa: E402
from dimple.addon.skin_material import group_node  # noqa: E402
from dimple.addon.skin_properties import WRINKLES, skins  # noqa: E402
from dimple.addon.skin_reader import skin_slot  # noqa: E402
from dimple.addon.skin_writer import write_skin  # noqa: E402
from dimple.bridge.protocol import AnimateRequest, AppearanceRequest  # noqa: E402

EMOTIONS = ("happiness", "sadness", "anger", "fear", "disgust", "surprise")
FRAMES = 40  # of each emotion: in, hold and out
FRAME_RATE = 24
PERSON, PERFORMANCE, SKIN = 19, 3, 14  # seeds
HELD = (14, 27)  # frames of each emotion between which it is held
SKIN_SIDE = 1024  # texels
BAKE = Bake(tolerance_mm=0.02)  # a tenth of the keys, and nobody sees the difference

SHEET_FRAMES = (3, 6, 9, 20)  # of each emotion: rising, then held
SHEET = preview.Quality(300, 375, samples=8)
LOOKDEV = ("happiness", "anger", "disgust", "surprise")
LOOKDEV_SHEET = preview.Quality(340, 425, samples=12)
CLIP = preview.Quality(304, 380, samples=4)
CLIP_STEP = 2


def main() -> None:
    """Write demo/dimple.blend, demo/contact_sheet.png, demo/lookdev_sheet.png and demo/dimple.mp4."""
    folder = Path(__file__).parent
    worker = WorkerSettings(sys.executable, "auto", "auto", 120.0, log_file())
    with closing(Headless(worker, SHIPPED_CHECKPOINT)) as headless:
        with timed("a new person"):
            head = new_person(headless)
        with timed("six emotions"):
            apexes = [
                act(headless, head, emotion, start=1 + number * FRAMES)
                for number, emotion in enumerate(EMOTIONS)
            ]
        with timed("skin that moves with them"):
            dress(headless, head, np.stack(apexes))
    studio = set_the_stage(head)
    with timed("dimple.blend"):
        exporters.write_blend(folder / "dimple.blend", head)
    with timed("contact_sheet.png"):
        rows = [[1 + n * FRAMES + frame for n in range(len(EMOTIONS))] for frame in SHEET_FRAMES]
        preview.render_contact_sheet(studio, rows, folder / "contact_sheet.png", SHEET)
    with timed("lookdev_sheet.png"):
        held = [1 + EMOTIONS.index(emotion) * FRAMES + sum(HELD) // 2 for emotion in LOOKDEV]
        lights = (preview.LIGHTS, preview.WINDOW)
        preview.render_contact_sheet(
            studio, [held, held], folder / "lookdev_sheet.png", LOOKDEV_SHEET, lights
        )
        preview.set_lights(studio, preview.LIGHTS)
    with timed("dimple.mp4"):
        preview.render_movie(studio, folder / "dimple.mp4", CLIP, CLIP_STEP)


def new_person(headless: Headless) -> bpy.types.Object:
    """A neutral head, alone in the scene, its shape keys ready to be animated by one action."""
    importers.empty_scene()
    head = headless.new_person(PERSON)
    bpy.context.scene.collection.objects.link(head)
    smooth = head.modifiers.new("Subdivision", "SUBSURF")
    smooth.levels, smooth.render_levels = 0, 1
    head.shape_key_add(name="Basis", from_mix=False)
    head.data.shape_keys.animation_data_create().action = bpy.data.actions.new("Six Emotions")
    return head


def act(headless: Headless, head: bpy.types.Object, emotion: str, start: int) -> np.ndarray:
    """Add one emotion to the action: eased in, held, eased out. Returns its apex, (V, 3)."""
    request = AnimateRequest(
        job="",
        folder="",
        checkpoint=SHIPPED_CHECKPOINT,
        expressions=(emotion,),
        intensity=1.0,
        profile="in_hold_out",
        frames=FRAMES,
        frame_rate=FRAME_RATE,
        seed=PERFORMANCE,
    )
    animation, mm_per_unit = headless.animate(head, request)
    placement = Placement(start_frame=start, into_current=True, hold_last=False)
    write_animation(head, request, animation.deformations, mm_per_unit, BAKE, placement)
    return animation.deformations[sum(HELD) // 2]


def dress(headless: Headless, head: bpy.types.Object, apexes: np.ndarray) -> None:
    """Give the head skin with maps of its own for each emotion, which come and go with it.

    apexes (N, V, 3): what the emotions do to the face.
    """
    request = AppearanceRequest(
        job="",
        folder="",
        checkpoint=SHIPPED_CHECKPOINT,
        skin=next(iter(skins())),
        subject="expression",
        expressions=EMOTIONS,
        intensity=1.0,
        key_names=(),
        sets=len(EMOTIONS),
        texture="",
        skin_seed=SKIN,
        resolution=SKIN_SIDE,
        out="",
        personal=WRINKLES,
    )
    slot = skin_slot(head)
    work = skin_job(bpy.context, head, request, slot)
    # what the emotions do is known: the maps are made for that, as for shape keys of their names
    work = replace(
        work,
        request=replace(work.request, subject="keys", key_names=EMOTIONS),
        arrays={**work.arrays, "deformations": apexes.reshape(-1, 3)},
    )
    job = headless.appearance(work)
    write_skin(head, job, work.place)
    headless.session.discard(job)
    node = group_node(head.material_slots[slot].material)
    for number, emotion in enumerate(EMOTIONS):
        amount = node.inputs[emotion]
        for frame, value in ((0, 0.0), (HELD[0], 1.0), (HELD[1], 1.0), (FRAMES - 1, 0.0)):
            amount.default_value = value
            amount.keyframe_insert("default_value", frame=1 + number * FRAMES + frame)


def set_the_stage(head: bpy.types.Object) -> preview.Studio:
    """Light, frame and caption the head; mark the emotions in the timeline."""
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = 1, len(EMOTIONS) * FRAMES
    scene.render.fps, scene.render.fps_base = FRAME_RATE, 1.0
    studio = preview.build_studio(scene, head)
    for number, emotion in enumerate(EMOTIONS):
        first = 1 + number * FRAMES
        scene.timeline_markers.new(emotion, frame=first)
        preview.add_caption(studio, emotion, first, first + FRAMES - 1)
    for area in (area for screen in bpy.data.screens for area in screen.areas if area.type == "VIEW_3D"):
        view = area.spaces.active
        view.region_3d.view_perspective, view.shading.type = "CAMERA", "MATERIAL"
    return studio


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Say what was made and how long it took."""
    began = time.monotonic()
    yield
    print(f"{what}: {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
