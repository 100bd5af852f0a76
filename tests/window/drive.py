"""What an artist does first, in a real window: add a head, open the Dimple tab, click Generate, look, cancel.

Runs inside Blender, where `blender_gui` is eyes and hands; every `yield` hands control to its event loop.
Pictures: before, during, after, cancelled.
"""

import importlib
from pathlib import Path

import blender_gui as gui
import bpy

WORKER_PYTHON = Path(__file__).resolve().parents[2] / ".venv" / "bin" / "python"
FRAMES = 40
PATIENCE = 400.0  # seconds: the first start of a worker on a busy machine is slow


def steps():
    """The whole visit, as a generator of pauses in seconds."""
    package = gui.module.__name__
    session = importlib.import_module(f"{package}.addon.session").session
    bpy.context.preferences.addons[package].preferences.worker_python = str(WORKER_PYTHON)
    for thing in list(bpy.data.objects):
        bpy.data.objects.remove(thing)
    head = yield from add_head(session)
    yield from gui.show_tab("Dimple")
    gui.shot("before")

    yield from click("dimple.generate")
    yield from gui.wait(lambda: session.current is not None, 20)
    yield from gui.wait(lambda: session.current is None or session.current.step > 1, PATIENCE)
    yield 0.3
    gui.shot("during")
    yield from gui.wait(lambda: session.current is None, PATIENCE)
    yield 1.0
    keys = head.data.shape_keys
    assert keys is not None, session.latest.message
    assert len(keys.key_blocks) == 1 + FRAMES, len(keys.key_blocks)
    assert keys.animation_data.action.name == "happiness"
    bpy.context.scene.frame_set(FRAMES)
    assert keys.key_blocks[-1].value == 1.0
    yield 1.0
    gui.shot("after")

    yield from click("dimple.generate")
    yield from gui.wait(lambda: session.current is not None, 20)
    gui.xdotool("key", "Escape")
    yield from gui.wait(lambda: session.current is None, 60)
    assert session.latest.state == "cancelled", session.latest
    assert len(keys.key_blocks) == 1 + FRAMES
    yield 1.0
    gui.shot("cancelled")


def add_head(session):
    """A new person, seen from the front."""
    window, area, region = gui.view3d()
    with bpy.context.temp_override(window=window, area=area, region=region):
        bpy.ops.dimple.add_head("INVOKE_DEFAULT", seed=3)
    yield from gui.wait(lambda: session.current is None, PATIENCE)
    yield 0.5
    (head,) = bpy.data.objects
    with bpy.context.temp_override(window=window, area=area, region=region):
        bpy.ops.view3d.view_axis(type="FRONT")
        bpy.ops.view3d.view_selected()
    view = area.spaces.active
    view.shading.color_type, view.overlay.show_overlays = "MATERIAL", False
    return head


def click(operator):
    """Move the mouse down the sidebar until it is over the button of `operator`, and press it."""
    window, area, _ = gui.view3d()
    sidebar = next(region for region in area.regions if region.type == "UI")
    x = sidebar.x + sidebar.width // 3
    for y in range(sidebar.y + sidebar.height - 10, sidebar.y, -8):
        gui.xdotool("mousemove", x, window.height - y)
        yield 0.15
        with bpy.context.temp_override(window=window, area=area, region=sidebar):
            if not bpy.ops.ui.copy_python_command_button.poll():
                continue
            bpy.ops.ui.copy_python_command_button()  # of the button under the mouse
        if bpy.context.window_manager.clipboard == f"bpy.ops.{operator}()":
            gui.xdotool("click", 1)
            return
    raise LookupError(f"there is no button of {operator} in the sidebar")
