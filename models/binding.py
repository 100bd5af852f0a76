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
from scipy.spatial import KDTree

from .alignment import similarity_to
from .binding_companions import Companions, classify, place_inner
from .binding_correspondence import correspond
from .binding_diagnosis import diagnose
from .binding_fit import Fit, Schedule, Target, fit_identity, score
from .binding_pose import Pose, find_face
from .binding_registration import register
from .binding_surface import Surface, read_surface
from .binding_symmetric import make_symmetric
from .binding_template import LANDMARKS, Template, template_of
from .binding_transfer import Attachment, HeadMotion, Rule
from .errors import InputError
from .head import Head

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int32]
OnStep = Callable[[int, int], None]

STEPS = 5
POSE_SAMPLES, FIT_SAMPLES, BEND_SAMPLES = 4000, 20_000, 60_000
MARGIN = 20.0
"""mm round the template's box within which the mesh is sampled: a body must not take the samples."""
BELIEVED = 0.3
"""Confidence from which a vertex takes the motion of its own place."""
FACING = 0.2
"""Cosine between normals up to which a match is taken for an inner surface."""
FILL_REACH = 80.0
"""mm from the nearest matched vertex within which motion is filled in."""


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
        """(V,) of ``binding_transfer.Rule``."""
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
        parts lips and lids that would cross where the rest pose does not.
        """
        return self.transfer_all(deformation, expression_signal, keep_contact=keep_contact)[""]

    def transfer_all(
        self, deformation: Floats, expression_signal: Floats, *, keep_contact: bool = True
    ) -> dict[str, Floats]:
        """``transfer`` for the mesh itself, under the name "", and for every companion under its own."""
        motion = self._motion(deformation, expression_signal, keep_contact)
        meshes = {"": self.attachment, **self.companions}
        return {name: mesh.move(self.head.skin_triangles, self.pose, motion) for name, mesh in meshes.items()}

    @cached_property
    def _motion(self) -> HeadMotion:
        return HeadMotion(self.head, self.neutral_vertices)

    def with_companion(self, name: str, vertices: Floats, faces: Ints) -> Self:
        """This binding with one more object that follows the face: eyes, teeth, tongue, lashes, brows, hair.

        vertices (N, 3) in the artist's own space, faces (F, 3) or (F, 4). Raises InputError.
        """
        surface = read_surface(vertices, faces, fewest=1)
        moved = surface.moved(self.pose.to_model(surface.vertices), self.pose.rotation.T)
        template = template_of(self.head)
        islands = np.unique(moved.island[moved.used])
        found = classify(template, self.neutral_vertices.astype(np.float64), moved, islands)
        attachment = _attachment(surface.vertices, found, np.zeros((0, 2), np.int32), self.pose)
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

    landmarks: positions in the mesh's own space by the names of ``binding_template.LANDMARKS``; three or more
    also settle where the face is. Same input and seed, same binding. Raises InputError when the mesh cannot
    be used or shows no face; what is doubtful is said by ``sentence``.
    """
    report = on_step or _silent
    report(0, STEPS)
    template = template_of(head)
    surface = read_surface(vertices, faces)
    marks = _landmarks(landmarks or {})
    report(1, STEPS)
    pose, pose_value = _pose(template, surface, marks, seed, lambda: report(1, STEPS))
    report(2, STEPS)

    placed = _placed(surface, pose)
    target = _target(template, placed, pose, marks, FIT_SAMPLES, seed)
    fit = fit_identity(template, target, Schedule(), seed)
    verdict = diagnose(template, target, fit, score(template, target, fit), pose_value)
    report(3, STEPS)

    pose = pose.refined(fit)
    person = fit.shape
    placed = _placed(surface, pose)
    target = _target(template, placed, pose, marks, BEND_SAMPLES, seed)
    fitted = register(template, person, target)
    pose, fitted = make_symmetric(template, surface, pose, fitted)
    report(4, STEPS)

    whole = _with_parts(head, fit, fitted)
    attachment, confidence = attach(template, whole, surface, pose)
    report(5, STEPS)
    return Binding(
        head=head,
        pose=pose,
        fitted_vertices=pose.from_model(whole).astype(np.float32),
        identity=fit.coefficients.astype(np.float32),
        confidence=confidence,
        attachment=attachment,
        companions={},
        score=verdict.certainty,
        sentence=verdict.sentence,
    )


def _silent(step: int, steps: int) -> None:
    del step, steps


def _landmarks(landmarks: Mapping[str, NDArray[np.floating]]) -> dict[str, Doubles]:
    if unknown := sorted(landmarks.keys() - LANDMARKS.keys()):
        raise InputError(
            f"There is no landmark called {', '.join(unknown)}: the landmarks are {', '.join(LANDMARKS)}."
        )
    marks = {name: np.asarray(place, np.float64) for name, place in landmarks.items()}
    for name, place in marks.items():
        if place.shape != (3,) or not np.isfinite(place).all():
            raise InputError(f"The landmark {name} has no place on the mesh: set it again.")
    return marks


