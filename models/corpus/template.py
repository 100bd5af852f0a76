"""The skin of the Dimple head: a topology of our own on ICT-FaceKit's mean face, and the matrix that carries
every ICT shape to it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from safetensors.numpy import load_file, save_file
from scipy import sparse
from scipy.spatial import KDTree

from .ict import SKIN_VERTICES, VERTEX_REGIONS
from .template_mesh import MATERIALS, SKIN, SOCKET, build_half
from .template_mirror import mirrored
from .template_rings import EYE_DISTANCES, EYE_LEVELS, MOUTH_DISTANCES, MOUTH_LEVELS
from .template_surface import split_quads
from .template_uv import FREE_CORNER, unwrap

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from .ict import ICT
    from .template_mirror import Mesh
    from .template_surface import HalfSkin

FLOW_PREFIX = "flow_"
LID_EDGE_RING = 5
"""The ring on the edge of the lid (loop 1.8), where the lids meet in a blink."""
LIP_CONTACT_RINGS = (8, 10)
"""First and last of the rings on which the lips touch (loops 5.1, 6.6 and 7.9)."""
EYEBALL_CENTRE = (31.07, 36.03, 78.88)
"""Centre of the sphere through the rear of ICT's left sclera, mm; the right eye's is its mirror image."""
EYEBALL_RADIUS = 15.1
"""The largest sphere that stays behind the edges of the lids, open and closed, mm."""
SOCKET_CLEARANCE = 0.3
"""Way of the sockets from the eyeballs, mm: ICT's own sockets lie inside its eyeballs."""


