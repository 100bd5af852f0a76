"""What the artist sets: one group of properties on the scene."""

from collections.abc import Iterator

import bpy
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    IntProperty,
    PointerProperty,
    StringProperty,
)

from ..bridge.protocol import AnimateRequest
from .animation_writer import Placement
from .preferences import checkpoint, checkpoint_folder
from .recipe import Bake
from .session import session

NO_LABEL = "none"
MAX_WEIGHT = 1.5
LARGEST_SEED = 2**31 - 1

LABELS = [
    (NO_LABEL, "Units Only", "Only the units listed under Units"),
    None,
    ("happiness", "Happiness", "A smile with raised cheeks and smiling eyes"),
    ("sadness", "Sadness", "Inner brows up, corners of the mouth down"),
    ("anger", "Anger", "Lowered brows, tense lids, pressed lips"),
    ("fear", "Fear", "Raised and drawn brows, wide eyes, stretched mouth"),
    ("disgust", "Disgust", "Wrinkled nose, raised upper lip"),
    ("surprise", "Surprise", "Raised brows, wide eyes, dropped jaw"),
    None,
    ("bareteeth", "Bare Teeth", "Lips drawn apart, teeth shown"),
    ("cheeks_in", "Cheeks In", "Lips sealed and puckered over a lowered jaw"),
    ("eyebrow", "Eyebrows Up", "Both brows raised high"),
    ("high_smile", "High Smile", "A broad smile that lifts the upper lip"),
    ("lips_back", "Lips Back", "Lips rolled in and drawn back"),
    ("lips_up", "Lips Up", "Upper lip lifted, nose wrinkled"),
    ("mouth_down", "Mouth Down", "Corners of the mouth pulled down"),
    ("mouth_extreme", "Mouth Extreme", "Mouth wide open, whole face tense"),
    ("mouth_middle", "Mouth Pucker", "Lips pushed forward to a point"),
    ("mouth_open", "Mouth Open", "Dropped jaw"),
    ("mouth_side", "Mouth Left", "Mouth pulled to the character's left"),
    ("mouth_up", "Mouth Up", "Chin and lower lip pushed up"),
]


def _is_mesh(_settings: bpy.types.PropertyGroup, candidate: bpy.types.Object) -> bool:
    return candidate.type == "MESH"


def _unit_names(_unit: bpy.types.PropertyGroup, context: bpy.types.Context, _typed: str) -> Iterator[str]:
    known = session.recognition.known_heads(checkpoint_folder(checkpoint(context)))
    yield from known.unit_names if known is not None else ()


class DimpleUnit(bpy.types.PropertyGroup):
    """One more expression, added to the label."""

    name: StringProperty(
        name="Unit",
        description="One movement of the face, like jawOpen or jawOpen=0.5, or a pair, like mouthSmile",
        search=_unit_names,
    )
    weight: FloatProperty(
        name="Weight",
        description="How strong; 1 is a full movement",
        default=1.0,
        min=0.0,
        max=MAX_WEIGHT,
        soft_max=1.0,
        subtype="FACTOR",
    )

    def text(self) -> str:
        """The unit as the worker reads it; a weight typed with the name counts."""
        name = self.name.strip()
        return name if "=" in name else f"{name}={self.weight:.3f}"


class ApplyOptions:
    """How a result is written; shared by the panel and the redo panel of Apply."""

    bake: EnumProperty(
        name="Keys",
        description="How frames become shape keys",
        items=[
            ("FRAMES", "One a Frame", "Every frame is a shape key: exact, and larger files"),
            ("LOW_RANK", "Fewest", "As few shape keys as keep the error below the limit"),
        ],
        default="FRAMES",
    )
    tolerance_mm: FloatProperty(
        name="Error up to (mm)",
        description="How far any vertex may be off in any frame with fewer shape keys",
        default=0.1,
        min=0.001,
        max=10.0,
        precision=3,
    )
    start_frame: IntProperty(name="Start", description="Frame of the first shape", default=1)
    action: EnumProperty(
        name="Action",
        description="Which action gets the keyframes",
        items=[
            ("NEW", "New", "An action of its own; one in use steps aside and is kept with a fake user"),
            ("CURRENT", "Current", "The action that the shape keys use now, beside what is in it"),
        ],
        default="NEW",
    )
    hold_last: BoolProperty(
        name="Hold the Last Frame",
        description="Keep the last frame's face after the end; otherwise the face is neutral one frame later",
        default=True,
    )

    def bake_options(self) -> Bake:
        """The bake chosen."""
        return Bake(self.tolerance_mm if self.bake == "LOW_RANK" else 0.0)

    def placement(self) -> Placement:
        """The place in time chosen."""
        return Placement(self.start_frame, self.action == "CURRENT", self.hold_last)


