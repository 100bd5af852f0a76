"""How well heads of other topologies are bound, measured against known truth and an artist's own shapes.

Rows are dictionaries with a ``figure`` and its values; lengths in mm. Counts are in ``settings``.
"""

# The stubs of scipy and fast_simplification know less than they take; arrays read from files are untyped.
# pyright: reportArgumentType=false, reportAssignmentType=false, reportCallIssue=false
# pyright: reportOptionalMemberAccess=false
# A query of many points returns arrays of indices, whatever the stub of KDTree says.
# pyright: reportIndexIssue=false, reportReturnType=false
from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import fast_simplification
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import splu
from scipy.spatial import KDTree

from .alignment import similarity_to
from .binding import POSE_SAMPLES, Binding, attach, bind
from .binding_contact import ContactKeeper
from .binding_correspondence import nearest_on
from .binding_pose import CONVINCING, Pose, find_face
from .binding_surface import read_surface, triangulated, vertex_normals
from .binding_template import template_of
from .binding_transfer import Rule
from .corpus.ict import ICT
from .errors import InputError
from .evaluation_binding_meshes import (
    Layout,
    body_without_face,
    disguises,
    layouts,
    nonsense,
    on_body,
    person,
    subdivided,
    warped,
)
from .head import Head
from .topology import graph_laplacian

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int32]
Row = dict[str, Any]

TEST_SEED = 3_000_000
MOVING = 0.05
"""Share of the largest displacement from which a vertex counts as moving."""
DEEP = 0.3
"""mm; a deeper crossing can be seen."""


def evaluate_binding(
    head: Head,
    shared: Path,
    *,
    people: int = 3,
    posed: int = 4,
    units: int = 30,
    strangers: int = 16,
    on_row: Callable[[Row], None] | None = None,
) -> dict[str, Any]:
    """All figures of binding.

    shared: folder with ict-facekit, facecap-mannequin-head and face-topologies. people: test people with
    known truth, in three topologies and warped; posed: people found in six disguises each; units: expression
    units measured; strangers: meshes without a face, and as many heads, for the diagnosis.
    """
    ict = ICT.load(shared / "ict-facekit")
    heads = shared_heads(shared)
    settings = {"people": people, "posed": posed, "units": units, "strangers": strangers, "seed": TEST_SEED}
    rows: list[Row] = []
    for part in (
        _pose(head, ict, heads, posed),
        _truth(head, ict, people, units),
        _artist(head, shared),
        _round_trip(head, shared, heads),
        _resolution(head, heads),
        _diagnosis(head, ict, heads, strangers),
        _crossings(head, ict, heads),
    ):
        for row in part:
            rows.append(row)
            if on_row is not None:
                on_row(row)
    return {"settings": settings, "rows": rows}


def shared_heads(shared: Path) -> dict[str, tuple[Floats, Ints]]:
    """The mannequin with eyes and teeth, CoMA's template and MediaPipe's mask."""
    mannequin = np.load(shared / "facecap-mannequin-head" / "head.npz")
    inner = np.where(mannequin["inner_faces"] >= 0, mannequin["inner_faces"] + len(mannequin["neutral"]), -1)
    heads = {
        "mannequin": (
            np.concatenate([mannequin["neutral"], mannequin["inner_vertices"]]),
            np.concatenate([mannequin["faces"], inner]).astype(np.int32),
        )
    }
    for name, file in (("CoMA", "coma_template.obj"), ("MediaPipe", "mediapipe_canonical_face.obj")):
        lines = (shared / "face-topologies" / file).read_text(encoding="utf-8").splitlines()
        words = [line.split() for line in lines]
        vertices = np.array([w[1:4] for w in words if w[:1] == ["v"]], np.float32)
        faces = [[int(corner.split("/")[0]) - 1 for corner in w[1:]] for w in words if w[:1] == ["f"]]
        heads[name] = (vertices, np.array(faces, np.int32))
    return heads


