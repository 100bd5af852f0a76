"""The Dimple head: one fixed topology and the linear models that live on it.

The head is one mesh. Its skin comes first (vertices ``[0, skin_vertices)``), because only skin is
diffused; eyes, teeth and tongue follow it by rule (``models.parts``). Model space is millimetres,
+Y up, +Z out of the face, +X the character's left.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from .errors import CheckpointError

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "head.safetensors"


@dataclass(frozen=True)
class Head:
    """Arrays of the Dimple head; V vertices of which the first ``skin_vertices`` are skin."""

    config: Mapping[str, Any]
    neutral_vertices: Floats  # (V, 3) the mean person, mm
    faces: Ints  # (F, 4), -1 pads triangles, counter-clockwise from outside
    triangles: Ints  # (T, 3)
    uv: Floats  # (U, 2)
    uv_faces: Ints  # (F, 4) into uv
    face_material: NDArray[np.int16]  # (F,) into config["material_names"]
    mirror: Ints  # (V,) the vertex on the other side; an involution
    eye_rings: Ints  # (2, R, C) closed loops, left eye then right, innermost first
    lid_pairs: Ints  # (2, P, 2) upper and lower lid margin vertices that meet in a blink
    mouth_rings: Ints  # (R, C) closed loops from inside the mouth outwards
    lip_pairs: Ints  # (Q, 2) upper and lower lip vertices that face each other
    identity_q: NDArray[np.int16]  # (100, V, 3)
    identity_scale: Floats  # (100,) mm per sigma and quantum
    expression_q: NDArray[np.int16]  # (57, V, 3)
    expression_scale: Floats  # (57,) mm per weight and quantum
    face_mask: Floats  # (V,) 1 on the face region that the metrics look at
    jaw_weight: Floats  # (skin_vertices,) 1 where the skin moves rigidly with the jaw
    landmarks68: Ints  # (68,)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a head folder. Raises CheckpointError when it is missing, damaged or incomplete."""
        try:
            config = json.loads((folder / CONFIG_NAME).read_text(encoding="utf-8"))
            arrays = load_file(folder / WEIGHTS_NAME)
        except (OSError, ValueError, SafetensorError) as error:
            raise CheckpointError(
                f"The head of the checkpoint in {folder} cannot be read ({error}). Install Dimple again."
            ) from error
        wanted = {field.name for field in fields(cls)} - {"config"}
        if missing := sorted(wanted - arrays.keys()):
            raise CheckpointError(f"The head of the checkpoint in {folder} lacks {', '.join(missing)}.")
        return cls(config=config, **{name: arrays[name] for name in wanted})

    def save(self, folder: Path) -> None:
        """Write config.json and head.safetensors into ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {
            f.name: np.ascontiguousarray(getattr(self, f.name)) for f in fields(self) if f.name != "config"
        }
        save_file(arrays, folder / WEIGHTS_NAME)
        text = json.dumps(dict(self.config), indent=1, ensure_ascii=False)
        (folder / CONFIG_NAME).write_text(text + "\n", encoding="utf-8")

    @property
    def skin_vertices(self) -> int:
        """Number of skin vertices; they come first."""
        return int(self.config["skin_vertices"])

    @property
    def parts(self) -> Mapping[str, tuple[int, int]]:
        """Vertex range [start, end) of each part: eye_left, eye_right, teeth_upper, teeth_lower ..."""
        return {name: (int(start), int(end)) for name, (start, end) in self.config["parts"].items()}

    @cached_property
    def skin_triangles(self) -> Ints:
        """(T', 3) the triangles of the skin alone."""
        return self.triangles[(self.triangles < self.skin_vertices).all(axis=1)]

    @cached_property
    def identity_basis(self) -> Floats:
        """(100, V, 3) displacement of one standard deviation of each identity mode, mm."""
        return self.identity_q.astype(np.float32) * self.identity_scale[:, None, None]

    @cached_property
    def expression_basis(self) -> Floats:
        """(57, V, 3) the generic displacement of each expression unit at weight 1, mm."""
        return self.expression_q.astype(np.float32) * self.expression_scale[:, None, None]

    @cached_property
    def fingerprints(self) -> frozenset[str]:
        """Fingerprints of the topologies recognised: the whole head and its skin alone, each as
        modelled (quads) or triangulated."""
        skin_faces = self.faces[(self.faces < self.skin_vertices).all(axis=1)]
        whole, skin = len(self.neutral_vertices), self.skin_vertices
        topologies = (
            (whole, self.faces),
            (whole, self.triangles),
            (skin, skin_faces),
            (skin, self.skin_triangles),
        )
        return frozenset(fingerprint(count, face_edges(faces)) for count, faces in topologies)


def face_edges(faces: Ints) -> Ints:
    """(E, 2) unique undirected edges of (F, 3) triangles or of (F, 4) faces padded with -1."""
    corners = [face[face >= 0] for face in faces] if (faces < 0).any() else list(faces)
    edges = np.concatenate([np.stack([face, np.roll(face, -1)], axis=1) for face in corners])
    return np.unique(np.sort(edges, axis=1), axis=0).astype(np.int32)


def fingerprint(vertex_count: int, edges: Ints) -> str:
    """Identify a topology by its vertex count and its sorted unique edges (E, 2).

    Edges, not triangles: every program splits quads along diagonals of its own choice.
    """
    content = np.ascontiguousarray(edges, dtype="<i4").tobytes()
    return f"{vertex_count}-{hashlib.sha256(content).hexdigest()[:32]}"
