"""The Dimple head put together: skin template, eyes, teeth and tongue, and the linear models on all of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from scipy import sparse

from models.corpus.eyeballs import GAZE_TURNS, EyeModel
from models.corpus.ict import ICT, SKIN_VERTICES
from models.corpus.jaw import Jaw
from models.corpus.parts import MIRROR, Doubles, Ints, Part, twin
from models.corpus.parts_eyes import GLOBE_CENTRE, GLOBE_RADIUS, left_eye, pupil_dilation
from models.corpus.parts_teeth import LOWER_ROW, UPPER_ROW, dental_row
from models.corpus.parts_tongue import tongue
from models.corpus.parts_uv import pack
from models.expression import UNIT_INDEX, UNIT_NAMES
from models.head import Head, face_edges, fingerprint
from models.parts import JAW_UNITS, rigid_motions, rotation_matrices

Floats = NDArray[np.float32]

NAME = "Dimple head"
VERSION = 1
DATA_NOTICE = "The shapes derive from ICT-FaceKit (ICT Face Model Light), under this licence:"
TRANSFER_NAME = "transfer.safetensors"
EYE_DENSITY = 1.6
"""Texture density of the eyes over that of teeth and tongue: irises are looked at."""


@dataclass(frozen=True)
class SkinTemplate:
    """What `models.corpus.template` writes: arrays named as in `models.head.Head`, and their settings."""

    arrays: Mapping[str, NDArray[Any]]
    settings: Mapping[str, Any]

    @staticmethod
    def load(folder: Path) -> SkinTemplate:
        """Read skin.safetensors and skin.json. Raises OSError when one is missing."""
        settings = json.loads((folder / "skin.json").read_text(encoding="utf-8"))
        return SkinTemplate(load_file(folder / "skin.safetensors"), settings)

    @property
    def vertices(self) -> int:
        """Number of skin vertices."""
        return len(self.arrays["neutral_vertices"])

    @property
    def transfer(self) -> sparse.csr_matrix:
        """(Vs, 14062) every skin vertex as a weighted mean of ICT's."""
        arrays = self.arrays
        parts = (arrays["transfer_data"], arrays["transfer_indices"], arrays["transfer_indptr"])
        return sparse.csr_matrix(parts, shape=(self.vertices, SKIN_VERTICES))

    def carry(self, fields: Floats) -> Floats:
        """(N, Vs, 3) displacement fields of ICT (N, 26719, 3) on our skin."""
        columns = fields[:, :SKIN_VERTICES].transpose(1, 0, 2).reshape(SKIN_VERTICES, -1)
        carried = (self.transfer @ columns).reshape(self.vertices, len(fields), 3)
        return np.ascontiguousarray(carried.transpose(1, 0, 2), dtype=np.float32)


def build(template: Path, ict: Path, licence: Path, folder: Path) -> Head:
    """Assemble the head from the built template and ICT-FaceKit; write it, with its transfer, into `folder`.

    `licence` is ICT-FaceKit's licence text, which travels with the data. Raises OSError or `ICTError`.
    """
    skin = SkinTemplate.load(template)
    head = assemble_head(skin, ICT.load(ict), licence.read_text(encoding="utf-8"))
    head.save(folder)
    transfer = skin.transfer
    arrays = {
        "data": transfer.data,
        "indices": transfer.indices,
        "indptr": transfer.indptr,
        "shape": np.array(transfer.shape, np.int32),
    }
    save_file(arrays, folder / TRANSFER_NAME)
    return head


