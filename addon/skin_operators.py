"""The buttons of the skin panel. The maps are made by a job; putting them on is one step of undo."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
from numpy.typing import NDArray

from ..bridge.protocol import AppearanceRequest
from .head_job import unchanged_head
from .jobs import JobOperator
from .mesh_reader import HeadError
from .operators import generate_refusal
from .preferences import checkpoint, checkpoint_folder, worker_settings
from .properties import target_head
from .recipe import RecipeError
from .refusable import Refusable
from .session import Job, session
from .skin_job import material_texture, neutral_image, skin_job, texture_refusal
from .skin_reader import skin_refusal, skin_slot
from .skin_record import read_record
from .skin_writer import SkinPlace, remove_skin, write_skin


def make_refusal(context: bpy.types.Context) -> str | None:
    """Why no skin can be made now, and the way out."""
    reason = generate_refusal(context)
    if reason is not None:
        return reason
    head, settings = target_head(context), context.scene.dimple_skin
    reason = skin_refusal(head)
    slot = skin_slot(head, settings.material)
    if reason is None and settings.source == "TEXTURE" and neutral_image(head, slot) is not None:
        reason = texture_refusal(head, slot)
    if reason is None and settings.subject == "frames" and not bpy.data.filepath:
        reason = "Save the .blend file first: the image sequences lie beside it"
    if reason is None and settings.subject == "expression" and not settings.words.strip():
        chosen = context.scene.dimple.expressions()
        reason = None if chosen else "Choose an expression above, or write one here"
    return reason


class SkinOperator(JobOperator):
    """A job whose result is the skin of a head."""

    _place: SkinPlace
    _neutral: NDArray[np.float32]

    def start(
        self, context: bpy.types.Context, request: AppearanceRequest, slot: int, from_material: bool
    ) -> Job:
        """Hand the head, its texture and its motion to the worker. Raises HeadError, SetupError, OSError."""
        head = target_head(context)
        state = session.head_state(head, checkpoint_folder(request.checkpoint))
        if not state.usable:
            raise HeadError(f"{state.text}.")
        texture = material_texture(head, slot) if from_material else None
        work = skin_job(context, head, request, slot, texture)
        self._place, self._neutral = work.place, work.neutral_vertices
        return session.submit(worker_settings(context), work.request, work.arrays, work.target)

    def finish(self, _context: bpy.types.Context, job: Job) -> set[str]:
        """Put the maps on. Raises HeadError, OSError, ValueError; nothing was changed then."""
        try:
            head = unchanged_head(job, self._neutral, self.bl_label)
            try:
                record = write_skin(head, job, self._place)
            except RuntimeError as error:  # how Blender says that it cannot load an image
                raise ValueError(str(error)) from error
        finally:
            session.discard(job)
        where = f"in “{record.folder}”" if record.folder else "packed into the file"
        self.report({"INFO"}, f"{len(record.sets)} sets of maps in {job.done.seconds:.0f} s, {where}")
        return {"FINISHED"}


class DIMPLE_OT_generate_skin(SkinOperator, bpy.types.Operator):
    """Make maps of the skin that move with the face, and a material of them. Your own material is kept"""

    bl_idname = "dimple.generate_skin"
    bl_label = "Generate Skin"
    bl_options = {"UNDO"}  # noqa: RUF012

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str | None:
        """None when there is a head with UVs, a neutral, and a worker."""
        return make_refusal(context)

    def submit(self, context: bpy.types.Context) -> Job:
        """Ask for what the panel says."""
        settings = context.scene.dimple_skin
        head = target_head(context)
        slot = skin_slot(head, settings.material)
        from_material = settings.source == "TEXTURE" and neutral_image(head, slot) is not None
        request = settings.request(checkpoint(context), context.scene.dimple.expressions())
        return self.start(context, request, slot, from_material)


class DIMPLE_OT_generate_skin_again(SkinOperator, bpy.types.Operator):
    """Make this skin again from its recipe, for the head's keys and texture as they are now"""

    bl_idname = "dimple.generate_skin_again"
    bl_label = "Generate Skin Again"
    bl_options = {"UNDO"}  # noqa: RUF012

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str | None:
        """None when there is a head and a worker."""
        return generate_refusal(context)

    def submit(self, context: bpy.types.Context) -> Job:
        """Ask for what the recipe says."""
        record = read_record(target_head(context))
        if record is None:
            raise RecipeError("There is no generated skin on this head yet: press Generate Skin first.")
        return self.start(context, record.request, record.slot, record.from_material)


class DIMPLE_OT_remove_skin(Refusable, bpy.types.Operator):
    """Take the generated skin off: the head gets its own material back. The files stay on disk"""

    bl_idname = "dimple.remove_skin"
    bl_label = "Remove Skin"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Remove it."""
        remove_skin(target_head(context))
        return {"FINISHED"}


class DIMPLE_OT_open_skin_folder(bpy.types.Operator):
    """Show the folder with the maps of this skin"""

    bl_idname = "dimple.open_skin_folder"
    bl_label = "Open Folder"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether there is a folder to show."""
        cls.poll_message_set("This skin is packed into the file, or there is none")
        try:
            record = read_record(target_head(context)) if target_head(context) is not None else None
        except RecipeError:
            return False
        return record is not None and bool(record.folder)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Open it."""
        record = read_record(target_head(context))
        folder = Path(bpy.path.abspath(record.folder))
        if not folder.is_dir():
            self.report({"ERROR"}, f"The folder “{folder}” is gone: generate the skin again.")
            return {"CANCELLED"}
        return bpy.ops.wm.path_open(filepath=str(folder))
