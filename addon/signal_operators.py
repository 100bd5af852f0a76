"""The small buttons of the Over Time panel."""

from __future__ import annotations

import bpy
from bpy.props import StringProperty

from .properties import target_head
from .refusable import Refusable
from .unit_curves import add_curves, curve_names, remove_curve


class DIMPLE_OT_add_moment(bpy.types.Operator):
    """Add a moment, half a second after the last one"""

    bl_idname = "dimple.add_moment"
    bl_label = "Add Moment"
    bl_options = {"UNDO", "INTERNAL"}  # noqa: RUF012

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Add it at the end, and select it."""
        signal = context.scene.dimple_signal
        last = max((moment.seconds for moment in signal.moments), default=0.0)
        signal.moments.add().seconds = last + 0.5
        signal.active_moment = len(signal.moments) - 1
        return {"FINISHED"}


class DIMPLE_OT_remove_moment(bpy.types.Operator):
    """Remove the selected moment"""

    bl_idname = "dimple.remove_moment"
    bl_label = "Remove Moment"
    bl_options = {"UNDO", "INTERNAL"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether one is selected."""
        signal = context.scene.dimple_signal
        cls.poll_message_set("There is no moment to remove")
        return 0 <= signal.active_moment < len(signal.moments)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Remove it, and select the one before."""
        signal = context.scene.dimple_signal
        signal.moments.remove(signal.active_moment)
        signal.active_moment = max(0, signal.active_moment - 1)
        return {"FINISHED"}


class DIMPLE_OT_add_curves(Refusable, bpy.types.Operator):
    """Give the head a property to keyframe for each expression and unit that is chosen above"""

    bl_idname = "dimple.add_curves"
    bl_label = "Add Curves"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Add what is missing."""
        head = target_head(context)
        names = [text.partition("=")[0].strip() for text in context.scene.dimple.expressions()]
        if not names:
            self.report({"ERROR"}, "Choose an expression, or add units under Units: each gets a property.")
            return {"CANCELLED"}
        added = add_curves(head, names)
        self.report(
            {"INFO"}, f"{len(added)} properties on “{head.name}”; hover over one and press I to keyframe"
        )
        return {"FINISHED"}


class DIMPLE_OT_remove_curve(Refusable, bpy.types.Operator):
    """Remove this property and its keyframes from the head"""

    bl_idname = "dimple.remove_curve"
    bl_label = "Remove Curve"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    name: StringProperty(name="Unit", description="The unit whose property goes")

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Remove it."""
        head = target_head(context)
        if self.name not in curve_names(head):
            self.report({"ERROR"}, f"“{head.name}” has no curve for “{self.name}”.")
            return {"CANCELLED"}
        remove_curve(head, self.name)
        return {"FINISHED"}
