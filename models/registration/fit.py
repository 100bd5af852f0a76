"""Fitting the linear identity model to a surface: pose, scale and a person's coefficients together.

Gauss-Newton on point-to-plane distances to nearest neighbours in position and normal, from both sides, under
the model's Gaussian prior: the statistical half of binding. The surface is given in millimetres, roughly in
place; what is still wrong with its pose and scale is solved for as well.
"""

# The stubs of scipy and fast_simplification know less than they take; arrays read from files are untyped.
# pyright: reportArgumentType=false, reportAssignmentType=false, reportCallIssue=false
# pyright: reportOptionalMemberAccess=false
from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from ..parts import rotation_matrices
from .surface import unit, vertex_normals
from .template import Template

Doubles = NDArray[np.float64]
Longs = NDArray[np.int64]

POINT_SHARE = 0.1
"""Weight of point-to-point beside point-to-plane distances: enough that nothing slides away."""
BACK_SHARE = 0.7
"""Weight of distances from the surface to the template beside those from the template to the surface."""
OPENING_PRIOR = 4.0
OPENING_RANGE = (-0.2, 1.2)
MOST_SIGMAS = 3.5
LANDMARK_SIGMA = 1.5
"""mm by which an artist's landmark may be off."""
BOX_MARGIN = 20.0
"""mm round the template within which the surface is looked at."""


@dataclass(frozen=True)
class Target:
    """Oriented samples of a surface in model space, mm, and landmarks: template vertex -> position."""

    points: Doubles  # (N, 3)
    normals: Doubles  # (N, 3)
    landmarks: dict[int, Doubles] = field(default_factory=dict)


@dataclass(frozen=True)
class Schedule:
    """How a fit proceeds; pairs are first and last value of a geometric ramp."""

    steps: int = 25
    modes: tuple[int, ...] = (15, 40, 100)
    points: int = 2500
    sigma: tuple[float, float] = (6.0, 0.8)  # mm, Geman-McClure
    trust: tuple[float, float] = (30.0, 2000.0)  # effective number of samples set against the prior
    normal_weight: tuple[float, float] = (20.0, 10.0)  # mm per unit of normal in the search of neighbours
    openings: bool = True


SHORT = Schedule(10, (15,), 500, sigma=(6.0, 1.5), trust=(30.0, 400.0), openings=False)


@dataclass(frozen=True)
class Fit:
    """Model space -> the target's frame is ``x -> scale * rotation x + translation``."""

    scale: float
    rotation: Doubles
    translation: Doubles
    coefficients: Doubles  # (I,)
    openings: Doubles  # (3,) closed lids left and right, open jaw, as far as the rest pose holds them
    shape: Doubles  # (Vs, 3) the person, in model space

    def place(self, points: Doubles) -> Doubles:
        """(..., 3) model space -> the target's frame."""
        return self.scale * points @ self.rotation.T + self.translation


def fit_identity(template: Template, target: Target, schedule: Schedule, seed: int = 0) -> Fit:
    """The person of the identity model, and the pose, that explain the target best."""
    random = np.random.default_rng(seed)
    visible = np.flatnonzero(template.weight > 0)
    chosen = visible[random.random(len(visible)) < schedule.points / len(visible)]
    inside = _in_box(target.points, template.vertices[visible])
    picks = np.flatnonzero(inside)
    points, normals = target.points[inside], target.normals[inside]
    fit = _start(template)
    if len(points) < 50:
        return fit
    most = max(schedule.modes)
    basis = np.concatenate([template.modes[:most], template.openings]).transpose(1, 0, 2)
    vertex_normal = template.normals
    asked = random.choice(len(points), min(schedule.points, len(picks)), replace=False)
    tree, tree_weight = None, 0.0
    for step in range(schedule.steps):
        progress = step / max(schedule.steps - 1, 1)
        sigma, trust, normal_weight = (
            _ramp(pair, progress) for pair in (schedule.sigma, schedule.trust, schedule.normal_weight)
        )
        count = schedule.modes[min(int(progress * len(schedule.modes)), len(schedule.modes) - 1)]
        if step % 4 == 0:
            vertex_normal = vertex_normals(fit.shape, template.triangles)
            if tree is None or abs(tree_weight / normal_weight - 1) > 0.1:
                tree, tree_weight = KDTree(np.hstack([points, normal_weight * normals])), normal_weight
        placed, turned = fit.place(fit.shape[visible]), vertex_normal[visible] @ fit.rotation.T
        of = np.searchsorted(visible, chosen)
        _, there = tree.query(np.hstack([placed[of], tree_weight * turned[of]]))
        back = KDTree(np.hstack([placed, tree_weight * turned]))
        _, here = back.query(np.hstack([points[asked], tree_weight * normals[asked]]))
        source = np.concatenate([of, here])
        found = np.concatenate([there, asked])
        share = np.concatenate([np.ones(len(of)), np.full(len(here), BACK_SHARE)])
        gap = placed[source] - points[found]
        distance = np.linalg.norm(gap, axis=1)
        agree = np.einsum("ni,ni->n", turned[source], normals[found])
        weight = share * template.weight[visible[source]] / (1 + (distance / sigma) ** 2) ** 2
        weight *= (agree > 0.5) & (distance < 6 * sigma + 3)
        keep = weight > 1e-4
        pairs = _Pairs(visible[source[keep]], points[found[keep]], normals[found[keep]], weight[keep])
        fit = _improve(template, fit, pairs, basis, count, sigma, trust, schedule.openings, target.landmarks)
    return fit


@dataclass(frozen=True)
class _Pairs:
    vertex: Longs
    points: Doubles
    normals: Doubles
    weight: Doubles


