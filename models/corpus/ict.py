"""Reader of ICT-FaceKit, the MIT-licensed linear face model of the USC Institute for Creative Technologies.

Two sources give the same object: a folder with the arrays repacked as safetensors (`ict_facekit.safetensors`,
`ict_meta.json`) and a clone of the upstream repository (`FaceXModel/*.obj`). Both are in centimetres;
everything here is in millimetres.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from safetensors.numpy import load_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

MM_PER_UNIT = np.float32(10.0)

SKIN_VERTICES = 14062
"""Face, head with neck, mouth socket and both eye sockets share one connected mesh: the first vertices of the
model."""

VERTEX_REGIONS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        "face": (0, 9409),
        "narrow face": (0, 6706),
        "head and neck": (9409, 11248),
        "mouth socket": (11248, 13294),
        "eye socket left": (13294, 13678),
        "eye socket right": (13678, 14062),
        "gums and tongue": (14062, 17039),
        "teeth": (17039, 21451),
        "upper teeth": (17039, 19247),
        "lower teeth": (19247, 21451),
        "eyeball left": (21451, 23021),
        "sclera left": (21451, 22221),
        "iris left": (22221, 23021),
        "eyeball right": (23021, 24591),
        "sclera right": (23021, 23791),
        "iris right": (23791, 24591),
    }
)
"""Vertices [start, end) of the geometries, from the table in the source's README."""

FACE_REGIONS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        "face": (0, 9230),
        "narrow face": (0, 6560),
        "head and neck": (9230, 11144),
        "mouth socket": (11144, 13226),
        "eye socket left": (13226, 13630),
        "eye socket right": (13630, 14034),
        "gums and tongue": (14034, 17006),
        "teeth": (17006, 21496),
        "eyeball left": (21496, 23094),
        "eyeball right": (23094, 24692),
    }
)
"""Faces [start, end) of the same geometries."""


class ICTError(ValueError):
    """The folder is not a complete ICT-FaceKit; the message says what is missing."""


@dataclass(frozen=True)
class ICT:
    """ICT-FaceKit in millimetres: +Y up, +Z out of the face, +X the character's left.

    A person with N(0, 1) coefficients `a` and expression weights `w` in 0..1 is
    `neutral + einsum("i,ivc", a, identities) + einsum("j,jvc", w, expressions)`.
    """

    neutral: NDArray[np.float32]
    """(26719, 3)"""
    identities: NDArray[np.float32]
    """(100, 26719, 3) offset per standard deviation."""
    expressions: NDArray[np.float32]
    """(57, 26719, 3) offset at weight 1."""
    expression_names: tuple[str, ...]
    """The source's names, such as `eyeBlink_L`, in the order of `expressions`."""
    faces: NDArray[np.int32]
    """(26384, 4), -1 pads triangles."""
    landmarks: NDArray[np.int32]
    """(68,) Multi-PIE landmarks as vertex indices."""
    vertex_regions: Mapping[str, tuple[int, int]]
    face_regions: Mapping[str, tuple[int, int]]

    @staticmethod
    def load(folder: Path) -> ICT:
        """Read either layout; raise `ICTError` when the folder holds neither."""
        if (folder / "ict_facekit.safetensors").is_file():
            return _load_arrays(folder)
        for candidate in (folder / "FaceXModel", folder):
            if (candidate / "generic_neutral_mesh.obj").is_file():
                return _load_clone(candidate)
        raise ICTError(
            f"{folder} holds neither ict_facekit.safetensors nor FaceXModel/generic_neutral_mesh.obj"
        )

    def expression(self, name: str) -> NDArray[np.float32]:
        """(26719, 3) delta of the expression called `name` in the source; `ValueError` when there is none."""
        return self.expressions[self.expression_names.index(name)]


def _load_arrays(folder: Path) -> ICT:
    arrays = load_file(folder / "ict_facekit.safetensors")
    meta = json.loads((folder / "ict_meta.json").read_text(encoding="utf-8"))

    def decoded(name: str) -> NDArray[np.float32]:
        scale = arrays[f"{name}_scale"] * MM_PER_UNIT
        return arrays[f"{name}_q"].astype(np.float32) * scale[:, None, None]

    return ICT(
        neutral=arrays["neutral"] * MM_PER_UNIT,
        identities=decoded("identity"),
        expressions=decoded("expression"),
        expression_names=tuple(meta["expression_names"]),
        faces=arrays["faces"],
        landmarks=arrays["landmarks68"],
        vertex_regions=VERTEX_REGIONS,
        face_regions=FACE_REGIONS,
    )


def _load_clone(folder: Path) -> ICT:
    neutral, faces = _read_obj(folder / "generic_neutral_mesh.obj")
    identity_files = sorted(folder.glob("identity*.obj"))
    if not identity_files:
        raise ICTError(f"{folder} has no identity*.obj: fetch the large files of the clone")
    expression_files = sorted(
        path
        for path in folder.glob("*.obj")
        if path.stem != "generic_neutral_mesh" and re.fullmatch(r"identity\d+", path.stem) is None
    )
    indices = json.loads((folder / "vertex_indices.json").read_text(encoding="utf-8"))
    return ICT(
        neutral=neutral * MM_PER_UNIT,
        identities=_offsets(identity_files, neutral),
        expressions=_offsets(expression_files, neutral),
        expression_names=tuple(path.stem for path in expression_files),
        faces=faces,
        landmarks=np.asarray(indices["idx_to_landmark_verts"], np.int32),
        vertex_regions=VERTEX_REGIONS,
        face_regions=FACE_REGIONS,
    )


def _offsets(paths: list[Path], neutral: NDArray[np.float32]) -> NDArray[np.float32]:
    shapes = np.empty((len(paths), *neutral.shape), np.float32)
    for shape, path in zip(shapes, paths, strict=True):
        vertices = _read_vertices(path)
        if vertices.shape != neutral.shape:
            raise ICTError(f"{path} has {len(vertices)} vertices, the neutral mesh {len(neutral)}")
        shape[:] = (vertices - neutral) * MM_PER_UNIT
    return shapes


def _read_vertices(path: Path) -> NDArray[np.float32]:
    with path.open(encoding="utf-8") as lines:
        rows = [line.split()[1:4] for line in lines if line.startswith("v ")]
    return np.asarray(rows, np.float32)


def _read_obj(path: Path) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    with path.open(encoding="utf-8") as lines:
        polygons = [
            [int(corner.split("/")[0]) - 1 for corner in line.split()[1:]]
            for line in lines
            if line.startswith("f ")
        ]
    faces = np.full((len(polygons), 4), -1, np.int32)
    for face, polygon in zip(faces, polygons, strict=True):
        if len(polygon) > faces.shape[1]:
            raise ICTError(f"{path} has a face of {len(polygon)} corners; triangles and quads are expected")
        face[: len(polygon)] = polygon
    return _read_vertices(path), faces
