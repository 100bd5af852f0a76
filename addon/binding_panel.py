"""The sub-panel for binding: how the head is bound, landmarks, and what follows it."""

from __future__ import annotations

import bpy

from .binding_properties import AUTOMATIC, LANDMARKS, landmarks_of, said_of
from .binding_record import read_binding
from .confidence import ATTRIBUTE
from .fit_overlay import fit_of
from .mesh_reader import refusal
from .panels import DimplePanel, draw_text
from .preferences import checkpoint, checkpoint_folder
from .properties import target_head
from .session import session


class DIMPLE_UL_companions(bpy.types.UIList):
    """The objects that follow the head."""

    def draw_item(self, context, layout, _data, companion, _icon, _active_data, _active_property) -> None:
        """The object, and what the artist says that it is, or was found that it does."""
        target = companion.target
        row = layout.row(align=True)
        row.label(text=target.name if target is not None else "Gone from the file", icon="MESH_DATA")
        record = session.bindings.get(companion.id_data.session_uid) or read_binding(companion.id_data)
        if companion.part != AUTOMATIC:
            row.label(text=companion.bl_rna.properties["part"].enum_items[companion.part].name)
        elif record is not None and target is not None:
            row.label(text=record.roles.get(target.name, ""))


class DIMPLE_PT_binding(DimplePanel, bpy.types.Panel):
    """Ties a head of any topology to the Dimple head."""

    bl_label = "Binding"
    bl_parent_id = "DIMPLE_PT_main"
    bl_options = {"DEFAULT_CLOSED"}  # noqa: RUF012

    def draw(self, context: bpy.types.Context) -> None:
        """State, Bind, what to look at, landmarks, companions."""
        layout, head = self.layout, target_head(context)
        if refusal(head) is not None:
            draw_text(layout, context, refusal(head), "INFO")
            return
        state = session.head_state(head, checkpoint_folder(checkpoint(context)))
        draw_text(layout, context, state.text, "CHECKMARK" if state.settled else "INFO")
        for warning in state.warnings:
            draw_text(layout, context, warning, "ERROR")
        row = layout.row(align=True)
        row.enabled = session.current is None
        row.operator("dimple.bind", icon="LINKED")
        row.operator("dimple.unbind", text="", icon="X")
        row = layout.row(align=True)
        row.operator(
            "dimple.show_fit",
            text="Hide Fit" if fit_of(head) is not None else "Show Fit",
            icon="MESH_UVSPHERE",
        )
        if ATTRIBUTE in head.data.attributes:
            row.operator("dimple.show_confidence", text="Confidence", icon="COLOR")


class DIMPLE_PT_landmarks(DimplePanel, bpy.types.Panel):
    """Parts of the face that the artist shows."""

    bl_label = "Landmarks"
    bl_parent_id = "DIMPLE_PT_binding"
    bl_options = {"DEFAULT_CLOSED"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether there is a head."""
        return refusal(target_head(context)) is None

    def draw(self, context: bpy.types.Context) -> None:
        """Which one, the button, and those that are set."""
        layout, settings = self.layout, context.scene.dimple_binding
        layout.prop(settings, "landmark", text="")
        row = layout.row(align=True)
        row.operator("dimple.set_landmark", icon="EYEDROPPER")
        row.prop(settings, "mirror", text="", icon="MOD_MIRROR")
        row.prop(
            settings, "show_landmarks", text="", icon="HIDE_OFF" if settings.show_landmarks else "HIDE_ON"
        )
        landmarks = landmarks_of(target_head(context))
        if not landmarks:
            draw_text(layout, context, "None is needed unless the fit is wrong somewhere", "INFO")
        column = layout.column(align=True)
        for name in landmarks:
            row = column.row(align=True)
            row.label(text=LANDMARKS[name], icon="DOT")
            row.operator("dimple.remove_landmark", text="", icon="X").landmark = name


class DIMPLE_PT_companions(DimplePanel, bpy.types.Panel):
    """Objects that move with the face."""

    bl_label = "Eyes, Teeth and Others"
    bl_parent_id = "DIMPLE_PT_binding"
    bl_options = {"DEFAULT_CLOSED"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether there is a head."""
        return refusal(target_head(context)) is None

    def draw(self, context: bpy.types.Context) -> None:
        """The list, Find, and buttons to add and remove."""
        layout, own = self.layout, said_of(target_head(context))
        if own is not None and own.companions:
            row = layout.row()
            row.template_list("DIMPLE_UL_companions", "", own, "companions", own, "active_companion", rows=3)
            buttons = row.column(align=True)
            buttons.operator("dimple.add_companions", text="", icon="ADD")
            buttons.operator("dimple.remove_companion", text="", icon="REMOVE")
            if 0 <= own.active_companion < len(own.companions):
                layout.prop(own.companions[own.active_companion], "part")
        else:
            draw_text(
                layout, context, "Objects that move with the face: find them, or select and add them", "INFO"
            )
        row = layout.row(align=True)
        row.operator("dimple.find_companions", icon="VIEWZOOM")
        if own is None or not own.companions:
            row.operator("dimple.add_companions", icon="ADD")
