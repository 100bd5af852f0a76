"""The sub-panel for the course of the expression: where it comes from, its sides, the life in it."""

from __future__ import annotations

import bpy

from .mesh_reader import refusal
from .panels import DimplePanel, draw_text
from .properties import target_head
from .unit_curves import INTENSITY, PREFIX, curve_names, data_path


class DIMPLE_UL_moments(bpy.types.UIList):
    """The moments that the face passes through."""

    def draw_item(self, _context, layout, _data, moment, _icon, _active_data, _active_property) -> None:
        """Time, expression, intensity."""
        when = layout.split(factor=0.28, align=True)
        when.prop(moment, "seconds", text="", emboss=False)
        what = when.split(factor=0.66, align=True)
        what.prop(moment, "expression", text="", emboss=False)
        what.prop(moment, "intensity", text="")


class DIMPLE_PT_signal(DimplePanel, bpy.types.Panel):
    """How the expression comes and goes."""

    bl_label = "Over Time"
    bl_parent_id = "DIMPLE_PT_main"
    bl_options = {"DEFAULT_CLOSED"}  # noqa: RUF012

    def draw(self, context: bpy.types.Context) -> None:
        """The source, what it needs and whether it adds; sides; micro-motion and blinks."""
        layout, signal = self.layout, context.scene.dimple_signal
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.prop(signal, "source", text="From")
        match signal.source:
            case "MOMENTS":
                _draw_moments(layout, signal)
            case "CURVES":
                _draw_curves(layout, context)
            case "PERFORMANCE":
                layout.prop(signal, "performance")
                layout.prop(signal, "performance_start")
                layout.prop(signal, "whole_take")
        if signal.source != "PROFILE":
            layout.prop(signal, "adds")
        sides = layout.column(align=True)
        sides.prop(signal, "left", slider=True)
        sides.prop(signal, "right", slider=True)
        life = layout.column(align=True)
        life.prop(signal, "micro_motion", slider=True)
        life.prop(signal, "blinks")


def _draw_moments(layout: bpy.types.UILayout, signal: bpy.types.PropertyGroup) -> None:
    row = layout.row()
    row.template_list("DIMPLE_UL_moments", "", signal, "moments", signal, "active_moment", rows=3)
    buttons = row.column(align=True)
    buttons.operator("dimple.add_moment", text="", icon="ADD")
    buttons.operator("dimple.remove_moment", text="", icon="REMOVE")
    if 0 <= signal.active_moment < len(signal.moments):
        moment = signal.moments[signal.active_moment]
        layout.prop(moment, "expression")
        row = layout.row(align=True, heading="Transition")
        row.prop(moment, "own_transition", text="")
        length = row.row(align=True)
        length.active = moment.own_transition
        length.prop(moment, "transition", text="")


def _draw_curves(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    head = target_head(context)
    if refusal(head) is not None:
        return
    names = curve_names(head)
    if not names:
        draw_text(
            layout, context, "Each chosen expression and unit gets a property on the head to keyframe", "INFO"
        )
    column = layout.column(align=True)
    column.use_property_decorate = True
    for name in (*names, INTENSITY) if names else ():
        if PREFIX + name in head:
            row = column.row(align=True)
            row.prop(head, data_path(name), text="Intensity" if name == INTENSITY else name, slider=True)
            if name != INTENSITY:
                row.operator("dimple.remove_curve", text="", icon="X").name = name
    layout.operator("dimple.add_curves", icon="ADD")
