"""The sidebar tab, the preferences and the menu entry. Drawing never changes data and never waits."""

from __future__ import annotations

import textwrap

import bpy

from .mesh_reader import refusal
from .operators import apply_refusal
from .preferences import checkpoint, checkpoint_folder, log_file, setup_refusal, worker_python
from .properties import frame_rate, target_head
from .recipe import RecipeError, read_recipes
from .session import Job, session

LETTER = 6.2
"""Mean width of a letter, in pixels at a resolution scale of 1."""


def draw_text(layout: bpy.types.UILayout, context: bpy.types.Context, text: str, icon: str = "NONE") -> None:
    """A text over as many lines as the region's width asks for; Blender's labels do not wrap."""
    scale = context.preferences.system.ui_scale
    width = max(20, int((context.region.width - 70 * scale) / (LETTER * scale)))
    column = layout.column(align=True)
    column.scale_y = 0.8
    for i, line in enumerate(textwrap.wrap(text, width)):
        column.label(text=line, icon=icon if i == 0 else ("BLANK1" if icon != "NONE" else "NONE"))


class DimplePanel:
    """Where all panels of Dimple are."""

    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Dimple"


class DIMPLE_UL_units(bpy.types.UIList):
    """The units that are added to the label."""

    def draw_item(self, _context, layout, _data, unit, _icon, _active_data, _active_property) -> None:
        """A name and a weight."""
        split = layout.split(factor=0.68, align=True)
        split.prop(unit, "name", text="", emboss=False)
        split.prop(unit, "weight", text="")


class DIMPLE_PT_main(DimplePanel, bpy.types.Panel):
    """Head, expression, Generate."""

    bl_label = "Dimple"

    def draw(self, context: bpy.types.Context) -> None:
        """The head and its state, what to express, Generate."""
        layout, settings = self.layout, context.scene.dimple
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.prop(settings, "head", placeholder="Active Object")
        _draw_head_state(layout, context)

        column = layout.column()
        by_profile = context.scene.dimple_signal.uses_profile
        row = column.row()
        row.active = by_profile
        row.prop(settings, "label")
        if settings.units:
            added = settings.expressions()[settings.label != "none" :]
            short = [text.rstrip("0").rstrip(".").replace("=", " ") for text in added]  # jawOpen=0.500
            draw_text(column, context, "+ " + ", ".join(short))
        column.prop(settings, "intensity", slider=True)
        row = column.row()
        row.active = by_profile
        row.prop(settings, "profile")
        row = column.row(align=True)
        in_seconds = settings.length_in == "SECONDS"
        row.prop(settings, "seconds" if in_seconds else "frames", text="Length")
        row.prop(settings, "length_in", text="")
        if in_seconds:
            rate = frame_rate(context.scene)
            column.label(text=f"{settings.frame_count(context.scene)} frames at {rate:g} a second")
        row = column.row(align=True)
        seed = row.row(align=True)
        seed.active = not settings.random_seed
        seed.prop(settings, "seed")
        row.prop(settings, "random_seed", text="", icon="FILE_REFRESH")
        _draw_job(layout)


class DIMPLE_PT_outcome(DimplePanel, bpy.types.Panel):
    """What became of the last job.

    A panel of its own: in the same one, Blender 4.3 takes the first label for the progress bar that was under
    the mouse, and draws it as a full bar.
    """

    bl_label = "Outcome"
    bl_parent_id = "DIMPLE_PT_main"
    bl_options = {"HIDE_HEADER"}  # noqa: RUF012

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        """Whether a job has ended."""
        return session.current is None and session.latest is not None

    def draw(self, context: bpy.types.Context) -> None:
        """Its message, or how long it took."""
        latest = session.latest
        if latest.state == "failed":
            draw_text(self.layout, context, latest.message, "ERROR")
            self.layout.operator("dimple.open_log", icon="TEXT")
        elif latest.state == "cancelled":
            draw_text(self.layout, context, latest.message, "INFO")
        elif apply_refusal(context) is None:
            done = session.results[target_head(context).session_uid].done
            text = f"Result of seed {done.seed}, made in {done.seconds:.1f} s"
            draw_text(self.layout, context, text, "CHECKMARK")
            for remark in done.info.get("remarks", ()):
                draw_text(self.layout, context, remark, "INFO")


class DIMPLE_PT_units(DimplePanel, bpy.types.Panel):
    """Single movements of the face, added to the label."""

    bl_label = "Units"
    bl_parent_id = "DIMPLE_PT_main"
    bl_options = {"DEFAULT_CLOSED"}  # noqa: RUF012

    def draw(self, context: bpy.types.Context) -> None:
        """The list, with buttons to add and remove."""
        settings = context.scene.dimple
        row = self.layout.row()
        row.template_list("DIMPLE_UL_units", "", settings, "units", settings, "active_unit", rows=3)
        buttons = row.column(align=True)
        buttons.operator("dimple.add_unit", text="", icon="ADD")
        buttons.operator("dimple.remove_unit", text="", icon="REMOVE")
        buttons.menu("DIMPLE_MT_presets", text="", icon="PRESET")


class DIMPLE_PT_apply(DimplePanel, bpy.types.Panel):
    """How the result is written."""

    bl_label = "Apply"
    bl_parent_id = "DIMPLE_PT_main"

    def draw(self, context: bpy.types.Context) -> None:
        """The options of Apply and its button."""
        layout, settings = self.layout, context.scene.dimple
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.prop(settings, "bake")
        if settings.bake == "LOW_RANK":
            layout.prop(settings, "tolerance_mm")
        layout.prop(settings, "start_frame")
        layout.prop(settings, "action")
        layout.prop(settings, "hold_last")
        layout.prop(settings, "apply_when_done")
        layout.operator("dimple.apply", icon="CHECKMARK")


