"""Skin in a real window: the panel, authored skin by seed while it is made, and the dressed head.

Runs inside Blender like drive.py. Pictures: skin_before, skin_during, skin_after.
"""

import importlib
from pathlib import Path

import blender_gui as gui
import bpy

WORKER_PYTHON = Path(__file__).resolve().parents[2] / ".venv" / "bin" / "python"
PATIENCE = 900.0  # seconds: on a busy machine painting takes minutes


def steps():
    """The whole visit, as a generator of pauses in seconds."""
    package = gui.module.__name__
    session = importlib.import_module(f"{package}.addon.session").session
    bpy.context.preferences.addons[package].preferences.worker_python = str(WORKER_PYTHON)
    for thing in list(bpy.data.objects):
        bpy.data.objects.remove(thing)
    hidden = show_only_skin(package)
    window, area, region = gui.view3d()
    with bpy.context.temp_override(window=window, area=area, region=region):
        bpy.ops.dimple.add_head("INVOKE_DEFAULT", seed=4)
    yield from gui.wait(lambda: session.current is None, PATIENCE)
    yield 0.5
    (head,) = bpy.data.objects
    with bpy.context.temp_override(window=window, area=area, region=region):
        bpy.ops.view3d.view_axis(type="FRONT")
        bpy.ops.view3d.view_selected()
    area.spaces.active.overlay.show_overlays = False
    yield from gui.show_tab("Dimple")
    yield 1.0
    gui.shot("skin_texture")  # the new head has no texture: the panel says so
    settings = bpy.context.scene.dimple_skin
    settings.source, settings.skin_seed, settings.resolution = "SEED", 4, "1024"
    area.tag_redraw()
    yield 1.0
    gui.shot("skin_before")
    with bpy.context.temp_override(window=window, area=area, region=region, active_object=head):
        bpy.ops.dimple.generate_skin("INVOKE_DEFAULT")
    yield from gui.wait(lambda: session.current is None or session.current.picture, PATIENCE)
    assert session.current is not None, "the first results come before the last"
    area.tag_redraw()
    yield 0.3
    gui.shot("skin_during")
    yield from gui.wait(lambda: session.current is None, PATIENCE)
    yield 1.0
    material = head.material_slots[0].material
    assert material.node_tree.nodes.get("Dimple Skin") is not None, session.latest.message
    area.spaces.active.shading.color_type = "TEXTURE"
    area.tag_redraw()
    yield 1.0
    gui.shot("skin_after")
    with bpy.context.temp_override(window=window, area=area, region=region):
        bpy.ops.ed.undo()
    yield 0.5
    (head,) = bpy.data.objects
    assert head.material_slots[0].material.name == "Dimple skin", "one step of undo"
    for panel in hidden:
        bpy.utils.register_class(panel)


def show_only_skin(package):
    """Open the skin's panel, and take away those above it that would push it out of sight."""
    registration = importlib.import_module(f"{package}.addon.registration")
    skin = importlib.import_module(f"{package}.addon.skin_panel").DIMPLE_PT_skin
    panels = [c for c in registration.CLASSES if issubclass(c, bpy.types.Panel) and c is not skin]
    inner = [panel for panel in panels if getattr(panel, "bl_parent_id", "") == "DIMPLE_PT_main"]
    hidden = [panel for panel in inner if panel.bl_label not in ("", "Outcome")]
    for panel in hidden:
        bpy.utils.unregister_class(panel)
    bpy.utils.unregister_class(skin)
    skin.bl_options = set()
    bpy.utils.register_class(skin)
    return hidden
