"""What the artist says about a head for binding: landmarks on it, and the objects that follow it."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import bpy
import numpy as np
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatVectorProperty,
    IntProperty,
    PointerProperty,
    StringProperty,
)
from numpy.typing import NDArray

LANDMARKS = {
    "eyeOuterRight": "Outer Corner of the Right Eye",
    "eyeInnerRight": "Inner Corner of the Right Eye",
    "eyeInnerLeft": "Inner Corner of the Left Eye",
    "eyeOuterLeft": "Outer Corner of the Left Eye",
    "noseTip": "Tip of the Nose",
    "mouthRight": "Right Corner of the Mouth",
    "mouthLeft": "Left Corner of the Mouth",
    "chin": "Chin",
}
"""What they are called in a request, and to the artist. Left is the character's."""

AUTOMATIC = "AUTOMATIC"
PARTS = ("eye", "jaw", "tongue", "skin", "still")
"""What a companion can be, as a request names it."""


class DimpleLandmark(bpy.types.PropertyGroup):
    """A place on the head that the artist has shown."""

    name: StringProperty(name="Landmark", description="Which part of the face it is")
    place: FloatVectorProperty(
        name="Place", description="Where it is, in the mesh's own space", size=3, precision=6
    )


class DimpleCompanion(bpy.types.PropertyGroup):
    """An object that follows the face."""

    target: PointerProperty(
        name="Object",
        description="Eyes, teeth, tongue, lashes, brows or anything else that moves with this face",
        type=bpy.types.Object,
    )
    part: EnumProperty(
        name="Part",
        description="What this object is, where Bind does not find it out by itself",
        items=[
            (AUTOMATIC, "Automatic", "Found out by place and shape"),
            ("eye", "Eye", "Turns about its middle with the look units"),
            ("jaw", "Lower Teeth", "Goes rigidly with the jaw"),
            ("tongue", "Tongue", "Goes with the jaw, and out between the lips with tongueOut"),
            ("skin", "Lashes, Brows", "Hangs on the skin under it"),
            ("still", "Upper Teeth", "Stays where the skull is"),
        ],
        default=AUTOMATIC,
    )


class DimpleHead(bpy.types.PropertyGroup):
    """Kept on the object that is the head."""

    landmarks: CollectionProperty(type=DimpleLandmark)
    companions: CollectionProperty(type=DimpleCompanion)
    active_companion: IntProperty(name="Active", description="The companion that is selected in the list")


class DimpleBindingSettings(bpy.types.PropertyGroup):
    """What the binding panel shows of the scene."""

    landmark: EnumProperty(
        name="Landmark",
        description="Which part of the face you are going to show. Left is the character's left",
        items=[(name, text, f"Show the {text.lower()}") for name, text in LANDMARKS.items()],
        default="noseTip",
    )
    mirror: BoolProperty(
        name="Mirror",
        description="Set the landmark of the other side too, where this one's mirror image is on the mesh",
        default=True,
    )
    show_landmarks: BoolProperty(
        name="Show Landmarks",
        description="Draw the landmarks over the head: set ones full, those that Bind has found as rings",
        default=True,
    )


CLASSES = (DimpleLandmark, DimpleCompanion, DimpleHead)


@contextmanager
def head_properties() -> Iterator[None]:
    """Objects have what the artist says about them; also where the add-on is not enabled."""
    if hasattr(bpy.types.Object, "dimple"):
        yield
        return
    with ExitStack() as stack:
        for registered in CLASSES:
            bpy.utils.register_class(registered)
            stack.callback(bpy.utils.unregister_class, registered)
        bpy.types.Object.dimple = PointerProperty(type=DimpleHead)
        stack.callback(delattr, bpy.types.Object, "dimple")
        yield


def said_of(head: bpy.types.Object) -> DimpleHead | None:
    """What the artist has said of a head; None when nothing. Asking for `head.dimple` would write it."""
    known = hasattr(bpy.types.Object, "dimple") and head.is_property_set("dimple")
    return head.dimple if known else None


def landmarks_of(head: bpy.types.Object) -> dict[str, NDArray[np.float32]]:
    """The landmarks the artist has set, (3,) in the mesh's own space."""
    own = said_of(head)
    marks = own.landmarks if own is not None else ()
    return {item.name: np.array(item.place, np.float32) for item in marks if item.name in LANDMARKS}


def companions_of(head: bpy.types.Object) -> list[bpy.types.Object]:
    """The objects that follow the head and are still in the file."""
    own = said_of(head)
    found = [item.target for item in own.companions] if own is not None else []
    return [companion for companion in dict.fromkeys(found) if companion is not None and companion != head]


def parts_of(head: bpy.types.Object) -> dict[str, str]:
    """What the artist says that companions are, by the objects' names."""
    own = said_of(head)
    items = own.companions if own is not None else ()
    return {
        item.target.name: item.part for item in items if item.target is not None and item.part != AUTOMATIC
    }


def set_landmark(head: bpy.types.Object, name: str, place: tuple[float, float, float]) -> None:
    """Put a landmark where it is shown, in the mesh's own space."""
    landmarks = head.dimple.landmarks
    item = landmarks.get(name) or landmarks.add()
    item.name, item.place = name, place
