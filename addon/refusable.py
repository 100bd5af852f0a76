"""Operators that say why they cannot run now, and the way out."""

from __future__ import annotations

import bpy

from .mesh_reader import refusal
from .properties import target_head


class Refusable:
    """A button whose tooltip gives the reason while it is greyed out. For operators."""

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str | None:
        """None when it can run; by default, when the head can be changed."""
        return refusal(target_head(context))

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Whether it can run; Blender shows the reason where it cannot."""
        if (reason := cls.why_not(context)) is not None:
            cls.poll_message_set(reason)
        return reason is None
