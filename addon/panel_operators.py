"""The small buttons of the panel and the preferences; none of them needs the worker."""

import bpy
from bpy.props import StringProperty

from .animation_writer import remove_animation
from .preferences import PACKAGE, log_file
from .properties import target_head
from .recipe import RecipeError
from .refusable import Refusable


class DIMPLE_OT_remove(Refusable, bpy.types.Operator):
    """Remove this animation: its own shape keys, keyframes and recipe, nothing else"""

    bl_idname = "dimple.remove"
    bl_label = "Remove Animation"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    recipe: StringProperty(name="Recipe", description="Name of the animation")

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Remove it."""
        try:
            remove_animation(target_head(context), self.recipe)
        except RecipeError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}


class DIMPLE_OT_add_unit(bpy.types.Operator):
    """Add a unit to the expression"""

    bl_idname = "dimple.add_unit"
    bl_label = "Add Unit"
    bl_options = {"UNDO", "INTERNAL"}  # noqa: RUF012

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Add it at the end, and select it."""
        settings = context.scene.dimple
        settings.units.add().name = "jawOpen"
        settings.active_unit = len(settings.units) - 1
        return {"FINISHED"}


class DIMPLE_OT_remove_unit(bpy.types.Operator):
    """Remove the selected unit from the expression"""

    bl_idname = "dimple.remove_unit"
    bl_label = "Remove Unit"
    bl_options = {"UNDO", "INTERNAL"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether one is selected."""
        settings = context.scene.dimple
        cls.poll_message_set("There is no unit to remove")
        return 0 <= settings.active_unit < len(settings.units)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Remove it, and select the one before."""
        settings = context.scene.dimple
        settings.units.remove(settings.active_unit)
        settings.active_unit = max(0, settings.active_unit - 1)
        return {"FINISHED"}


class DIMPLE_OT_open_log(bpy.types.Operator):
    """Open the worker's log: what it printed, and why it stopped"""

    bl_idname = "dimple.open_log"
    bl_label = "Open Log"

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        """Whether a worker has ever run."""
        cls.poll_message_set("There is no log yet: it is written when the worker starts")
        return log_file().is_file()

    def execute(self, _context: bpy.types.Context) -> set[str]:
        """Open it in the system's text viewer."""
        return bpy.ops.wm.path_open(filepath=str(log_file()))


class DIMPLE_OT_open_preferences(bpy.types.Operator):
    """Open Dimple's preferences"""

    bl_idname = "dimple.open_preferences"
    bl_label = "Open Preferences"

    def execute(self, _context: bpy.types.Context) -> set[str]:
        """Show the add-on's entry."""
        return bpy.ops.preferences.addon_show(module=PACKAGE)
