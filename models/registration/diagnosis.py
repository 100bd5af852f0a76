"""What binding thinks of its own result, and what it tells the artist."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from ..errors import InputError
from .fit import Fit, Score, Target
from .surface import vertex_normals
from .template import Template

Doubles = NDArray[np.float64]

REFUSED, DOUBTFUL = 0.35, 0.6
"""Certainty below which a mesh is refused, and below which the artist is asked to look."""
MOUTH_ANGLE = 26.0
"""degrees between normals on the lips above which there is no mouth: 10 to 20 on faces, 33 without one."""
CLOSED = 0.35
"""Blink that the rest pose seems to hold from which its eyes count as closed."""


@dataclass(frozen=True)
class Diagnosis:
    """How sure binding is, 0..1, and one sentence for the artist; empty when all is well."""

    certainty: float
    sentence: str


def certainty(score: Score, pose_value: float) -> float:
    """0..1 from measures that agree on faces and on nonsense: the least of them decides.

    score: of the whole fit; pose_value: of the short fit by which the pose was chosen.
    """
    evidence = (
        (27.0 - score.angle) / 6.0,
        (score.match - 0.5) / 0.25,
        (2.4 - score.strangeness) / 0.6,
        (pose_value - 0.70) / 0.12,
    )
    return float(np.clip(min(evidence), 0.0, 1.0))


def diagnose(
    template: Template, target: Target, fit: Fit, sure: float, *, placed_by_hand: bool = False
) -> Diagnosis:
    """Judge a fit that is ``sure``, 0..1, before it is bent onto the surface.

    Raises InputError when it is no face at all, unless the artist has shown by hand where it is.
    """
    if sure < REFUSED and not placed_by_hand:
        raise InputError(
            "No face was found on this mesh. Choose the mesh that has the face on it, or show where the face "
            "is by setting the landmarks: eye corners, nose tip, mouth corners and chin."
        )
    if mouth_angle(template, target, fit) > MOUTH_ANGLE:
        return Diagnosis(
            sure,
            "The mouth could not be made out: set the landmarks of its corners, or check that it has lips.",
        )
    if sure < DOUBTFUL:
        text = "This face is unlike those that Dimple knows: look at the fit and correct it with landmarks."
        return Diagnosis(sure, text)
    if fit.openings[:2].max() > CLOSED:
        return Diagnosis(sure, "The eyes seem to be closed at rest: blinks will close them further.")
    return Diagnosis(sure, "")


def mouth_angle(template: Template, target: Target, fit: Fit) -> float:
    """degrees, mean angle between normals of template and surface on the red of the lips.

    Lips turn up and down there, and nothing else on a face does: where no mouth is, they disagree. Eyes have
    no such mark: a smooth eyelid is a closed eye.
    """
    head = template.head
    _, last = head.config["lip_contact_rings"]
    red = np.unique(head.mouth_rings[last + 1 : last + 4])
    placed = fit.place(fit.shape)
    normals = vertex_normals(placed, template.triangles)[red]
    _, nearest = KDTree(target.points).query(placed[red])
    cosine = np.einsum("ni,ni->n", normals, target.normals[nearest])
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))).mean())