def _pose(head: Head, ict: ICT, heads: Mapping[str, tuple[Floats, Ints]], posed: int) -> Iterator[Row]:
    """Angle between found and true pose; a failure that the score admits is counted apart."""
    template = template_of(head)
    decimated = layouts(ict)[1]
    subjects = [
        (
            f"person {seed}",
            (decimated.carry @ person(ict, TEST_SEED + seed)).astype(np.float32),
            decimated.triangles,
            np.eye(3),
        )
        for seed in range(posed)
    ]
    for name, (vertices, faces) in heads.items():
        upright, _ = find_face(template, read_surface(vertices, faces), POSE_SAMPLES, 0, _nothing)
        subjects.append((name, vertices, triangulated(faces), upright.rotation))
    errors: list[tuple[str, str, float, float]] = []
    for index, (name, vertices, triangles, upright) in enumerate(subjects):
        cases = [(d.name, d.vertices, d.triangles, d.rotation) for d in disguises(vertices, triangles, index)]
        if name.startswith("person"):
            body = on_body(vertices, triangles)
            cases.append(("body", *body, np.eye(3)))
        for case, points, faces, rotation in cases:
            pose, value = find_face(template, read_surface(points, faces), POSE_SAMPLES, index, _nothing)
            flip = np.diag([-1.0, 1, 1]) if case == "mirrored" else np.eye(3)
            cosine = (np.trace((rotation @ flip @ upright @ flip).T @ pose.rotation) - 1) / 2
            errors.append((name, case, float(np.degrees(np.arccos(np.clip(cosine, -1, 1)))), value))
    angles = np.array([e[2] for e in errors])
    missed = [e for e in errors if e[2] > 3.0]
    yield {
        "figure": "pose",
        "cases": len(errors),
        "within 3 degrees": float((angles <= 3).mean()),
        "median degrees": float(np.median(angles)),
        "missed": [{"head": e[0], "case": e[1], "degrees": e[2], "value": e[3]} for e in missed],
        "missed without notice": sum(e[3] > CONVINCING for e in missed),
    }


def _truth(head: Head, ict: ICT, people: int, units: int) -> Iterator[Row]:
    """Error of transferred units on people whose true motion is known, in and out of the identity model."""
    names = [n for n in head.config["unit_names"] if not n.startswith("pupil")]
    spread = np.linspace(0, len(names) - 1, max(units - 2, 0)).round().astype(int)
    chosen = sorted({names[i] for i in spread} | {"jawOpen", "eyeBlinkLeft"}, key=names.index)
    indices = [list(head.config["unit_names"]).index(n) for n in chosen]
    signal = np.eye(len(head.expression_q), dtype=np.float32)[indices]
    shapes = head.expression_basis[indices]
    truth = ict.expressions[indices]
    lips = head.neutral_vertices[head.lip_pairs.ravel()].astype(np.float64)
    lids = head.neutral_vertices[head.lid_pairs[0].ravel()].astype(np.float64)
    for layout in layouts(ict):
        rest_mean = np.where(layout.skin[:, None], layout.carry @ ict.neutral, 1e6)
        limit = _true_binding(head, ict, layout)
        for label, strength in (("in the model", 0.0), ("warped 6 mm", 6.0)):
            totals: list[Row] = []
            for index in range(people):
                rest = person(ict, TEST_SEED + index)
                if strength:
                    rest = warped(rest, index, strength)
                vertices = (layout.carry @ rest).astype(np.float32)
                true = _carried(layout, truth)
                started = time.perf_counter()
                binding = bind(head, vertices, layout.triangles, seed=index)
                seconds = time.perf_counter() - started
                ours = binding.transfer(shapes, signal, keep_contact=False)
                best = limit.transfer(shapes, signal, keep_contact=False)
                naive = _nearest_copy(head, binding, vertices, layout.triangles, shapes)
                skin = layout.skin
                totals.append(
                    {
                        "error": _error(ours, true, skin),
                        "limit": _error(best, true, skin),
                        "nearest point": _error(naive, true, skin),
                        "signal": _error(np.zeros_like(true), true, skin),
                        "wrong lip %": _wrong(ours, true, chosen, "jawOpen", lips, rest_mean, 12.0),
                        "wrong lid %": _wrong(ours, true, chosen, "eyeBlinkLeft", lids, rest_mean, 8.0),
                        "score": binding.score,
                        "seconds": seconds,
                    }
                )
            mean = {key: float(np.mean([t[key] for t in totals])) for key in totals[0]}
            yield {
                "figure": "truth",
                "topology": layout.name,
                "vertices": len(layout.skin),
                "people": label,
                **mean,
            }


