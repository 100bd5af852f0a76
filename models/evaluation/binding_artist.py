"""An artist's own shapes and heads: likeness, exchange, agreement between resolutions, contact."""

# The stubs of scipy and fast_simplification know less than they take.
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false
# pyright: reportAssignmentType=false, reportIndexIssue=false
from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial

import fast_simplification
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import splu
from scipy.spatial import KDTree

from ..animate_me import AnimateMe
from ..binding import Binding, bind
from ..errors import InputError
from ..library import make_library
from ..library_file import shape_set
from ..registration.contact import ContactKeeper
from ..registration.surface import triangulated
from ..registration.transfer import Rule
from ..topology import graph_laplacian
from .binding_cases import Bench, Case, Part, Row, likeness, mean_of
from .binding_meshes import subdivided

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

AMPLITUDES = (0.7, 1.4)
"""Sizes, over the artist's, that count as right."""
DEEP = 0.3
"""mm; a deeper crossing can be seen."""
SEEN = 0.5
"""mm of displacement from which deformations are compared."""
SAME_PLACE = 1.0
"""mm up to which vertices of two resolutions are one place."""


OWN = "Dimple head"
JAW, CLOSE = "jawOpen", "mouthClose"


@dataclass(frozen=True)
class Shapes:
    """ARKit shapes of the fitted head, in model space, mm, as linear units and as the checkpoint has them."""

    names: list[str]
    signal: Floats  # (N, 57)
    linear: Floats  # (N, V, 3)
    generated: Floats  # (N, V, 3)


@cache
def arkit_shapes(bench: Bench, name: str) -> Shapes:
    """The ARKit library of a shared head, or of the Dimple head itself."""
    head = bench.head
    fitted = head.neutral_vertices if name == OWN else bench.bound[name].neutral_vertices
    shapes = shape_set("arkit")
    stages = {shape.name: shape.stage for shape in shapes.shapes if not shape.tongue_out}
    model = AnimateMe.from_checkpoint(bench.checkpoint, device="cpu")
    library = make_library(model, fitted, shapes, list(stages), correctives=False)
    signal = np.stack([stages[n] for n in library.names])
    return Shapes(
        list(library.names), signal, np.tensordot(signal, head.expression_basis, 1), library.deformations
    )


def _artist_cases(bench: Bench) -> Iterator[Case]:
    for name in map(str, bench.artist["names"]):
        yield Case(name, partial(_like_artist, bench, name))


@cache
def _on_mannequin(bench: Bench) -> dict[str, tuple[Floats, Floats]]:
    """name -> our shape on the mannequin (V, 3) from the checkpoint, and from the linear unit."""
    shapes, bound = arkit_shapes(bench, "mannequin"), bench.bound["mannequin"]
    ours = bound.transfer(shapes.generated, shapes.signal)
    linear = bound.transfer(shapes.linear, shapes.signal)
    return {name: (ours[i], linear[i]) for i, name in enumerate(shapes.names)}


def _like_artist(bench: Bench, name: str) -> Row:
    theirs = bench.artist["deltas"][list(map(str, bench.artist["names"])).index(name)]
    ours, linear = (shape[: len(theirs)] for shape in _on_mannequin(bench)[name])
    row: Row = dict(zip(("cosine", "amplitude"), likeness(ours, theirs), strict=True))
    return row | dict(zip(("linear_cosine", "linear_amplitude"), likeness(linear, theirs), strict=True))


def _artist_summary(rows: Sequence[Row]) -> list[Row]:
    low, high = AMPLITUDES
    result: Row = {"name": "", "shapes": len(rows)}
    jaw = next(row for row in rows if row["name"] == f"artist/{JAW}")
    for kind in ("", "linear_"):
        cosines = [row[f"{kind}cosine"] for row in rows]
        sizes = np.array([row[f"{kind}amplitude"] for row in rows])
        result |= {
            f"{kind}mean_cosine": float(np.mean(cosines)),
            f"{kind}worst_cosine": float(np.min(cosines)),
            f"{kind}jawOpen_cosine": jaw[f"{kind}cosine"],
            f"{kind}amplitudes_right": float(((sizes > low) & (sizes < high)).mean()),
            f"{kind}median_amplitude": float(np.median(sizes)),
        }
    return [result]


ARTIST = Part(_artist_cases, _artist_summary)


def _exchange_cases(bench: Bench) -> Iterator[Case]:
    for name in ("CoMA", "MediaPipe"):
        yield Case(f"mannequin over {name} and back", partial(_exchanged, bench, name))