class DimpleSettings(ApplyOptions, bpy.types.PropertyGroup):
    """Everything the panel shows."""

    head: PointerProperty(
        name="Head",
        description="The head to animate. Empty: the active object",
        type=bpy.types.Object,
        poll=_is_mesh,
    )
    label: EnumProperty(
        name="Expression",
        description="What the face expresses; the units listed under Units are added to it",
        items=LABELS,
        default="happiness",
    )
    units: CollectionProperty(type=DimpleUnit)
    active_unit: IntProperty(name="Active Unit", description="The unit that is selected in the list")
    intensity: FloatProperty(
        name="Intensity",
        description="Peak of the expression; above 1 it is exaggerated",
        default=1.0,
        min=0.0,
        max=MAX_WEIGHT,
        soft_max=1.0,
        subtype="FACTOR",
    )
    length_in: EnumProperty(
        name="Length In",
        description="What the length is given in",
        items=[
            ("FRAMES", "Frames", "A number of frames"),
            ("SECONDS", "Seconds", "A time, at the scene's frame rate"),
        ],
        default="FRAMES",
    )
    frames: IntProperty(
        name="Frames", description="Number of frames", default=40, min=3, max=10000, soft_max=250
    )
    seconds: FloatProperty(
        name="Seconds",
        description="Length in seconds, at the scene's frame rate",
        default=1.5,
        min=0.05,
        max=600.0,
        soft_max=10.0,
    )
    profile: EnumProperty(
        name="Profile",
        description="How the expression comes and goes",
        items=[
            ("ease", "Ease In", "From neutral to the peak, softly"),
            ("linear", "Linear", "From neutral to the peak, at constant speed"),
            ("hold", "Hold", "At the peak all the time"),
            ("in_hold_out", "In and Out", "To the peak, stay, and back to neutral"),
            ("blink", "Blink", "Quickly to the peak and more slowly back, as a blink does"),
        ],
        default="ease",
    )
    seed: IntProperty(
        name="Seed",
        description="Another seed is another performance; the same seed always gives the same one",
        default=0,
        min=0,
        max=LARGEST_SEED,
    )
    random_seed: BoolProperty(
        name="Random", description="Draw a new seed each time Generate is pressed", default=False
    )
    sampler: EnumProperty(
        name="Sampler",
        description="How the model draws a sample",
        items=[
            ("default", "Fast", "The checkpoint's own choice"),
            ("full", "Full Chain", "Every frame is denoised from the start: slower, most variation"),
            ("paper", "AnimateMe", "The schedule that the AnimateMe paper describes: slowest"),
        ],
        default="default",
    )
    apply_when_done: BoolProperty(
        name="Apply When Done",
        description="Write shape keys and keyframes as soon as the worker has finished",
        default=True,
    )

    def expressions(self) -> tuple[str, ...]:
        """The label and the units as the worker reads them: "happiness", "jawOpen=0.5"."""
        label = () if self.label == NO_LABEL else (self.label,)
        return label + tuple(unit.text() for unit in self.units if unit.name.strip())

    def frame_count(self, scene: bpy.types.Scene) -> int:
        """Length in frames at the scene's frame rate."""
        return frame_count(self.seconds, frame_rate(scene)) if self.length_in == "SECONDS" else self.frames

    def request(self, scene: bpy.types.Scene, checkpoint: str) -> AnimateRequest:
        """What the worker is asked for; its job and folder are still to come."""
        return AnimateRequest(
            job="",
            folder="",
            checkpoint=checkpoint,
            expressions=self.expressions(),
            intensity=round(self.intensity, 4),
            profile=self.profile,
            frames=self.frame_count(scene),
            frame_rate=frame_rate(scene),
            seed=self.seed,
            sampler=self.sampler,
        )


def frame_rate(scene: bpy.types.Scene) -> float:
    """Frames a second; `fps_base` makes 23.976 of 24."""
    return scene.render.fps / scene.render.fps_base


def frame_count(seconds: float, rate: float) -> int:
    """The nearest whole number of frames, at least the 3 that every profile can do with."""
    return max(3, round(seconds * rate))


def target_head(context: bpy.types.Context) -> bpy.types.Object | None:
    """The head chosen in the panel, else the active object."""
    return context.scene.dimple.head or context.active_object
