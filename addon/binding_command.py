"""`dimple bind`: what it writes, and the options by which a head is bound."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np
from numpy.typing import NDArray

from . import exporters
from .binding_properties import AUTOMATIC, LANDMARKS, PARTS, companions_of, set_landmark
from .binding_record import BindingRecord
from .companion_finder import find_companions
from .head_job import companion_refusal
from .mesh_reader import HeadError

FIND = "find"
"""Instead of a name: what looks like a companion."""


@dataclass(frozen=True)
class HeadBinding:
    """How a head of V vertices is bound to the Dimple head of W."""

    triangle: NDArray[np.int32]  # (V,) of the Dimple head's skin
    barycentric: NDArray[np.float32]  # (V, 3)
    confidence: NDArray[np.float32]  # (V,)
    rule: NDArray[np.int8]  # (V,)
    fitted_vertices: NDArray[np.float32]  # (W, 3) in the head's own units and axes
    record: BindingRecord


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of everything that binds a head."""
    parser.add_argument(
        "--landmarks",
        type=Path,
        metavar="FILE.json",
        help=f'where parts of the face are in the mesh: {{"noseTip": [x, y, z]}}; {", ".join(LANDMARKS)}',
    )
    parser.add_argument(
        "--companion",
        action="append",
        default=[],
        metavar="NAME[=PART]",
        help=f"object of the file that follows the face; PART is {', '.join(PARTS)}, where that is not found "
        f"out; “{FIND}” looks for objects; may be repeated",
    )


def prepare(head: bpy.types.Object, options: argparse.Namespace) -> None:
    """Put landmarks and companions where a job about the head looks for them. Raises HeadError, OSError."""
    if options.landmarks is not None:
        head.dimple.landmarks.clear()
        for name, place in read_landmarks(options.landmarks).items():
            set_landmark(head, name, place)
    for text in options.companion:
        name, part = _name_and_part(text)
        for companion in [bpy.data.objects.get(name)] if name != FIND else _found(head):
            if companion is None:
                others = sorted(other.name for other in bpy.data.objects if other != head)
                raise HeadError(
                    f"There is no object “{name}” to follow the head; there is {', '.join(others)}."
                )
            if (reason := companion_refusal(companion, head)) is not None:
                raise HeadError(f"{reason}.")
            if companion not in companions_of(head):
                head.dimple.companions.add().target = companion
            item = next(item for item in head.dimple.companions if item.target == companion)
            item.part = part


def read_landmarks(path: Path) -> dict[str, tuple[float, float, float]]:
    """Landmarks of a JSON file. Raises HeadError where it is none; OSError."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        marks = {str(name): tuple(float(value) for value in place) for name, place in content.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise HeadError(
            f"“{path.name}” holds no landmarks like {{“noseTip”: [x, y, z]}}: {error}."
        ) from error
    for name, place in marks.items():
        if name not in LANDMARKS:
            raise HeadError(f"There is no landmark “{name}”; there are {', '.join(LANDMARKS)}.")
        if len(place) != 3 or not np.isfinite(place).all():
            raise HeadError(f"The landmark “{name}” in “{path.name}” is not three finite numbers.")
    return marks


def write_npz(path: Path, binding: HeadBinding) -> None:
    """All arrays of the binding, compressed. Raises OSError."""
    record = binding.record
    with exporters.replacing(path) as unfinished:
        np.savez_compressed(
            unfinished,
            triangle=binding.triangle,
            barycentric=binding.barycentric,
            confidence=binding.confidence,
            rule=binding.rule,
            fitted_vertices=binding.fitted_vertices,
            score=np.float64(record.score),
            warnings=np.array(record.warnings, dtype=np.str_),
            landmark_names=np.array(list(record.found_landmarks)),
            landmarks=np.array(list(record.found_landmarks.values()), np.float32),
        )


def summary(binding: HeadBinding) -> str:
    """What came out, in sentences."""
    record = binding.record
    roles = "".join(f" “{name}”: {role}." for name, role in record.roles.items())
    return " ".join([f"{record.text}.", *record.warnings]) + roles


def _name_and_part(text: str) -> tuple[str, str]:
    """What is said of a companion; its name may have an = in it. Raises HeadError for an unknown part."""
    if "=" not in text or text in bpy.data.objects:
        return text, AUTOMATIC
    name, _, part = text.rpartition("=")
    if part not in PARTS:
        raise HeadError(f"Nothing of a face is called “{part}”: write one of {', '.join(PARTS)} after the =.")
    return name, part


def _found(head: bpy.types.Object) -> list[bpy.types.Object]:
    return find_companions(head, bpy.context.scene)
