"""What all operators share that hand a job to the worker: modal in a window, blocking without one."""

from __future__ import annotations

import bpy

from .mesh_reader import HeadError
from .preferences import SetupError, setup_refusal
from .recipe import RecipeError
from .refusable import Refusable
from .session import Job, session

BUSY = "Dimple is at work: wait, or press Cancel"


def job_refusal(context: bpy.types.Context) -> str | None:
    """Why no job can be started now, and the way out."""
    return BUSY if session.current is not None else setup_refusal(context)


class JobOperator(Refusable):
    """An operator whose work is a job. Subclasses say how it is submitted and what its result is for.

    The operator never waits in a window: the session's step is called by its timer, and by the blocking path
    in background mode, where no timer ever fires.
    """

    _job: Job

    def submit(self, context: bpy.types.Context) -> Job:
        """Start the job. Raises HeadError, RecipeError, SetupError, OSError; nothing was started then."""
        raise NotImplementedError

    def finish(self, context: bpy.types.Context, job: Job) -> set[str]:
        """Use the result of the job. Raises HeadError, OSError, ValueError; nothing was changed then."""
        raise NotImplementedError

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        """Start the job and let Blender go on."""
        if bpy.app.background or context.window is None:
            return self.execute(context)
        if not self._submitted(context):
            return {"CANCELLED"}
        session.watch(context)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Escape cancels; everything else is the artist's to go on with."""
        if self._job.running and event.type == "ESC" and event.value == "PRESS":
            session.cancel(self._job)
            return {"RUNNING_MODAL"}
        if event.type == "TIMER":
            session.step()
        if self._job.running:
            return {"PASS_THROUGH"}
        session.unwatch()
        return self._conclude(context)

    def cancel(self, _context: bpy.types.Context) -> None:
        """Blender ends the operator: another file is loaded, or the window closes."""
        session.unwatch()
        session.cancel(self._job)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Do the job and come back when it is over."""
        if not self._submitted(context):
            return {"CANCELLED"}
        manager = context.window_manager
        manager.progress_begin(0, 100)
        session.wait(self._job, lambda: manager.progress_update(int(100 * self._job.factor)))
        manager.progress_end()
        return self._conclude(context)

    def _submitted(self, context: bpy.types.Context) -> bool:
        try:
            self._job = self.submit(context)
        except (HeadError, RecipeError, SetupError) as error:
            self.report({"ERROR"}, str(error))
        except OSError as error:
            self.report(
                {"ERROR"}, f"The job folder cannot be written ({error.strerror}): free some disk space."
            )
        else:
            return True
        return False

    def _conclude(self, context: bpy.types.Context) -> set[str]:
        job = self._job
        if job.state == "cancelled":
            self.report({"INFO"}, job.message)
            return {"CANCELLED"}
        if job.state == "failed":
            self.report({"ERROR"}, job.message)
            return {"CANCELLED"}
        try:
            return self.finish(context, job)
        except HeadError as error:
            self.report({"ERROR"}, str(error))
        except (OSError, ValueError) as error:
            self.report({"ERROR"}, f"The worker's result cannot be read ({error}): generate again.")
        return {"CANCELLED"}