def _pose(
    template: Template, surface: Surface, marks: dict[str, Doubles], seed: int, on_try: Callable[[], None]
) -> tuple[Pose, float]:
    """Where the face is, and how sure that is: from three landmarks, else by searching."""
    if len(marks) < 3:
        return find_face(template, surface, POSE_SAMPLES, seed, on_try)
    model = template.vertices[[template.landmarks[name] for name in marks]].astype(np.float32)
    similarity = similarity_to(model, np.array(list(marks.values()), np.float32))
    rotation = similarity.rotation.astype(np.float64).T
    shift = -rotation @ similarity.translation.astype(np.float64) / similarity.scale
    return Pose(1.0 / similarity.scale, rotation, shift), 1.0


def _placed(surface: Surface, pose: Pose) -> Surface:
    """The artist's surface in model space, mm."""
    return surface.moved(pose.to_model(surface.vertices), pose.rotation.T)


def _target(
    template: Template, placed: Surface, pose: Pose, marks: dict[str, Doubles], count: int, seed: int
) -> Target:
    low, high = template.vertices.min(axis=0) - MARGIN, template.vertices.max(axis=0) + MARGIN
    middle = placed.vertices[placed.triangles].mean(axis=1)
    near = ((middle > low) & (middle < high)).all(axis=1)
    points, normals = placed.samples(count, placed.outside_triangles & near, seed)
    return Target(
        points, normals, {template.landmarks[name]: pose.to_model(place) for name, place in marks.items()}
    )


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


def attach(template: Template, whole: Doubles, surface: Surface, pose: Pose) -> tuple[Attachment, Floats]:
    """The rule of every vertex of a surface, and confidence (V,), for a fitted head in its pose.

    whole (Vhead, 3) in model space, mm: the head where the surface is.
    """
    placed = _placed(surface, pose)
    fitted = whole[: template.head.skin_vertices]
    match = correspond(template, fitted, placed)
    believed = match.confidence > BELIEVED
    counts = np.bincount(placed.island[believed], minlength=placed.island.max() + 1)
    sizes = np.bincount(placed.island[placed.used], minlength=placed.island.max() + 1)
    # skin is the island that most matches are on, and what continues it; eyeballs match nothing but lids
    skin_islands = (counts == counts.max()) | ((counts > 0.5 * sizes) & (counts > 0.1 * counts.max()))
    other = np.setdiff1d(np.unique(placed.island[placed.used]), np.flatnonzero(skin_islands))
    found = classify(template, whole, placed, other)

    on_skin = skin_islands[placed.island] & placed.used
    found.rule[on_skin & believed] = Rule.SKIN
    own = on_skin & believed
    found.triangle[own], found.barycentric[own] = match.triangle[own], match.barycentric[own]
    found.weight[own] = 1.0
    inner = on_skin & ~believed & (~placed.outside | (match.agreement <= FACING))
    place_inner(template, fitted, placed, np.flatnonzero(inner), found)
    unknown = on_skin & (found.rule == Rule.STILL)
    edges = _fill(placed, unknown, found)
    return _attachment(surface.vertices, found, edges, pose), match.confidence.astype(np.float32)


def _fill(placed: Surface, unknown: NDArray[np.bool_], found: Companions) -> Ints:
    """Fill unknown skin in from its neighbours unless it is far from all matches; (E, 2) edges it needs."""
    known = np.flatnonzero(np.isin(found.rule, (Rule.SKIN, Rule.INNER)))
    vertices = np.flatnonzero(unknown)
    if not len(known) or not len(vertices):
        return np.zeros((0, 2), np.int32)
    distance, _ = KDTree(placed.vertices[known]).query(
        placed.vertices[vertices], distance_upper_bound=FILL_REACH
    )
    found.rule[vertices[np.isfinite(distance)]] = Rule.FILL
    rows = np.repeat(np.arange(len(placed.vertices)), np.diff(placed.adjacency.indptr))
    columns = placed.adjacency.indices
    filled = found.rule == Rule.FILL
    keep = (rows < columns) & (filled[rows] | filled[columns])
    return np.stack([rows[keep], columns[keep]], axis=1).astype(np.int32)


def _attachment(vertices: Doubles, found: Companions, edges: Ints, pose: Pose) -> Attachment:
    return Attachment(
        vertices=vertices.astype(np.float32),
        rule=found.rule,
        triangle=found.triangle,
        barycentric=found.barycentric.astype(np.float32),
        weight=found.weight.astype(np.float32),
        pivots=pose.from_model(found.pivots).astype(np.float32),
        mm_per_unit=np.array(1.0 / pose.scale, np.float32),
        edges=edges,
    )
