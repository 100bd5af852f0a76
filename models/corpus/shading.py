"""A small renderer for looking at faces while the corpus is built: orthographic, z-buffered, smooth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..skin.portrait import AMBIENT, BACKGROUND, LIGHTS
from .surface import vertex_normals


@dataclass(frozen=True)
class Surface:
    """Something to draw: vertices (V, 3), mm, triangles (T, 3), and colours (V, 3) or (3,) of 0..1."""

    vertices: NDArray[np.float32]
    triangles: NDArray[np.int32]
    colours: NDArray[np.float32]


def shaded(
    surfaces: Sequence[Surface],
    centre: Sequence[float],
    millimetres: float,
    pixels: int,
    turn: float = 0.0,
) -> NDArray[np.uint8]:
    """(pixels, pixels, 3) picture of `millimetres` square round `centre`, the head turned `turn` degrees."""
    angle = np.radians(turn)
    view = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    scale = pixels / millimetres
    depths: list[NDArray[Any]] = []
    slots: list[NDArray[Any]] = []
    values: list[NDArray[Any]] = []
    for surface in surfaces:
        points = (surface.vertices - np.asarray(centre)) @ view.T * scale
        colours = np.broadcast_to(surface.colours, surface.vertices.shape)
        normals = vertex_normals(surface.vertices, surface.triangles) @ view.T
        attributes = np.concatenate([points, normals, colours], axis=1)[surface.triangles]
        for samples in _samples(attributes[_visible(attributes, pixels)]):
            column = np.floor(samples[:, 0] + pixels / 2).astype(np.int64)
            row = np.floor(pixels / 2 - samples[:, 1]).astype(np.int64)
            seen = (column >= 0) & (column < pixels) & (row >= 0) & (row < pixels)
            depths.append(samples[seen, 2])
            slots.append((row * pixels + column)[seen])
            values.append((_light(samples[:, 3:6])[:, None] * samples[:, 6:9])[seen])
    depth, slot, value = (np.concatenate(part) for part in (depths, slots, values))
    order = np.argsort(depth, kind="stable")  # assignment keeps the last, which is the nearest
    image = np.full((pixels * pixels, 3), BACKGROUND)
    image[slot[order]] = value[order]
    display = np.clip(image, 0.0, 1.0) ** (1 / 2.2)
    return (255 * display).astype(np.uint8).reshape(pixels, pixels, 3)


def _light(normals: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """(N,) brightness of a matt surface with normals (N, 3)."""
    light = np.full(len(normals), AMBIENT)
    for towards, strength in LIGHTS:
        light += strength * np.maximum(normals @ np.array(towards) / np.linalg.norm(towards), 0.0)
    return light


def _visible(attributes: NDArray[np.floating[Any]], pixels: int) -> NDArray[np.bool_]:
    """(T,) triangles that face the viewer and touch the picture."""
    xy = attributes[:, :, :2]
    first, second = xy[:, 1] - xy[:, 0], xy[:, 2] - xy[:, 0]
    facing = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0] > 0.0
    inside = (xy.min(1) < pixels / 2).all(1) & (xy.max(1) > -pixels / 2).all(1)
    return facing & inside


def _samples(attributes: NDArray[np.floating[Any]]) -> list[NDArray[np.floating[Any]]]:
    """Attributes (T, 3 corners, A) sampled about once a pixel, grouped by how finely triangles are cut."""
    box = attributes[:, :, :2].max(1) - attributes[:, :, :2].min(1)
    cuts = np.ceil(np.log2(np.maximum(box.max(1), 1.0))).astype(int)
    groups = []
    for cut in np.unique(cuts):
        steps = 2**cut
        i, j = np.meshgrid(np.arange(steps), np.arange(steps), indexing="ij")
        inside = i + j < steps
        u, v = (i[inside] + 1 / 3) / steps, (j[inside] + 1 / 3) / steps
        upper = i + j < steps - 1
        u, v = np.append(u, (i[upper] + 2 / 3) / steps), np.append(v, (j[upper] + 2 / 3) / steps)
        weights = np.stack([1 - u - v, u, v], axis=1)
        groups.append(
            np.einsum("sk,tka->tsa", weights, attributes[cuts == cut]).reshape(-1, attributes.shape[2])
        )
    return groups


def sphere(
    centre: NDArray[np.floating], radii: NDArray[np.floating], directions: NDArray[np.floating]
) -> NDArray[np.float32]:
    """Vertices (N, 3) at `radii` (N,) along unit `directions` (N, 3)."""
    return (centre + radii[:, None] * directions).astype(np.float32)


def unit_sphere(rings: int = 24, columns: int = 48) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Directions (N, 3) and triangles of a sphere with its poles on the z axis."""
    polar = np.linspace(0.0, np.pi, rings + 1)[:, None]
    around = np.linspace(0.0, 2 * np.pi, columns, endpoint=False)
    directions = np.stack(
        np.broadcast_arrays(np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)),
        axis=2,
    ).reshape(-1, 3)
    index = np.arange((rings + 1) * columns).reshape(rings + 1, columns)
    right = np.roll(index, -1, axis=1)
    quads = np.stack([index[:-1], index[1:], right[1:], right[:-1]], axis=2).reshape(-1, 4)
    return directions.astype(np.float32), np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(
        np.int32
    )


def contact_sheet(pictures: Sequence[NDArray[np.uint8]], columns: int) -> NDArray[np.uint8]:
    """Pictures of one size in rows of `columns`; the last row is filled up with black."""
    blank = np.zeros_like(pictures[0])
    rows = [list(pictures[start : start + columns]) for start in range(0, len(pictures), columns)]
    rows[-1] += [blank] * (columns - len(rows[-1]))
    return np.concatenate([np.concatenate(row, axis=1) for row in rows], axis=0)
