"""Words: the artist describes a face, Dimple answers with units that can be edited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import bpy
from bpy.props import StringProperty

from ..bridge.protocol import ExpressRequest
from .jobs import JobOperator, job_refusal
from .panels import DimplePanel, draw_text
from .preferences import worker_settings
from .properties import NO_LABEL
from .session import Job, session


class DimpleWords(bpy.types.PropertyGroup):
    """A description, and what Dimple said about it."""

    prompt: StringProperty(
        name="Description",
        description="What the face shows, in your words, as in: a tired smile, left brow raised",
    )
    answer: StringProperty(name="Answer", description="What was not understood, or understood otherwise")
    answered: StringProperty(name="Answered", description="The description that the answer is to")


class DIMPLE_OT_express(JobOperator, bpy.types.Operator):
    """Turn the description into units, which replace the expression and can be edited under Units"""

    bl_idname = "dimple.express"
    bl_label = "Turn into Units"
    bl_options = {"UNDO"}  # noqa: RUF012

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str | None:
        """None when there are words and a worker."""
        reason = job_refusal(context)
        if reason is None and not context.scene.dimple_words.prompt.strip():
            reason = "Describe the face in words first"
        return reason

    def submit(self, context: bpy.types.Context) -> Job:
        """Ask what the words mean."""
        return session.submit(
            worker_settings(context), ExpressRequest(job="", prompt=context.scene.dimple_words.prompt)
        )

    def finish(self, context: bpy.types.Context, job: Job) -> set[str]:
        """Fill the list of units."""
        words, info = context.scene.dimple_words, job.done.info
        fill_units(context.scene.dimple, info["units"])
        words.answer, words.answered = answer(info), job.request.prompt
        if words.answer:
            self.report({"WARNING"}, words.answer)
        return {"FINISHED"}


class DIMPLE_PT_words(DimplePanel, bpy.types.Panel):
    """A description of the face."""

    bl_label = "Words"
    bl_parent_id = "DIMPLE_PT_main"

    def draw(self, context: bpy.types.Context) -> None:
        """The description, its button, and what was not understood."""
        words = context.scene.dimple_words
        self.layout.prop(
            words, "prompt", text="", placeholder="a tired smile, left brow raised", icon="OUTLINER_OB_FONT"
        )
        self.layout.operator("dimple.express", icon="TRIA_DOWN")
        if words.answer and words.answered == words.prompt:
            draw_text(self.layout, context, words.answer, "INFO")


def fill_units(settings: bpy.types.PropertyGroup, units: Sequence[Sequence[Any]]) -> None:
    """Make the units (name, weight) the whole expression."""
    settings.label = NO_LABEL
    settings.units.clear()
    for name, weight in units:
        unit = settings.units.add()
        unit.name, unit.weight = str(name), float(weight)
    settings.active_unit = 0


def answer(info: Mapping[str, Any]) -> str:
    """What an artist should know of how a description was read, in a sentence or two; often nothing."""
    said: list[str] = []
    if info["unknown_words"]:
        said.append(f"Not understood: {', '.join(word[:30] for word in info['unknown_words'][:6])}.")
    if info["read_as"]:
        said.append(
            f"Read {', '.join(f'“{typed}” as “{meant}”' for typed, meant in info['read_as'].items())}."
        )
    if not info["units"]:
        said.append("This is a face at rest.")
    return " ".join((*said, *info["remarks"]))
