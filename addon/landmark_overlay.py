"""Landmarks drawn over the viewport: discs where the artist has set them, rings where Bind has found them."""

from __future__ import annotations

import math
from itertools import pairwise

import blf
import bpy
import gpu
from bpy_extras import view3d_utils
from gpu_extras.batch import batch_for_shader
from mathutils import Vector

from .binding_properties import landmarks_of
from .binding_record import read_binding
from .mesh_reader import refusal
from .properties import target_head
from .session import session

RADIUS = 5.0  # pixels at a resolution scale of 1
SET, FOUND, WANTED = (1.0, 0.55, 0.1, 1.0), (0.35, 0.75, 1.0, 0.9), (1.0, 0.95, 0.3, 1.0)
SEGMENTS = 20


def draw_landmarks() -> None:
    """Draw those of the chosen head into the current viewport."""
    context = bpy.context
    head = target_head(context)
    shown = context.scene.dimple_binding.show_landmarks or session.picking
    if not shown or refusal(head) is not None or not head.visible_get():
        return
    scale = context.preferences.system.ui_scale
    places = {name: (place, FOUND) for name, place in _found(head).items()}
    places |= {name: (tuple(place), SET) for name, place in landmarks_of(head).items()}
    gpu.state.blend_set("ALPHA")
    for name, (place, colour) in places.items():
        spot = view3d_utils.location_3d_to_region_2d(
            context.region, context.region_data, head.matrix_world @ Vector(place)
        )
        if spot is None:
            continue
        _draw_mark(spot, RADIUS * scale, WANTED if name == session.picking else colour, colour == SET)
        blf.size(0, 11.0 * scale)
        blf.color(0, *(WANTED if name == session.picking else colour))
        width, height = blf.dimensions(0, name)
        beside = RADIUS * scale * 1.8
        # the character's right is on the left of the picture; corners of the eyes share a line
        x = -beside - width if name.endswith("Right") else beside
        y = -beside - height if "Inner" in name else -0.4 * height
        blf.position(0, spot.x + x, spot.y + y, 0.0)
        blf.draw(0, name)
    gpu.state.blend_set("NONE")


def _found(head: bpy.types.Object) -> dict[str, tuple[float, ...]]:
    record = read_binding(head) or session.bindings.get(head.session_uid)
    return {} if record is None else {name: place for name, place in record.found_landmarks.items()}


def _draw_mark(spot: Vector, radius: float, colour: tuple[float, ...], full: bool) -> None:
    turn = [2 * math.pi * i / SEGMENTS for i in range(SEGMENTS + 1)]
    rim = [(spot.x + radius * math.cos(a), spot.y + radius * math.sin(a)) for a in turn]
    shader = gpu.shader.from_builtin("UNIFORM_COLOR")
    shader.uniform_float("color", colour)
    if full:
        corners = [corner for a, b in pairwise(rim) for corner in (tuple(spot), a, b)]
        batch_for_shader(shader, "TRIS", {"pos": corners}).draw(shader)
    else:
        batch_for_shader(shader, "LINE_STRIP", {"pos": rim}).draw(shader)
