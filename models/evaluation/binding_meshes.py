"""Meshes to judge binding by: people in other topologies with known truth, bodies, things without a face."""

# The stubs of scipy and fast_simplification know less than they take; arrays read from files are untyped.
# pyright: reportArgumentType=false, reportAssignmentType=false, reportCallIssue=false
# pyright: reportOptionalMemberAccess=false
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import fast_simplification
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.spatial import ConvexHull
from scipy.spatial.transform import Rotation

from ..corpus.ict import ICT, SKIN_VERTICES
from ..corpus.people import MAX_COEFFICIENT
from ..registration.correspondence import nearest_on
from ..registration.surface import triangulated, vertex_normals

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int32]


@dataclass(frozen=True)
class Layout:
    """A topology laid over ICT's mesh: ``carry`` (N, 26719) makes its vertices from ICT's."""

    name: str
    carry: sp.csr_matrix
    triangles: Ints
    skin: NDArray[np.bool_]  # (N,) belongs to the skin, sockets and mouth included


def layouts(ict: ICT) -> list[Layout]:
    """ICT's own mesh with all parts; its skin decimated to 3,000 vertices; and subdivided, then decimated."""
    triangles = triangulated(ict.faces)
    count = len(ict.neutral)
    own = Layout("own", sp.identity(count, format="csr"), triangles, np.arange(count) < SKIN_VERTICES)
    skin = triangles[(triangles < SKIN_VERTICES).all(axis=1)]
    points = ict.neutral[:SKIN_VERTICES]
    few, coarse = fast_simplification.simplify(points, skin, target_count=6000)
    finer, fine = subdivided(points.astype(np.float64), skin)
    many, remeshed = fast_simplification.simplify(finer.astype(np.float32), fine, target_count=20_000)
    return [own, _laid("decimated", few, coarse, ict, skin), _laid("remeshed", many, remeshed, ict, skin)]


def _laid(name: str, vertices: Floats, triangles: Ints, ict: ICT, skin: Ints) -> Layout:
    base = ict.neutral[:SKIN_VERTICES].astype(np.float64)
    points = vertices.astype(np.float64)
    triangle, weight, _, _ = nearest_on(
        base, vertex_normals(base, skin), skin, points, vertex_normals(points, triangles), 3.0
    )
    starts = np.arange(0, 3 * len(points) + 1, 3)
    content = (weight.ravel(), skin[triangle].ravel(), starts)
    carry = sp.csr_matrix(content, shape=(len(points), len(ict.neutral)))
    return Layout(name, carry, triangles.astype(np.int32), np.ones(len(points), bool))


def person(ict: ICT, seed: int) -> Floats:
    """(26719, 3) the rest face of somebody, mm."""
    drawn = np.random.default_rng(seed).standard_normal(len(ict.identities))
    coefficients = np.clip(drawn, -MAX_COEFFICIENT, MAX_COEFFICIENT).astype(np.float32)
    return ict.neutral + np.tensordot(coefficients, ict.identities, 1)


def warped(vertices: Floats, seed: int, rms: float) -> Floats:
    """The vertices (V, 3) moved by so many mm RMS by a smooth random field outside the identity model."""
    random = np.random.default_rng(seed)
    frequency, phase = random.normal(size=(12, 3)) / 60.0, random.uniform(0, 2 * np.pi, 12)
    field = np.sin(vertices @ frequency.T + phase) @ random.normal(size=(12, 3))
    return (vertices + field * rms / np.sqrt(np.square(field).sum(axis=1).mean())).astype(np.float32)


def subdivided(vertices: Doubles, triangles: Ints) -> tuple[Doubles, Ints]:
    """Every triangle split into four at the middles of its edges."""
    edges = np.sort(
        np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), axis=1
    )
    unique, index = np.unique(edges, axis=0, return_inverse=True)
    middle = len(vertices) + index.reshape(3, -1).T
    a, b, c = triangles.T
    ab, bc, ca = middle.T
    quarters = [np.stack(t, axis=1) for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))]
    points = np.concatenate([vertices, vertices[unique].mean(axis=1)])
    return points, np.concatenate(quarters).astype(np.int32)


