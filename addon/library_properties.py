"""What the artist sets for a library."""

import bpy
from bpy.props import BoolProperty, EnumProperty, IntProperty, StringProperty

from ..bridge.protocol import LibraryRequest
from .properties import LARGEST_SEED

FILE = "FILE"
SETS = [
    ("arkit", "ARKit", "Apple's 52 names: jawOpen, eyeBlinkLeft, ..."),
    ("ict", "ICT-FaceKit", "57 shapes, every half on its own: mouthSmile_L, browInnerUp_R, ..."),
    ("facs56", "FACS Numbers", "56 action units: L12 is the left half of a smile"),
    ("metahuman", "MetaHuman", "The control curves of MetaHuman: CTRL_expressions_jawOpen, ..."),
    ("cc", "Character Creator", "The extended profile of Character Creator 4: Mouth_Smile_L, ..."),
    ("visemes", "Visemes", "Fifteen mouth shapes of speech: viseme_PP, viseme_aa, ..."),
    None,
    (FILE, "From File", "Your own shapes, from a JSON file"),
]


class DimpleLibrarySettings(bpy.types.PropertyGroup):
    """Everything the library panel shows."""

    shape_set: EnumProperty(
        name="Shapes", description="Which shapes, named by which convention", items=SETS, default="arkit"
    )
    file: StringProperty(
        name="File", description="JSON file with names and the units that make them", subtype="FILE_PATH"
    )
    only: StringProperty(
        name="Only",
        description="Names of the shapes to make, as in: jawOpen, mouth*. Empty: all of them",
    )
    correctives: BoolProperty(
        name="Correctives",
        description="For pairs of shapes that do not simply add up, a third one driven by their product",
        default=True,
    )
    chance: EnumProperty(
        name="Person",
        description="What is left to chance",
        items=[
            ("MEAN", "Most Likely", "The mean of several samples: what this face most probably does"),
            ("SEED", "One Seed", "One sample: a person with habits of their own"),
        ],
        default="MEAN",
    )
    seed: IntProperty(
        name="Seed", description="Another seed is another person's way", default=0, min=0, max=LARGEST_SEED
    )
    take_over: BoolProperty(
        name="Take Keys Over",
        description="Write also to shape keys of the same names that Dimple has not made; their drivers stay",
        default=False,
    )

    def set_name(self) -> str:
        """The set as a request names it; of a file its absolute path."""
        return bpy.path.abspath(self.file) if self.shape_set == FILE else self.shape_set

    def request(self, checkpoint: str, only: str) -> LibraryRequest:
        """What the worker is asked for; its job and folder are still to come."""
        return LibraryRequest(
            job="",
            folder="",
            checkpoint=checkpoint,
            shape_set=self.set_name(),
            only=patterns(only),
            correctives="pairs" if self.correctives else "none",
            seed=self.seed if self.chance == "SEED" else None,
        )


def patterns(text: str) -> tuple[str, ...]:
    """The names in a list with commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())