def _true_binding(head: Head, ict: ICT, layout: Layout) -> Binding:
    """The binding of the mean person, whose fitted head is known: its places are right for everybody."""
    surface = read_surface((layout.carry @ ict.neutral).astype(np.float32), layout.triangles)
    pose = Pose(1.0, np.eye(3), np.zeros(3))
    attachment, confidence = attach(
        template_of(head), head.neutral_vertices.astype(np.float64), surface, pose
    )
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


def _moving(shape: Floats, where: NDArray[np.bool_]) -> NDArray[np.bool_]:
    size = np.linalg.norm(shape, axis=1)
    return (size > MOVING * size[where].max()) & where


def _error(ours: Floats, true: Floats, where: NDArray[np.bool_]) -> float:
    """RMS over units of moving vertices, mm."""
    squares = [np.square(o - t)[_moving(t, where)].sum(axis=1) for o, t in zip(ours, true, strict=True)]
    return float(np.sqrt(np.concatenate(squares).mean()))


def _wrong(
    ours: Floats, true: Floats, names: list[str], unit: str, border: Doubles, rest: Floats, reach: float
) -> float:
    """Percentage of vertices within ``reach`` mm of a border whose motion is off by half the largest."""
    if unit not in names:
        return float("nan")
    index = names.index(unit)
    distance, _ = KDTree(border).query(rest)
    near = distance < reach
    off = np.linalg.norm(ours[index] - true[index], axis=1)[near]
    return float(100 * (off > 0.5 * np.linalg.norm(true[index], axis=1).max()).mean())


def _artist(head: Head, shared: Path) -> Iterator[Row]:
    """The mannequin's own shapes against ours, over vertices that move in the artist's."""
    data = np.load(shared / "facecap-mannequin-head" / "head.npz")
    started = time.perf_counter()
    binding = bind(head, data["neutral"], data["faces"])
    seconds = time.perf_counter() - started
    names = [str(n) for n in data["names"]]
    signal = np.stack([_signal(head, name) for name in names])
    ours = binding.transfer(np.tensordot(signal, head.expression_basis, 1), signal, keep_contact=False)
    cosines, amplitudes = zip(
        *(_likeness(o, t) for o, t in zip(ours, data["deltas"], strict=True)), strict=True
    )
    order = np.argsort(cosines)
    yield {
        "figure": "artist's shapes",
        "mean cosine": float(np.mean(cosines)),
        "worst": {names[i]: round(float(cosines[i]), 3) for i in order[:3]},
        "jawOpen cosine": float(cosines[names.index("jawOpen")]),
        "amplitude 0.7 to 1.4": float(np.mean([0.7 < a < 1.4 for a in amplitudes])),
        "median amplitude": float(np.median(amplitudes)),
        "score": binding.score,
        "seconds": seconds,
    }


def _signal(head: Head, arkit: str) -> Floats:
    """(57,) the unit of an ARKit name, or its left and right halves."""
    names = list(head.config["unit_names"])
    wanted = [arkit] if arkit in names else [f"{arkit}Left", f"{arkit}Right"]
    return np.isin(names, wanted).astype(np.float32)


def _likeness(ours: Floats, theirs: Floats) -> tuple[float, float]:
    """Cosine between two shapes over the vertices that move in theirs, and ratio of their sizes."""
    moving = _moving(theirs, np.ones(len(theirs), bool))
    a, b = ours[moving].ravel(), theirs[moving].ravel()
    return float(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-12)), float(
        np.linalg.norm(a) / np.linalg.norm(b)
    )


