"""Binding: any head, in any topology, units and axes, to the Dimple head's, so that every model works on it.

Pose, identity fit, non-rigid registration, correspondence, rules of motion: one module each, in this order.
Binding happens once per head; its result is a file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .alignment import similarity_to
from .errors import InputError
from .head import Head
from .registration.attachment import attach, attachment_of
from .registration.companions import classify
from .registration.diagnosis import diagnose
from .registration.eyes import Eyes
from .registration.fit import Fit
from .registration.location import locate, read_landmarks, sampled
from .registration.nonrigid import register
from .registration.pose import Pose
from .registration.surface import read_surface
from .registration.symmetric import make_symmetric
from .registration.template import template_of
from .registration.transfer import Attachment, HeadMotion

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int32]
OnStep = Callable[[int, int], None]

STEPS, FOUND, BENT = 30, 14, 28
"""Steps that progress is told in; those at which the face is found, and the head bent onto it."""
BEND_SAMPLES = 60_000


@dataclass(frozen=True)
class Binding:
    """What ties an artist's mesh of V vertices to the head of a checkpoint."""

    head: Head = field(repr=False)
    pose: Pose  # model space -> the artist's own space
    fitted_vertices: Floats  # (Vhead, 3) the Dimple head bent onto the artist's, in the artist's own space
    identity: Floats  # (100,) coefficients of the linear identity model
    confidence: Floats  # (V,) 0..1, how sure the place of each vertex is
    attachment: Attachment
    companions: Mapping[str, Attachment]
    score: float  # 0..1
    sentence: str  # what looks wrong, for the artist; empty when nothing does

    @property
    def triangle(self) -> Ints:
        """(V,) triangle of the head's skin on which each vertex lies."""
        return self.attachment.triangle

    @property
    def barycentric(self) -> Floats:
        """(V, 3) where on that triangle."""
        return self.attachment.barycentric

    @property
    def rule(self) -> NDArray[np.int8]:
        """(V,) of ``registration.transfer.Rule``."""
        return self.attachment.rule

    @cached_property
    def neutral_vertices(self) -> Floats:
        """(Vhead, 3) the fitted head in model space, mm: what the models animate."""
        return self.pose.to_model(self.fitted_vertices.astype(np.float64)).astype(np.float32)

    def transfer(
        self, deformation: Floats, expression_signal: Floats, *, keep_contact: bool = True
    ) -> Floats:
        """Deformation (K, V, 3) in the artist's units and axes from one of the fitted head in model space.

        deformation (K, Vhead or skin, 3) mm, expression_signal (K, 57). Zero gives zero. ``keep_contact``
        parts lips and lids that would cross where the rest pose does not, and keeps lids outside of the eyes.
        """
        return self.transfer_all(deformation, expression_signal, keep_contact=keep_contact)[""]

    def transfer_all(
        self, deformation: Floats, expression_signal: Floats, *, keep_contact: bool = True
    ) -> dict[str, Floats]:
        """``transfer`` for the mesh itself, under the name "", and for every companion under its own."""
        motion = self._motion(deformation, expression_signal, keep_contact)
        meshes = self._meshes
        moved = {
            name: mesh.move(self.head.skin_triangles, self.pose, motion) for name, mesh in meshes.items()
        }
        if keep_contact:
            turn = self.pose.rotation
            rest = {name: mesh.vertices for name, mesh in meshes.items()}
            self._eyes.clear(moved, rest, [turn @ eye @ turn.T for eye in motion.eyes])
        return moved

    @property
    def _meshes(self) -> dict[str, Attachment]:
        return {"": self.attachment, **self.companions}

    @cached_property
    def _eyes(self) -> Eyes:
        return Eyes(self._meshes)

    @cached_property
    def _motion(self) -> HeadMotion:
        worn = self.attachment.worn(self.head.skin_triangles, self.head.skin_vertices, self.pose)
        return HeadMotion(self.head, self.neutral_vertices, worn)

    def with_companion(self, name: str, vertices: Floats, faces: Ints) -> Self:
        """This binding with one more object that follows the face: eyes, teeth, tongue, lashes, brows, hair.

        vertices (N, 3) in the artist's own space, faces (F, 3) or (F, 4). Raises InputError.
        """
        surface = read_surface(vertices, faces, fewest=1)
        moved = surface.moved(self.pose.to_model(surface.vertices), self.pose.rotation.T)
        template = template_of(self.head)
        islands = np.unique(moved.island[moved.used])
        found = classify(template, self.neutral_vertices.astype(np.float64), moved, islands)
        attachment = attachment_of(surface.vertices, found, np.zeros((0, 2), np.int32), self.pose)
        return replace(self, companions={**self.companions, name: attachment})

    def save(self, path: Path) -> None:
        """Write everything but the head into one npz file."""
        arrays: dict[str, Any] = {
            "fingerprint": np.array(self.head.config.get("fingerprint", "")),
            "scale": np.array(self.pose.scale),
            "rotation": self.pose.rotation,
            "translation": self.pose.translation,
            "fitted_vertices": self.fitted_vertices,
            "identity": self.identity,
            "confidence": self.confidence,
            "score": np.array(self.score),
            "sentence": np.array(self.sentence),
            "companion_names": np.array(list(self.companions), dtype=np.str_),
            **self.attachment.arrays(),
        }
        for index, companion in enumerate(self.companions.values()):
            arrays |= {f"companion_{index}_{key}": value for key, value in companion.arrays().items()}
        with path.open("wb") as file:
            np.savez_compressed(file, **arrays)

    @classmethod
    def load(cls, path: Path, head: Head) -> Self:
        """The inverse of ``save``. Raises InputError for a damaged file or one made with another head."""
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = dict(file)
            if str(arrays["fingerprint"]) != head.config.get("fingerprint", ""):
                raise InputError(f"{path.name} was made with another checkpoint: bind the head again.")
            companions = {}
            for index, name in enumerate(arrays["companion_names"]):
                start = f"companion_{index}_"
                own = {k.removeprefix(start): v for k, v in arrays.items() if k.startswith(start)}
                companions[str(name)] = Attachment.from_arrays(own)
            return cls(
                head=head,
                pose=Pose(float(arrays["scale"]), arrays["rotation"], arrays["translation"]),
                fitted_vertices=arrays["fitted_vertices"],
                identity=arrays["identity"],
                confidence=arrays["confidence"],
                attachment=Attachment.from_arrays(arrays),
                companions=companions,
                score=float(arrays["score"]),
                sentence=str(arrays["sentence"]),
            )
        except (OSError, KeyError, EOFError) as error:
            raise InputError(f"{path.name} is no binding that can be read: bind the head again.") from error
        except ValueError as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path.name} is no binding that can be read: bind the head again.") from error


