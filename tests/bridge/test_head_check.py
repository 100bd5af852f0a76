"""Which meshes nothing can be done with, and what is said to them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bridge.head_check import check_head
from bridge.worker import JobFailedError

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

COUNT = 41
TRIANGLES = np.random.default_rng(1).permuted(np.tile(np.arange(COUNT, dtype=np.int32), (60, 1)), axis=1)[
    :, :3
]


def vertices(count: int = COUNT) -> Floats:
    return np.random.default_rng(0).normal(size=(count, 3)).astype(np.float32)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_any_topology_size_and_pose_will_do(scale: float) -> None:
    turned = scale * vertices() @ np.array([[0, -1, 0], [0, 0, 1], [-1, 0, 0]], np.float32) + 1e3 * scale
    check_head(turned.astype(np.float32), TRIANGLES)
    check_head(vertices(COUNT + 5), TRIANGLES)  # loose vertices


def refusal(head: Floats, triangles: Ints) -> str:
    with pytest.raises(JobFailedError) as caught:
        check_head(head, triangles)
    assert caught.value.kind == "input"
    return caught.value.message


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_vertices_without_a_place_are_counted(bad: float) -> None:
    head = vertices()
    head[[3, 7], [0, 2]] = bad
    assert refusal(head, TRIANGLES).startswith("2 vertices of this head have no finite place")


@pytest.mark.parametrize("corner", [-1, COUNT])
def test_faces_of_vertices_that_are_not_there(corner: int) -> None:
    triangles = TRIANGLES.copy()
    triangles[5, 1] = corner
    assert "name vertices that it does not have" in refusal(vertices(), triangles)


def test_no_faces_at_all() -> None:
    assert "no faces" in refusal(vertices(), TRIANGLES[:0])


@pytest.mark.parametrize("shape", ["point", "line", "far point"])
def test_a_head_without_area_is_refused(shape: str) -> None:
    head = np.zeros((COUNT, 3), np.float32)
    if shape == "line":
        head[:, 0] = np.arange(COUNT)
    elif shape == "far point":
        head += 1e6
    assert "no area" in refusal(head, TRIANGLES)