@dataclass(frozen=True)
class SkinTemplate:
    """Skin of the Dimple head; V vertices, F faces, millimetres, +Y up, +Z out of the face, +X the
    character's left."""

    neutral_vertices: NDArray[np.float32]
    """(V, 3) `transfer @ neutral + neutral_offset`, exactly symmetric under `mirror`."""
    neutral_offset: NDArray[np.float32]
    """(V, 3) what the neutral has beyond `transfer @ ict.neutral`: symmetrisation (under 0.06 mm) everywhere,
    and in the eye sockets the way out of the eyeballs. It belongs to every person of this topology and to no
    expression."""
    faces: NDArray[np.int32]
    """(F, 4) quads, counter-clockwise seen from outside; -1 pads triangles."""
    triangles: NDArray[np.int32]
    """(T, 3) the quads cut along the neutral's shorter diagonal, in face order."""
    uv: NDArray[np.float32]
    """(U, 2) in one tile."""
    uv_faces: NDArray[np.int32]
    """(F, 4) into `uv`."""
    face_material: NDArray[np.int16]
    """(F,) into MATERIALS."""
    mirror: NDArray[np.int32]
    """(V,) the mirrored vertex."""
    eye_rings: NDArray[np.int32]
    """(2, R, C) left and right, from the socket outward; column 0 the inner canthus, C / 2 the outer one, the
    upper lid between."""
    lid_pairs: NDArray[np.int32]
    """(2, C / 2 - 1, 2) (upper, lower) vertices of the lid edge that meet in a blink."""
    mouth_rings: NDArray[np.int32]
    """(R, C) from the mouth outward; column 0 the upper midline, C / 4 the left corner, C / 2 the lower
    midline."""
    lip_pairs: NDArray[np.int32]
    """(Q, 2) (upper, lower) vertices facing each other on the contact rings."""
    face_mask: NDArray[np.float32]
    """(V,) 1 on the face, 0 on the rest of the head and inside mouth and sockets."""
    landmarks68: NDArray[np.int32]
    """(68,) nearest vertices to ICT's landmarks."""
    flow_lines: dict[str, NDArray[np.int32]]
    """Chains of vertices from the character's right to the left: brow, above_brow, and nasolabial, which is
    closed."""
    transfer: sparse.csr_matrix
    """(V, 14062) rows of weights summing to 1: carries any ICT shape, and any ICT delta, to this topology
    exactly."""

    def save(self, path: Path) -> None:
        """Write `path` (.safetensors) and its description beside it (.json)."""
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays = {name: value for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        arrays |= {f"{FLOW_PREFIX}{name}": line for name, line in self.flow_lines.items()}
        matrix = self.transfer
        arrays |= {
            "transfer_data": matrix.data.astype(np.float32),
            "transfer_indices": matrix.indices.astype(np.int32),
            "transfer_indptr": matrix.indptr.astype(np.int32),
        }
        save_file({name: np.ascontiguousarray(value) for name, value in arrays.items()}, path)
        path.with_suffix(".json").write_text(
            json.dumps(self.description(), indent=1) + "\n", encoding="utf-8"
        )

    @staticmethod
    def load(path: Path) -> SkinTemplate:
        """Read what `save` wrote."""
        arrays = load_file(path)
        matrix = tuple(arrays.pop(f"transfer_{name}") for name in ("data", "indices", "indptr"))
        lines = {name: arrays.pop(name) for name in list(arrays) if name.startswith(FLOW_PREFIX)}
        shape = (len(arrays["neutral_vertices"]), SKIN_VERTICES)
        return SkinTemplate(
            **arrays,
            flow_lines={name.removeprefix(FLOW_PREFIX): line for name, line in lines.items()},
            transfer=sparse.csr_matrix(matrix, shape=shape),
        )

    def description(self) -> dict[str, object]:
        """What the arrays cannot say themselves."""
        return {
            "units": "mm",
            "axes": "+Y up, +Z out of the face, +X the character's left",
            "skin_vertices": len(self.neutral_vertices),
            "faces": len(self.faces),
            "material_names": list(MATERIALS),
            "lid_edge_ring": LID_EDGE_RING,
            "lip_contact_rings": list(LIP_CONTACT_RINGS),
            "transfer_shape": [len(self.neutral_vertices), SKIN_VERTICES],
            "neutral_offset": "neutral_vertices = transfer @ ICT neutral + neutral_offset; "
            "belongs to every person and to no expression",
            "eye_ring_levels": [*EYE_LEVELS, *(f"{distance} mm" for distance in EYE_DISTANCES)],
            "mouth_ring_levels": [*MOUTH_LEVELS, *(f"{distance} mm" for distance in MOUTH_DISTANCES)],
            "free_uv_rectangles": [
                list(FREE_CORNER),
                [1 - FREE_CORNER[2], FREE_CORNER[1], 1 - FREE_CORNER[0], FREE_CORNER[3]],
            ],
            "eyeball_centre_left": list(EYEBALL_CENTRE),
            "eyeball_radius": EYEBALL_RADIUS,
            "socket_clearance": SOCKET_CLEARANCE,
        }


def build_skin(ict: ICT) -> SkinTemplate:
    """Build the template from the mean face; deterministic for given versions of gmsh and libigl."""
    half_mesh = build_half(ict)
    mesh = mirrored(half_mesh)
    carried = mesh.transfer @ ict.neutral[:SKIN_VERTICES].astype(np.float64)
    neutral = _clear_of_eyeballs(_symmetric(half_mesh.half, mesh), mesh).astype(np.float32)
    triangles = _triangulate(neutral, mesh.faces)
    jaw_open = mesh.transfer @ ict.expression("jawOpen")[:SKIN_VERTICES]
    uv, uv_faces = unwrap(
        neutral, mesh.faces, triangles.astype(np.int64), mesh.face_material, mesh.mirror, jaw_open
    )
    return SkinTemplate(
        neutral_vertices=neutral,
        neutral_offset=(neutral - carried).astype(np.float32),
        faces=mesh.faces.astype(np.int32),
        triangles=triangles,
        uv=uv.astype(np.float32),
        uv_faces=uv_faces.astype(np.int32),
        face_material=mesh.face_material,
        mirror=mesh.mirror.astype(np.int32),
        eye_rings=mesh.eye_rings.astype(np.int32),
        lid_pairs=_facing(mesh.eye_rings[:, LID_EDGE_RING]).astype(np.int32),
        mouth_rings=mesh.mouth_rings.astype(np.int32),
        lip_pairs=_lip_pairs(mesh.mouth_rings).astype(np.int32),
        face_mask=_face_mask(mesh),
        landmarks68=_landmarks(ict, mesh),
        flow_lines={name: line.astype(np.int32) for name, line in mesh.flow_lines.items()},
        transfer=mesh.transfer.sorted_indices().astype(np.float32),
    )


def _symmetric(half: HalfSkin, mesh: Mesh) -> NDArray[np.float64]:
    skin = np.empty((SKIN_VERTICES, 3))
    skin[half.right] = half.vertices * [-1.0, 1.0, 1.0]
    skin[half.left] = half.vertices
    return mesh.transfer @ skin


def _clear_of_eyeballs(vertices: NDArray[np.float64], mesh: Mesh) -> NDArray[np.float64]:
    """Push what lies behind the lid edges away from the eyeballs' centres until it clears them."""
    behind = np.unique(mesh.faces[mesh.face_material == SOCKET])
    centres = np.where(
        vertices[behind, :1] > 0, EYEBALL_CENTRE, np.multiply(EYEBALL_CENTRE, [-1.0, 1.0, 1.0])
    )
    offset = vertices[behind] - centres
    radius = np.linalg.norm(offset, axis=1, keepdims=True)
    pushed = vertices.copy()
    pushed[behind] = centres + offset * np.maximum(1.0, (EYEBALL_RADIUS + SOCKET_CLEARANCE) / radius)
    return pushed


def _triangulate(vertices: NDArray[np.floating], faces: NDArray[np.integer]) -> NDArray[np.int32]:
    """Triangles in face order; the diagonals are chosen symmetrically because mirrored quads keep their first
    corner."""
    padded = faces[:, 3] < 0
    pairs = split_quads(vertices, np.where(padded[:, None], faces[:, [0, 1, 2, 2]], faces))
    pairs[padded, 0] = faces[padded, :3]
    kept = np.stack([np.ones(len(faces), bool), ~padded], axis=1)
    return pairs[kept].astype(np.int32)


def _facing(rings: NDArray[np.integer]) -> NDArray[np.integer]:
    """(..., C / 2 - 1, 2) columns of a ring (..., C) mirrored in the line between its columns 0 and C / 2."""
    middle = rings.shape[-1] // 2
    return np.stack([rings[..., 1:middle], rings[..., :middle:-1]], axis=-1)


def _lip_pairs(mouth_rings: NDArray[np.integer]) -> NDArray[np.integer]:
    first, last = LIP_CONTACT_RINGS
    from_corner = np.roll(mouth_rings[first : last + 1], -(mouth_rings.shape[1] // 4), axis=1)
    return _facing(from_corner)[..., ::-1].reshape(-1, 2)


def _face_mask(mesh: Mesh) -> NDArray[np.float32]:
    start, end = VERTEX_REGIONS["face"]
    share = np.asarray(mesh.transfer[:, start:end].sum(axis=1)).ravel()
    seen = np.zeros(len(share), bool)
    seen[mesh.faces[mesh.face_material == SKIN]] = True
    return ((share > 0.5) & seen).astype(np.float32)


def _landmarks(ict: ICT, mesh: Mesh) -> NDArray[np.int32]:
    """Nearest in rest and with an open jaw at once: in rest alone, the nearest vertex may lie on the other
    lip."""
    rest = ict.neutral[:SKIN_VERTICES]
    poses = np.concatenate([rest, rest + ict.expression("jawOpen")[:SKIN_VERTICES]], axis=1)
    return np.asarray(KDTree(mesh.transfer @ poses).query(poses[ict.landmarks])[1], np.int32)
