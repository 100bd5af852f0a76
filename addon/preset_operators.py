"""The artist's own presets: load them into the list of units, save what is there, delete them."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import bpy
from bpy.props import BoolProperty, StringProperty

from ..bridge.protocol import SavePresetRequest
from .jobs import JobOperator, job_refusal
from .preferences import worker_settings
from .preset_files import presets_folder, read_presets
from .session import Job, session
from .signal_properties import named_presets
from .words_panel import fill_units


class DIMPLE_OT_load_preset(bpy.types.Operator):
    """Make this preset of your own the expression; its units can be edited"""

    bl_idname = "dimple.load_preset"
    bl_label = "Load Preset"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    name: StringProperty(name="Preset", description="Name of the preset")

    @classmethod
    def description(cls, _context: bpy.types.Context, properties: bpy.types.OperatorProperties) -> str:
        """Who made it, under which licence, and of what it is made."""
        preset = read_presets().get(properties.name)
        if preset is None:
            return cls.__doc__
        made = f" by {preset.author}" if preset.author else ""
        licence = f" ({preset.licence})" if preset.licence else ""
        units = ", ".join(f"{unit} {weight:g}" for unit, weight in preset.stage.items())
        return f"{preset.name}{made}{licence}: {units}"

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Fill the list of units."""
        preset = read_presets().get(self.name)
        if preset is None:
            self.report({"ERROR"}, f"There is no preset called “{self.name}” any more.")
            return {"CANCELLED"}
        fill_units(context.scene.dimple, list(preset.stage.items()))
        return {"FINISHED"}


class DIMPLE_OT_save_preset(JobOperator, bpy.types.Operator):
    """Keep the expression and its units as a preset of your own, in a file of your user folder"""

    bl_idname = "dimple.save_preset"
    bl_label = "Save Preset"

    name: StringProperty(
        name="Name", description="What the preset is called, at most 63 bytes", default="My Preset"
    )
    author: StringProperty(name="Author", description="Who made it")
    licence: StringProperty(
        name="Licence", description="Under which licence others may use it", default="CC0-1.0"
    )
    with_preview: BoolProperty(
        name="Preview Picture", description="Keep a picture of the viewport with it", default=False
    )
    replace: BoolProperty(name="Replace", description="Replace a preset of the same name", default=False)

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str | None:
        """None when there is something to save, and a worker that checks it."""
        reason = job_refusal(context)
        if reason is None and not context.scene.dimple.expressions():
            reason = "Choose an expression, or add a unit under Units"
        return reason

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Ask for name, author and licence."""
        if bpy.app.background or context.window is None:
            return self.execute(context)
        del event
        return context.window_manager.invoke_props_dialog(self)

    def submit(self, context: bpy.types.Context) -> Job:
        """Let the worker check and write it."""
        expressions = context.scene.dimple.expressions()
        request = SavePresetRequest(
            job="",
            presets_folder=str(presets_folder()),
            name=self.name,
            expressions=expressions,
            author=self.author,
            licence=self.licence,
            preview=f"{quote(self.name, safe=' ')}.png" if self.with_preview else "",
            replace=self.replace,
            presets=named_presets(expressions),
        )
        return session.submit(worker_settings(context), request)

    def finish(self, context: bpy.types.Context, job: Job) -> set[str]:
        """Take the picture, and say what is unusual about the preset."""
        if job.request.preview:
            try:
                _take_picture(context, Path(job.done.info["file"]).with_suffix(".png"))
            except RuntimeError as error:
                self.report({"WARNING"}, f"Saved without a picture: {error}")
        for remark in job.done.info["remarks"]:
            self.report({"WARNING"}, remark)
        self.report({"INFO"}, f"Saved “{job.request.name}” to {job.done.info['file']}")
        return {"FINISHED"}


class DIMPLE_OT_delete_preset(bpy.types.Operator):
    """Delete this preset of your own and its picture"""

    bl_idname = "dimple.delete_preset"
    bl_label = "Delete Preset"

    name: StringProperty(name="Preset", description="Name of the preset")

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Ask first: this cannot be undone."""
        return context.window_manager.invoke_confirm(self, event)

    def execute(self, _context: bpy.types.Context) -> set[str]:
        """Delete its files."""
        preset = read_presets().get(self.name)
        if preset is None:
            self.report({"ERROR"}, f"There is no preset called “{self.name}” any more.")
            return {"CANCELLED"}
        try:
            for path in (preset.file, preset.preview):
                if path is not None:
                    path.unlink(missing_ok=True)
        except OSError as error:
            self.report({"ERROR"}, f"“{self.name}” cannot be deleted: {error.strerror}.")
            return {"CANCELLED"}
        return {"FINISHED"}


class DIMPLE_MT_presets(bpy.types.Menu):
    """Your own presets."""

    bl_idname = "DIMPLE_MT_presets"
    bl_label = "Presets"

    def draw(self, _context: bpy.types.Context) -> None:
        """Load one, save the present one, delete one."""
        layout, presets = self.layout, read_presets()
        if not presets:
            layout.label(text="None saved yet", icon="INFO")
        for name in presets:
            layout.operator(
                "dimple.load_preset", text=name, translate=False, icon="SHAPEKEY_DATA"
            ).name = name
        layout.separator()
        layout.operator_context = "INVOKE_DEFAULT"
        layout.operator("dimple.save_preset", text="Save...", icon="ADD")
        for name in presets:
            layout.operator(
                "dimple.delete_preset", text=f"Delete {name}", translate=False, icon="TRASH"
            ).name = name


def _take_picture(context: bpy.types.Context, path: Path) -> None:
    """A picture of the viewport, 256 pixels wide. Raises RuntimeError without a window, OSError."""
    render = context.scene.render
    kept = (render.resolution_x, render.resolution_y, render.resolution_percentage, render.filepath)
    kept_format = render.image_settings.file_format
    try:
        render.resolution_x = render.resolution_y = 256
        render.resolution_percentage = 100
        render.filepath, render.image_settings.file_format = str(path), "PNG"
        bpy.ops.render.opengl(write_still=True, view_context=True)
    finally:
        render.resolution_x, render.resolution_y, render.resolution_percentage, render.filepath = kept
        render.image_settings.file_format = kept_format