def _round_trip(head: Head, shared: Path, heads: Mapping[str, tuple[Floats, Ints]]) -> Iterator[Row]:
    """An artist's shapes to the template, onto another head, back to the template and home."""
    data = np.load(shared / "facecap-mannequin-head" / "head.npz")
    home = bind(head, data["neutral"], data["faces"])
    signal = np.zeros((len(data["deltas"]), len(head.expression_q)), np.float32)
    skin = pulled_back(home, data["deltas"])
    for name in ("CoMA", "MediaPipe"):
        away = bind(head, *heads[name])
        there = away.transfer(skin, signal, keep_contact=False)
        back = home.transfer(pulled_back(away, there), signal, keep_contact=False)
        exterior = home.rule == Rule.SKIN
        cosines = [_likeness(b[exterior], d[exterior])[0] for b, d in zip(back, data["deltas"], strict=True)]
        yield {
            "figure": "round trip",
            "over": name,
            "mean cosine": float(np.mean(cosines)),
            "worst": float(np.min(cosines)),
        }


def pulled_back(binding: Binding, deformation: Floats, smoothness: float = 0.05) -> Floats:
    """Deformation of the head's skin (K, Vs, 3), mm, whose transfer comes nearest to one (K, V, 3).

    Regularised least squares: |P x - d|^2 + smoothness |L x|^2 with P the places of the skin's vertices.
    """
    head, mesh = binding.head, binding.attachment
    own = np.flatnonzero(mesh.rule == Rule.SKIN)
    starts = np.arange(0, 3 * len(own) + 1, 3)
    columns = head.skin_triangles[mesh.triangle[own]].ravel()
    place = sp.csr_matrix(
        (mesh.barycentric[own].ravel(), columns, starts), shape=(len(own), head.skin_vertices)
    )
    laplacian = graph_laplacian(head.skin_triangles, head.skin_vertices)
    system = place.T @ place + smoothness * (laplacian.T @ laplacian) + 1e-6 * sp.identity(head.skin_vertices)
    inner = (deformation[:, own] @ binding.pose.rotation / binding.pose.scale).transpose(1, 0, 2)
    solved = splu(system.tocsc().astype(np.float64)).solve(
        place.T @ inner.reshape(len(own), -1).astype(np.float64)
    )
    return np.ascontiguousarray(solved.reshape(-1, len(deformation), 3).transpose(1, 0, 2), np.float32)


