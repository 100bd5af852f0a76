"""The buttons of Dimple. Generating is a job; applying its result is quick and one step of undo."""

import secrets
from collections.abc import Mapping

import bpy
import numpy as np
from bpy.props import IntProperty, StringProperty
from numpy.typing import NDArray

from ..bridge.protocol import AnimateRequest, BindRequest, Check, HeadRequest, LibraryRequest
from .animation_writer import write_animation
from .companion_writer import read_followers
from .head_builder import HEAD_RESULTS, HeadArrays, build_head
from .head_job import back, read_head_job, there
from .jobs import JobOperator, job_refusal
from .mesh_reader import HeadError, find_object, read_fingerprint, read_neutral, refusal
from .preferences import checkpoint, checkpoint_folder, worker_settings
from .properties import LARGEST_SEED, ApplyOptions, target_head
from .recipe import RecipeError, read_recipes
from .refusable import Refusable
from .session import Job, session
from .signal_record import is_described, read_signal, store_signal


def generate_refusal(context: bpy.types.Context) -> str | None:
    """Why the head cannot be animated now, and the way out."""
    reason = job_refusal(context) or refusal(target_head(context))
    if reason is None:
        state = session.head_state(target_head(context), checkpoint_folder(checkpoint(context)))
        reason = None if state.usable else state.text
    return reason


def nothing_to_express(context: bpy.types.Context) -> str | None:
    """What is missing to say what the face shall do."""
    signal = context.scene.dimple_signal
    if signal.uses_profile and not context.scene.dimple.expressions():
        return "Choose an expression, or add a unit under Units"
    return signal.refusal(target_head(context))


def apply_refusal(context: bpy.types.Context) -> str | None:
    """Why no result can be applied now, and the way out."""
    head = target_head(context)
    reason = refusal(head)
    if reason is None and head.session_uid not in session.results:
        reason = f"There is no result for “{head.name}” yet: press Generate first"
    return reason


def submit_animation(
    context: bpy.types.Context,
    request: AnimateRequest,
    arrays: Mapping[str, NDArray[np.float32]] | None = None,
) -> Job:
    """Hand the head, the request and its own arrays to the worker. Raises HeadError, SetupError, OSError."""
    return submit_head_job(context, request, arrays)


def submit_head_job(
    context: bpy.types.Context,
    request: BindRequest | AnimateRequest | LibraryRequest,
    arrays: Mapping[str, NDArray[np.float32]] | None = None,
) -> Job:
    """Hand the head, its landmarks and companions to the worker. Raises HeadError, SetupError, OSError."""
    head = target_head(context)
    state = session.head_state(head, checkpoint_folder(request.checkpoint))
    if not state.usable:
        raise HeadError(f"{state.text}.")
    work = read_head_job(head)
    given = {**work.arrays, **(arrays or {})}
    return session.submit(worker_settings(context), work.request(request), given, work.target)


def apply_result(head: bpy.types.Object, options: ApplyOptions) -> str:
    """Write the last result of the head and say what was done.

    Raises HeadError when the head has changed since Generate; OSError, ValueError for an unreadable result.
    """
    job = session.results[head.session_uid]
    if (reason := refusal(head)) is not None:
        raise HeadError(f"{reason}.")
    if read_fingerprint(head.data) != job.target.fingerprint:
        raise HeadError(f"“{head.name}” has another topology than when Generate was pressed: generate again.")
    if not np.allclose(
        there(read_neutral(head.data), job.target.linear), job.neutral_vertices, rtol=1e-5, atol=1e-6
    ):
        raise HeadError(f"The neutral shape of “{head.name}” has changed since Generate: generate again.")
    deformations = back(np.ascontiguousarray(job.array("deformations"), np.float32), job.target.linear)
    before = head.data.shape_keys.animation_data if head.data.shape_keys is not None else None
    previous = before.action if before is not None else None
    recipe = write_animation(
        head,
        job.request,
        deformations,
        job.mm_per_unit,
        options.bake_options(),
        options.placement(),
        read_followers(job, "deformations"),
    )
    if not is_described(job.request):
        store_signal(head, recipe.name, job.array("drawn_signal"))
    text = f"“{recipe.name}”: {len(recipe.key_names)} shape keys from frame {recipe.start_frame}"
    if recipe.bake.tolerance_mm > 0:
        text += f", at most {recipe.largest_error_mm:.3f} mm off"
    if previous is not None and previous.name != recipe.action_name:
        text += f"; the action “{previous.name}” stepped aside and is kept"
    return text


class AnimationOperator(JobOperator):
    """A job whose result is an animation of a head."""

    def finish(self, context: bpy.types.Context, job: Job) -> set[str]:
        """Apply the result, as its own step of undo, when the artist wants it at once."""
        self.report({"INFO"}, f"Generated in {job.done.seconds:.1f} s")
        settings = context.scene.dimple
        head = find_object(job.target.name, job.target.session_uid) if job.target is not None else None
        if not settings.apply_when_done or head is None or settings.head not in (None, head):
            return {"FINISHED"}
        # The artist may have selected something else meanwhile: the result is for the head it was made of.
        with context.temp_override(active_object=head):
            if (reason := apply_refusal(context)) is not None:
                self.report({"WARNING"}, f"Ready to be applied. {reason}")
                return {"FINISHED"}
            try:
                return bpy.ops.dimple.apply("INVOKE_DEFAULT", True)
            except RuntimeError as error:  # how Blender passes on what the other operator reported
                self.report({"ERROR"}, str(error).replace("Error: ", "").strip())
                return {"CANCELLED"}


