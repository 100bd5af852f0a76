"""The buttons of the binding panel that need the worker, or undo what it brought."""

from __future__ import annotations

import bpy
import numpy as np

from ..bridge.protocol import BindRequest
from .binding_record import read_binding, record_of, remove_binding, store_binding
from .confidence import ATTRIBUTE, check_paintable, confidence_colours, paint_confidence, remove_confidence
from .fit_overlay import fit_of, hide_fit, show_fit
from .head_job import back
from .jobs import JobOperator, job_refusal
from .mesh_reader import HeadError, find_object, geometry_name, read_fingerprint, read_neutral, refusal
from .operators import submit_head_job
from .preferences import checkpoint
from .properties import target_head
from .refusable import Refusable
from .session import Job, session


def head_refusal(context: bpy.types.Context) -> str | None:
    """Why nothing can be bound now, and the way out."""
    return job_refusal(context) or refusal(target_head(context))


class BindingJob(JobOperator):
    """A job whose result is how the head is bound."""

    def submit(self, context: bpy.types.Context) -> Job:
        """Ask for the binding; one that is known is not made again."""
        head = target_head(context)
        check_paintable(head.data)
        return submit_head_job(context, BindRequest(job="", folder="", checkpoint=checkpoint(context)))

    def finish(self, context: bpy.types.Context, job: Job) -> set[str]:
        """Use it on the head, if that is still the same. Raises HeadError, OSError, ValueError."""
        try:
            head = find_object(job.target.name, job.target.session_uid) if job.target is not None else None
            if head is None:
                raise HeadError("The head of this binding is gone: bind another.")
            if (reason := refusal(head)) is not None:
                raise HeadError(f"{reason}.")
            now = geometry_name(read_fingerprint(head.data), read_neutral(head.data))
            if now != job.target.geometry:
                raise HeadError(f"“{head.name}” has changed since Bind: bind it again.")
            self.use(context, head, job)
        finally:
            session.discard(job)
        return {"FINISHED"}

    def use(self, context: bpy.types.Context, head: bpy.types.Object, job: Job) -> None:
        """What the operator is for."""
        raise NotImplementedError


class DIMPLE_OT_bind(BindingJob, bpy.types.Operator):
    """Find the face on this mesh and tie it to the Dimple head."""

    bl_idname = "dimple.bind"
    bl_label = "Bind"
    bl_description = (
        "Find the face on this mesh and tie it to the Dimple head. Adds a record and the colour attribute "
        f"“{ATTRIBUTE}”, nothing else; Escape cancels"
    )
    bl_options = {"UNDO"}  # noqa: RUF012

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str | None:
        """None when there is a head and a worker."""
        return head_refusal(context)

    def use(self, _context: bpy.types.Context, head: bpy.types.Object, job: Job) -> None:
        """Write record and confidence, and say how sure it is."""
        confidence, rule = np.array(job.array("confidence")), np.array(job.array("rule"))
        if confidence.shape != (len(head.data.vertices),) or rule.shape != confidence.shape:
            raise HeadError(f"The binding is not made for “{head.name}”: bind it again.")
        paint_confidence(head.data, confidence_colours(confidence, rule))
        record = record_of(job.request, job.target, job.done.info)
        store_binding(head, record)
        if record.warnings:
            self.report({"WARNING"}, f"{record.text}. {' '.join(record.warnings)}")
        else:
            self.report({"INFO"}, f"{record.text}, in {job.done.seconds:.1f} s")


class DIMPLE_OT_unbind(Refusable, bpy.types.Operator):
    """Remove what Bind has added: the record, the colour attribute and the fit that is shown"""

    bl_idname = "dimple.unbind"
    bl_label = "Remove Binding"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str | None:
        """None when there is something to remove."""
        head = target_head(context)
        reason = refusal(head)
        if reason is None and read_binding(head) is None and ATTRIBUTE not in head.data.attributes:
            reason = f"“{head.name}” is not bound"
        return reason

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Remove it; landmarks and companions are the artist's and stay."""
        head = target_head(context)
        remove_binding(head)
        remove_confidence(head.data)
        hide_fit(head)
        session.bindings.pop(head.session_uid, None)
        return {"FINISHED"}


class DIMPLE_OT_show_fit(BindingJob, bpy.types.Operator):
    """Show the Dimple head as it was bent onto this one, as a wire over it. Press again to remove it"""

    bl_idname = "dimple.show_fit"
    bl_label = "Show Fit"
    bl_options = {"UNDO"}  # noqa: RUF012

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str | None:
        """None when there is a head; hiding needs no worker."""
        head = target_head(context)
        reason = refusal(head)
        if reason is None and fit_of(head) is None:
            reason = job_refusal(context)
        return reason

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Hide it at once, or ask the worker for it."""
        return self._hidden(context) or super().invoke(context, event)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Hide it, or show it and come back then."""
        return self._hidden(context) or super().execute(context)

    def use(self, _context: bpy.types.Context, head: bpy.types.Object, job: Job) -> None:
        """Add the overlay."""
        vertices = back(np.array(job.array("fitted_vertices"), np.float32), job.target.linear)
        show_fit(head, vertices, np.array(job.array("fitted_faces")))

    def _hidden(self, context: bpy.types.Context) -> set[str] | None:
        head = target_head(context)
        if fit_of(head) is None:
            return None
        hide_fit(head)
        return {"FINISHED"}


class DIMPLE_OT_show_confidence(Refusable, bpy.types.Operator):
    """Show the colours of confidence in this viewport."""

    bl_idname = "dimple.show_confidence"
    bl_label = "Show Confidence"
    bl_description = (
        "Show in this viewport how sure the place of every vertex is: green, yellow, red; grey is no skin of "
        "the face. Press again for the viewport's own colours"
    )

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str | None:
        """None when a viewport can show it."""
        head = target_head(context)
        reason = refusal(head)
        if reason is None and ATTRIBUTE not in head.data.attributes:
            reason = "Press Bind first"
        if reason is None and (context.space_data is None or context.space_data.type != "VIEW_3D"):
            reason = "Only a 3D viewport can show it"
        return reason

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Switch Solid shading between material and attribute colours."""
        shading, colours = context.space_data.shading, target_head(context).data.color_attributes
        if shading.type == "SOLID" and shading.color_type == "VERTEX":
            shading.color_type = "MATERIAL"
        else:
            shading.type, shading.color_type = "SOLID", "VERTEX"
            colours.active_color = colours[ATTRIBUTE]
        return {"FINISHED"}