@dataclass(frozen=True)
class Disguise:
    """A mesh put somewhere: ``rotation`` and ``scale`` are the truth to find."""

    name: str
    vertices: Floats
    triangles: Ints
    rotation: Doubles
    scale: float


def disguises(vertices: Floats, triangles: Ints, seed: int) -> Iterator[Disguise]:
    """A head upright, Z up, at random, mirrored, turned inside out, with noise, each in units of its own."""
    random = np.random.default_rng(seed)
    upright, z_up = np.eye(3), Rotation.from_euler("x", 90, degrees=True).as_matrix()
    anyhow = Rotation.random(random_state=seed).as_matrix()
    mirrored = vertices * np.array([-1, 1, 1], np.float32)
    millimetre = np.ptp(vertices, axis=0).max() / 300  # a head with its neck, in whatever units
    noisy = vertices + random.normal(0, millimetre / 3**0.5, vertices.shape).astype(np.float32)
    for name, points, faces, turn in (
        ("upright", vertices, triangles, upright),
        ("Z up", vertices, triangles, z_up),
        ("random", vertices, triangles, anyhow),
        ("mirrored", mirrored, triangles, anyhow),
        ("inside out", vertices, triangles[:, ::-1], anyhow),
        ("1 mm noise", noisy, triangles, anyhow),
    ):
        scale = float(np.exp(random.normal()))
        moved = scale * points @ turn.T + random.normal(0, 300, 3)
        yield Disguise(name, moved.astype(np.float32), faces, turn, scale)


def on_body(vertices: Floats, triangles: Ints) -> tuple[Floats, Ints]:
    """The head on a body of rough limbs, arms stretched out, 1.7 m tall; model space, mm."""
    parts = [(vertices, triangles)]
    limbs = (
        ((0, -330, -20), (0, -820, -20), 150),
        ((0, -150, -20), (0, -330, -20), 55),
        ((100, -290, -20), (780, -290, -20), 48),
        ((-100, -290, -20), (-780, -290, -20), 48),
        ((90, -820, -20), (100, -1540, -20), 75),
        ((-90, -820, -20), (-100, -1540, -20), 75),
    )
    parts += [_capsule(np.array(a, float), np.array(b, float), radius) for a, b, radius in limbs]
    starts = np.cumsum([0] + [len(points) for points, _ in parts[:-1]])
    faces = [faces + start for (_, faces), start in zip(parts, starts, strict=True)]
    return np.concatenate([p for p, _ in parts]).astype(np.float32), np.concatenate(faces).astype(np.int32)


def body_without_face(ict: ICT) -> tuple[Floats, Ints]:
    """The same body with an egg for a head."""
    egg, triangles = _ball(4)
    return on_body((egg * [75, 110, 90] + [0, 0, 20]).astype(np.float32), triangles)


def back_of_head(vertices: Floats, triangles: Ints) -> tuple[Floats, Ints]:
    """What is behind the ears of a head in model space: hair and nape without a face."""
    return vertices, triangles[vertices[triangles, 2].max(axis=1) < float(np.median(vertices[:, 2]))]


def cartoon(ict: ICT, rest: Floats) -> Floats:
    """A person (V, 3) as a cartoon of human proportions: features exaggerated, large eyes, small nose."""
    drawn = ict.neutral + 1.4 * (rest - ict.neutral)
    landmarks = drawn[ict.landmarks]
    for centre, reach, growth in (
        (landmarks[36:42].mean(axis=0), 22.0, 0.3),
        (landmarks[42:48].mean(axis=0), 22.0, 0.3),
        (landmarks[31:36].mean(axis=0), 20.0, -0.25),
    ):
        arm = drawn - centre
        share = np.exp(-0.5 * np.square(arm / reach).sum(axis=1, keepdims=True))
        drawn = drawn + growth * share * arm
    return drawn.astype(np.float32)


