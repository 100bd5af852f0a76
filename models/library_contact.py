"""Lips and lids that meet where the stage says they do, however far a sample falls short of it.

The offsets of facing vertices are given; the skin round them follows by the smoothest field that does so and
fades with distance, a screened biharmonic one on the skin as a graph. All in model space (mm).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import diags, identity

from .expression import UNIT_INDEX
from .head import Head
from .library_cuts import STIFFNESS, laplacian, skin_edges, solved

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

LOWER_LIP = 0.75
"""Our choice: how much of a gap between the lips the lower lip closes; the upper lip the rest."""
LOWER_LID = 0.15
"""The same for the lids: in a blink the upper one moves."""
LIP_REACH, LID_REACH = 8.0, 5.0
"""mm over which the correction fades on the skin."""
JAW, CLOSE = UNIT_INDEX["jawOpen"], UNIT_INDEX["mouthClose"]
BLINKS = (UNIT_INDEX["eyeBlinkLeft"], UNIT_INDEX["eyeBlinkRight"])


def with_contact(head: Head, aligned: Floats, sampled: Floats, stages: Floats) -> Floats:
    """Deformations (K, V, 3) mm whose lids meet in every full blink, and whose lips over a closed jaw.

    stages (K, 57). Lips are as far apart as in the neutral face where `mouthClose` takes back all of
    `jawOpen` and nothing else moves the mouth.
    """
    result = sampled.copy()
    alone = np.count_nonzero(stages, axis=1) == 2
    shut = alone & (stages[:, JAW] > 0) & (stages[:, CLOSE] == stages[:, JAW])
    lips = head.lip_pairs
    rest = aligned[lips[:, 1]] - aligned[lips[:, 0]]
    result[shut] = closed(head, aligned, result[shut], lips, rest, LOWER_LIP, LIP_REACH)
    for lids, blink in zip(head.lid_pairs, BLINKS, strict=True):
        blinks = stages[:, blink] >= 1.0
        none = np.zeros((len(lids), 3), np.float32)
        result[blinks] = closed(head, aligned, result[blinks], lids, none, LOWER_LID, LID_REACH)
    return result


def closed(
    head: Head,
    aligned: Floats,
    deformations: Floats,
    pairs: Ints,
    offset: Floats,
    lower_share: float,
    reach: float,
) -> Floats:
    """Deformations (K, V, 3) changed so that each lower vertex stands at `offset` (P, 3) from its upper one.

    pairs (P, 2): upper and lower. lower_share: how much of the way the lower ones go; reach in mm.
    """
    if not pairs.size or not len(deformations):
        return deformations
    upper, lower = pairs.T
    skin, frames = head.skin_vertices, len(deformations)
    moved = aligned + deformations
    apart = (moved[:, lower] - moved[:, upper] - offset).transpose(1, 0, 2).reshape(len(pairs), -1)
    fixed, target = np.zeros(skin), np.zeros((skin, 3 * frames))
    np.add.at(fixed, pairs.ravel(), STIFFNESS)
    np.add.at(target, upper, STIFFNESS * (1 - lower_share) * apart)
    np.add.at(target, lower, -STIFFNESS * lower_share * apart)
    graph = laplacian(head)
    edges = skin_edges(head)
    near = np.isin(edges, pairs).any(axis=1)
    spacing = float(np.linalg.norm(np.diff(aligned[edges[near]], axis=1), axis=2).mean())
    system = graph @ graph + (spacing / reach) ** 4 * identity(skin) + diags(fixed)
    result = deformations.copy()
    result[:, :skin] += solved(system, target).reshape(skin, frames, 3).transpose(1, 0, 2)
    return result
