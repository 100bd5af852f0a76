"""Showing the worker where parts of the face are: landmarks picked on the mesh with the mouse."""

from __future__ import annotations

import bpy
import numpy as np
from bpy.props import StringProperty
from bpy_extras import view3d_utils
from mathutils import Vector
from mathutils.bvhtree import BVHTree

from .binding_properties import LANDMARKS, landmarks_of, set_landmark
from .binding_record import read_binding
from .mesh_reader import read_neutral, refusal
from .properties import target_head
from .refusable import Refusable
from .session import session

MIRROR_REACH = 0.04
"""Share of the head's size that a mirror image may be off the mesh."""
KEYS = "Click: set   |   Tab: next   |   X: remove   |   Esc, Right Click: done"


def surface_of(head: bpy.types.Object) -> BVHTree:
    """The neutral mesh, to be hit by rays in the mesh's own space."""
    mesh = head.data
    return BVHTree.FromPolygons(read_neutral(mesh).tolist(), [tuple(p.vertices) for p in mesh.polygons])


def place_landmark(
    head: bpy.types.Object, surface: BVHTree, name: str, place: Vector, mirror: bool
) -> tuple[str, ...]:
    """Set a landmark, and with `mirror` that of the other side; the names of those that were set."""
    set_landmark(head, name, place)
    other = mirror_name(name)
    if not mirror or other == name:
        return (name,)
    origin, normal = _midplane(head)
    image = place - 2 * (place - origin).dot(normal) * normal
    hit, _, _, distance = surface.find_nearest(image)
    if hit is None or distance > MIRROR_REACH * max(head.dimensions) / max(map(abs, head.scale)):
        return (name,)
    set_landmark(head, other, hit)
    return (name, other)


def mirror_name(name: str) -> str:
    """The landmark of the other side; itself for those in the middle."""
    if name.endswith("Left"):
        return name.removesuffix("Left") + "Right"
    return name.removesuffix("Right") + "Left" if name.endswith("Right") else name


def next_landmark(head: bpy.types.Object, name: str) -> str:
    """The next one that is not set yet, going round; the next of all when all are set."""
    names = list(LANDMARKS)
    start = names.index(name) + 1
    following = names[start:] + names[:start]
    return next((other for other in following if other not in landmarks_of(head)), following[0])


def _midplane(head: bpy.types.Object) -> tuple[Vector, Vector]:
    """A point and the normal of the plane between left and right: as Bind has found it, else x = 0."""
    record = read_binding(head)
    if record is None:
        return Vector(), Vector((1.0, 0.0, 0.0))
    found = {name: np.array(place) for name, place in record.found_landmarks.items()}
    pairs = [(found[name], found[mirror_name(name)]) for name in found if name.endswith("Left")]
    origin = np.mean([(left + right) / 2 for left, right in pairs], axis=0)
    return Vector(origin), Vector(np.mean([left - right for left, right in pairs], axis=0)).normalized()


