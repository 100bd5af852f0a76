"""Where the face is: position, turn and scale of a head about which nothing is known.

A head is nearly symmetric, which leaves one angle to search instead of three: candidates put the template's
midplane on a plane of symmetry of the mesh and its nose on points of that plane. When none convinces, turns
between axes and random ones are tried with the nose anywhere.
Candidates are ranked by distance and normals, refined by similarity ICP, and the survivors by short fits of
the identity model, which alone tells a face from its back or its chin from its brow.
"""

# The stubs of scipy and fast_simplification know less than they take; arrays read from files are untyped.
# pyright: reportArgumentType=false, reportAssignmentType=false, reportCallIssue=false
# pyright: reportOptionalMemberAccess=false
# A query of many points returns arrays of indices, whatever the stub of KDTree says.
# pyright: reportIndexIssue=false, reportReturnType=false
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation

from .fit import SHORT, Score, Target, fit_identity, score
from .pose import Pose, Poses, angle_between, similarities
from .surface import Surface
from .symmetry import symmetry_planes
from .template import Template

Doubles = NDArray[np.float64]

SCALES = 1.56 / 1.25 ** np.arange(12)
"""Size of the template's head against the mesh's: from a bust without neck to a bust down to the waist."""
NORMAL_MM = 25.0
"""mm of distance that a normal at right angles counts for."""
KEPT = 0.85
"""Share of the points, the best ones, that a candidate is judged by: hair and clothes may hide the others."""
PER_TURN, FINE, SHORT_LIST = 3, 24, 12
PLANES, RANDOM_TURNS, ROLLED = 3, 100, 2
"""Planes of symmetry and random turns that are tried, and leaders whose quarter turns are."""
CONVINCING = 0.82
"""Score value of a short fit at which the search ends."""
BODY_SHARES = (0.16, 0.21)
"""Height of a head with some neck over that of a body."""
ELONGATED = 1.8
"""Extent over the least one from which an axis may be a body's height or the span of its arms."""
DISTINCT = 20.0
"""degrees between poses that count as two."""

OnTry = Callable[[], None]


@dataclass(frozen=True)
class Found:
    """A pose with what a short fit said about it."""

    pose: Pose
    score: Score


def find_face(template: Template, surface: Surface, samples: int, seed: int, on_try: OnTry) -> list[Found]:
    """Distinct poses of the face on a whole mesh, a head or a body, best first.

    Planes of symmetry come first. On a body a head is small: the ends of its long axes are searched then.
    When nothing convinces, turns of all kinds are tried.
    """

    def search(inside: NDArray[np.bool_]) -> _Search:
        points, normals = surface.samples(samples, surface.outside_triangles & inside, seed)
        return _Search(template, points, normals, seed, on_try)

    whole = search(np.ones(len(surface.triangles), bool))
    best = _by_symmetry(whole, PLANES)
    for end in _ends(surface):
        if _convincing(best):
            return best
        best = distinct(best + _by_symmetry(search(end), 1))
    if _convincing(best):
        return best
    turns = np.concatenate([axis_turns(), Rotation.random(RANDOM_TURNS, random_state=seed).as_matrix()])
    return distinct(best + whole.best(turns, whole.spread(np.ones(samples, bool), 96)))


def _by_symmetry(search: _Search, planes: int) -> list[Found]:
    """Distinct poses with the template's midplane on a plane of symmetry of the samples, best first."""
    found: list[Found] = []
    for plane in symmetry_planes(search.points, search.normals, planes):
        # the nose lies on the plane: places along it can be dense
        along = search.spread(np.abs(plane.distance(search.points)) < 0.08, 40)
        found = distinct(found + search.best(turns_about(plane.normal), along))
        if _convincing(found):
            break
    return found


def _convincing(found: list[Found]) -> bool:
    return bool(found) and found[0].score.value > CONVINCING


def _ends(surface: Surface) -> list[NDArray[np.bool_]]:
    """Masks (T,) of the triangles at the ends of the long axes of a mesh; none when it is compact."""
    middle = surface.vertices[surface.triangles].mean(axis=1)
    _, _, axes = np.linalg.svd(middle - middle.mean(axis=0), full_matrices=False)
    along = (middle - middle.mean(axis=0)) @ axes.T
    extent = np.ptp(along, axis=0)
    ends: list[NDArray[np.bool_]] = []
    for share in BODY_SHARES:
        for axis in np.flatnonzero(extent > ELONGATED * extent.min()):
            reach = share * extent.max()
            ends.append(along[:, axis] > along[:, axis].max() - reach)
            ends.append(along[:, axis] < along[:, axis].min() + reach)
    return [end for end in ends if (end & surface.outside_triangles).sum() > 100]


