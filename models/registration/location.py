"""Where the face is on a mesh, who it is, and how sure that is: the first half of binding.

What the search of poses likes best is fitted with the whole identity model; when that does not convince, the
runners-up are too, and the best explanation wins. Landmarks, when the artist set some, outrank the search.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..alignment import similarity_to
from ..errors import InputError
from .diagnosis import DOUBTFUL, certainty
from .fit import Fit, Schedule, Score, Target, fit_identity, score
from .pose import Pose
from .search import find_face
from .surface import Surface
from .template import LANDMARKS, Template

Doubles = NDArray[np.float64]

POSE_SAMPLES, FIT_SAMPLES = 4000, 20_000
MARGIN = 20.0
"""mm round the template's box within which the mesh is sampled: a body must not take the samples."""
TRIED = 3
"""Poses that are fitted with the whole identity model before the best is taken."""
ENOUGH_LANDMARKS = 3
"""From so many landmarks the pose is known without a search."""
LANDMARK_REACH = 40.0
"""mm from a landmark beyond which a pose that was found is not the face the artist means."""


@dataclass(frozen=True)
class Location:
    """A face on a mesh."""

    start: Pose  # the pose in which the fit was made
    target: Target  # samples of the mesh in model space of that pose, mm
    fit: Fit
    score: Score
    value: float  # 0..1, what the search of poses thought

    @property
    def pose(self) -> Pose:
        """The pose after the fit."""
        return self.start.refined(self.fit)

    @property
    def certainty(self) -> float:
        """0..1 that this is a face, in its place."""
        return certainty(self.score, self.value)


def locate(
    template: Template, surface: Surface, marks: Mapping[str, Doubles], seed: int, on_try: Callable[[], None]
) -> Location:
    """The face on a surface; marks: landmarks, name -> (3,) in the surface's own space. Raises InputError."""
    best: Location | None = None
    for pose, value in _poses(template, surface, marks, seed, on_try):
        on_try()
        target = sampled(template, surface, pose, marks, FIT_SAMPLES, seed)
        fit = fit_identity(template, target, Schedule(), seed)
        found = Location(pose, target, fit, score(template, target, fit), value)
        if best is None or found.certainty > best.certainty:
            best = found
        if best.certainty >= DOUBTFUL:
            break
    if best is None:
        raise InputError("This mesh has too little surface for a face: choose the head's own mesh.")
    return best


def read_landmarks(landmarks: Mapping[str, NDArray[np.floating]]) -> dict[str, Doubles]:
    """Landmarks checked: their names are known and their places (3,) finite. Raises InputError."""
    if unknown := sorted(landmarks.keys() - LANDMARKS.keys()):
        raise InputError(
            f"There is no landmark called {', '.join(unknown)}: the landmarks are {', '.join(LANDMARKS)}."
        )
    marks = {name: np.asarray(place, np.float64) for name, place in landmarks.items()}
    for name, place in marks.items():
        if place.shape != (3,) or not np.isfinite(place).all():
            raise InputError(f"The landmark {name} has no place on the mesh: set it again.")
    return marks


def sampled(
    template: Template, surface: Surface, pose: Pose, marks: Mapping[str, Doubles], count: int, seed: int
) -> Target:
    """So many samples of what is seen of a surface round the template in its pose, and the landmarks."""
    placed = surface.moved(pose.to_model(surface.vertices), pose.rotation.T)
    low, high = template.vertices.min(axis=0) - MARGIN, template.vertices.max(axis=0) + MARGIN
    middle = placed.vertices[placed.triangles].mean(axis=1)
    near = ((middle > low) & (middle < high)).all(axis=1)
    points, normals = placed.samples(count, placed.outside_triangles & near, seed)
    return Target(
        points, normals, {template.landmarks[name]: pose.to_model(place) for name, place in marks.items()}
    )


def _poses(
    template: Template, surface: Surface, marks: Mapping[str, Doubles], seed: int, on_try: Callable[[], None]
) -> list[tuple[Pose, float]]:
    """Poses to fit, best first, with the value of each: from enough landmarks, else by searching."""
    if len(marks) >= ENOUGH_LANDMARKS:
        return [(_from_landmarks(template, marks), 1.0)]
    found = find_face(template, surface, POSE_SAMPLES, seed, on_try)
    poses = [(f.pose, f.score.value) for f in found]
    near = [(pose, value) for pose, value in poses if _misses(template, pose, marks) < LANDMARK_REACH]
    return (near or poses)[:TRIED]


def _misses(template: Template, pose: Pose, marks: Mapping[str, Doubles]) -> float:
    """mm from the farthest landmark to its vertex of the template."""
    gaps = [pose.to_model(place) - template.vertices[template.landmarks[n]] for n, place in marks.items()]
    return max((float(np.linalg.norm(gap)) for gap in gaps), default=0.0)


def _from_landmarks(template: Template, marks: Mapping[str, Doubles]) -> Pose:
    model = template.vertices[[template.landmarks[name] for name in marks]].astype(np.float32)
    try:
        similarity = similarity_to(model, np.array(list(marks.values()), np.float32))
    except InputError as error:
        raise InputError(
            "The landmarks lie in one point or on one line, which does not tell how the face is turned: "
            "set eye corners, mouth corners and chin."
        ) from error
    rotation = similarity.rotation.astype(np.float64).T
    shift = -rotation @ similarity.translation.astype(np.float64) / similarity.scale
    return Pose(1.0 / similarity.scale, rotation, shift)
