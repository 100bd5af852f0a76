"""What the artist sets for the course of an expression over time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import bpy
import numpy as np
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    IntProperty,
    StringProperty,
)
from numpy.typing import NDArray

from ..bridge.protocol import AnimateRequest
from .mesh_reader import HeadError
from .preset_files import read_presets
from .properties import LABELS, MAX_WEIGHT
from .signal_record import digest
from .unit_curves import curve_names, read_curves

CAPTURED_BLINKS = 11.0
"""A minute: what the people did whose motion the statistics are of."""
LONGEST = 10000
"""Frames."""


def _expressions(_moment: bpy.types.PropertyGroup, _context: bpy.types.Context, _typed: str) -> Iterator[str]:
    yield "neutral"
    yield from (label[0] for label in LABELS[1:] if label is not None)
    yield from read_presets()


class DimpleMoment(bpy.types.PropertyGroup):
    """A time at which the face has reached an expression."""

    seconds: FloatProperty(
        name="Time (s)",
        description="When the expression is reached, in seconds",
        default=0.5,
        min=0.0,
        max=600.0,
        precision=2,
        step=10,
    )
    expression: StringProperty(
        name="Expression",
        description="What is reached: neutral, happiness, jawOpen, or several with commas between them",
        default="happiness",
        search=_expressions,
        search_options={"SORT", "SUGGESTION"},
    )
    intensity: FloatProperty(
        name="Intensity",
        description="How strong it is; above 1 it is exaggerated",
        default=1.0,
        min=0.0,
        max=MAX_WEIGHT,
        soft_max=1.0,
        subtype="FACTOR",
    )
    own_transition: BoolProperty(
        name="Own Transition",
        description="Say how long it takes to get there; otherwise every part of the face takes its own time",
        default=False,
    )
    transition: FloatProperty(
        name="Transition (s)",
        description="Seconds on the way from the moment before; 0 is a cut",
        default=0.3,
        min=0.0,
        max=60.0,
        precision=2,
        step=10,
    )

    def text(self) -> str:
        """The moment as the worker reads it; its intensity is a factor of every expression's own weight."""
        names = [name.strip() for name in self.expression.split(",") if name.strip()]
        scaled = [_scaled(name, self.intensity) for name in names if name != "neutral"]
        transition = f"@{self.transition:g}" if self.own_transition else ""
        return f"{self.seconds:g}:{','.join(scaled)}{transition}"


def _scaled(text: str, intensity: float) -> str:
    name, _, weight = (part.strip() for part in text.partition("="))
    try:
        return f"{name}={round(float(weight or 1.0) * intensity, 4):g}"
    except ValueError:  # the worker says what is wrong with the weight
        return text