def axis_turns() -> Doubles:
    """(24, 3, 3) rotations that carry axes to axes."""
    turns = []
    for order, signs in product(permutations(range(3)), product((1.0, -1.0), repeat=3)):
        matrix = np.zeros((3, 3))
        matrix[range(3), order] = signs
        if np.linalg.det(matrix) > 0:
            turns.append(matrix)
    return np.array(turns)


def turns_about(normal: Doubles, steps: int = 24) -> Doubles:
    """(2 * steps, 3, 3) rotations that carry the template's sideways axis X to plus or minus ``normal``."""
    first = np.cross(normal, np.eye(3)[np.abs(normal).argmin()])
    first /= np.linalg.norm(first)
    second = np.cross(normal, first)
    angle = np.arange(steps) * 2 * np.pi / steps
    up = np.cos(angle)[:, None] * first + np.sin(angle)[:, None] * second
    turns = []
    for sideways in (normal, -normal):
        x = np.broadcast_to(sideways, up.shape)
        turns.append(np.stack([x, up, np.cross(x, up)], axis=2))
    return np.concatenate(turns)


def distinct(found: list[Found]) -> list[Found]:
    """Best first; of poses that differ by less than 20 degrees only the best."""
    kept: list[Found] = []
    for candidate in sorted(found, key=lambda f: -f.score.value):
        turns = [angle_between(candidate.pose.rotation, other.pose.rotation) for other in kept]
        if min(turns, default=180.0) > DISTINCT:
            kept.append(candidate)
    return kept