def _resolution(head: Head, heads: Mapping[str, tuple[Floats, Ints]]) -> Iterator[Row]:
    """The same head with a third and with four times its triangles: difference of deformations, mm."""
    signal = np.eye(len(head.expression_q), dtype=np.float32)
    for name, (vertices, faces) in heads.items():
        triangles = triangulated(faces)
        binding = bind(head, vertices, triangles)
        ours = binding.transfer(head.expression_basis, signal, keep_contact=False)
        third = fast_simplification.simplify(vertices, triangles, target_count=max(len(triangles) // 3, 300))
        for label, (points, others) in (
            ("third", third),
            ("fourfold", subdivided(vertices.astype(np.float64), triangles)),
        ):
            try:
                other = bind(head, np.asarray(points, np.float32), np.asarray(others, np.int32))
            except InputError as error:
                yield {"figure": "resolution", "head": name, "triangles": label, "refused": str(error)}
                continue
            theirs = other.transfer(head.expression_basis, signal, keep_contact=False)
            gap, nearest = KDTree(np.asarray(points)).query(vertices)
            same = (gap * binding.attachment.mm_per_unit < 1.0) & (binding.rule == Rule.SKIN)
            difference = np.linalg.norm(ours[:, same] - theirs[:, nearest[same]], axis=2)
            moving = np.linalg.norm(ours[:, same], axis=2) * binding.attachment.mm_per_unit > 0.5
            mean = float(difference[moving].mean() * binding.attachment.mm_per_unit)
            yield {
                "figure": "resolution",
                "head": name,
                "triangles": label,
                "mean mm": mean,
                "score": other.score,
            }


def _diagnosis(
    head: Head, ict: ICT, heads: Mapping[str, tuple[Floats, Ints]], strangers: int
) -> Iterator[Row]:
    """Scores of true heads and of things without a face; refused ones count 0."""
    coarse = layouts(ict)[1]
    true: dict[str, float] = {name: _certainty(head, *mesh) for name, mesh in heads.items()}
    for seed in range(max(strangers - len(heads), 0)):
        rest = person(ict, TEST_SEED + 500 + seed)
        kind = ("plain", "closed eyes", "exaggerated", "open mouth", "warped", "body")[seed % 6]
        if kind == "closed eyes":
            rest = rest + ict.expression("eyeBlink_L") + ict.expression("eyeBlink_R")
        elif kind == "exaggerated":
            rest = ict.neutral + 1.8 * (rest - ict.neutral)
        elif kind == "open mouth":
            rest = rest + 0.7 * ict.expression("jawOpen")
        elif kind == "warped":
            rest = warped(rest, seed, 8.0)
        mesh = ((coarse.carry @ rest).astype(np.float32), coarse.triangles)
        true[f"{kind} {seed}"] = _certainty(head, *(on_body(*mesh) if kind == "body" else mesh))
    false = {"body without a face": _certainty(head, *body_without_face(ict))}
    for seed in range(strangers - 1):
        kind, vertices, triangles = nonsense(seed)
        false[f"{kind} {seed}"] = _certainty(head, vertices, triangles)
    lowest, highest = min(true, key=lambda n: true[n]), max(false, key=lambda n: false[n])
    yield {
        "figure": "diagnosis",
        "heads": len(true),
        "others": len(false),
        "lowest head": {lowest: true[lowest]},
        "highest other": {highest: false[highest]},
        "refused heads": [n for n, v in true.items() if v == 0],
        "accepted others": {n: v for n, v in false.items() if v > 0},
    }


def _certainty(head: Head, vertices: Floats, faces: Ints) -> float:
    try:
        return bind(head, vertices, faces).score
    except InputError:
        return 0.0


def _crossings(head: Head, ict: ICT, heads: Mapping[str, tuple[Floats, Ints]]) -> Iterator[Row]:
    """Lip and lid pairs of the artist's mesh that a unit crosses deeper than the rest pose does."""
    signal = np.eye(len(head.expression_q), dtype=np.float32)
    own = (head.neutral_vertices, head.faces)
    for name, (vertices, faces) in {"Dimple head": own, **heads}.items():
        binding = bind(head, vertices, faces)
        moved = {k: binding.transfer(head.expression_basis, signal, keep_contact=k) for k in (False, True)}
        keeper = ContactKeeper(head, binding.neutral_vertices[: head.skin_vertices].astype(np.float64))
        skin = binding.rule == Rule.SKIN
        points = binding.pose.to_model(vertices[skin].astype(np.float64))
        gap, nearest = KDTree(points).query(keeper.skin[keeper.pairs])
        usable = np.flatnonzero((gap < 2.5).all(axis=1) & (nearest[:, 0] != nearest[:, 1]))
        row: Row = {"figure": "crossings", "head": name, "pairs": len(usable)}
        upper, lower = nearest[usable].T
        rest = np.einsum("qi,qi->q", points[upper] - points[lower], keeper.opening[usable])
        for keep, deformation in moved.items():
            model = deformation[:, skin] @ binding.pose.rotation / binding.pose.scale
            change = np.einsum("uqi,qi->uq", model[:, upper] - model[:, lower], keeper.opening[usable])
            deep = rest + change < np.minimum(rest, 0.0) - DEEP
            row["kept apart" if keep else "as they are"] = int(deep.sum())
        yield row


def _nothing() -> None:
    """Nobody waits for news here."""