class DimpleSignalSettings(bpy.types.PropertyGroup):
    """Where the course of the expression comes from, its sides, and the life in it."""

    source: EnumProperty(
        name="Over Time",
        description="What says how the expression comes and goes",
        items=[
            ("PROFILE", "Profile", "The expression above, along the profile above", "IPO_EASE_IN_OUT", 0),
            ("MOMENTS", "Moments", "A list of times and the expressions reached then", "PRESET", 1),
            ("CURVES", "Keyframed Units", "Units that you keyframe on the head", "FCURVE", 2),
            (
                "PERFORMANCE",
                "Captured Take",
                "A take of Live Link Face or another ARKit CSV",
                "CAMERA_DATA",
                3,
            ),
        ],
        default="PROFILE",
    )
    adds: BoolProperty(
        name="Add to Expression",
        description="On top of the expression above along its profile, rather than instead of it",
        default=False,
    )
    moments: CollectionProperty(type=DimpleMoment)
    active_moment: IntProperty(name="Active Moment", description="The moment that is selected in the list")
    performance: StringProperty(
        name="Take", description="CSV file of Live Link Face, or any with ARKit's names", subtype="FILE_PATH"
    )
    performance_start: FloatProperty(
        name="From",
        description="Where in the take to begin",
        default=0.0,
        min=0.0,
        max=36000.0,
        unit="TIME_ABSOLUTE",
    )
    whole_take: BoolProperty(
        name="To the End",
        description="To the end of the take, rather than for the length above",
        default=True,
    )
    left: FloatProperty(
        name="Left",
        description="Share of the character's left half of the face",
        default=1.0,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
    )
    right: FloatProperty(
        name="Right",
        description="Share of the character's right half of the face",
        default=1.0,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
    )
    micro_motion: FloatProperty(
        name="Micro-Motion",
        description="How much held muscles tremble; 1 is as captured. A face at rest stays at rest",
        default=1.0,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
    )
    blinks: FloatProperty(
        name="Blinks a Minute",
        description=f"How often the eyes blink; people do about {CAPTURED_BLINKS:.0f} times a minute",
        default=0.0,
        min=0.0,
        max=60.0,
        precision=0,
    )

    @property
    def uses_profile(self) -> bool:
        """Whether the expression above and its profile have a part in it."""
        return self.source == "PROFILE" or self.adds

    def refusal(self, head: bpy.types.Object) -> str | None:
        """Why there is nothing to generate, and the way out."""
        if self.source == "MOMENTS" and not self.moments:
            return "Add a moment under Over Time"
        if self.source == "PERFORMANCE" and not self.performance.strip():
            return "Choose the CSV file of a take under Over Time"
        if self.source == "CURVES" and not curve_names(head):
            return "Add curves for some units under Over Time, and keyframe them"
        return None

    def completed(
        self, request: AnimateRequest, head: bpy.types.Object, start: int
    ) -> tuple[AnimateRequest, dict[str, NDArray[np.float32]]]:
        """The request with all this in it, and the arrays that go with it. Raises HeadError."""
        expressions = request.expressions if self.uses_profile else ()
        moments = [moment.text() for moment in self.moments] if self.source == "MOMENTS" else []
        request = replace(
            request,
            expressions=expressions,
            left=round(self.left, 4),
            right=round(self.right, 4),
            micro_motion=round(self.micro_motion, 4),
            blinks=round(self.blinks, 2),
            presets=named_presets((*expressions, *moments)),
        )
        match self.source:
            case "MOMENTS":
                return with_moments(request, moments, request.frames), {}
            case "CURVES":
                return with_curves(request, head, start)
            case "PERFORMANCE":
                path = Path(bpy.path.abspath(self.performance))
                frames = LONGEST if self.whole_take else request.frames
                return with_take(request, path, round(self.performance_start, 4), frames), {}
        return request, {}


def with_moments(request: AnimateRequest, moments: Sequence[str], frames: int) -> AnimateRequest:
    """The request with moments in it, at least as long as it takes to reach the last one."""
    last = max(map(_seconds, moments), default=0.0)
    return replace(
        request,
        moments=tuple(moments),
        frames=min(max(frames, round(last * request.frame_rate) + 1), LONGEST),
    )


def with_curves(
    request: AnimateRequest, head: bpy.types.Object, start: int
) -> tuple[AnimateRequest, dict[str, NDArray[np.float32]]]:
    """The request with the units keyframed on the head, from frame `start` on. Raises HeadError."""
    names, weights = read_curves(head, start, request.frames)
    found = digest(weights.tobytes())
    return replace(request, curves=names, signal_digest=found), {"curves": weights}


def with_take(request: AnimateRequest, path: Path, begin: float, frames: int) -> AnimateRequest:
    """The request with a captured take, for at most `frames`. Raises HeadError where it cannot be read."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise HeadError(f"“{path}” cannot be read ({error.strerror}): choose the CSV of a take.") from error
    return replace(
        request,
        performance=str(path),
        performance_start=begin,
        frames=frames,
        signal_digest=digest(content),
    )


def _seconds(moment: str) -> float:
    """Its time; 0 where the worker is going to say that it is none."""
    try:
        return min(max(float(moment.partition(":")[0]), 0.0), 1e6)
    except ValueError:
        return 0.0


def named_presets(texts: Sequence[str]) -> dict[str, dict[str, float]]:
    """The artist's own presets that the texts may speak of."""
    said = " ".join(texts).lower()
    return {name: dict(preset.stage) for name, preset in read_presets().items() if name.lower() in said}
