"""The buttons of the list of objects that follow a head."""

from __future__ import annotations

import bpy

from .binding_properties import companions_of, said_of
from .companion_finder import find_companions
from .head_job import companion_refusal
from .mesh_reader import refusal
from .properties import target_head
from .refusable import Refusable


class DIMPLE_OT_find_companions(Refusable, bpy.types.Operator):
    """Look for eyes, teeth, tongue, lashes and brows near this head, by place and name, and list them"""

    bl_idname = "dimple.find_companions"
    bl_label = "Find"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Add what is not listed yet."""
        head = target_head(context)
        new = [found for found in find_companions(head, context.scene) if found not in companions_of(head)]
        for found in new:
            head.dimple.companions.add().target = found
        names = ", ".join(f"“{found.name}”" for found in new)
        self.report({"INFO"}, f"Found {names}" if new else "Nothing else was found near the face")
        return {"FINISHED"}


class DIMPLE_OT_add_companions(Refusable, bpy.types.Operator):
    """Let the other selected objects follow this head"""

    bl_idname = "dimple.add_companions"
    bl_label = "Add Selected"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Add those that can follow; say why another cannot."""
        head = target_head(context)
        chosen = [other for other in context.selected_objects if other not in (head, *companions_of(head))]
        for other in chosen:
            if (reason := companion_refusal(other, head)) is not None:
                self.report({"ERROR"}, f"{reason}.")
                return {"CANCELLED"}
        if not chosen:
            self.report({"WARNING"}, "Select eyes, teeth or lashes together with the head first")
            return {"CANCELLED"}
        for other in chosen:
            head.dimple.companions.add().target = other
        return {"FINISHED"}


class DIMPLE_OT_remove_companion(bpy.types.Operator):
    """Take the selected object off the list; shape keys it has got stay until their animation is removed"""

    bl_idname = "dimple.remove_companion"
    bl_label = "Remove Companion"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether one is selected."""
        head = target_head(context)
        cls.poll_message_set("There is no companion to remove")
        own = said_of(head) if refusal(head) is None else None
        return own is not None and 0 <= own.active_companion < len(own.companions)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Remove it, and select the one before."""
        own = target_head(context).dimple
        own.companions.remove(own.active_companion)
        own.active_companion = max(0, own.active_companion - 1)
        return {"FINISHED"}