def assemble_head(skin: SkinTemplate, ict: ICT, licence: str) -> Head:
    """One mesh: the skin in its own order, then eyes, teeth and tongue."""
    eye = left_eye()
    parts = {
        "eye_left": eye,
        "eye_right": twin(eye),
        "teeth_upper": dental_row(UPPER_ROW, ict),
        "teeth_lower": dental_row(LOWER_ROW, ict),
        "tongue": tongue(),
    }
    ranges = _ranges(skin.vertices, parts)
    arrays = skin.arrays
    names = [*skin.settings["material_names"]]
    names += [
        name
        for name in dict.fromkeys(m for part in parts.values() for m in part.materials)
        if name not in names
    ]
    offsets = [start for start, _ in ranges.values()]
    neutral = _joined(arrays["neutral_vertices"], [part.vertices for part in parts.values()])
    faces = np.concatenate(
        [arrays["faces"], *(_shifted(p.faces, o) for p, o in zip(parts.values(), offsets, strict=True))]
    )
    uv, uv_faces = _uv(skin, parts)
    triangles = [
        split_quads(part.faces, part.vertices) + start
        for part, start in zip(parts.values(), offsets, strict=True)
    ]
    triangles = np.concatenate([arrays["triangles"], *triangles]).astype(np.int32)
    identity_q, identity_scale = quantised(
        np.concatenate([skin.carry(ict.identities), *_part_identities(parts, ict)], axis=1)
    )
    shapes = skin.carry(ict.expressions)
    jaw_weight = _jaw_weight(skin, ict, shapes)
    pupils = [UNIT_INDEX["pupilDilateLeft"], UNIT_INDEX["pupilDilateRight"]]
    # ICT's right-hand shapes carry some 0.05 mm of noise all over the head; a pupil moves no skin.
    shapes[pupils] = 0.0
    expression_q, expression_scale = quantised(
        np.concatenate([shapes, *_part_expressions(parts, ict)], axis=1)
    )
    config = {
        "name": NAME,
        "version": VERSION,
        "units": "mm",
        "axes": "+Y up, +Z out of the face, +X the character's left",
        "skin_vertices": skin.vertices,
        "parts": {name: list(span) for name, span in ranges.items()},
        "material_names": names,
        "unit_names": list(UNIT_NAMES),
        "lid_edge_ring": skin.settings["lid_edge_ring"],
        "lip_contact_rings": skin.settings["lip_contact_rings"],
        "fingerprint": fingerprint(len(neutral), face_edges(faces)),
        "data_notice": f"{DATA_NOTICE}\n\n{licence}",
    }
    return Head(
        config=config,
        neutral_vertices=neutral,
        faces=faces.astype(np.int32),
        triangles=triangles,
        uv=uv,
        uv_faces=uv_faces,
        face_material=_materials(skin, parts, names),
        mirror=_mirror(arrays["mirror"], parts, ranges),
        eye_rings=arrays["eye_rings"],
        lid_pairs=arrays["lid_pairs"],
        mouth_rings=arrays["mouth_rings"],
        lip_pairs=arrays["lip_pairs"],
        identity_q=identity_q,
        identity_scale=identity_scale,
        expression_q=expression_q,
        expression_scale=expression_scale,
        face_mask=np.pad(arrays["face_mask"], (0, len(neutral) - skin.vertices)),
        jaw_weight=jaw_weight,
        landmarks68=arrays["landmarks68"],
    )


def quantised(fields: Floats) -> tuple[NDArray[np.int16], Floats]:
    """int16 quanta (N, V, 3) and mm per quantum (N,); the largest value of a field is 32,767 quanta."""
    scale = np.abs(fields).max(axis=(1, 2)) / 32767.0
    safe = np.where(scale > 0.0, scale, 1.0)
    return np.rint(fields / safe[:, None, None]).astype(np.int16), scale.astype(np.float32)


def split_quads(faces: Ints, vertices: Doubles) -> Ints:
    """(T, 3) triangles in face order; a quad is split on its shorter diagonal."""
    a, b, c, d = (vertices[faces[:, corner]] for corner in range(4))
    along_bd = np.linalg.norm(b - d, axis=1) < np.linalg.norm(a - c, axis=1)
    first = np.where(along_bd[:, None], faces[:, [0, 1, 3]], faces[:, [0, 1, 2]])
    second = np.where(along_bd[:, None], faces[:, [1, 2, 3]], faces[:, [0, 2, 3]])
    triangle = faces[:, 3] < 0
    first[triangle] = faces[triangle, :3]
    both = np.stack([first, second], axis=1)
    return both[np.stack([np.ones_like(triangle), ~triangle], axis=1)]


def _ranges(start: int, parts: Mapping[str, Part]) -> dict[str, tuple[int, int]]:
    ranges: dict[str, tuple[int, int]] = {}
    for name, part in parts.items():
        ranges[name] = (start, start + len(part.vertices))
        start += len(part.vertices)
    return ranges


def _joined(skin: Floats, parts: Sequence[Doubles]) -> Floats:
    return np.concatenate([skin, *parts]).astype(np.float32)


def _shifted(faces: Ints, offset: int) -> Ints:
    return np.where(faces < 0, -1, faces + offset)


def _mirror(skin: Ints, parts: Mapping[str, Part], ranges: Mapping[str, tuple[int, int]]) -> Ints:
    twins = {"eye_left": "eye_right", "eye_right": "eye_left"}
    mirrored = [part.mirror + ranges[twins.get(name, name)][0] for name, part in parts.items()]
    return np.concatenate([skin, *mirrored]).astype(np.int32)


