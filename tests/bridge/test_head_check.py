"""Which heads are let through, and what is said to the others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bridge.head_check import check_head
from bridge.worker import JobFailedError

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

SIDE = 6
SKIN = SIDE * SIDE


def grid_faces() -> Ints:
    """A square patch of quads as skin, and beside it an eye: one quad and one triangle."""
    quads = [
        [
            row * SIDE + column,
            row * SIDE + column + 1,
            (row + 1) * SIDE + column + 1,
            (row + 1) * SIDE + column,
        ]
        for row in range(SIDE - 1)
        for column in range(SIDE - 1)
    ]
    eye = [[SKIN, SKIN + 1, SKIN + 2, SKIN + 3], [SKIN + 2, SKIN + 1, SKIN + 4, -1]]
    return np.array(quads + eye, np.int32)


FACES = grid_faces()
WHOLE = SKIN + 5


def split(faces: Ints, other_diagonal: NDArray[np.bool_]) -> Ints:
    """Triangles of the faces, each quad cut along its first or its other diagonal."""
    triangles: list[list[int]] = []
    for (a, b, c, d), other in zip(faces.tolist(), other_diagonal.tolist(), strict=True):
        if d < 0:
            triangles.append([a, b, c])
        elif other:
            triangles += [[a, b, d], [b, c, d]]
        else:
            triangles += [[a, b, c], [a, c, d]]
    return np.array(triangles, np.int32)


def vertices(count: int = WHOLE) -> Floats:
    return np.random.default_rng(0).normal(size=(count, 3)).astype(np.float32)


TRIANGLES = split(FACES, np.zeros(len(FACES), bool))
SKIN_TRIANGLES = split(FACES[:-2], np.zeros(len(FACES) - 2, bool))


@given(st.integers(0, 2**32 - 1))
def test_any_cut_order_and_corner_of_the_quads_will_do(seed: int) -> None:
    random = np.random.default_rng(seed)
    triangles = split(FACES, random.random(len(FACES)) < 0.5)
    rolled = np.array([np.roll(t, random.integers(3)) for t in random.permutation(triangles)], np.int32)
    check_head(vertices(), rolled, FACES, WHOLE, SKIN)


def test_the_skin_alone_will_do() -> None:
    check_head(vertices(SKIN), SKIN_TRIANGLES, FACES, WHOLE, SKIN)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_size_and_pose_do_not_matter(scale: float) -> None:
    turned = scale * vertices() @ np.array([[0, -1, 0], [0, 0, 1], [-1, 0, 0]], np.float32) + 1e3 * scale
    check_head(turned.astype(np.float32), TRIANGLES, FACES, WHOLE, SKIN)


def refusal(head: Floats, triangles: Ints) -> str:
    with pytest.raises(JobFailedError) as caught:
        check_head(head, triangles, FACES, WHOLE, SKIN)
    assert caught.value.kind == "input"
    return caught.value.message


@pytest.mark.parametrize("count", [0, 3, SKIN - 1, SKIN + 1, WHOLE + 1])
def test_another_vertex_count_is_told_with_both_numbers(count: int) -> None:
    said = refusal(vertices(count), TRIANGLES)
    assert f"has {count} vertices" in said
    assert f"has {WHOLE} ({SKIN} without eyes and teeth)" in said


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_vertices_without_a_place_are_counted(bad: float) -> None:
    head = vertices()
    head[[3, 7], [0, 2]] = bad
    assert refusal(head, TRIANGLES).startswith("2 vertices of this head have no finite place")


def changed(kind: str) -> Ints:
    triangles = TRIANGLES.copy()
    match kind:
        case "none":
            return triangles[:0]
        case "one less":
            return triangles[:-1]
        case "one twice":
            triangles[1] = triangles[0]
        case "another corner":
            triangles[4, 1] = WHOLE - 1
        case "renumbered":
            order = np.random.default_rng(1).permutation(WHOLE).astype(np.int32)
            triangles = order[triangles]
        case "beyond the vertices":
            triangles[0, 0] = WHOLE
        case "negative":
            triangles[0, 0] = -1
    return triangles


@pytest.mark.parametrize(
    "kind",
    ["none", "one less", "one twice", "another corner", "renumbered", "beyond the vertices", "negative"],
)
def test_other_connections_are_refused(kind: str) -> None:
    said = refusal(vertices(), changed(kind))
    assert f"{WHOLE} vertices as it should, but they are connected differently" in said


@pytest.mark.parametrize("shape", ["point", "line", "far point"])
def test_a_head_without_area_is_refused(shape: str) -> None:
    head = np.zeros((WHOLE, 3), np.float32)
    if shape == "line":
        head[:, 0] = np.arange(WHOLE)
    elif shape == "far point":
        head += 1e6
    assert "no area" in refusal(head, TRIANGLES)
