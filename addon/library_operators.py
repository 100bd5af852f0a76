"""The buttons of the library panel."""

from __future__ import annotations

import bpy
import numpy as np
from bpy.props import StringProperty

from ..bridge.protocol import LibraryRequest
from .companion_writer import read_followers
from .jobs import JobOperator
from .library_properties import FILE
from .library_writer import library_of, remove_library, write_library
from .mesh_reader import HeadError, find_object, read_fingerprint, read_neutral, refusal
from .operators import generate_refusal, submit_head_job
from .preferences import checkpoint
from .properties import target_head
from .recipe import RecipeError
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
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether there is a head and a worker."""
        if (reason := library_refusal(context)) is not None:
            cls.poll_message_set(reason)
        return reason is None

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
        head = find_object(job.target.name, job.target.session_uid) if job.target is not None else None
        if head is None:
            raise HeadError("The head of this library is gone: generate it again.")
        if read_fingerprint(head.data) != job.target.fingerprint or not np.allclose(
            read_neutral(head.data), self._neutral, rtol=1e-5, atol=1e-6
        ):
            raise HeadError(f"“{head.name}” has changed since Generate Library: generate it again.")
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


class DIMPLE_OT_remove_library(bpy.types.Operator):
    """Remove this library: its own shape keys, correctives and drivers, nothing else"""

    bl_idname = "dimple.remove_library"
    bl_label = "Remove Library"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    shape_set: StringProperty(name="Shapes", description="Name of the set")

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether the head can be changed."""
        if (reason := refusal(target_head(context))) is not None:
            cls.poll_message_set(reason)
        return reason is None

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Remove it."""
        try:
            remove_library(target_head(context), self.shape_set)
        except (RecipeError, HeadError) as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}
