"""`blender_gui` for drive.py in a Blender on a screen: eyes and hands, with Blender's own simulated events.

    blender --enable-event-simulate --python at_screen.py -- MODULE drive.py PICTURE.png

MODULE is the enabled extension. There are: module, view3d, wait, show_tab, shot, and of xdotool
`mousemove X Y`, `click 1` and `key NAME`, Y counted from the top.
Blender ends with status 1 and a traceback when the script fails.
"""

import os
import runpy
import shutil
import subprocess
import sys
import time
import traceback
from pathlib import Path

import bpy

MODULE, SCRIPT, PICTURE = sys.argv[sys.argv.index("--") + 1 :]
KEYS = {"Escape": "ESC"}


class Gui:
    """One window of Blender."""

    def __init__(self, module):
        self.module = module
        self._mouse = (0, 0)

    def view3d(self):
        """Window, area and region of the 3D viewport."""
        window = bpy.context.window_manager.windows[0]
        area = next(area for area in window.screen.areas if area.type == "VIEW_3D")
        return window, area, next(region for region in area.regions if region.type == "WINDOW")

    def wait(self, condition, timeout=60.0):
        """Until `condition()`. Raises TimeoutError."""
        end = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"not true after {timeout:g} s")
            yield 0.1

    def show_tab(self, category):
        """Open the sidebar and click down its tabs until `category` is shown."""
        window, area, _ = self.view3d()
        area.spaces.active.show_region_ui = True
        area.tag_redraw()
        sidebar = next(region for region in area.regions if region.type == "UI")
        yield from self.wait(lambda: sidebar.width > 1)
        yield 0.5
        x, top = sidebar.x + sidebar.width - 12, window.height - sidebar.y - sidebar.height
        for y in range(top + 20, top + sidebar.height, 25):
            self.xdotool("mousemove", x, y)
            yield 0.3
            self.xdotool("click", 1)
            yield 0.4
            if sidebar.active_panel_category == category:
                return
        raise LookupError(f"there is no tab {category} in the sidebar")

    def shot(self, name):
        """A picture of the window, NAME added to its file name."""
        path = str(Path(PICTURE).with_stem(f"{Path(PICTURE).stem}-{name}"))
        if os.environ.get("DISPLAY") and shutil.which("import"):  # ImageMagick
            # X servers that draw in software give Blender a black picture of its own window
            subprocess.run(["import", "-window", "root", f"png:{path}"], check=True, timeout=30)
            return
        with bpy.context.temp_override(window=bpy.context.window_manager.windows[0]):
            bpy.ops.screen.screenshot(filepath=path)

    def xdotool(self, action, *values):
        """`mousemove X Y`, `click 1` or `key NAME`."""
        window = bpy.context.window_manager.windows[0]
        if action == "mousemove":
            x, y = values
            self._mouse = (x, window.height - y)
            self._events(("MOUSEMOVE", "NOTHING"))
        elif action == "click":
            self._events(("LEFTMOUSE", "PRESS"), ("LEFTMOUSE", "RELEASE"))
        else:
            self._events((KEYS[values[0]], "PRESS"), (KEYS[values[0]], "RELEASE"))

    def _events(self, *events):
        x, y = self._mouse
        for kind, value in events:
            bpy.context.window_manager.windows[0].event_simulate(type=kind, value=value, x=x, y=y)


def visit():
    """The script's steps, when the window has been drawn."""
    yield 2.0
    sys.modules["blender_gui"] = Gui(sys.modules[MODULE])
    yield from runpy.run_path(SCRIPT)["steps"]()


def tick(steps=visit()):  # noqa: B008  # one visit a Blender
    """One step; Blender quits after the last one."""
    try:
        return max(0.01, next(steps))
    except StopIteration:
        bpy.ops.wm.quit_blender()
        return None
    except BaseException:  # noqa: BLE001  # whatever it was, Blender must not stay open
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


bpy.context.preferences.view.show_splash = False
bpy.app.timers.register(tick, first_interval=0.5, persistent=True)
