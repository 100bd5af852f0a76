"""What AnimateMe has to beat: blendshapes, the additive model, deformation transfer.

All of them are given what the network is given, the neutral face and the expression signal, and are
fitted on the same training frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from ..additive import AdditiveModel
from ..alignment import similarity_to
from ..animate_me import AnimateMe
from ..corpus.cache import FrameCache
from ..corpus.deformation_transfer import DeformationTransfer
from ..corpus.face_model import STILL, boundary
from ..errors import InputError
from ..expression import parse_expression
from ..head import Head

Floats = NDArray[np.float32]

ALONG = 1e-3
"""A frame shows a mixture when its stage departs from a multiple of it by less than this, relatively."""
ENOUGH = 800
"""Frames of a label, taken evenly from everybody: they tell its mean to a hundredth of a millimetre."""
CHUNK = 200


@dataclass(frozen=True)
class Baselines:
    """Predictors of how a person moves of whom the neutral face alone is known."""

    model: AnimateMe
    blendshapes: Mapping[str, Floats]  # label -> (V, 3) mm at intensity 1, in model space
    transfer: DeformationTransfer  # of the generic units, then of the blendshapes

    @classmethod
    def fit(cls, model: AnimateMe, cache: FrameCache, labels: Sequence[str]) -> Self:
        """Fit to the training frames. Raises InputError when one of the labels is never shown there."""
        blendshapes = {label: class_mean(cache, label) for label in labels}
        return cls(model, blendshapes, generic_transfer(model.head, list(blendshapes.values())))

    def predict(self, label: str, neutral_skin: Floats, signal: Floats) -> dict[str, Floats]:
        """Deformations (K, V, 3), mm in the person's own space, of each baseline by name.

        ``zero``: nothing moves. ``linear_blendshape``: the label's class mean times the intensity.
        ``additive``: the model's own additive part alone, blind to the identity. ``personal_additive``: what
        its closed-form regression expects of this person on top. ``deformation_transfer``: the generic
        units re-solved on the person and added up. ``transferred_blendshape``: the class mean
        re-solved on the person. neutral_skin (V, 3), signal (K, M).
        """
        head = self.model.head
        similarity = similarity_to(head.neutral_vertices[: head.skin_vertices], neutral_skin)
        personal = self.transfer(neutral_skin)
        own_blendshape = personal[signal.shape[1] + list(self.blendshapes).index(label)]
        intensity, _ = intensity_along(signal, parse_expression(label))
        model_space = {
            "zero": np.zeros((len(signal), *neutral_skin.shape), np.float32),
            "linear_blendshape": intensity[:, None, None] * self.blendshapes[label],
            "additive": additive_motion(self.model, signal),
            "personal_additive": personal_motion(self.model, similarity.apply(neutral_skin), signal),
        }
        return {name: similarity.invert_vectors(motion) for name, motion in model_space.items()} | {
            "deformation_transfer": np.tensordot(signal, personal[: signal.shape[1]], axes=1),
            "transferred_blendshape": intensity[:, None, None] * own_blendshape,
        }


@torch.inference_mode()
def additive_motion(model: AnimateMe, signal: Floats) -> Floats:
    """(K, V, 3) mm in model space: what the model shows when its network adds nothing (y = 0)."""
    stage = torch.from_numpy(signal).to(model.device)
    nothing = torch.zeros(len(signal), model.head.skin_vertices, 3, device=model.device)
    return model.denoiser.target.absolute(nothing, stage).float().cpu().numpy()


@torch.inference_mode()
def personal_motion(model: AnimateMe, neutral_skin: Floats, signal: Floats) -> Floats:
    """(K, V, 3) mm in model space: the additive model and what it expects of the person, no network.

    neutral_skin (V, 3) in model space. A raw target expects nothing of anybody: no motion.
    """
    target = model.denoiser.target
    if not isinstance(target, AdditiveModel):
        return additive_motion(model, signal)
    stage = torch.from_numpy(signal).to(model.device)
    offset = neutral_skin - model.head.neutral_vertices[: model.head.skin_vertices]
    coefficients = torch.from_numpy(model.identity_solver(offset)).to(model.device)
    y = target.expand(target.expected(stage, coefficients.expand(len(stage), -1)))
    return target.absolute(y, stage).float().cpu().numpy()


def intensity_along(stages: Floats, mixture: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """How strongly stages (N, M) show a mixture (M,), and whether they show it and nothing else."""
    intensity: Floats = (stages @ mixture / (mixture @ mixture)).astype(np.float32)
    rest = np.linalg.norm(stages - intensity[:, None] * mixture, axis=1)
    return intensity, (rest <= ALONG * np.linalg.norm(stages, axis=1)) & (intensity > 0)


def class_mean(cache: FrameCache, label: str) -> Floats:
    """The blendshape (V, 3), mm at intensity 1, that fits the training frames of a label best.

    Least squares of deformation = intensity x blendshape. Raises InputError when no frame shows it.
    """
    intensity, shown = intensity_along(cache.stages, parse_expression(label))
    frames = np.nonzero(shown)[0]
    if not len(frames):
        raise InputError(f"No frame of the corpus shows {label}. Evaluate other labels, or build it again.")
    frames = frames[:: -(-len(frames) // ENOUGH)]
    moment = np.zeros(cache.neutral_offsets.shape[1:], np.float32)
    for start in range(0, len(frames), CHUNK):
        chunk = frames[start : start + CHUNK]
        moment += np.tensordot(intensity[chunk], cache.deformations(chunk), axes=1)
    return moment / np.square(intensity[frames]).sum()


def generic_transfer(head: Head, further: Sequence[Floats] = ()) -> DeformationTransfer:
    """Deformation transfer from the mean person of the generic units, and of ``further`` shapes (V, 3).

    Pinned are the border, what no unit moves, and at least the vertex that moves least.
    """
    skin = head.skin_vertices
    units = head.expression_basis[:, :skin]
    reach = np.linalg.norm(units, axis=2).max(axis=0)
    still = np.nonzero(reach < STILL)[0]
    pinned = np.unique(np.concatenate([still, boundary(head.skin_triangles), [reach.argmin()]]))
    shapes = np.concatenate([units, *(shape[None] for shape in further)])
    return DeformationTransfer(head.neutral_vertices[:skin], head.skin_triangles, shapes, pinned)
