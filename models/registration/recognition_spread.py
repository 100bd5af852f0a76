"""Spreading a match between two oriented surfaces from one pair of edges, cut quads put together again.

What is beyond an edge of a cut quad may be either of its far corners. Such doubts wait until the faces around
have told; what is left is guessed by shape, and taken back where it leads to a contradiction.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int32]
Edge = tuple[int, int]
Corners = tuple[int, ...]
Match = dict[int, int]

TAKEN_BACK = 300
"""Guesses taken back until a start is given up: only wrong starts need more."""


class Faces:
    """Faces by their oriented edges."""

    def __init__(self, vertices: Floats, faces: Ints) -> None:
        self.vertices = vertices.astype(np.float64)
        # oriented edge -> the other corners of its face, in order
        self.beyond: dict[Edge, Corners] = {}
        for face in faces.tolist():
            corners = [corner for corner in face if corner >= 0]
            for index in range(len(corners)):
                turned = corners[index:] + corners[:index]
                self.beyond[turned[0], turned[1]] = tuple(turned[2:])
        self.leaving: dict[int, list[Edge]] = defaultdict(list)
        quads: dict[int, int] = defaultdict(int)
        for edge, rest in self.beyond.items():
            self.leaving[edge[0]].append(edge)
            quads[edge[0]] += len(rest) == 2
        self.degree = {vertex: len(edges) for vertex, edges in self.leaving.items()}
        # cutting a quad gives two of its corners one more face
        self.most = {vertex: degree + quads[vertex] for vertex, degree in self.degree.items()}

    def border(self, vertices: Ints) -> list[Edge]:
        """The edges that no face has on its other side, round the longest border of a component."""
        onwards = {a: b for v in vertices.tolist() for a, b in self.leaving[v] if (b, a) not in self.beyond}
        longest: list[Edge] = []
        while onwards:
            vertex = next(iter(onwards))
            loop: list[Edge] = []
            while vertex in onwards:
                after = onwards.pop(vertex)
                loop.append((vertex, after))
                vertex = after
            longest = max(longest, loop, key=len)
        return longest

    def valence(self, edge: Edge) -> int:
        """Faces at both ends: what sets poles apart."""
        return self.degree[edge[0]] + self.degree[edge[1]]

    def may_be(self, edge: Edge, other: Faces, image: Edge) -> bool:
        """Whether the ends of an edge of this cut surface can be those of an edge of the whole ``other``."""
        inner = ((edge[1], edge[0]) in self.beyond) == ((image[1], image[0]) in other.beyond)
        return inner and all(self.corner_may_be(a, other, b) for a, b in zip(edge, image, strict=True))

    def corner_may_be(self, vertex: int, other: Faces, image: int) -> bool:
        """Whether a vertex of this cut surface has as many faces as a vertex of the whole ``other`` may."""
        return other.degree[image] <= self.degree[vertex] <= other.most[image]

    def beside(self, edge: Edge, vertex: int) -> Doubles:
        """(2,) place of a vertex along an edge and away from it, in lengths of the edge."""
        start, end, point = self.vertices[[*edge, vertex]]
        across = end - start
        squared = max(float(across @ across), 1e-300)
        along = float((point - start) @ across) / squared
        away = float(np.linalg.norm(point - start - along * across)) / squared**0.5
        return np.array([along, away])


@dataclass
class _Guess:
    """A doubt that was decided: the other possibility, and what had happened before."""

    edge: Edge
    other: Corners
    matched: int
    done: int


@dataclass
class _State:
    match: Match
    inverse: Match
    order: list[int]  # vertices of ours in the order in which they were matched
    done: list[Edge] = field(default_factory=list)  # edges by which faces were matched, in order
    seen: set[Edge] = field(default_factory=set)  # every edge of those faces
    waiting: list[tuple[float, Edge]] = field(default_factory=list)
    guesses: list[_Guess] = field(default_factory=list)


def spread(one: Faces, other: Faces, start: Edge, image: Edge) -> Match | None:
    """The match of vertices that follows from one pair of oriented edges; None when there is none.

    ``one`` has its quads whole; those of ``other`` may be cut.
    """
    state = _State(dict(zip(start, image, strict=True)), dict(zip(image, start, strict=True)), list(start))
    heappush(state.waiting, (0.0, start))
    taken_back = 0
    while state.waiting:
        doubt, edge = heappop(state.waiting)
        if edge in state.seen or edge[0] not in state.match or edge[1] not in state.match:
            continue
        options = list(_options(one, other, edge, state))
        if len(options) == 2:
            certain = _doubt(one, other, edge, state.match)
            if doubt < certain:
                heappush(state.waiting, (certain, edge))
                continue
            first, second = _by_shape(one, other, edge, state.match, options)
            state.guesses.append(_Guess(edge, second, len(state.order), len(state.done)))
            options = [first]
        chosen = options[0] if options else None
        while chosen is None:
            if not state.guesses or taken_back == TAKEN_BACK:
                return None
            taken_back += 1
            guess = state.guesses.pop()
            _take_back(one, state, guess)
            heappush(state.waiting, (0.0, edge))
            edge = guess.edge
            chosen = guess.other if guess.other in _options(one, other, edge, state) else None
        _decide(one, other, edge, chosen, state)
    return state.match


def _options(one: Faces, other: Faces, edge: Edge, state: _State) -> Iterator[Corners]:
    """Their corners beyond the image of an edge, as ours are ordered: two where a cut quad leaves doubt."""
    ours = one.beyond[edge]
    start, end = state.match[edge[0]], state.match[edge[1]]
    theirs = other.beyond.get((start, end))
    if theirs is None or len(theirs) > len(ours):
        return
    if len(theirs) == len(ours):
        found = [theirs]
    else:
        apex = theirs[0]
        # cut from the start of the edge to the opposite corner, or from its end
        thirds, fourths = other.beyond.get((start, apex)), other.beyond.get((apex, end))
        found = [(apex, thirds[0])] if thirds is not None and len(thirds) == 1 else []
        found += [(fourths[0], apex)] if fourths is not None and len(fourths) == 1 else []
    for corners in found:
        if _fits(one, other, edge, ours, corners, state):
            yield corners


def _fits(one: Faces, other: Faces, edge: Edge, ours: Corners, theirs: Corners, state: _State) -> bool:
    for vertex, partner in zip(ours, theirs, strict=True):
        if state.match.get(vertex, partner) != partner or state.inverse.get(partner, vertex) != vertex:
            return False
        if not other.corner_may_be(partner, one, vertex):
            return False
    face = (*edge, *ours)
    image = (*(state.match[v] for v in edge), *theirs)
    for index, (a, b) in enumerate(zip(face, (*face[1:], face[0]), strict=True)):
        x, y = image[index], image[(index + 1) % len(image)]
        if ((b, a) in one.beyond) != ((y, x) in other.beyond):
            return False
    return True


def _decide(one: Faces, other: Faces, edge: Edge, theirs: Corners, state: _State) -> None:
    """Match a face, and let those beside it and those that it has cleared up wait for their turn."""
    ours = one.beyond[edge]
    new = [vertex for vertex in ours if vertex not in state.match]
    for vertex, partner in zip(ours, theirs, strict=True):
        state.match[vertex], state.inverse[partner] = partner, vertex
    state.order += new
    state.done.append(edge)
    for a, b in _sides(one, edge):
        state.seen.add((a, b))
    for a, b in _sides(one, edge):
        if (b, a) in one.beyond and (b, a) not in state.seen:
            heappush(state.waiting, (_doubt(one, other, (b, a), state.match), (b, a)))
    for corner in new:
        for leaving in one.leaving[corner]:
            for a, b in _sides(one, leaving):
                if a in state.match and b in state.match and (a, b) not in state.seen:
                    heappush(state.waiting, (0.0, (a, b)))


def _take_back(one: Faces, state: _State, guess: _Guess) -> None:
    for edge in state.done[guess.done :]:
        state.seen.difference_update(_sides(one, edge))
        heappush(state.waiting, (0.0, edge))
    for vertex in state.order[guess.matched :]:
        del state.inverse[state.match.pop(vertex)]
    del state.done[guess.done :], state.order[guess.matched :]


def _sides(one: Faces, edge: Edge) -> list[Edge]:
    face = (*edge, *one.beyond[edge])
    return list(zip(face, (*face[1:], face[0]), strict=True))


def _doubt(one: Faces, other: Faces, edge: Edge, match: Match) -> float:
    """0 where the face beyond an edge can be matched for certain, up to 1 where its shape hardly tells."""
    ours = one.beyond[edge]
    theirs = other.beyond.get((match[edge[0]], match[edge[1]]))
    if theirs is None or len(theirs) >= len(ours) or any(corner in match for corner in ours):
        return 0.0
    third, fourth = _misplacement(one, other, edge, theirs[0], match)
    return min(third, fourth) / max(third, fourth, 1e-300)


def _by_shape(
    one: Faces, other: Faces, edge: Edge, match: Match, options: list[Corners]
) -> tuple[Corners, Corners]:
    """The two possibilities, the one that the shape speaks for first; the apex is third or fourth corner."""
    apex = other.beyond[match[edge[0]], match[edge[1]]][0]
    third, fourth = _misplacement(one, other, edge, apex, match)
    first, second = options
    return (first, second) if third < fourth else (second, first)


def _misplacement(one: Faces, other: Faces, edge: Edge, apex: int, match: Match) -> tuple[float, float]:
    """How far their apex lies from our third and from our fourth corner, as seen from the edge."""
    place = other.beside((match[edge[0]], match[edge[1]]), apex)
    third, fourth = (float(np.linalg.norm(place - one.beside(edge, c))) for c in one.beyond[edge])
    return third, fourth
