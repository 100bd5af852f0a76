"""Recognising the Dimple head in a mesh whose vertices an exporter has renumbered.

Two connected oriented surfaces with the same faces are matched exactly by one pair of oriented edges: from it
the match spreads from face to face and either reaches every vertex or meets a contradiction. Where several
matches exist, as for an eyeball that can be turned about its axis, the rest shape decides. Quads may be cut
along either diagonal: ``registration.recognition_spread`` puts them together again.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from ..alignment import Similarity, similarity_to
from ..errors import InputError
from ..head import Head
from .recognition_spread import Edge, Faces, Match, spread

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int32]

SAME_SHAPE = 0.35
"""RMS distance after alignment, over the head's RMS radius, up to which a matched mesh is a head."""
TRIED = 160
"""Pairs of edges that a component is started from."""
BALANCED = 24
"""Matches of an eye or a row of teeth that are weighed against each other."""


def recognise(head: Head, vertices: Floats, faces: Ints) -> Ints | None:
    """For every vertex of the head, whole or its skin alone, the vertex of the mesh that it is.

    vertices (V, 3) in any units and axes; faces (F, 3) or (F, 4) padded with -1. Returns (V,) int32, so that
    ``vertices[result]`` is in the head's order; None when the mesh has another topology.
    """
    counts = {len(head.neutral_vertices): head.faces}
    counts[head.skin_vertices] = head.faces[(head.faces < head.skin_vertices).all(axis=1)]
    if len(vertices) not in counts or not np.isfinite(vertices).all():
        return None
    own = counts[len(vertices)]
    if not len(faces) or faces.min() < -1 or faces.max() >= len(vertices):
        return None
    quads = int((own[:, 3] >= 0).sum())
    if not len(own) <= len(faces) <= len(own) + quads:
        return None
    model = head.neutral_vertices[: len(vertices)]
    for theirs in (faces, _reversed(faces)):
        found = _match_all(model, own, vertices, theirs)
        if found is not None:
            return found
    return None


def _match_all(model: Floats, own: Ints, vertices: Floats, theirs: Ints) -> Ints | None:
    """Match component by component, the largest, the skin, first: it tells where to look for the others."""
    own_parts, their_parts = _components(own, len(model)), _components(theirs, len(vertices))
    if sorted(map(len, own_parts)) != sorted(map(len, their_parts)):
        return None
    one, other = Faces(model, own), Faces(vertices, theirs)
    result = np.full(len(model), -1, np.int32)
    free = list(their_parts)
    pose: Similarity | None = None
    for part in sorted(own_parts, key=len, reverse=True):
        found: Match | None = None
        for candidate in _by_distance(model[part], vertices, free, pose):
            found = _match_part(one, other, part, candidate, pose)
            if found is not None:
                free = [other_part for other_part in free if other_part is not candidate]
                break
        if found is None:
            return None
        ours, theirs_ = list(found), list(found.values())
        result[ours] = theirs_
        if pose is None:
            pose = similarity_to(model[ours], vertices[theirs_])
    return result


def _by_distance(part: Floats, vertices: Floats, free: list[Ints], pose: Similarity | None) -> list[Ints]:
    """Components as large as a part (P, 3) of the head, the one in its place first."""
    alike = [candidate for candidate in free if len(candidate) == len(part)]
    if pose is None:
        return alike
    middle = part.mean(axis=0)
    return sorted(alike, key=lambda c: float(np.linalg.norm(pose.apply(vertices[c]).mean(axis=0) - middle)))


def _match_part(
    one: Faces, other: Faces, part: Ints, candidate: Ints, pose: Similarity | None
) -> Match | None:
    """The best match of two components: the skin has one alone, but what hangs on it may be turned."""
    best: tuple[float, Match] | None = None
    matches = 0
    for start, image in _starts(one, other, part, candidate, pose):
        match = spread(one, other, start, image)
        if match is None or len(match) != len(part):
            continue
        cost = _misfit(one.vertices, other.vertices, pose, match)
        if cost is not None and (best is None or cost < best[0]):
            best = (cost, match)
        matches += 1
        if (pose is None and best is not None) or matches == BALANCED:
            break
    return None if best is None else best[1]


def _misfit(model: Doubles, vertices: Doubles, pose: Similarity | None, match: Match) -> float | None:
    """RMS distance over the head's size when what is matched is aligned; None for a mesh that is no head."""
    ours, theirs = np.array(list(match)), np.array(list(match.values()))
    try:
        pose = pose or similarity_to(_single(model[ours]), _single(vertices[theirs]))
    except InputError:
        return None
    size = float(np.sqrt(np.square(model - model.mean(axis=0)).sum(axis=1).mean()))
    gap = np.square(pose.apply(_single(vertices[theirs])) - model[ours]).sum(axis=1).mean()
    misfit = float(np.sqrt(gap)) / size
    return misfit if misfit < SAME_SHAPE else None


def _starts(
    one: Faces, other: Faces, part: Ints, candidate: Ints, pose: Similarity | None
) -> Iterator[tuple[Edge, Edge]]:
    """Pairs of an edge of ours and one of theirs that may be the same, the likeliest first."""
    ours, theirs = one.border(part), other.border(candidate)
    if pose is None and ours and len(ours) == len(theirs):
        yield from _along_borders(one, other, ours, theirs)
        return
    edges = [edge for vertex in candidate.tolist() for edge in other.leaving[vertex]]
    start = min((e for v in part.tolist() for e in one.leaving[v]), key=lambda e: (-one.valence(e), e))
    images = [edge for edge in edges if other.may_be(edge, one, start)]
    if pose is not None and images:
        places = pose.apply(_single(other.vertices[np.array(images)]))
        away = np.linalg.norm(places - one.vertices[list(start)], axis=2).sum(axis=1)
        images = [images[i] for i in np.argsort(away, kind="stable")]
    for image in images[:TRIED]:
        yield start, image


def _along_borders(
    one: Faces, other: Faces, ours: list[Edge], theirs: list[Edge]
) -> Iterator[tuple[Edge, Edge]]:
    """One border laid along another, in the order of how well they lie on each other."""
    a = _single(one.vertices[[edge[0] for edge in ours]])
    b = _single(other.vertices[[edge[0] for edge in theirs]])
    costs: list[tuple[float, int]] = []
    for shift in range(len(b)):
        turned = np.roll(b, -shift, axis=0)
        try:
            gap = similarity_to(a, turned).apply(turned) - a
        except InputError:
            continue
        costs.append((float(np.square(gap).sum()), shift))
    for _, shift in sorted(costs)[:TRIED]:
        yield ours[0], theirs[shift]


def _single(points: Doubles) -> Floats:
    return points.astype(np.float32)


def _components(faces: Ints, count: int) -> list[Ints]:
    """Vertices of each connected component."""
    last = np.where(faces[:, -1] >= 0, faces[:, -1], faces[:, -2])
    pairs = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], np.stack([faces[:, 0], last], axis=1)])
    graph = sp.coo_matrix((np.ones(len(pairs)), pairs.T), shape=(count, count))
    number, label = connected_components(graph, directed=False)
    order = np.argsort(label, kind="stable").astype(np.int32)
    return np.split(order, np.searchsorted(label[order], np.arange(1, number)))


def _reversed(faces: Ints) -> Ints:
    """The same faces seen from the other side, padding kept at the end."""
    if faces.shape[1] == 3:
        return faces[:, ::-1]
    quads = faces[:, 3] >= 0
    return np.where(quads[:, None], faces[:, ::-1], faces[:, [2, 1, 0, 3]])