def bind(
    head: Head,
    vertices: Floats,
    faces: Ints,
    *,
    landmarks: Mapping[str, NDArray[np.floating]] | None = None,
    on_step: OnStep | None = None,
    seed: int = 0,
) -> Binding:
    """Bind a mesh, vertices (V, 3) in any units and axes and faces (F, 3) or (F, 4), to the head.

    landmarks: positions in the mesh's own space by the names of ``registration.template.LANDMARKS``; three
    or more also settle where the face is, and a mesh that shows no face then is doubted but not refused.
    ``on_step`` hears (done, of so many) several times a second; what it raises ends the binding. Same input
    and seed, same binding. Raises InputError when the mesh cannot be used or shows no face; what is doubtful
    is said by ``sentence``.
    """
    progress = _Progress(on_step)
    progress(0)
    template = template_of(head)
    marks = read_landmarks(landmarks or {})
    surface = read_surface(vertices, faces)
    progress(1)
    found = locate(template, surface, marks, seed, lambda: progress(min(progress.step + 1, FOUND - 1)))
    verdict = diagnose(template, found.target, found.fit, found.certainty, placed_by_hand=len(marks) > 2)
    progress(FOUND)

    target = sampled(template, surface, found.pose, marks, BEND_SAMPLES, seed)
    fitted = register(
        template, found.fit.shape, target, on_round=lambda: progress(min(progress.step + 1, BENT - 1))
    )
    pose, fitted = make_symmetric(template, surface, found.pose, fitted)
    progress(BENT)

    whole = _with_parts(head, found.fit, fitted)
    attachment, confidence = attach(template, whole, surface, pose)
    progress(STEPS)
    return Binding(
        head=head,
        pose=pose,
        fitted_vertices=pose.from_model(whole).astype(np.float32),
        identity=found.fit.coefficients.astype(np.float32),
        confidence=confidence,
        attachment=attachment,
        companions={},
        score=verdict.certainty,
        sentence=verdict.sentence,
    )


class _Progress:
    """Tells how far binding is; what the listener raises ends it."""

    def __init__(self, on_step: OnStep | None) -> None:
        self.on_step, self.step = on_step, 0

    def __call__(self, step: int) -> None:
        self.step = step
        if self.on_step is not None:
            self.on_step(step, STEPS)


def _with_parts(head: Head, fit: Fit, fitted: Doubles) -> Doubles:
    """(Vhead, 3) the fitted skin with the person's eyes, teeth and tongue put where the skin has gone."""
    skin = head.skin_vertices
    person = head.neutral_vertices + np.tensordot(fit.coefficients.astype(np.float32), head.identity_basis, 1)
    whole = np.concatenate([fitted, person[skin:].astype(np.float64)])
    anchors = {"eye_left": head.eye_rings[0], "eye_right": head.eye_rings[1]}
    for name, (start, end) in head.parts.items():
        ring = np.unique(anchors.get(name, head.mouth_rings))
        moved = similarity_to(fitted[ring].astype(np.float32), person[ring])
        whole[start:end] = moved.apply(person[start:end])
    return whole