class DIMPLE_OT_generate(AnimationOperator, bpy.types.Operator):
    """Generate the expression for this head. The worker does it; Escape cancels"""

    bl_idname = "dimple.generate"
    bl_label = "Generate"

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str | None:
        """None when there is a head and a worker."""
        reason = generate_refusal(context) or nothing_to_express(context)
        return reason

    def submit(self, context: bpy.types.Context) -> Job:
        """Ask for what the panel says."""
        settings = context.scene.dimple
        if settings.random_seed:
            settings.seed = secrets.randbelow(LARGEST_SEED)
        request, arrays = context.scene.dimple_signal.completed(
            settings.request(context.scene, checkpoint(context)), target_head(context), settings.start_frame
        )
        return submit_animation(context, request, arrays)


class DIMPLE_OT_generate_again(AnimationOperator, bpy.types.Operator):
    """Generate this animation again from its recipe: same expression, same seed, same result"""

    bl_idname = "dimple.generate_again"
    bl_label = "Generate Again"

    recipe: StringProperty(name="Recipe", description="Name of the recipe. Empty: the last one")

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str | None:
        """None when there is a head and a worker."""
        return generate_refusal(context)

    def submit(self, context: bpy.types.Context) -> Job:
        """Ask for what the recipe says."""
        recipes = read_recipes(target_head(context))
        name = self.recipe or next(reversed(recipes), "")
        if name not in recipes:
            raise RecipeError("There is no recipe on this head yet: press Generate and Apply first.")
        kept = read_signal(target_head(context), name)
        return submit_animation(
            context, recipes[name].request, {} if kept is None else {"expression_signal": kept}
        )


class DIMPLE_OT_cancel(bpy.types.Operator):
    """Cancel what Dimple is doing; the worker stops after its current step and stays ready"""

    bl_idname = "dimple.cancel"
    bl_label = "Cancel"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether there is something to cancel."""
        cls.poll_message_set("Nothing is running")
        return session.current is not None

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Ask the worker to stop."""
        session.cancel(session.current)
        return {"FINISHED"}


class DIMPLE_OT_apply(Refusable, ApplyOptions, bpy.types.Operator):
    """Write the result to the head: shape keys and keyframes. What is there already stays as it is"""

    bl_idname = "dimple.apply"
    bl_label = "Apply"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str | None:
        """None when there is a result for this head."""
        return apply_refusal(context)

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        """Apply with the panel's options."""
        settings = context.scene.dimple
        for name in ApplyOptions.__annotations__:
            setattr(self, name, getattr(settings, name))
        return self.execute(context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Apply with the operator's own options, which the redo panel shows."""
        try:
            self.report({"INFO"}, apply_result(target_head(context), self))
        except (HeadError, RecipeError) as error:
            self.report({"ERROR"}, str(error))
        except (OSError, ValueError) as error:
            self.report({"ERROR"}, f"The result cannot be read ({error}): generate again.")
        else:
            return {"FINISHED"}
        return {"CANCELLED"}


class DIMPLE_OT_add_head(JobOperator, bpy.types.Operator):
    """Add the head of a new person, made by Dimple from a seed"""

    bl_idname = "dimple.add_head"
    bl_label = "Dimple Head"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    seed: IntProperty(
        name="Seed", description="Another seed is another person", default=0, min=0, max=LARGEST_SEED
    )

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str | None:
        """None when there is a worker, and a place for the head."""
        reason = job_refusal(context)
        if reason is None and context.mode != "OBJECT":
            reason = "Go back to Object Mode first"
        return reason

    def submit(self, context: bpy.types.Context) -> Job:
        """Ask for a person."""
        request = HeadRequest(job="", folder="", checkpoint=checkpoint(context), seed=self.seed)
        return session.submit(worker_settings(context), request)

    def finish(self, context: bpy.types.Context, job: Job) -> set[str]:
        """Put the head at the 3D cursor and select it."""
        results = (np.array(job.array(name)) for name in HEAD_RESULTS)
        arrays = HeadArrays(*results, job.done.info["material_names"])
        session.discard(job)
        head = build_head(arrays, f"Dimple Head {self.seed}", self.seed)
        head.location = context.scene.cursor.location
        context.collection.objects.link(head)
        for selected in context.selected_objects:
            selected.select_set(False)
        head.select_set(True)
        context.view_layer.objects.active = head
        return {"FINISHED"}


class DIMPLE_OT_check_setup(JobOperator, bpy.types.Operator):
    """Start the worker and list what it has and what it lacks"""

    bl_idname = "dimple.check_setup"
    bl_label = "Check Setup"

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str | None:
        """None when there is a worker to check."""
        return job_refusal(context)

    def submit(self, context: bpy.types.Context) -> Job:
        """Ask the worker about itself and the checkpoint."""
        return session.submit(worker_settings(context), Check(job="", checkpoint=checkpoint(context)))

    def finish(self, context: bpy.types.Context, job: Job) -> set[str]:
        """Say it in one line; the preferences show the rest."""
        problems = job.done.info["problems"]
        if problems:
            self.report({"WARNING"}, " ".join(problems))
        else:
            self.report({"INFO"}, "Everything is in place")
        return {"FINISHED"}
