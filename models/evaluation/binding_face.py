"""Whether the face is found, and whether binding knows when there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from ..errors import InputError
from ..registration.diagnosis import DOUBTFUL, REFUSED
from ..registration.location import Location, locate
from ..registration.surface import read_surface, triangulated
from .binding_cases import Bench, Case, Part, Row
from .binding_meshes import back_of_head, body_without_face, cartoon, disguises, nonsense, on_body, warped

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int32]
Mesh = tuple[Floats, Ints]

DISGUISES = ("upright", "Z up", "random", "mirrored", "inside out", "1 mm noise", "eyes and teeth", "body")
NEAR = 3.0
"""degrees from the true pose up to which it counts as found."""
OTHERS = 1000
"""Seed, after those whose pose is looked for, of the people whose faces are judged."""


def _pose_cases(bench: Bench) -> Iterator[Case]:
    """Every person in one disguise after the other, and every shared head in all that it can wear."""
    for seed in range(bench.plan.posed):
        name = DISGUISES[seed % len(DISGUISES)]
        yield Case(f"person {seed}, {name}", partial(_person_posed, bench, seed, name))
    for head in bench.heads:
        for name in DISGUISES[:6]:
            yield Case(f"{head}, {name}", partial(_head_posed, bench, head, name))


def _person_posed(bench: Bench, seed: int, disguise: str) -> Row:
    layout = "own" if disguise == "eyes and teeth" else "decimated"
    mesh = bench.laid(layout, bench.person(seed))
    if disguise == "body":
        mesh = on_body(*mesh)
    return _posed(bench, mesh, np.eye(3), disguise, seed)


def _head_posed(bench: Bench, head: str, disguise: str) -> Row:
    vertices, faces = bench.heads[head]
    return _posed(bench, (vertices, triangulated(faces)), bench.bound[head].pose.rotation, disguise, 0)


def _posed(bench: Bench, mesh: Mesh, upright: Doubles, disguise: str, seed: int) -> Row:
    """degrees between found and true pose, certainty, and whether binding would refuse or doubt it."""
    # bodies and heads full of eyes and teeth stand upright, Z up and anyhow in turn
    worn = disguise if disguise in DISGUISES[:6] else DISGUISES[seed // len(DISGUISES) % 3]
    chosen = next(d for d in disguises(*mesh, seed) if d.name == worn)
    flip = np.diag([-1.0, 1.0, 1.0]) if disguise == "mirrored" else np.eye(3)
    true = chosen.rotation @ flip @ upright @ flip
    found = _located(bench, (chosen.vertices, chosen.triangles))
    if found is None:
        return {"degrees": 180.0, "scale": 0.0, "certainty": 0.0}
    away = Rotation.from_matrix(true.T @ found.pose.rotation).magnitude()
    return {
        "degrees": float(np.degrees(away)),
        "scale": found.pose.scale / chosen.scale,
        "certainty": found.certainty,
        "pose_value": found.value,
    }


def _located(bench: Bench, mesh: Mesh) -> Location | None:
    """The best that is found, however bad; None where nothing can be tried."""
    try:
        return locate(bench.template, read_surface(*mesh), {}, 0, lambda: None)
    except InputError:
        return None


def _pose_summary(rows: Sequence[Row]) -> list[Row]:
    angles = np.array([row["degrees"] for row in rows])
    sure = np.array([row["certainty"] for row in rows])
    missed = angles > NEAR
    return [
        {
            "name": "",
            "cases": len(rows),
            "within_3_degrees": float((~missed).mean()),
            "median_degrees": float(np.median(angles)),
            "missed": int(missed.sum()),
            "missed_and_refused": int((missed & (sure < REFUSED)).sum()),
            "missed_and_warned": int((missed & (sure >= REFUSED) & (sure < DOUBTFUL)).sum()),
            "missed_without_notice": int((missed & (sure >= DOUBTFUL)).sum()),
            "missed_beyond_10_degrees_without_notice": int(((angles > 10) & (sure >= DOUBTFUL)).sum()),
            "found_but_refused": int((~missed & (sure < REFUSED)).sum()),
        }
    ]


POSE = Part(_pose_cases, _pose_summary)


def _diagnosis_cases(bench: Bench) -> Iterator[Case]:
    """True heads, in all states an artist may have them in, and as many meshes without a face."""
    for name, mesh in bench.heads.items():
        yield Case(f"head {name}", partial(_judged, bench, mesh))
    kinds = ("plain", "closed eyes", "caricature", "cartoon", "open mouth", "warped 8 mm", "body")
    for index in range(max(bench.plan.strangers - len(bench.heads), 0)):
        kind = kinds[index % len(kinds)]
        yield Case(f"head {kind} {index}", partial(_head_judged, bench, kind, index))
    others: list[tuple[str, Callable[[], Mesh]]] = [
        ("body without a face", lambda: body_without_face(bench.ict)),
        ("back of a head", lambda: back_of_head(*bench.laid("decimated", bench.person(OTHERS)))),
    ]
    for seed in range(bench.plan.strangers - len(others)):
        kind, vertices, triangles = nonsense(seed)
        others.append((f"{kind} {seed}", lambda mesh=(vertices, triangles): mesh))
    for name, make in others[: bench.plan.strangers]:
        yield Case(f"other {name}", lambda make=make: _judged(bench, make()))


def _head_judged(bench: Bench, kind: str, index: int) -> Row:
    ict = bench.ict
    rest = bench.person(OTHERS + index)
    if kind == "closed eyes":
        rest = rest + ict.expression("eyeBlink_L") + ict.expression("eyeBlink_R")
    elif kind == "caricature":
        rest = ict.neutral + 1.8 * (rest - ict.neutral)
    elif kind == "cartoon":
        rest = cartoon(ict, rest)
    elif kind == "open mouth":
        rest = rest + 0.7 * ict.expression("jawOpen")
    elif kind == "warped 8 mm":
        rest = warped(rest, index, 8.0)
    mesh = bench.laid("decimated", rest)
    return _judged(bench, on_body(*mesh) if kind == "body" else mesh)


def _judged(bench: Bench, mesh: Mesh) -> Row:
    found = _located(bench, mesh)
    if found is None:
        return {"certainty": 0.0, "angle": 90.0, "match": 0.0, "strangeness": 9.0, "pose_value": 0.0}
    return {
        "certainty": found.certainty,
        "angle": found.score.angle,
        "match": found.score.match,
        "strangeness": found.score.strangeness,
        "pose_value": found.value,
    }


def _diagnosis_summary(rows: Sequence[Row]) -> list[Row]:
    heads = np.array([r["certainty"] for r in rows if str(r["name"]).startswith("diagnosis/head ")])
    others = np.array([r["certainty"] for r in rows if str(r["name"]).startswith("diagnosis/other ")])
    return [
        {
            "name": "",
            "heads": len(heads),
            "others": len(others),
            "lowest_head": float(heads.min()),
            "highest_other": float(others.max()),
            "gap": float(heads.min() - others.max()),
            "heads_refused": int((heads < REFUSED).sum()),
            "heads_doubted": int(((heads >= REFUSED) & (heads < DOUBTFUL)).sum()),
            "others_accepted": int((others >= REFUSED).sum()),
        }
    ]


DIAGNOSIS = Part(_diagnosis_cases, _diagnosis_summary)
