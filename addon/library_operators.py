"""The buttons of the library panel."""

from __future__ import annotations

import bpy
from bpy.props import StringProperty

from ..bridge.protocol import LibraryRequest
from .companion_writer import read_followers
from .head_job import unchanged_head
from .jobs import JobOperator
from .library_properties import FILE
from .library_writer import library_of, remove_library, write_library
from .mesh_reader import HeadError, read_neutral
from .operators import generate_refusal, submit_head_job
from .preferences import checkpoint
from .properties import target_head
from .recipe import RecipeError
from .refusable import Refusable
from .session import Job, session


def library_refusal(context: bpy.types.Context) -> str | None:
    """Why no library can be made now, and the way out."""
    settings = context.scene.dimple_library
    if settings.shape_set == FILE and not settings.file:
        return "Choose the JSON file with your shapes"
    return generate_refusal(context)


class DIMPLE_OT_generate_library(JobOperator, bpy.types.Operator):
    """Make the shape keys of the set for this head. Keys that are there keep their values and drivers"""

    bl_idname = "dimple.generate_library"
    bl_label = "Generate Library"
    bl_options = {"UNDO"}  # noqa: RUF012

    only: StringProperty(name="Only", description="Names of the shapes to make. Empty: what the panel says")

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str | None:
        """None when there is a head and a worker."""
        return library_refusal(context)

    def submit(self, context: bpy.types.Context) -> Job:
        """Ask for what the panel says."""
        settings = context.scene.dimple_library
        request = settings.request(checkpoint(context), self.only or settings.only)
        self._neutral = read_neutral(target_head(context).data)
        self._take_over = settings.take_over
        return submit_head_job(context, request)

    def finish(self, _context: bpy.types.Context, job: Job) -> set[str]:
        """Write the keys. Raises HeadError, OSError, ValueError; nothing was written then."""
        assert isinstance(job.request, LibraryRequest)
        try:
            library = library_of(job)
            followers = read_followers(job, "deformations", "correctives")
        finally:
            session.discard(job)
        head = unchanged_head(job, self._neutral, self.bl_label)
        try:
            record = write_library(
                head, library, job.request.shape_set, job.request.seed, self._take_over, followers
            )
        except RecipeError as error:
            raise HeadError(str(error)) from error
        self.report(
            {"INFO"},
            f"{len(library.names)} shapes and {len(library.pairs)} correctives "
            f"in {job.done.seconds:.1f} s; {len(record.key_names)} on “{head.name}”",
        )
        return {"FINISHED"}


class DIMPLE_OT_remove_library(Refusable, bpy.types.Operator):
    """Remove this library: its own shape keys, correctives and drivers, nothing else"""

    bl_idname = "dimple.remove_library"
    bl_label = "Remove Library"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    shape_set: StringProperty(name="Shapes", description="Name of the set")

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Remove it."""
        try:
            remove_library(target_head(context), self.shape_set)
        except (RecipeError, HeadError) as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}