def _improve(
    template: Template,
    fit: Fit,
    pairs: _Pairs,
    basis: Doubles,
    count: int,
    sigma: float,
    trust: float,
    openings: bool,
    landmarks: dict[int, Doubles],
) -> Fit:
    """One Gauss-Newton step in model space: similarity (7), ``count`` modes, three openings."""
    most = basis.shape[1] - 3
    columns = np.r_[np.arange(count), np.arange(most, most + 3)] if openings else np.arange(count)
    to_model = fit.rotation / fit.scale
    prior = np.concatenate([np.zeros(7), np.ones(count), np.full(3 * openings, OPENING_PRIOR)])
    state = np.concatenate([np.zeros(7), fit.coefficients[:count], fit.openings[: 3 * openings]])
    hessian, gradient = np.diag(prior + 1e-9), -prior * state

    def add(vertex: Longs, points: Doubles, normals: Doubles | None, weight: Doubles) -> None:
        nonlocal hessian, gradient
        x = fit.shape[vertex]
        gap = (points - fit.translation) @ to_model - x
        jacobian = np.empty((len(vertex), 3, 7 + len(columns)))
        jacobian[:, :, :3] = np.cross(np.eye(3), x[:, None]).transpose(0, 2, 1)
        jacobian[:, :, 3:6] = np.eye(3)
        jacobian[:, :, 6] = x
        jacobian[:, :, 7:] = basis[vertex][:, columns].transpose(0, 2, 1)
        root = np.sqrt(weight)[:, None, None] * np.eye(3)
        if normals is not None:
            n = normals @ fit.rotation
            sliding = np.sqrt(POINT_SHARE)
            root = root @ (sliding * np.eye(3) + (1 - sliding) * n[:, :, None] * n[:, None, :])
        rows = (root @ jacobian).reshape(-1, jacobian.shape[2])
        hessian = hessian + rows.T @ rows
        gradient = gradient + rows.T @ (root @ gap[:, :, None]).ravel()

    if len(pairs.vertex) > 20:
        scale = trust / (pairs.weight.sum() * sigma**2)
        add(pairs.vertex, pairs.points, pairs.normals, scale * pairs.weight)
    if landmarks:
        where = np.array(list(landmarks))
        places = np.array([landmarks[i] for i in landmarks])
        add(where, places, None, np.full(len(where), 1 / LANDMARK_SIGMA**2))
    step = np.linalg.solve(hessian, gradient)
    turn = rotation_matrices(step[None, :3])[0]
    coefficients = fit.coefficients.copy()
    coefficients[:count] = np.clip(coefficients[:count] + step[7 : 7 + count], -MOST_SIGMAS, MOST_SIGMAS)
    opened = np.clip(fit.openings + step[7 + count :], *OPENING_RANGE) if openings else fit.openings
    return Fit(
        scale=fit.scale * float(np.clip(1 + step[6], 0.8, 1.25)),
        rotation=fit.rotation @ turn,
        translation=fit.translation + fit.scale * fit.rotation @ step[3:6],
        coefficients=coefficients,
        openings=opened,
        shape=_shape(template, coefficients, opened),
    )


def _shape(template: Template, coefficients: Doubles, openings: Doubles) -> Doubles:
    shape = template.vertices + np.tensordot(openings, template.openings, 1)
    used = np.flatnonzero(coefficients)
    return shape + np.tensordot(coefficients[used], template.modes[used], 1)


def _start(template: Template) -> Fit:
    return Fit(1.0, np.eye(3), np.zeros(3), np.zeros(len(template.modes)), np.zeros(3), template.vertices)


def _ramp(pair: tuple[float, float], progress: float) -> float:
    return float(pair[0] * (pair[1] / pair[0]) ** progress)


def _in_box(points: Doubles, vertices: Doubles) -> NDArray[np.bool_]:
    low, high = vertices.min(axis=0) - BOX_MARGIN, vertices.max(axis=0) + BOX_MARGIN
    return ((points > low) & (points < high)).all(axis=1)


@dataclass(frozen=True)
class Score:
    """How well a fit, before any non-rigid registration, explains the narrow face.

    Nonsense can be matched by bending enough, so this is measured while the template is still a person.
    """

    match: float  # share of the narrow face with surface within 3 mm that faces the same way
    angle: float  # degrees, mean angle between normals there
    strangeness: float  # RMS of the leading 40 coefficients: 1 for a typical person

    @property
    def value(self) -> float:
        """One number to rank poses by; 1 is perfect."""
        return self.match - 0.1 * max(0.0, self.strangeness - 1.0) - 0.004 * max(0.0, self.angle - 20.0)


def score(template: Template, target: Target, fit: Fit, within: float = 3.0) -> Score:
    """Measure the fit at every vertex of the narrow face."""
    narrow = np.flatnonzero(template.narrow)
    placed = fit.place(fit.shape)
    normals = vertex_normals(placed, template.triangles)[narrow]
    if not len(target.points):
        return Score(0.0, 90.0, 9.0)
    tree = KDTree(np.hstack([target.points, 10.0 * target.normals]))
    _, nearest = tree.query(np.hstack([placed[narrow], 10.0 * unit(normals)]))
    distance = np.linalg.norm(target.points[nearest] - placed[narrow], axis=1)
    agree = np.einsum("ni,ni->n", normals, target.normals[nearest])
    match = float(((distance < within * fit.scale) & (agree > 0.7)).mean())
    _, closest = KDTree(target.points).query(placed[narrow])
    cosine = np.einsum("ni,ni->n", normals, target.normals[closest])
    angle = float(np.degrees(np.arccos(np.clip(cosine, -1, 1))).mean())
    return Score(match, angle, float(np.sqrt(np.mean(fit.coefficients[:40] ** 2))))
