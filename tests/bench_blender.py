"""Figures that need Blender: from the click to the keys, and writing shape keys beside a memory copy.

    python -m tests.bench_blender bench.json     adds them to what `python -m models bench` has written

A script of its own, because the models never meet bpy and the add-on never meets torch.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.blender.extension import PACKAGE, raise_error

import bpy  # isort: skip  # after the extension module, which says where its settings live

import addon_utils  # isort: skip  # found only after bpy

FRAMES, VERTICES = 250, 26_719
GRID = (347, 77)
"""Columns and rows of a sheet with that many vertices."""
ROUNDS = 3
LOOP_FRAMES = 2
"""Frames that the per-vertex loop writes; its time grows in proportion."""


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("json", type=Path, help="file to add the figures to; made where there is none")
    path: Path = parser.parse_args().json
    figures = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"details": {}}
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    addon_utils.enable(PACKAGE, default_set=True, handle_error=raise_error)
    details = writing() | {"click_to_keys_seconds": click_to_keys(), "library_seconds": library()}
    addon_utils.disable(PACKAGE, default_set=True, handle_error=raise_error)
    copy, keys, loop = (details[name] for name in ("memcpy_seconds", "keys_seconds", "loop_seconds"))
    figures |= {
        "click_to_keys_seconds": min(details["click_to_keys_seconds"]),
        "library_seconds": min(details["library_seconds"]),
        "write_vs_memcpy": round(keys / copy, 2),
        "write_vs_per_vertex_loop": round(loop / keys, 1),
    }
    figures["details"] |= {"blender": bpy.app.version_string, "writing": details}
    path.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def writing() -> dict[str, float]:
    """Seconds to write 250 frames of 26,719 vertices, in three ways; the smallest of three rounds."""
    from dimple_under_test.addon import action_writer, shape_key_writer

    deformations = np.random.default_rng(0).random((FRAMES, VERTICES, 3), np.float32)
    copied = np.empty_like(deformations)
    names = [f"frame {number:03d}" for number in range(FRAMES)]
    curves = action_writer.frame_curves(names, 1, hold_last=True)
    seconds: dict[str, list[float]] = {"memcpy_seconds": [], "keys_seconds": [], "action_seconds": []}
    for _ in range(ROUNDS):
        head = sheet()
        seconds["memcpy_seconds"].append(elapsed(lambda: np.copyto(copied, deformations)))
        seconds["keys_seconds"].append(
            elapsed(lambda head=head: shape_key_writer.write_shape_keys(head, names, deformations))
        )
        key = head.data.shape_keys
        seconds["action_seconds"].append(
            elapsed(lambda key=key: action_writer.write_action(key, None, "bench", curves))
        )
        written = np.empty(3 * VERTICES, np.float32)
        key.key_blocks[-1].points.foreach_get("co", written)
        neutral = np.empty(3 * VERTICES, np.float32)
        head.data.vertices.foreach_get("co", neutral)
        np.testing.assert_array_equal(written, neutral + deformations[-1].ravel())
        remove(head)
    smallest = {name: min(values) for name, values in seconds.items()}
    return smallest | {"loop_seconds": loop(deformations) * FRAMES / LOOP_FRAMES}


def loop(deformations: np.ndarray) -> float:
    """Seconds to write a few frames vertex by vertex, as is often done."""
    head = sheet()
    head.shape_key_add(name="Basis", from_mix=False)
    neutral = np.array([tuple(vertex.co) for vertex in head.data.vertices])
    shapes = (neutral + deformations[:LOOP_FRAMES]).tolist()

    def write() -> None:
        for number, shape in enumerate(shapes):
            block = head.shape_key_add(name=str(number), from_mix=False)
            for index, position in enumerate(shape):
                block.data[index].co = position

    seconds = elapsed(write)
    remove(head)
    return seconds


def click_to_keys(frames: int = 40) -> list[float]:
    """Seconds from pressing Generate to keyed shape keys, with the real and warm worker; several presses."""
    preferences = bpy.context.preferences.addons[PACKAGE].preferences
    preferences.worker_python = sys.executable
    preferences.checkpoint = ""
    bpy.ops.dimple.add_head(seed=1)
    bpy.context.scene.dimple.frames = frames
    bpy.ops.dimple.generate()
    seconds: list[float] = []
    for _ in range(ROUNDS):
        bpy.ops.dimple.add_head(seed=1)
        seconds.append(round(elapsed(generate), 3))
        head = bpy.context.view_layer.objects.active
        assert len(head.data.shape_keys.key_blocks) == 1 + frames
    return seconds


def library(shapes: int = 52) -> list[float]:
    """Seconds from the button to the ARKit shapes of a head and their correctives, worker warm."""
    seconds: list[float] = []
    for _ in range(ROUNDS):
        bpy.ops.dimple.add_head(seed=1)
        seconds.append(round(elapsed(bpy.ops.dimple.generate_library), 3))
        head = bpy.context.view_layer.objects.active
        assert len(head.data.shape_keys.key_blocks) > shapes
    return seconds


def generate() -> None:
    """Press the button. Raises RuntimeError when it did not do its work."""
    if bpy.ops.dimple.generate() != {"FINISHED"}:
        raise RuntimeError("Generate was refused")


def sheet() -> bpy.types.Object:
    """A flat mesh of as many vertices as a film head, in the scene."""
    columns, rows = GRID
    x, y = np.meshgrid(np.arange(columns), np.arange(rows))
    vertices = np.stack([x, y, 0 * x], axis=2).reshape(-1, 3)
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    faces = np.stack([corner, corner + 1, corner + columns + 1, corner + columns], axis=1)
    mesh = bpy.data.meshes.new("sheet")
    mesh.from_pydata(vertices.tolist(), [], faces.tolist())
    head = bpy.data.objects.new("sheet", mesh)
    bpy.context.collection.objects.link(head)
    return head


def remove(head: bpy.types.Object) -> None:
    """Forget an object and its mesh."""
    mesh = head.data
    bpy.data.objects.remove(head)
    bpy.data.meshes.remove(mesh)


def elapsed(work: Callable[[], object]) -> float:
    """Seconds that the work takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
