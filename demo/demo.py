"""The demo: a new person, six emotions in a row, as a .blend file, a contact sheet and a clip.

`make demo` runs it. Everything is made by the shipped checkpoint, over the same bridge as in a window.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import bpy  # noqa: E402

from addon.__main__ import extension_package  # noqa: E402

extension_package(ROOT)

from dimple.addon import exporters, importers, preview  # noqa: E402
from dimple.addon.animation_writer import Placement, write_animation  # noqa: E402
from dimple.addon.headless import Headless  # noqa: E402
from dimple.addon.preferences import SHIPPED_CHECKPOINT, log_file  # noqa: E402
from dimple.addon.recipe import Bake  # noqa: E402
from dimple.addon.session import WorkerSettings  # noqa: E402
from dimple.bridge.protocol import AnimateRequest  # noqa: E402

EMOTIONS = ("happiness", "sadness", "anger", "fear", "disgust", "surprise")
FRAMES = 40  # of each emotion: in, hold and out
FRAME_RATE = 24
PERSON, PERFORMANCE = 7, 3  # seeds
BAKE = Bake(tolerance_mm=0.02)  # a tenth of the keys, and nobody sees the difference

SHEET_FRAMES = (3, 6, 9, 20)  # of each emotion: rising, then held
SHEET = preview.Quality(300, 375, samples=10)
CLIP = preview.Quality(360, 450, samples=4)
CLIP_STEP = 2


def main() -> None:
    """Write demo/dimple.blend, demo/contact_sheet.png and demo/dimple.mp4."""
    folder = Path(__file__).parent
    worker = WorkerSettings(sys.executable, "auto", "auto", 120.0, log_file())
    with closing(Headless(worker, SHIPPED_CHECKPOINT)) as headless:
        with timed("a new person"):
            head = new_person(headless)
        with timed("six emotions"):
            for number, emotion in enumerate(EMOTIONS):
                act(headless, head, emotion, start=1 + number * FRAMES)
    studio = set_the_stage(head)
    with timed("dimple.blend"):
        exporters.write_blend(folder / "dimple.blend", head)
    with timed("contact_sheet.png"):
        rows = [[1 + n * FRAMES + frame for n in range(len(EMOTIONS))] for frame in SHEET_FRAMES]
        preview.render_contact_sheet(studio, rows, folder / "contact_sheet.png", SHEET)
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


def act(headless: Headless, head: bpy.types.Object, emotion: str, start: int) -> None:
    """Add one emotion to the action: eased in, held, eased out."""
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
