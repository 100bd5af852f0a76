"""What all people share: the linear model on the Dimple head's skin, and solvers prepared on its mean."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file
from scipy import sparse

from ..expression import PAIRS, UNIT_INDEX
from ..head import Head
from .contact import LidContact, LipContact
from .deformation_transfer import DeformationTransfer
from .eyeballs import EyeModel
from .ict import ICT, SKIN_VERTICES
from .jaw import Jaw

STILL = 0.05
"""mm: vertices that no unit moves further are pinned in deformation transfer, beside the rim of the neck."""
LID_INNER, LID_OUTER = 3.0, 14.0
"""mm from the lid edge: within the first, lid units yield to the blink; beyond the second, not at all."""
PUPILS = [UNIT_INDEX[name] for name in PAIRS["pupilDilate"]]
SOCKET_REACH = 24.0
"""mm from the centre of the mean eyeball within which skin may be pierced by it."""


@dataclass(frozen=True)
class Skin:
    """The topology of the skin and its mean face; array names as in `models.head.Head`."""

    neutral_vertices: NDArray[np.float32]
    triangles: NDArray[np.int32]
    margins: tuple[NDArray[np.int32], NDArray[np.int32]]
    """The closed loops of the lid edges, left and right."""
    lid_pairs: NDArray[np.int32]
    lip_pairs: NDArray[np.int32]
    carry: sparse.csr_matrix
    """(V, 14062): ICT's skin -> ours."""

    @staticmethod
    def load(folder: Path) -> Skin:
        """Read the template that `models.corpus.template` wrote: skin.safetensors and skin.json."""
        arrays = load_file(folder / "skin.safetensors")
        config = json.loads((folder / "skin.json").read_text(encoding="utf-8"))
        edge = config["lid_edge_ring"]
        vertices = arrays["neutral_vertices"]
        carry = (arrays["transfer_data"], arrays["transfer_indices"], arrays["transfer_indptr"])
        return Skin(
            neutral_vertices=vertices,
            triangles=arrays["triangles"],
            margins=(arrays["eye_rings"][0, edge], arrays["eye_rings"][1, edge]),
            lid_pairs=arrays["lid_pairs"],
            lip_pairs=arrays["lip_pairs"],
            carry=sparse.csr_matrix(carry, shape=(len(vertices), SKIN_VERTICES)),
        )

    @staticmethod
    def of_head(folder: Path) -> Skin:
        """The skin of the assembled head in `folder`; `models.corpus.assemble` left the carrier beside it."""
        head = Head.load(folder)
        carry = load_file(folder / "transfer.safetensors")
        edge = head.config["lid_edge_ring"]
        return Skin(
            neutral_vertices=head.neutral_vertices[: head.skin_vertices],
            triangles=head.skin_triangles,
            margins=(head.eye_rings[0, edge], head.eye_rings[1, edge]),
            lid_pairs=head.lid_pairs,
            lip_pairs=head.lip_pairs,
            carry=sparse.csr_matrix(
                (carry["data"], carry["indices"], carry["indptr"]), shape=(head.skin_vertices, SKIN_VERTICES)
            ),
        )


@dataclass(frozen=True)
class LidMask:
    """Skin round one eye: `weights` (N,) fall smoothly from 1 at the lid edge to 0."""

    vertices: NDArray[np.int64]
    weights: NDArray[np.float32]


class FaceModel:
    """Mean, identity modes and expression shapes on our topology, and what is solved once for all people."""

    def __init__(self, skin: Skin, ict: ICT) -> None:
        self.skin = skin
        self.mean = skin.neutral_vertices
        self.identities = _carried(skin.carry, ict.identities)
        self.shapes = _carried(skin.carry, ict.expressions)
        self.shapes[PUPILS] = 0.0  # pupils move no skin, but ICT's shapes of them have some noise there
        """(57, V, 3) the generic shapes, mm at weight 1."""
        self.eyes = EyeModel.fit(ict)
        teeth = slice(*ict.vertex_regions["lower teeth"])
        self.jaw = Jaw.fit(
            self.mean, skin.triangles, self.shapes, ict.neutral[teeth], ict.expressions[:, teeth]
        )
        still = np.nonzero((np.linalg.norm(self.shapes, axis=2) < STILL).all(0))[0]
        pinned = np.union1d(still, boundary(skin.triangles))
        self.face = np.asarray(skin.carry[:, slice(*ict.vertex_regions["face"])].sum(1)).ravel() > 0.5
        """(V,) the face itself, without cranium, mouth and sockets."""
        self.transfer = DeformationTransfer(self.mean, skin.triangles, self.shapes, pinned)
        self.lids = tuple(self._lid_contact(side) for side in (0, 1))
        self.lid_masks = tuple(self._lid_mask(side) for side in (0, 1))
        self.lips = LipContact(self.mean, skin.triangles, skin.lip_pairs)

    def neutral(self, coefficients: NDArray[np.float32]) -> NDArray[np.float32]:
        """(V, 3) rest face of the identity with `coefficients` (100,), mm."""
        return self.mean + np.tensordot(coefficients, self.identities, 1)

    def _lid_contact(self, side: int) -> LidContact:
        near = np.linalg.norm(self.mean - self.eyes.centres[side], axis=1) < SOCKET_REACH
        skin = self.skin
        return LidContact(
            self.mean, skin.triangles, skin.margins[side], skin.lid_pairs[side], np.nonzero(near)[0]
        )

    def _lid_mask(self, side: int) -> LidMask:
        margin = self.mean[self.skin.margins[side]]
        distance = np.linalg.norm(self.mean[:, None] - margin, axis=2).min(1)
        vertices = np.nonzero(distance < LID_OUTER)[0]
        fade = np.minimum((LID_OUTER - distance[vertices]) / (LID_OUTER - LID_INNER), 1.0)
        return LidMask(vertices, fade * fade * (3.0 - 2.0 * fade))


def boundary(triangles: NDArray[np.int32]) -> NDArray[np.int32]:
    """Vertices on the open border of an oriented surface: of edges whose reverse no triangle has."""
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]).astype(
        np.int64
    )
    count = edges.max() + 1
    forward, backward = edges @ [count, 1], edges @ [1, count]
    return np.unique(edges[~np.isin(forward, backward)]).astype(np.int32)


def _carried(carry: sparse.csr_matrix, fields: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, V, 3) fields on our topology from (N, >=14062, 3) on ICT's."""
    columns = fields[:, :SKIN_VERTICES].transpose(1, 0, 2).reshape(SKIN_VERTICES, -1)
    moved = (carry.astype(np.float32) @ columns).reshape(-1, len(fields), 3)
    return np.ascontiguousarray(moved.transpose(1, 0, 2))