def _materials(skin: SkinTemplate, parts: Mapping[str, Part], names: Sequence[str]) -> NDArray[np.int16]:
    indices = [names.index(material) for part in parts.values() for material in part.materials]
    return np.concatenate([skin.arrays["face_material"], indices]).astype(np.int16)


def _uv(skin: SkinTemplate, parts: Mapping[str, Part]) -> tuple[Floats, Ints]:
    """Coordinates and face corners of the whole head: the skin's map as it is, the islands beside it."""
    uv, uv_faces = skin.arrays["uv"].astype(np.float64), skin.arrays["uv_faces"]
    triangles = np.concatenate([uv_faces[:, :3], uv_faces[uv_faces[:, 3] >= 0][:, [0, 2, 3]]])
    islands = [(name, island) for name, part in parts.items() for island in part.islands]
    densities = [EYE_DENSITY if name.startswith("eye") else 1.0 for name, _ in islands]
    packed = pack([island for _, island in islands], densities, uv, triangles)
    coordinates, corners = [uv], [uv_faces]
    start = len(uv)
    for part in parts.values():
        part_corners = np.empty_like(part.faces)
        for island in part.islands:
            part_corners[island.faces] = _shifted(island.uv_faces, start)
            coordinates.append(packed.pop(0))
            start += len(coordinates[-1])
        corners.append(part_corners)
    return np.concatenate(coordinates).astype(np.float32), np.concatenate(corners).astype(np.int32)


def _part_identities(parts: Mapping[str, Part], ict: ICT) -> list[Floats]:
    """(100, P, 3) of each part: eyes keep their shape, teeth follow the affine motion of ICT's own."""
    eyes = EyeModel.fit(ict)
    fields: list[Floats] = []
    for side, name in enumerate(("eye_left", "eye_right")):
        arms = parts[name].vertices - GLOBE_CENTRE * (MIRROR if side else 1.0)
        growth = eyes.radius_modes[:, side, None, None] / GLOBE_RADIUS
        fields.append((eyes.centre_modes[:, side, None] + growth * arms).astype(np.float32))
    for name, region in (
        ("teeth_upper", "upper teeth"),
        ("teeth_lower", "lower teeth"),
        ("tongue", "lower teeth"),
    ):
        start, end = ict.vertex_regions[region]
        source = _homogeneous(ict.neutral[start:end])
        motion = np.linalg.pinv(source) @ ict.identities[:, start:end].astype(np.float64)
        fields.append((_homogeneous(parts[name].vertices) @ motion).astype(np.float32))
    return fields


def _homogeneous(points: NDArray[np.floating]) -> Doubles:
    return np.concatenate([points.astype(np.float64), np.ones((len(points), 1))], axis=1)


def _part_expressions(parts: Mapping[str, Part], ict: ICT) -> list[Floats]:
    """(57, P, 3) of each part at weight 1: eyes turn, pupils widen, lower teeth and tongue follow the jaw."""
    shapes = {
        name: np.zeros((len(UNIT_NAMES), *part.vertices.shape), np.float32) for name, part in parts.items()
    }
    for side, name in enumerate(("eye_left", "eye_right")):
        flip = MIRROR if side else np.ones(3)
        arms = parts[name].vertices - GLOBE_CENTRE * flip
        rotations = rotation_matrices(GAZE_TURNS[:, side])
        shapes[name][:] = arms @ rotations.transpose(0, 2, 1) - arms
        shapes[name][UNIT_INDEX["pupilDilateRight" if side else "pupilDilateLeft"]] = pupil_dilation() * flip
    start, end = ict.vertex_regions["lower teeth"]
    teeth = ict.neutral[start:end]
    for unit in (UNIT_INDEX[name] for name in JAW_UNITS):
        rotation, translation = rigid_motions(teeth, (teeth + ict.expressions[unit, start:end])[None])
        for name in ("teeth_lower", "tongue"):
            vertices = parts[name].vertices
            shapes[name][unit] = vertices @ rotation[0].T + translation[0] - vertices
    return list(shapes.values())


def _jaw_weight(skin: SkinTemplate, ict: ICT, shapes: Floats) -> Floats:
    start, end = ict.vertex_regions["lower teeth"]
    arrays = skin.arrays
    teeth, teeth_shapes = ict.neutral[start:end], ict.expressions[:, start:end]
    return Jaw.fit(arrays["neutral_vertices"], arrays["triangles"], shapes, teeth, teeth_shapes).weights