class DIMPLE_PT_recipes(DimplePanel, bpy.types.Panel):
    """The animations on this head."""

    bl_label = "On This Head"
    bl_parent_id = "DIMPLE_PT_main"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether there is a head."""
        return refusal(target_head(context)) is None

    def draw(self, context: bpy.types.Context) -> None:
        """One row for each animation: what it is, again, remove."""
        layout = self.layout
        try:
            recipes = read_recipes(target_head(context))
        except RecipeError as error:
            draw_text(layout, context, str(error), "ERROR")
            return
        if not recipes:
            layout.label(text="Nothing yet", icon="INFO")
        for name, recipe in reversed(recipes.items()):
            row = layout.row(align=True)
            text = f"{name}: {len(recipe.key_names)} keys, seed {recipe.request.seed}"
            if recipe.bake.tolerance_mm > 0:
                text += f", {recipe.largest_error_mm:.3f} mm"
            row.label(text=text, icon="ACTION")
            row.operator("dimple.generate_again", text="", icon="FILE_REFRESH").recipe = name
            row.operator("dimple.remove", text="", icon="X").recipe = name


class DIMPLE_PT_advanced(DimplePanel, bpy.types.Panel):
    """What is rarely needed."""

    bl_label = "Advanced"
    bl_parent_id = "DIMPLE_PT_main"
    bl_options = {"DEFAULT_CLOSED"}  # noqa: RUF012

    def draw(self, context: bpy.types.Context) -> None:
        """Sampler and setup."""
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.prop(context.scene.dimple, "sampler")
        _draw_check(layout, context)
        row = layout.row(align=True)
        row.operator("dimple.check_setup", icon="VIEWZOOM")
        row.operator("dimple.open_log", icon="TEXT")


def draw_preferences(
    layout: bpy.types.UILayout, context: bpy.types.Context, preferences: bpy.types.AddonPreferences
) -> None:
    """The add-on's preferences."""
    layout.use_property_split = True
    layout.use_property_decorate = False
    layout.prop(preferences, "worker_python", placeholder=str(worker_python(preferences) or ""))
    layout.prop(preferences, "device")
    layout.prop(preferences, "half")
    layout.prop(preferences, "checkpoint", placeholder=str(checkpoint_folder(checkpoint(context))))
    layout.prop(preferences, "ready_timeout")
    _draw_check(layout, context)
    row = layout.row()
    if session.current is None:
        row.operator("dimple.check_setup", icon="VIEWZOOM")
    else:
        _draw_progress(row, session.current)
    row.operator("dimple.open_log", icon="TEXT")
    layout.label(text=f"Log: {log_file()}")


def draw_add_menu(menu: bpy.types.Menu, _context: bpy.types.Context) -> None:
    """The entry under Add > Mesh."""
    menu.layout.separator()
    menu.layout.operator("dimple.add_head", icon="USER")


def _draw_head_state(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    reason = setup_refusal(context)
    if reason is not None:
        draw_text(layout, context, reason, "ERROR")
        layout.operator("dimple.open_preferences", icon="PREFERENCES")
    head = target_head(context)
    reason = refusal(head)
    if reason is not None:
        draw_text(layout, context, reason, "INFO")
        return
    state = session.head_state(head, checkpoint_folder(checkpoint(context)))
    icon = "CHECKMARK" if state.settled else "INFO" if state.usable else "ERROR"
    draw_text(layout, context, state.text, icon)
    for warning in state.warnings:
        draw_text(layout, context, warning, "ERROR")


def _draw_job(layout: bpy.types.UILayout) -> None:
    """Generate, or the progress of what runs."""
    row = layout.row()
    row.scale_y = 1.5
    if session.current is not None:
        _draw_progress(row, session.current)
    else:
        row.operator("dimple.generate", icon="PLAY")


def _draw_progress(layout: bpy.types.UILayout, job: Job) -> None:
    row = layout.row(align=True)
    row.progress(factor=job.factor, text=job.progress_text, type="BAR")
    row.operator("dimple.cancel", text="", icon="CANCEL")


def _draw_check(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """What Check Setup found: each item the worker has, and each it lacks."""
    reason = setup_refusal(context)
    check = session.check
    if reason is not None:
        draw_text(layout, context, reason, "ERROR")
    elif check is None:
        draw_text(
            layout, context, "Check Setup starts the worker and lists what it has and what it lacks", "INFO"
        )
    elif check.state == "done":
        info = check.done.info
        for item in info["missing"]:
            draw_text(layout, context, f"Missing: {item}", "ERROR")
        for problem in info["problems"]:
            draw_text(layout, context, problem, "ERROR")
        for name, version in info["versions"].items():
            draw_text(layout, context, f"{name} {version}", "CHECKMARK")
        if "device" in info:
            device = f"{info['device']}: {info['device_name']}, {info['memory_free_mb']:,} MB free"
            draw_text(layout, context, device, "CHECKMARK")
        if "checkpoint_name" in info:
            draw_text(layout, context, f"Checkpoint: {info['checkpoint_name']}", "CHECKMARK")
    else:
        draw_text(layout, context, check.message, "ERROR" if check.state == "failed" else "INFO")