class DIMPLE_OT_set_landmark(Refusable, bpy.types.Operator):
    """Show where parts of the face are by clicking them on the head, one after the other. Escape ends"""

    bl_idname = "dimple.set_landmark"
    bl_label = "Set Landmarks"
    bl_options = {"UNDO"}  # noqa: RUF012

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str | None:
        """None when there is a head to click on."""
        reason = refusal(target_head(context))
        if reason is None and session.picking:
            reason = "Click the landmark on the head; Escape ends"
        return reason

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        """Wait for clicks in the viewport."""
        if context.area is None or context.area.type != "VIEW_3D":
            self.report({"ERROR"}, "Landmarks are set in a 3D viewport.")
            return {"CANCELLED"}
        head = target_head(context)
        self._head, self._surface, self._count = head.session_uid, surface_of(head), 0
        session.picking = context.scene.dimple_binding.landmark
        context.window_manager.modal_handler_add(self)
        self._tell(context)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Click sets, Tab goes on, X removes, Escape ends; looking around goes on as ever."""
        head = target_head(context)
        if refusal(head) is not None or head.session_uid != self._head or context.area is None:
            return self._ended(context)
        if event.value == "PRESS" and event.type in {"ESC", "RIGHTMOUSE", "RET"}:
            return self._ended(context)
        if event.value == "PRESS" and event.type == "LEFTMOUSE":
            return self._click(context, head, event)
        if event.value == "PRESS" and event.type == "TAB":
            self._go_on(context, head)
        elif event.value == "PRESS" and event.type in {"X", "DEL"}:
            landmarks = head.dimple.landmarks
            if (index := landmarks.find(session.picking)) >= 0:
                landmarks.remove(index)
                self._count += 1
            context.area.tag_redraw()
        else:
            return {"PASS_THROUGH"}
        return {"RUNNING_MODAL"}

    def cancel(self, context: bpy.types.Context) -> None:
        """Blender ends the operator."""
        self._ended(context)

    def _click(self, context: bpy.types.Context, head: bpy.types.Object, event: bpy.types.Event) -> set[str]:
        under = [region for region in context.area.regions if _holds(region, event)]
        window = next((region for region in under if region.type == "WINDOW"), None)
        if window is None or len(under) > 1:  # a button of the sidebar or a header that lies over the view
            return {"PASS_THROUGH"}
        spot = (event.mouse_x - window.x, event.mouse_y - window.y)
        view = context.area.spaces.active.region_3d
        to_own = head.matrix_world.inverted_safe()
        origin = to_own @ view3d_utils.region_2d_to_origin_3d(window, view, spot)
        direction = to_own.to_3x3() @ view3d_utils.region_2d_to_vector_3d(window, view, spot)
        place, *_ = self._surface.ray_cast(origin, direction.normalized())
        if place is None:
            self.report({"INFO"}, "That is beside the head: click on its surface")
            return {"RUNNING_MODAL"}
        settings = context.scene.dimple_binding
        placed = place_landmark(head, self._surface, session.picking, place, settings.mirror)
        self._count += len(placed)
        self._go_on(context, head)
        return {"RUNNING_MODAL"}

    def _go_on(self, context: bpy.types.Context, head: bpy.types.Object) -> None:
        session.picking = context.scene.dimple_binding.landmark = next_landmark(head, session.picking)
        self._tell(context)

    def _tell(self, context: bpy.types.Context) -> None:
        context.workspace.status_text_set(f"{LANDMARKS[session.picking]}   |   {KEYS}")
        context.area.header_text_set(f"Click on the head: {LANDMARKS[session.picking]}")
        context.area.tag_redraw()

    def _ended(self, context: bpy.types.Context) -> set[str]:
        session.picking = ""
        context.workspace.status_text_set(None)
        if context.area is not None:
            context.area.header_text_set(None)
            context.area.tag_redraw()
        return {"FINISHED"} if self._count else {"CANCELLED"}


class DIMPLE_OT_remove_landmark(Refusable, bpy.types.Operator):
    """Forget this landmark; Bind then finds the place by itself"""

    bl_idname = "dimple.remove_landmark"
    bl_label = "Remove Landmark"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    landmark: StringProperty(name="Landmark", description="Which one. Empty: all of them")

    @classmethod
    def why_not(cls, context: bpy.types.Context) -> str | None:
        """None when there is one."""
        head = target_head(context)
        reason = refusal(head)
        if reason is None and not landmarks_of(head):
            reason = "No landmark is set"
        return reason

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Remove it."""
        landmarks = target_head(context).dimple.landmarks
        if not self.landmark:
            landmarks.clear()
        elif (index := landmarks.find(self.landmark)) >= 0:
            landmarks.remove(index)
        return {"FINISHED"}


def _holds(region: bpy.types.Region, event: bpy.types.Event) -> bool:
    """Whether the mouse is over the region; closed ones are a pixel wide."""
    x, y = event.mouse_x - region.x, event.mouse_y - region.y
    return 0 <= x < region.width and 0 <= y < region.height and min(region.width, region.height) > 1
