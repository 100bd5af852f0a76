"""What the artist sets for a skin."""

import bpy
from bpy.props import EnumProperty, FloatProperty, IntProperty, PointerProperty, StringProperty

from ..bridge.protocol import AUTHORED, AppearanceRequest
from .library_properties import patterns
from .properties import LARGEST_SEED, MAX_WEIGHT


class DimpleSkinSettings(bpy.types.PropertyGroup):
    """Everything the skin panel shows."""

    source: EnumProperty(
        name="Neutral",
        description="What the skin looks like at rest",
        items=[
            ("TEXTURE", "From the Material", "The image behind the material's base colour"),
            ("SEED", "Authored Skin", "Make me a skin: painted by Dimple from a seed"),
        ],
        default="TEXTURE",
    )
    material: PointerProperty(
        name="Material",
        description="The material of the skin. Empty: the one that most of the head wears",
        type=bpy.types.Material,
    )
    skin_seed: IntProperty(
        name="Skin Seed",
        description="Another seed is another complexion, age, brows and freckles",
        default=0,
        min=0,
        max=LARGEST_SEED,
    )
    subject: EnumProperty(
        name="Make Maps For",
        description="What the skin follows",
        items=[
            ("expression", "One Expression", "Maps of one expression, with a slider from neutral to it"),
            ("keys", "Shape Keys", "Maps for the keys that move the skin most, blended as the keys move"),
            ("frames", "Every Frame", "Image sequences in step with the animation on this head"),
        ],
        default="expression",
    )
    words: StringProperty(
        name="Expression",
        description="What the face does, as in: happiness, noseSneer=0.8. Empty: the expression chosen above",
    )
    intensity: FloatProperty(
        name="Intensity",
        description="How strong the expression is",
        default=1.0,
        min=0.0,
        max=MAX_WEIGHT,
        soft_max=1.0,
        subtype="FACTOR",
    )
    sets: IntProperty(
        name="Sets",
        description="For how many keys, or pairs of left and right, maps are made: those that fold the skin "
        "most. EEVEE shows up to about five, Cycles any number",
        default=4,
        min=1,
        max=16,
    )
    resolution: EnumProperty(
        name="Resolution",
        description="Side of the maps in texels",
        items=[
            ("512", "512", "Quick look"),
            ("1024", "1K", "1024 x 1024"),
            ("2048", "2K", "2048 x 2048"),
            ("4096", "4K", "4096 x 4096: 80 MB of files for each set"),
        ],
        default="1024",
    )
    seed: IntProperty(
        name="Seed",
        description="Another seed is another way to wrinkle; the same seed always gives the same maps",
        default=0,
        min=0,
        max=LARGEST_SEED,
    )

    def request(self, checkpoint: str, expressions: tuple[str, ...]) -> AppearanceRequest:
        """What the worker is asked for; its folders, keys and texture are still to come."""
        return AppearanceRequest(
            job="",
            folder="",
            checkpoint=checkpoint,
            skin=AUTHORED,
            subject=self.subject,
            expressions=(patterns(self.words) or expressions) if self.subject == "expression" else (),
            intensity=round(self.intensity, 4),
            key_names=(),
            sets=self.sets,
            texture="",
            skin_seed=self.skin_seed,
            seed=self.seed,
            resolution=int(self.resolution),
            out="",
        )
