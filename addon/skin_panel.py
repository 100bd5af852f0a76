"""The sub-panel for the skin: where the neutral comes from, what the maps follow, what the head wears."""

from __future__ import annotations

import bpy

from ..bridge.protocol import AUTHORED
from .mesh_reader import refusal
from .panels import DimplePanel, draw_text
from .properties import target_head
from .recipe import RecipeError
from .session import session
from .skin_job import neutral_image, texture_refusal
from .skin_reader import skin_refusal, skin_slot
from .skin_record import SkinRecord, read_record

PICTURE_SCALE = 10.0
"""Of the first results, in buttons."""


class DIMPLE_PT_skin(DimplePanel, bpy.types.Panel):
    """BRDF maps that move with the face."""

    bl_label = "Skin"
    bl_parent_id = "DIMPLE_PT_main"
    bl_options = {"DEFAULT_CLOSED"}  # noqa: RUF012

    def draw(self, context: bpy.types.Context) -> None:
        """The neutral, the subject, the button, and the skin on the head."""
        layout, settings = self.layout, context.scene.dimple_skin
        layout.use_property_split = True
        layout.use_property_decorate = False
        head = target_head(context)
        usable = refusal(head) is None
        layout.prop(settings, "source")
        layout.prop(settings, "material", placeholder=_material_name(head) if usable else "")
        if settings.source == "SEED" or not usable or not _draw_texture(layout, context, head):
            layout.prop(settings, "skin_seed")
        layout.prop(settings, "subject")
        if settings.subject == "expression":
            layout.prop(settings, "words", placeholder=", ".join(context.scene.dimple.expressions()))
            layout.prop(settings, "intensity", slider=True)
        elif settings.subject == "keys":
            layout.prop(settings, "sets")
        elif usable:
            scene = context.scene
            draw_text(
                layout, context, f"Frames {scene.frame_start} to {scene.frame_end} of the scene", "TIME"
            )
        layout.prop(settings, "skin")
        if settings.skin != AUTHORED:
            layout.prop(settings, "personal", slider=True)
            row = layout.row()
            row.enabled = settings.personal > 0
            row.prop(settings, "wrinkle_seed")
        layout.prop(settings, "resolution")
        row = layout.row(align=True)
        row.enabled = session.current is None
        row.operator("dimple.generate_skin", icon="MATERIAL")
        _draw_first_results(layout)
        if not bpy.data.filepath:
            draw_text(
                layout, context, "The .blend file is not saved: the maps will be packed into it", "INFO"
            )
        if usable:
            _draw_record(layout, context, head)


def _material_name(head: bpy.types.Object) -> str:
    slots = head.material_slots
    material = slots[skin_slot(head)].material if slots else None
    return material.name if material is not None else "A New Material"


def _draw_texture(layout: bpy.types.UILayout, context: bpy.types.Context, head: bpy.types.Object) -> bool:
    """The neutral texture that was found, or what is wrong with it; False where there is none."""
    slot = skin_slot(head, context.scene.dimple_skin.material)
    if neutral_image(head, slot) is None:
        draw_text(layout, context, "No image behind its Base Color: authored skin instead", "INFO")
        return False
    reason = skin_refusal(head) or texture_refusal(head, slot)
    if reason is not None:
        draw_text(layout, context, reason, "ERROR")
    else:
        draw_text(layout, context, f"“{neutral_image(head, slot).name}”", "IMAGE_DATA")
    return True


def _draw_first_results(layout: bpy.types.UILayout) -> None:
    """How the face looks while its maps are still being enlarged and written."""
    job = session.current
    if job is not None and job.picture:
        layout.template_icon(icon_value=session.icon_of(job.picture), scale=PICTURE_SCALE)
        layout.label(text="First results; Esc to stop here")


def _draw_record(layout: bpy.types.UILayout, context: bpy.types.Context, head: bpy.types.Object) -> None:
    """What the head wears: again, open, remove."""
    try:
        record = read_record(head)
    except RecipeError as error:
        draw_text(layout, context, str(error), "ERROR")
        layout.operator("dimple.remove_skin", icon="X")
        return
    if record is None:
        return
    row = layout.row(align=True)
    row.label(text=_summary(record), icon="MATERIAL")
    row.operator("dimple.generate_skin_again", text="", icon="FILE_REFRESH")
    row.operator("dimple.open_skin_folder", text="", icon="FILE_FOLDER")
    row.operator("dimple.remove_skin", text="", icon="X")
    draw_text(layout, context, record.source)


def _summary(record: SkinRecord) -> str:
    request = record.request
    what = {"keys": f"{len(record.sets) - 1} driven sets", "frames": "Every frame"}
    text = what.get(request.subject, ", ".join(request.expressions))
    return f"{text}, {request.resolution} x {request.resolution}"
