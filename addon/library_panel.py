"""The sub-panel for libraries: which shapes, how, and which are on the head."""

from __future__ import annotations

from pathlib import Path

import bpy

from .library_properties import FILE
from .library_writer import LibraryRecord, read_libraries
from .mesh_reader import refusal
from .panels import DimplePanel, draw_text
from .properties import target_head
from .recipe import RecipeError
from .session import session


class DIMPLE_PT_library(DimplePanel, bpy.types.Panel):
    """A set of shape keys for a rig."""

    bl_label = "Library"
    bl_parent_id = "DIMPLE_PT_main"
    bl_options = {"DEFAULT_CLOSED"}  # noqa: RUF012

    def draw(self, context: bpy.types.Context) -> None:
        """The set, its options, the button, and the libraries on the head."""
        layout, settings = self.layout, context.scene.dimple_library
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.prop(settings, "shape_set")
        if settings.shape_set == FILE:
            layout.prop(settings, "file")
        layout.prop(settings, "only", placeholder="All Shapes")
        layout.prop(settings, "chance")
        if settings.chance == "SEED":
            layout.prop(settings, "seed")
        layout.prop(settings, "correctives")
        layout.prop(settings, "take_over")
        row = layout.row(align=True)
        row.enabled = session.current is None
        row.operator("dimple.generate_library", icon="SHAPEKEY_DATA").only = ""
        head = target_head(context)
        if refusal(head) is not None:
            return
        try:
            libraries = read_libraries(head)
        except RecipeError as error:
            draw_text(layout, context, str(error), "ERROR")
            return
        active = head.active_shape_key
        record = libraries.get(settings.set_name())
        if record is not None and active is not None and active.name in record.key_names:
            row.operator("dimple.generate_library", text="", icon="FILE_REFRESH").only = active.name
        for shape_set, record in libraries.items():
            row = layout.row(align=True)
            row.label(text=_summary(shape_set, record), icon="SHAPEKEY_DATA")
            row.operator("dimple.remove_library", text="", icon="X").shape_set = shape_set


def _summary(shape_set: str, record: LibraryRecord) -> str:
    text = f"{Path(shape_set).name}: {len(record.key_names)} keys, {len(record.correctives)} correctives"
    return text if record.seed is None else f"{text}, seed {record.seed}"
