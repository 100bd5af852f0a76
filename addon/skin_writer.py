"""Writing a generated skin to its head: where its files lie, the material, and the record."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np

from ..bridge.protocol import SKIN_MAPS, AppearanceRequest
from . import mesh_reader
from .mesh_reader import HeadError
from .session import Job
from .skin_group import SIDE, Sequence_, SkinSet, Weight, build_group, remove_group
from .skin_material import dress, group_node, undress
from .skin_record import SkinRecord, delete_record, store_record


@dataclass(frozen=True)
class SkinPlace:
    """Where on its head a skin goes."""

    slot: int
    uv_layer: str
    from_material: bool  # whether the neutral is the material's own texture
    start_frame: int = 1


FOLDER = "dimple"
"""Beside the .blend file: it holds a folder for each skin that was generated."""


def new_folder(head: bpy.types.Object, request: AppearanceRequest) -> Path | None:
    """A folder that is not there yet, beside the .blend file; None when that is not saved."""
    if not bpy.data.filepath:
        return None
    what = {"keys": "library", "frames": "frames"}.get(request.subject, " ".join(request.expressions))
    words = re.sub(r"[^\w=.+-]+", " ", f"{head.name} {what}").strip().strip(".")[:60]
    stem = f"{datetime.date.today().isoformat()} {words}"
    base, number = Path(bpy.data.filepath).parent / FOLDER, 1
    while (base / (stem if number == 1 else f"{stem} {number}")).exists():
        number += 1
    return base / (stem if number == 1 else f"{stem} {number}")


def skin_sets(job: Job) -> list[SkinSet]:
    """What the worker has made, neutral first. Raises OSError where a file is missing."""
    assert job.done is not None
    base, sequence = Path(job.done.paths["folder"]), job.request.subject == "frames"
    sets = []
    for entry in job.done.info["sets"]:
        files = {
            name: base / entry["folder"] / (f"{name}_0001.png" if sequence else f"{name}.png")
            for name in SKIN_MAPS
        }
        for path in files.values():
            path.stat()
        driven = job.request.subject == "keys"
        weights = tuple(Weight(name, side, driven) for name, side in entry["weights"])
        sets.append(SkinSet(entry["label"], files, weights))
    return sets


def write_skin(head: bpy.types.Object, job: Job, place: SkinPlace) -> SkinRecord:
    """Dress the head in the result of a job. Images are packed where the .blend file is not saved.

    Raises HeadError, OSError, RuntimeError; the head is as it was then.
    """
    assert isinstance(job.request, AppearanceRequest)
    if (reason := mesh_reader.refusal(head)) is not None:
        raise HeadError(f"{reason}.")
    slot, start_frame = place.slot, place.start_frame
    if slot >= max(1, len(head.material_slots)):
        raise HeadError(f"The material slot of the skin of “{head.name}” is gone: generate again.")
    sets = skin_sets(job)
    frames = int(job.done.info["frames"])
    sequence = Sequence_(start_frame, frames) if job.request.subject == "frames" else None
    side = np.array(job.array("side"), np.float32).ravel() if "side" in job.done.paths else None
    if side is not None and side.shape != (len(head.data.vertices),):
        raise HeadError(f"The skin is not made for “{head.name}”: generate again.")
    tree = build_group(sets[0], sets[1:], place.uv_layer, sequence)
    tree["dimple"] = True
    packed = not bpy.data.filepath
    try:
        _place_files(tree, packed)
    except RuntimeError:
        remove_group(tree)
        raise
    if side is not None:
        _write_side(head.data, side)
    dress(head, slot, tree, sets[1:], float(job.done.info["mm_per_unit"]))
    folder = "" if packed else bpy.path.relpath(job.done.paths["folder"])
    names = tuple(skin_set.label for skin_set in sets)
    source = str(job.done.info["source"])
    record = SkinRecord(job.request, slot, folder, names, source, place.from_material, start_frame)
    store_record(head, record)
    return record


def remove_skin(head: bpy.types.Object) -> None:
    """Give the head its own material back; the files stay."""
    for slot, holder in enumerate(head.material_slots):
        if group_node(holder.material) is not None:
            undress(head, slot)
    attribute = head.data.attributes.get(SIDE)
    if attribute is not None:
        head.data.attributes.remove(attribute)
    delete_record(head)


def _place_files(tree: bpy.types.NodeTree, packed: bool) -> None:
    """Name the files relative to the .blend file, or take them into it."""
    for node in tree.nodes:
        if node.type == "TEX_IMAGE":
            if packed:
                node.image.pack()
                node.image.filepath = f"//{FOLDER}/{Path(node.image.filepath).name}"
            else:
                node.image.filepath = bpy.path.relpath(node.image.filepath)


def _write_side(mesh: bpy.types.Mesh, side: np.ndarray) -> None:
    attribute = mesh.attributes.get(SIDE)
    if attribute is not None and (attribute.domain, attribute.data_type) != ("POINT", "FLOAT"):
        mesh.attributes.remove(attribute)
        attribute = None
    attribute = attribute or mesh.attributes.new(SIDE, "FLOAT", "POINT")
    attribute.data.foreach_set("value", side)
