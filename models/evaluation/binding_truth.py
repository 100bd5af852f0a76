"""Error of carried expressions on people whose true motion is known, beside a copy and the limit."""

# The stubs of scipy know less than they take.
# pyright: reportArgumentType=false, reportCallIssue=false
from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from ..alignment import similarity_to
from ..binding import Binding, bind
from ..errors import InputError
from ..head import Head
from ..registration.attachment import attach
from ..registration.correspondence import nearest_on
from ..registration.pose import Pose
from ..registration.surface import read_surface, vertex_normals
from .binding_cases import Bench, Case, Part, Row, mean_of, moving
from .binding_meshes import Layout, warped

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int32]

SETTINGS = (("own", 0.0), ("decimated", 0.0), ("remeshed", 0.0), ("decimated", 6.0))
"""Layout, and mm RMS by which people are warped out of the identity model."""
LIP_REACH, LID_REACH = 12.0, 8.0
"""mm from the border of lips and lids within which vertices are asked whose motion they took."""


def _cases(bench: Bench) -> Iterator[Case]:
    for layout, strength in SETTINGS:
        label = layout + (f" warped {strength:.0f} mm" if strength else "")
        for seed in range(bench.plan.people):
            yield Case(f"{label}/{seed}", partial(_measured, bench, layout, strength, seed))


def _units(bench: Bench) -> list[int]:
    """Indices of the units measured: spread over all, jawOpen and a blink among them."""
    every = list(bench.head.config["unit_names"])
    names = [n for n in every if not n.startswith("pupil")]
    spread = np.linspace(0, len(names) - 1, max(bench.plan.units - 2, 0)).round().astype(int)
    chosen = {names[i] for i in spread} | {"jawOpen", "eyeBlinkLeft"}
    return sorted(every.index(n) for n in chosen)


def _measured(bench: Bench, layout_name: str, strength: float, seed: int) -> Row:
    """RMS errors, mm, and percentages of vertices that took the other lip's or lid's motion."""
    head, ict, layout = bench.head, bench.ict, bench.layouts[layout_name]
    units = _units(bench)
    signal = np.eye(len(head.expression_q), dtype=np.float32)[units]
    shapes, true = head.expression_basis[units], _carried(layout, ict.expressions[units])
    rest = bench.person(seed)
    if strength:
        rest = warped(rest, seed, strength)
    vertices = (layout.carry @ rest).astype(np.float32)
    still = _error(np.zeros_like(true), true, layout.skin)
    try:
        binding = bind(head, vertices, layout.triangles, seed=seed)
    except InputError:
        return {"refused": 1, "error": still, "signal": still}
    ours = binding.transfer(shapes, signal, keep_contact=False)
    best = _limit(bench, layout_name).transfer(shapes, signal, keep_contact=False)
    naive = _nearest_copy(head, binding, vertices, layout.triangles, shapes)
    place = np.where(layout.skin[:, None], layout.carry @ ict.neutral, 1e6)
    names = list(head.config["unit_names"])
    jaw, blink = units.index(names.index("jawOpen")), units.index(names.index("eyeBlinkLeft"))
    lips = head.neutral_vertices[head.lip_pairs.ravel()].astype(np.float64)
    lids = head.neutral_vertices[head.lid_pairs[0].ravel()].astype(np.float64)
    error, limit = _error(ours, true, layout.skin), _error(best, true, layout.skin)
    return {
        "refused": 0,
        "error": error,
        "limit": limit,
        "above_limit": error - limit,
        "nearest_point": _error(naive, true, layout.skin),
        "signal": still,
        "wrong_lip_percent": _wrong(ours[jaw], true[jaw], lips, place, LIP_REACH),
        "wrong_lid_percent": _wrong(ours[blink], true[blink], lids, place, LID_REACH),
        "score": binding.score,
    }


def _summary(rows: Sequence[Row]) -> list[Row]:
    result: list[Row] = []
    for label in dict.fromkeys(str(row["name"]).split("/")[1] for row in rows):
        own = [row for row in rows if str(row["name"]).split("/")[1] == label]
        bound = [row for row in own if not row["refused"]]
        refused = len(own) - len(bound)
        if bound:
            worst = max(row["above_limit"] for row in bound)
            result.append(
                {**mean_of(bound), "name": f"/{label}", "worst_above_limit": worst, "refused": refused}
            )
    return result


TRUTH = Part(_cases, _summary)


@cache
def _limit(bench: Bench, layout_name: str) -> Binding:
    """The binding of the mean person, whose fitted head is known: its places are right for everybody."""
    head, layout = bench.head, bench.layouts[layout_name]
    surface = read_surface((layout.carry @ bench.ict.neutral).astype(np.float32), layout.triangles)
    pose = Pose(1.0, np.eye(3), np.zeros(3))
    attachment, confidence = attach(bench.template, head.neutral_vertices.astype(np.float64), surface, pose)
    identity = np.zeros(len(head.identity_q), np.float32)
    return Binding(head, pose, head.neutral_vertices, identity, confidence, attachment, {}, 1.0, "")


def _nearest_copy(head: Head, binding: Binding, vertices: Floats, triangles: Ints, shapes: Floats) -> Floats:
    """What copying from the nearest point of the mean head gives, in the best pose of all."""
    skin = head.skin_vertices
    place = similarity_to(head.neutral_vertices[:skin], binding.fitted_vertices[:skin])
    points = place.apply(vertices).astype(np.float64)
    base = head.neutral_vertices[:skin].astype(np.float64)
    normals = vertex_normals(base, head.skin_triangles)
    triangle, weight, _, _ = nearest_on(
        base, normals, head.skin_triangles, points, vertex_normals(points, triangles), 1e-6
    )
    corners = shapes[:, head.skin_triangles[triangle]]
    return place.invert_vectors(np.einsum("nk,unki->uni", weight, corners, optimize=True))


def _carried(layout: Layout, fields: Floats) -> Floats:
    columns = fields.transpose(1, 0, 2).reshape(fields.shape[1], -1)
    return np.ascontiguousarray(
        (layout.carry @ columns).reshape(-1, len(fields), 3).transpose(1, 0, 2), np.float32
    )


def _error(ours: Floats, true: Floats, where: NDArray[np.bool_]) -> float:
    """RMS over units of moving vertices, mm."""
    squares = [np.square(o - t)[moving(t, where)].sum(axis=1) for o, t in zip(ours, true, strict=True)]
    return float(np.sqrt(np.concatenate(squares).mean()))


def _wrong(ours: Floats, true: Floats, border: Doubles, rest: Floats, reach: float) -> float:
    """Percentage of vertices within ``reach`` mm of a border whose motion is off by half the largest."""
    distance, _ = KDTree(border).query(rest)
    off = np.linalg.norm(ours - true, axis=1)[distance < reach]
    return float(100 * (off > 0.5 * np.linalg.norm(true, axis=1).max()).mean())