def nonsense(seed: int) -> tuple[str, Floats, Ints]:
    """A mesh without a face: boxes, eggs, rings, hands, beasts and lumps of many proportions, in turn."""
    random = np.random.default_rng(seed)
    stretch = np.exp(random.normal(0, 0.2, 3))
    ball, triangles = _ball(4)
    kind = ("cube", "egg", "ring", "hand", "quadruped", "lump", "half ball", "leaf")[seed % 8]
    if kind == "cube":
        points = ball / np.abs(ball).max(axis=1, keepdims=True)
    elif kind == "ring":
        azimuth = np.arctan2(ball[:, 2], ball[:, 0])
        points = ball * 0.4 + np.stack([np.cos(azimuth), 0 * azimuth, np.sin(azimuth)], axis=1)
    elif kind == "hand":
        limbs = [((0, 0, 0), (0, 0.9, 0), 0.45)]
        limbs += [((x, 0.9, 0), (1.3 * x, 1.9 - abs(x), 0.1), 0.12) for x in (-0.36, -0.12, 0.12, 0.36)]
        limbs += [((0.4, 0.3, 0), (0.95, 0.9, 0.2), 0.13)]
        points, triangles = _joined(limbs)
    elif kind == "quadruped":
        limbs = [
            ((-1, 1, 0), (1, 1, 0), 0.35),
            ((1, 1.1, 0), (1.4, 1.6, 0), 0.2),
            ((1.4, 1.6, 0), (1.9, 1.5, 0), 0.17),
        ]
        limbs += [((x, 1, z), (x, 0, z), 0.12) for x in (-0.9, 0.9) for z in (-0.2, 0.2)]
        points, triangles = _joined(limbs)
    elif kind == "half ball":
        points = ball * [1, 1, 0.5] * (ball[:, 2:] > 0) + ball * [1, 1, 0.1] * (ball[:, 2:] <= 0)
    elif kind == "leaf":
        points = ball * [1, 1.4, 0.12] + 0.2 * np.sin(2 * ball[:, :1]) * [0, 0, 1]
    else:
        waves = np.sin(ball @ (3 * random.normal(size=(3, 10))) + random.uniform(0, 6, 10)) @ random.normal(
            size=10
        )
        points = ball * (1 + (0.12 if kind == "lump" else 0.0) * waves / waves.std())[:, None]
    return kind, (points * stretch).astype(np.float32), triangles


def _ball(level: int) -> tuple[Doubles, Ints]:
    golden = (1 + 5**0.5) / 2
    corners = [(a, b * golden, 0) for a in (-1, 1) for b in (-1, 1)]
    points = np.array([np.roll(c, k) for k in range(3) for c in corners], float)
    hull = ConvexHull(points)
    triangles = hull.simplices.astype(np.int32)
    outward = np.einsum(
        "ti,ti->t",
        np.cross(*(points[triangles[:, i]] - points[triangles[:, 0]] for i in (1, 2))),
        points[triangles[:, 0]],
    )
    triangles[outward < 0] = triangles[outward < 0][:, ::-1]
    for _ in range(level):
        points, triangles = subdivided(points, triangles)
    return points / np.linalg.norm(points, axis=1, keepdims=True), triangles


def _capsule(start: Doubles, end: Doubles, radius: float) -> tuple[Floats, Ints]:
    ball, triangles = _ball(3)
    axis = (end - start) / np.linalg.norm(end - start)
    ahead = ball @ axis > 0
    return (radius * ball + np.where(ahead[:, None], end, start)).astype(np.float32), triangles


def _joined(limbs: list[tuple[tuple[float, ...], tuple[float, ...], float]]) -> tuple[Doubles, Ints]:
    pieces = [_capsule(np.array(a, float), np.array(b, float), radius) for a, b, radius in limbs]
    starts = np.cumsum([0] + [len(points) for points, _ in pieces[:-1]])
    points = np.concatenate([points for points, _ in pieces]).astype(np.float64)
    return points, np.concatenate([f + s for (_, f), s in zip(pieces, starts, strict=True)]).astype(np.int32)