def _exchanged(bench: Bench, name: str) -> Row:
    """An artist's shapes to the template, onto another head, back to the template and home."""
    home, away, shapes = bench.bound["mannequin"], bench.bound[name], bench.artist["deltas"]
    whole = np.zeros((len(shapes), len(home.rule), 3), np.float32)
    whole[:, : shapes.shape[1]] = shapes
    signal = np.zeros((len(shapes), len(bench.head.expression_q)), np.float32)
    there = away.transfer(pulled_back(home, whole), signal, keep_contact=False)
    back = home.transfer(pulled_back(away, there), signal, keep_contact=False)
    # what the other head does not have, ears and neck of a mask, cannot come back
    known = np.flatnonzero(home.rule == Rule.SKIN)
    cosines = [likeness(b[known], d[known])[0] for b, d in zip(back, whole, strict=True)]
    return {"mean_cosine": float(np.mean(cosines)), "worst_cosine": float(np.min(cosines))}


EXCHANGE = Part(_exchange_cases, lambda rows: [{**mean_of(rows), "name": ""}])


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


def _resolution_cases(bench: Bench) -> Iterator[Case]:
    for name in bench.heads:
        yield Case(f"{name}, a third", partial(_resampled, bench, name, False))
        yield Case(f"{name}, fourfold", partial(_resampled, bench, name, True))


def _resampled(bench: Bench, name: str, finer: bool) -> Row:
    """mm between the deformations of a head and those of the same with other triangles, where both move."""
    head, binding = bench.head, bench.bound[name]
    vertices, triangles = bench.heads[name][0], triangulated(bench.heads[name][1])
    if finer:
        points, faces = subdivided(vertices.astype(np.float64), triangles)
    else:
        points, faces = fast_simplification.simplify(vertices, triangles, target_count=len(triangles) // 3)
    points = np.asarray(points, np.float32)
    try:
        other = bind(head, points, np.asarray(faces, np.int32))
    except InputError:
        return {"refused": 1}
    signal = np.eye(len(head.expression_q), dtype=np.float32)
    mm = float(binding.attachment.mm_per_unit)
    ours = mm * binding.transfer(head.expression_basis, signal, keep_contact=False)
    theirs = mm * other.transfer(head.expression_basis, signal, keep_contact=False)
    gap, nearest = KDTree(points).query(vertices)
    same = (gap * mm < SAME_PLACE) & (binding.rule == Rule.SKIN)
    difference = np.linalg.norm(ours[:, same] - theirs[:, nearest[same]], axis=2)
    seen = np.linalg.norm(ours[:, same], axis=2) > SEEN
    return {
        "refused": 0,
        "mean_mm": float(difference[seen].mean()),
        "p95_mm": float(np.quantile(difference[seen], 0.95)),
        "score": other.score,
    }


def _resolution_summary(rows: Sequence[Row]) -> list[Row]:
    bound = [row for row in rows if not row["refused"]]
    worst = max(row["mean_mm"] for row in bound)
    return [{**mean_of(bound), "name": "", "worst_mean_mm": worst, "refused": len(rows) - len(bound)}]


RESOLUTION = Part(_resolution_cases, _resolution_summary)


def _contact_cases(bench: Bench) -> Iterator[Case]:
    for name in (OWN, *bench.heads):
        yield Case(name, partial(_crossings, bench, name))


def _crossings(bench: Bench, name: str) -> Row:
    """Facing vertices of lips and lids that a library shape crosses deeper than the rest pose does."""
    head, shapes = bench.head, arkit_shapes(bench, name)
    generated = shapes.generated.copy()
    # the shape that closes the mouth is made for an open jaw
    generated[shapes.names.index(CLOSE)] += generated[shapes.names.index(JAW)]
    if name == OWN:
        binding, vertices = bind(head, head.neutral_vertices, head.faces), head.neutral_vertices
    else:
        binding, vertices = bench.bound[name], bench.heads[name][0]
    keeper = ContactKeeper(head, binding.neutral_vertices[: head.skin_vertices].astype(np.float64))
    skin = binding.rule == Rule.SKIN
    points = binding.pose.to_model(vertices[skin].astype(np.float64))
    usable, (upper, lower) = keeper.facing(points)
    row: Row = {"pairs": len(usable), "shapes": len(generated)}
    rest = np.einsum("qi,qi->q", points[upper] - points[lower], keeper.opening[usable])
    for keep in (False, True):
        moved = binding.transfer(generated, shapes.signal, keep_contact=keep)
        model = moved[:, skin] @ binding.pose.rotation / binding.pose.scale
        change = np.einsum("uqi,qi->uq", model[:, upper] - model[:, lower], keeper.opening[usable])
        deep = rest + change < np.minimum(rest, 0.0) - DEEP
        row["crossings" if keep else "crossings_uncorrected"] = int(deep.sum())
    return row


CONTACT = Part(
    _contact_cases, lambda rows: [{"name": "", "crossings": sum(row["crossings"] for row in rows)}]
)
