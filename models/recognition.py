"""Recognising the Dimple head in a mesh whose vertices an exporter has renumbered.

Two connected oriented surfaces with the same faces are matched exactly by one pair of oriented edges: from it
the match spreads from face to face and either reaches every vertex or meets a contradiction. Quads may be cut
along either diagonal. Where several matches exist, as for an eyeball that can be turned about its axis, the
rest shape decides.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from heapq import heappop, heappush
from itertools import product

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from .alignment import similarity_to
from .errors import InputError
from .head import Head

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Edge = tuple[int, int]
Match = dict[int, int]

SAME_SHAPE = 0.35
"""RMS distance after alignment, over the head's RMS radius, up to which a matched mesh is a head."""

STARTS = 6
"""Edges to start from where quads are cut: a first face that its shape tells wrongly spoils a match."""


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
    if len(faces) not in (len(own), len(own) + quads):
        return None
    model = head.neutral_vertices[: len(vertices)]
    # a mesh cut by one rule is matched as it is; only one cut anyhow has to be put together again
    ways = [own] if len(faces) == len(own) else [*_cut_by_rules(head, own), own]
    for ours, theirs in product(ways, (faces, _reversed(faces))):
        found = _match_all(model, ours, vertices, theirs)
        if found is not None:
            return found
    return None


def _cut_by_rules(head: Head, faces: Ints) -> list[Ints]:
    """The head's triangles as it cuts its quads itself, and with all quads cut along either diagonal."""
    quads, single = faces[faces[:, 3] >= 0], faces[faces[:, 3] < 0, :3]
    first = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]], single])
    second = np.concatenate([quads[:, [0, 1, 3]], quads[:, [1, 2, 3]], single])
    return [head.triangles[(head.triangles <= faces.max()).all(axis=1)], first, second]


def _match_all(model: Floats, own: Ints, vertices: Floats, theirs: Ints) -> Ints | None:
    """Match component by component, the largest, the skin, first: it tells where to look for the others."""
    own_parts, their_parts = _components(own, len(model)), _components(theirs, len(vertices))
    if sorted(map(len, own_parts)) != sorted(map(len, their_parts)):
        return None
    one, other = _Surface(model, own), _Surface(vertices, theirs)
    result = np.full(len(model), -1, np.int32)
    free = list(their_parts)
    for part in sorted(own_parts, key=len, reverse=True):
        matched = np.flatnonzero(result >= 0)
        best: tuple[float, int, Match] | None = None
        for index, candidate in enumerate(free):
            if len(candidate) != len(part):
                continue
            for match in _matches(one, other, part, candidate):
                cost = _misfit(model, vertices, result, matched, match)
                if cost is not None and (best is None or cost < best[0]):
                    best = (cost, index, match)
        if best is None:
            return None
        free.pop(best[1])
        result[list(best[2])] = list(best[2].values())
    return result


def _misfit(
    model: Floats, vertices: Floats, result: Ints, matched: NDArray[np.int64], match: Match
) -> float | None:
    """RMS distance over the head's size when what is matched is aligned; None for a mesh that is no head."""
    ours, theirs = np.array(list(match)), np.array(list(match.values()))
    fixed = matched if len(matched) else ours
    partners = result[matched] if len(matched) else theirs
    try:
        pose = similarity_to(model[fixed], vertices[partners])
    except InputError:
        return None
    size = float(np.sqrt(np.square(model - model.mean(axis=0)).sum(axis=1).mean()))
    gap = np.square(pose.apply(vertices[theirs]) - model[ours]).sum(axis=1).mean()
    misfit = float(np.sqrt(gap)) / size
    return misfit if misfit < SAME_SHAPE else None


class _Surface:
    """Faces by their oriented edges."""

    def __init__(self, vertices: Floats, faces: Ints) -> None:
        self.vertices = vertices
        # oriented edge -> the other corners of its face, in order
        self.beyond: dict[Edge, tuple[int, ...]] = {}
        for face in faces.tolist():
            corners = [corner for corner in face if corner >= 0]
            for index in range(len(corners)):
                turned = corners[index:] + corners[:index]
                self.beyond[turned[0], turned[1]] = tuple(turned[2:])
        self.degree = Counter(start for start, _ in self.beyond)
        self.leaving: dict[int, list[Edge]] = defaultdict(list)
        for edge in self.beyond:
            self.leaving[edge[0]].append(edge)

    def kind(self, edge: Edge, *, cut: bool) -> tuple[int, ...]:
        """What must agree between matched edges: being on a border and, where no quads were cut, degrees."""
        border = int((edge[1], edge[0]) not in self.beyond)
        return (border,) if cut else (border, self.degree[edge[0]], self.degree[edge[1]])

    def ready(self, corners: list[int], match: Match) -> Iterator[Edge]:
        """Edges with both ends matched of the faces that have one of these corners."""
        for corner in corners:
            for edge in self.leaving[corner]:
                face = (*edge, *self.beyond[edge])
                for a, b in zip(face, (*face[1:], face[0]), strict=True):
                    if a in match and b in match:
                        yield a, b

    def beside(self, edge: Edge, vertex: int) -> NDArray[np.float64]:
        """(2,) place of a vertex along an edge and away from it, in lengths of the edge."""
        start, end, point = (self.vertices[i].astype(np.float64) for i in (*edge, vertex))
        across = end - start
        squared = max(float(across @ across), 1e-300)
        along = float((point - start) @ across) / squared
        away = float(np.linalg.norm(point - start - along * across)) / squared**0.5
        return np.array([along, away])