class _Search:
    def __init__(
        self, template: Template, points: Doubles, normals: Doubles, seed: int, on_try: OnTry
    ) -> None:
        self.on_try = on_try
        random = np.random.default_rng(seed)
        self.template = template
        self.centre = points.mean(axis=0)
        self.size = float(np.sqrt(np.mean(np.sum((points - self.centre) ** 2, axis=1))))
        self.points, self.normals = (points - self.centre) / self.size, normals
        self.tree = KDTree(self.points)
        self.seed = seed
        visible = template.vertices[template.outside]
        self.radius = float(np.sqrt(np.mean(np.sum((visible - visible.mean(axis=0)) ** 2, axis=1))))
        self.narrow = random.permutation(np.flatnonzero(template.narrow & (template.weight > 0)))
        self.nose = int(np.argmax(np.where(template.outside, template.vertices[:, 2], -np.inf)))

    def spread(self, inside: NDArray[np.bool_], count: int) -> NDArray[np.int64]:
        """Indices of so many samples, spread evenly over those ``inside``: the farthest-point sample."""
        some = np.flatnonzero(inside)
        if not len(some):
            return some
        chosen = [0]
        distance = np.full(len(some), np.inf)
        for _ in range(min(count, len(some)) - 1):
            last = self.points[some[chosen[-1]]]
            distance = np.minimum(distance, np.sum((self.points[some] - last) ** 2, axis=1))
            chosen.append(int(distance.argmax()))
        return some[chosen]

    def best(self, turns: Doubles, anchors: NDArray[np.int64]) -> list[Found]:
        """The distinct best poses with these turns (R, 3, 3), the nose on these samples (A,)."""
        poses, turn = self._candidates(turns, anchors)
        if not len(turn):
            return []
        for count, keep in ((16, 24), (48, PER_TURN)):
            # of every turn the best: by distance alone an upside-down face often looks better than a face
            chosen = _best_of_each(turn, self._cost(poses, count), keep)
            poses, turn = poses[chosen], turn[chosen]
        poses = self._icp(poses, 120, 8)
        poses = self._icp(self._distinct(poses, 240, FINE), 240, 12)
        poses = self._distinct(poses, 480, SHORT_LIST)
        target = self._short_fits(poses)
        leaders = sorted(target, key=lambda f: -f.score.value)[:ROLLED]
        rolls = [self._rolled(leader.pose, quarter) for leader in leaders for quarter in (1, 2, 3)]
        if rolls:
            stacked = Poses(
                np.array([p.scale for p in rolls]),
                np.stack([p.rotation for p in rolls]),
                np.stack([p.translation for p in rolls]),
            )
            target += self._short_fits(self._icp(stacked, 120, 8))
        unscaled = [
            Found(
                Pose(f.pose.scale * self.size, f.pose.rotation, f.pose.translation * self.size + self.centre),
                f.score,
            )
            for f in target
        ]
        return distinct(unscaled)

    def _candidates(self, turns: Doubles, anchors: NDArray[np.int64]) -> tuple[Poses, NDArray[np.int64]]:
        """Poses, and for each the index of its turn."""
        facing = np.einsum("ri,ai->ra", turns[:, :, 2], self.normals[anchors]) > 0.3
        turn, anchor = np.nonzero(facing)
        scale = np.tile(SCALES / self.radius, len(turn))
        turn, anchor = (np.repeat(index, len(SCALES)) for index in (turn, anchor))
        rotation = turns[turn]
        nose = scale[:, None] * (rotation @ self.template.vertices[self.nose])
        return Poses(scale, rotation, self.points[anchors][anchor] - nose), turn

    def _matched(self, poses: Poses, count: int) -> tuple[Doubles, NDArray[np.int64], Doubles]:
        """Placed points (B, N, 3), their nearest samples (B, N), and cost in mm (B, N)."""
        some = self.narrow[:count]
        placed = poses.place(self.template.vertices[some])
        distance, nearest = self.tree.query(placed)
        turned = np.einsum("bij,nj->bni", poses.rotation, self.template.normals[some])
        agree = np.einsum("bni,bni->bn", turned, self.normals[nearest])
        cost = distance / poses.scale[:, None] + NORMAL_MM * (1.0 - agree)
        return placed, nearest, cost

    def _cost(self, poses: Poses, count: int) -> Doubles:
        _, _, cost = self._matched(poses, count)
        keep = int(KEPT * cost.shape[1])
        return np.partition(cost, keep, axis=1)[:, :keep].mean(axis=1)

    def _icp(self, poses: Poses, count: int, steps: int) -> Poses:
        source = self.template.vertices[self.narrow[:count]]
        for _ in range(steps):
            _, nearest, cost = self._matched(poses, count)
            limit = np.quantile(cost, KEPT, axis=1, keepdims=True)
            weight = (cost <= limit).astype(np.float64)
            weight /= weight.sum(axis=1, keepdims=True)
            poses = similarities(source, self.points[nearest], weight, poses.scale)
        return poses

    def _distinct(self, poses: Poses, count: int, most: int) -> Poses:
        kept: list[int] = []
        for index in np.argsort(self._cost(poses, count)):
            alike = [
                angle_between(poses.rotation[index], poses.rotation[k]) < DISTINCT
                and 0.8 < poses.scale[index] / poses.scale[k] < 1.25
                for k in kept
            ]
            if not any(alike):
                kept.append(int(index))
            if len(kept) == most:
                break
        return poses[np.array(kept, dtype=np.int64)]

    def _short_fits(self, poses: Poses) -> list[Found]:
        return [self._short_fit(poses.one(index)) for index in range(len(poses.scale))]

    def _short_fit(self, pose: Pose) -> Found:
        self.on_try()
        target = Target(pose.to_model(self.points), self.normals @ pose.rotation)
        fit = fit_identity(self.template, target, SHORT, self.seed)
        # samples are sparse here: within 8 mm instead of 3
        return Found(pose.refined(fit), score(self.template, target, fit, within=8.0))

    def _rolled(self, pose: Pose, quarter: int) -> Pose:
        """The face turned in its own plane about its middle."""
        middle = self.template.vertices[self.narrow].mean(axis=0)
        rotation = pose.rotation @ Rotation.from_euler("z", 90 * quarter, degrees=True).as_matrix()
        shift = pose.scale * (pose.rotation - rotation) @ middle
        return Pose(pose.scale, rotation, pose.translation + shift)


def _best_of_each(group: NDArray[np.int64], cost: Doubles, keep: int) -> NDArray[np.int64]:
    """Indices of the ``keep`` cheapest members of every group."""
    order = np.lexsort((cost, group))
    first = np.searchsorted(group[order], group[order])
    return order[np.arange(len(order)) - first < keep]