def _matches(one: _Surface, other: _Surface, part: Ints, candidate: Ints) -> Iterator[Match]:
    """All ways in which a component is the other, by starting at its rarest kind of edge."""
    cut = sum(map(len, (one.leaving[v] for v in part.tolist()))) != sum(
        map(len, (other.leaving[v] for v in candidate.tolist()))
    )
    kinds: Mapping[tuple[int, ...], list[Edge]] = defaultdict(list)
    for vertex in part.tolist():
        for edge in one.leaving[vertex]:
            kinds[one.kind(edge, cut=cut)].append(edge)
    rarest = min(kinds, key=lambda kind: len(kinds[kind]))
    images = [e for v in candidate.tolist() for e in other.leaving[v] if other.kind(e, cut=cut) == rarest]
    for start in kinds[rarest][:: max(1, len(kinds[rarest]) // STARTS)] if cut else kinds[rarest][:1]:
        for image in images:
            match = _spread(one, other, start, image)
            if match is not None and len(match) == len(part):
                yield match


def _spread(one: _Surface, other: _Surface, start: Edge, image: Edge) -> Match | None:
    """The match that follows from one pair of oriented edges; None when it contradicts itself.

    Faces that leave no doubt come first. What is beyond an edge of a cut quad may be either of its far
    corners: by the time such a face has its turn, its neighbours have usually told.
    """
    match: Match = {start[0]: image[0], start[1]: image[1]}
    inverse = {image[0]: start[0], image[1]: start[1]}
    waiting: list[tuple[float, Edge]] = [(0.0, start)]
    seen: set[Edge] = set()
    while waiting:
        _, edge = heappop(waiting)
        if edge in seen or edge not in one.beyond:
            continue
        ours, theirs = one.beyond[edge], _same_face(one, other, edge, match)
        if theirs is None:
            return None
        new = [vertex for vertex in ours if vertex not in match]
        for vertex, partner in zip(ours, theirs, strict=True):
            if match.setdefault(vertex, partner) != partner or inverse.setdefault(partner, vertex) != vertex:
                return None
        corners = (*edge, *ours)
        for a, b in zip(corners, (*corners[1:], corners[0]), strict=True):
            seen.add((a, b))
            if (b, a) in one.beyond and (b, a) not in seen:
                heappush(waiting, (_doubt(one, other, (b, a), match), (b, a)))
        for a, b in one.ready(new, match):  # faces that the new corners have cleared up
            if (a, b) not in seen:
                heappush(waiting, (0.0, (a, b)))
    return match


def _doubt(one: _Surface, other: _Surface, edge: Edge, match: Match) -> float:
    """0 where the face beyond an edge can be matched for certain, up to 1 where its shape hardly tells."""
    ours = one.beyond[edge]
    theirs = other.beyond.get((match[edge[0]], match[edge[1]]))
    if theirs is None or len(theirs) >= len(ours) or any(corner in match for corner in ours):
        return 0.0
    third, fourth = _misplacement(one, other, edge, theirs[0], match)
    return min(third, fourth) / max(third, fourth, 1e-300)


def _same_face(one: _Surface, other: _Surface, edge: Edge, match: Match) -> tuple[int, ...] | None:
    """Their corners beyond the image of an edge, in the order of ours; a cut quad is put together again."""
    ours = one.beyond[edge]
    start, end = match[edge[0]], match[edge[1]]
    theirs = other.beyond.get((start, end))
    if theirs is None or len(theirs) == len(ours):
        return theirs
    if len(theirs) > len(ours):
        return None
    apex = theirs[0]
    if _is_third(one, other, edge, apex, match):  # cut from the start of the edge to the opposite corner
        rest = other.beyond.get((start, apex))
        return None if rest is None or len(rest) != 1 else (apex, rest[0])
    rest = other.beyond.get((apex, end))
    return None if rest is None or len(rest) != 1 else (rest[0], apex)


def _is_third(one: _Surface, other: _Surface, edge: Edge, apex: int, match: Match) -> bool:
    """Whether the apex of their triangle is the third corner of our quad and not the fourth."""
    third, fourth = one.beyond[edge]
    if third in match:
        return match[third] == apex
    if fourth in match:
        return match[fourth] != apex
    away = _misplacement(one, other, edge, apex, match)
    return away[0] < away[1]


def _misplacement(one: _Surface, other: _Surface, edge: Edge, apex: int, match: Match) -> tuple[float, float]:
    """How far their apex lies from our third and from our fourth corner, as seen from the edge."""
    place = other.beside((match[edge[0]], match[edge[1]]), apex)
    third, fourth = (float(np.linalg.norm(place - one.beside(edge, c))) for c in one.beyond[edge])
    return third, fourth


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
